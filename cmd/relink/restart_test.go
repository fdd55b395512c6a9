//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/transport/websocket"
)

// A restartLoad is clients of one server that must notice nothing.
type restartLoad struct {
	t       *testing.T
	quit    chan struct{}
	clients sync.WaitGroup
	echoes  atomic.Int64 // of the sessions that stay
	opened  atomic.Int64 // sessions that came and went
	resumes atomic.Int64
}

// The servers of these tests close when they have sent this back, so that no session waits for its
// client afterwards: the classic wires have no word for its end.
const bye = "bye"

func echoUntilBye(c net.Conn) {
	b := make([]byte, 4096)
	var tail []byte
	for !bytes.HasSuffix(tail, []byte(bye)) {
		n, err := c.Read(b)
		if err != nil {
			return
		}
		if _, err := c.Write(b[:n]); err != nil {
			return
		}
		tail = append(tail, b[:n]...)
		tail = append([]byte(nil), tail[max(0, len(tail)-len(bye)):]...)
	}
}

// sayBye ends a session.
func sayBye(c net.Conn) error {
	if _, err := io.WriteString(c, bye); err != nil {
		return err
	}
	b, err := io.ReadAll(c)
	if err == nil && string(b) != bye {
		err = fmt.Errorf("%q at the end", b)
	}
	return err
}

func (l *restartLoad) over() bool {
	select {
	case <-l.quit:
		return true
	default:
		return false
	}
}

// stay is a session that lives through it all, and loses its transport all the time.
func (l *restartLoad) stay(d relink.Dialer, network, address string) {
	d.OnEvent = func(e relink.Event) {
		if e.Kind == relink.EventResumed {
			l.resumes.Add(1)
		}
	}
	c, err := d.DialConn(context.Background(), network, address)
	require.NoError(l.t, err)
	l.clients.Go(func() {
		defer func() { _ = c.Close() }()
		out, in := make([]byte, 3000), make([]byte, 3000)
		for i := uint64(0); !l.over(); i++ {
			for at := 0; at < len(out); at += 8 {
				binary.LittleEndian.PutUint64(out[at:], i<<16+uint64(at))
			}
			_ = c.SetDeadline(time.Now().Add(patience))
			if _, err := c.Write(out); err != nil {
				l.t.Errorf("%s: echo %d: %v", c.Suite(), i, err)
				return
			}
			if i%8 == 3 {
				c.NetworkChanged()
			}
			if _, err := io.ReadFull(c, in); err != nil || !bytes.Equal(in, out) {
				l.t.Errorf("%s: echo %d: %v", c.Suite(), i, err)
				return
			}
			l.echoes.Add(1)
		}
		if err := sayBye(c); err != nil {
			l.t.Errorf("%s: the end: %v", c.Suite(), err)
		}
	})
}

// comeAndGo opens one session after the other.
func (l *restartLoad) comeAndGo(d relink.Dialer, network, address string) {
	l.clients.Go(func() {
		for !l.over() {
			c, err := d.DialConn(context.Background(), network, address)
			if err != nil {
				l.t.Errorf("%v: %v", d.Suite, err)
				return
			}
			_ = c.SetDeadline(time.Now().Add(patience))
			if err := sayBye(c); err != nil {
				l.t.Errorf("%s: a new session: %v", c.Suite(), err)
			}
			_ = c.Close()
			l.opened.Add(1)
		}
	})
}

// more waits until every client has got on.
func (l *restartLoad) more() {
	l.t.Helper()
	echoes, opened := l.echoes.Load()+60, l.opened.Load()+20
	for end := time.Now().Add(patience); l.echoes.Load() < echoes || l.opened.Load() < opened; {
		require.False(l.t, l.t.Failed(), "a client has failed")
		require.True(l.t, time.Now().Before(end), "the clients stand still")
		time.Sleep(10 * time.Millisecond)
	}
}

func (l *restartLoad) end() {
	close(l.quit)
	l.clients.Wait()
}

// Several restarts in a row, under load, of clients of all kinds of wires and of a carrier that has
// state in the process: nobody is refused, and nobody loses a session or a byte. The old processes
// end when their sessions have.
func TestRestarts(t *testing.T) {
	key, public := newKey(t)
	dir := t.TempDir()
	pub, err := relink.ParsePublicKey(public)
	require.NoError(t, err)
	args := []string{
		"serve", "-to", serverOf(t, "tcp", "127.0.0.1:0", echoUntilBye), "-key", key, "-suite", "noise", "-suite", "dh64rc4", "-suite", "scp",
		"-listen", "127.0.0.1:0", "-listen", "ws://127.0.0.1:0/relink", "-listen", "unix:" + filepath.Join(dir, "listen"),
		"-certificate", "", "-handover", filepath.Join(dir, "handover"),
	}
	first := start(t, args...)
	tcp := first.await(`msg=listening address=(127\S+)`)[1]
	ws := first.await(`msg=listening address=(ws:\S+)`)[1]
	noise := relink.NoiseClient{ServerKeys: []relink.PublicKey{pub}}

	load := &restartLoad{t: t, quit: make(chan struct{})}
	for _, s := range []relink.ClientSuite{noise, relink.DH64RC4Client{}, relink.SCPClient{}} {
		load.stay(relink.Dialer{Suite: s}, "tcp", tcp)
		load.comeAndGo(relink.Dialer{Suite: s}, "tcp", tcp)
		load.stay(relink.Dialer{Suite: s}, "unix", filepath.Join(dir, "listen"))
		d := new(websocket.Dialer)
		load.stay(relink.Dialer{Suite: s, DialTransport: d.DialTransport}, websocket.Network, ws)
	}
	load.more()

	processes := []*process{first}
	for range 3 {
		next := start(t, args...)
		next.await(`msg=listening`)
		processes[len(processes)-1].await(`msg=replaced`)
		processes = append(processes, next)
		load.more()
	}
	last := processes[len(processes)-1]
	last.signal(restartSignal) // by itself
	pid, err := strconv.Atoi(last.await(`msg=replaced by=(\d+)`)[1])
	require.NoError(t, err)
	child, err := os.FindProcess(pid)
	require.NoError(t, err)
	t.Cleanup(func() { _ = child.Kill() })
	load.more()

	load.end()
	require.Positive(t, load.resumes.Load())
	t.Logf("%d echoes, %d resumes, %d new sessions", load.echoes.Load(), load.resumes.Load(), load.opened.Load())
	for _, p := range processes {
		p.signal(syscall.SIGTERM) // the time of a handshake need not be waited for
	}
	for _, p := range processes[:3] {
		require.Zero(t, p.wait())
	}
	last.await(`msg="the process before has ended"`)
	require.NoError(t, child.Signal(syscall.SIGTERM)) // which has the pipe of its parent's log
	require.Zero(t, last.wait())
	_, err = os.Stat(filepath.Join(dir, "listen"))
	require.ErrorIs(t, err, os.ErrNotExist, "the last one tidies up")
	for _, p := range processes {
		require.NotContains(t, p.logged(), "panic")
		require.NotContains(t, p.logged(), "cannot go on there")
	}
	_, err = net.Dial("tcp", tcp)
	require.Error(t, err)
}
