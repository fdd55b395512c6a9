package relink_test

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	core "github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
	relink "github.com/relink-go/relink/mobile"
)

// start starts a proxy, and holds it to leaving nothing behind.
func start(t *testing.T, c *relink.Config) *relink.LocalProxy {
	t.Helper()
	p, err := relink.StartProxy(c)
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = p.Close()
		require.NotContains(t, stacks(), "relink/mobile.(*LocalProxy)")
	})
	return p
}

// connect dials a proxy, with a deadline so that no failure hangs.
func connect(t *testing.T, network, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial(network, address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	return conn
}

// requireReset says something to a proxy, and requires that it resets the connection. That may
// be so soon that not even the dial succeeds.
func requireReset(t *testing.T, p *relink.LocalProxy) {
	t.Helper()
	conn, err := net.Dial("tcp", p.Address())
	if err == nil {
		defer conn.Close()
		require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
		// The kernel tells of a reset once, and afterwards of an end.
		if _, err = conn.Write([]byte("GET / HTTP/1.1\r\n\r\n")); err == nil {
			_, err = conn.Read(make([]byte, 1))
		}
	}
	require.ErrorIs(t, err, syscall.ECONNRESET)
}

// TestProxy: connections over TCP and the Unix socket, cut again and again.
func TestProxy(t *testing.T) {
	s := serve(t, nil)
	c := s.config(t)
	path := filepath.Join(t.TempDir(), "s")
	require.NoError(t, c.SetProxySocket(path))
	p := start(t, c)
	listener := &recorder{}
	require.NoError(t, p.SetListener(listener))
	require.Equal(t, path, p.SocketPath())
	_, port, err := net.SplitHostPort(p.Address())
	require.NoError(t, err)
	require.Equal(t, port, strconv.FormatInt(p.Port(), 10))

	data := randomBytes(t, 2<<20)
	var wg sync.WaitGroup
	for _, at := range []struct{ network, address string }{{"tcp", p.Address()}, {"tcp", p.Address()}, {"unix", path}} {
		conn := connect(t, at.network, at.address)
		_, err := conn.Write(data[:1])
		require.NoError(t, err)
		_, err = conn.Read(make([]byte, 1)) // the first dial is tried once, so that no cut may meet it
		require.NoError(t, err)
		wg.Go(func() {
			if _, err := conn.Write(data); err != nil {
				t.Error(err)
			}
			if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			got, err := io.ReadAll(conn)
			if err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d bytes of %d came back: %v", len(got), len(data), err)
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	cuts := 0
	for running := true; running; cuts++ {
		select {
		case <-done:
			running = false
		case <-time.After(5 * time.Millisecond):
			s.relay.Cut(faultnet.Reset)
			if cuts%4 == 0 {
				require.NoError(t, p.NetworkChanged())
			}
		}
	}
	eventually(t, "all connections have ended", func() bool { return p.Stats().Conns == 0 })
	stats := p.Stats()
	require.EqualValues(t, 3, stats.Accepted)
	require.Zero(t, stats.Failed, stats.LastError)
	require.Contains(t, listener.kinds(), relink.EventResumed)
	require.NoError(t, p.Close())
	require.NoError(t, p.Close())
	_, err = os.Lstat(path)
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = net.Dial("tcp", p.Address())
	require.Error(t, err)
}

// TestProxyClassic: a wire without a half-close, where the local end is the session's.
func TestProxyClassic(t *testing.T) {
	s := serve(t, nil)
	c := relink.NewConfig()
	require.NoError(t, c.SetSuite(relink.SuiteDH64RC4))
	require.NoError(t, c.AddAddress(relink.TransportTCP, s.relay.Addr()))
	require.NoError(t, c.SetCloseTimeout(50))
	p := start(t, c)
	conn := connect(t, "tcp", p.Address())
	_, err := conn.Write([]byte("hello"))
	require.NoError(t, err)
	got := make([]byte, 5)
	_, err = io.ReadFull(conn, got)
	require.NoError(t, err)
	require.Equal(t, "hello", string(got))
	require.NoError(t, conn.Close())
	eventually(t, "the connection has ended", func() bool { return p.Stats().Conns == 0 })
	require.Zero(t, p.Stats().Failed, p.Stats().LastError)
}

// TestProxyFailures: a session that cannot be opened or is lost resets the connection,
// and the others go on.
func TestProxyFailures(t *testing.T) {
	s := serve(t, nil)
	p := start(t, s.config(t))
	well := connect(t, "tcp", p.Address())
	echo := func() {
		t.Helper()
		_, err := well.Write([]byte("well"))
		require.NoError(t, err)
		got := make([]byte, 4)
		_, err = io.ReadFull(well, got)
		require.NoError(t, err)
	}
	echo()
	var first *core.Conn
	for session := range s.listener.Sessions() {
		first = session
	}

	lost := connect(t, "tcp", p.Address())
	_, err := lost.Write([]byte("x"))
	require.NoError(t, err)
	_, err = lost.Read(make([]byte, 1))
	require.NoError(t, err)
	for session := range s.listener.Sessions() {
		if session != first {
			require.NoError(t, session.Abort())
		}
	}
	_, err = lost.Read(make([]byte, 1))
	require.Error(t, err)
	require.NotErrorIs(t, err, io.EOF) // a stream that was cut short is not one that has ended
	eventually(t, "it counts", func() bool { return p.Stats().Failed == 1 })
	require.Equal(t, relink.CodeLost, relink.ErrorCode(p.Stats().LastError))

	// An app that breaks off takes its session with it.
	rude := connect(t, "tcp", p.Address())
	_, err = rude.Write([]byte("x"))
	require.NoError(t, err)
	_, err = rude.Read(make([]byte, 1))
	require.NoError(t, err)
	require.NoError(t, rude.(*net.TCPConn).SetLinger(0))
	require.NoError(t, rude.Close())
	eventually(t, "it is gone", func() bool { return p.Stats().Failed == 2 && p.Stats().Conns == 1 })
	echo()

	// Nobody listens at the server.
	gone := listenTCP(t)
	require.NoError(t, gone.Close())
	s.relay.SetTarget(gone.Addr().String())
	requireReset(t, p)
	eventually(t, "it counts", func() bool { return p.Stats().Failed == 3 })
	echo()
}

// TestProxyLimit: a crowd of connections that say nothing is bounded, and Close ends it.
func TestProxyLimit(t *testing.T) {
	s := serve(t, nil)
	c := s.config(t)
	require.NoError(t, c.SetProxyConns(2))
	p := start(t, c)
	connect(t, "tcp", p.Address())
	connect(t, "tcp", p.Address())
	eventually(t, "two are served", func() bool { return p.Stats().Conns == 2 })
	for range 20 {
		requireReset(t, p)
	}
	eventually(t, "the rest is counted", func() bool { return p.Stats().Refused == 20 })
	require.NoError(t, p.Close())
	require.Zero(t, p.Stats().Conns)
}

// TestProxyCloseWhileDialling: a server that never answers does not hold Close up.
func TestProxyCloseWhileDialling(t *testing.T) {
	s := serve(t, nil)
	mute := listenTCP(t)
	defer mute.Close()
	s.relay.SetTarget(mute.Addr().String())
	p := start(t, s.config(t))
	conn := connect(t, "tcp", p.Address())
	eventually(t, "the proxy dials", func() bool { return s.relay.Accepted() == 1 })
	require.NoError(t, p.Close())
	_, err := conn.Read(make([]byte, 1))
	require.Error(t, err)
}

// TestProxySocket: what may be in the place of the Unix socket.
func TestProxySocket(t *testing.T) {
	s := serve(t, nil)
	c := s.config(t)
	require.NoError(t, c.SetProxyTCP(false))
	_, err := relink.StartProxy(c)
	requireCode(t, relink.CodeArgument, err) // nothing to listen on

	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	require.NoError(t, c.SetProxySocket(path))

	// A file that is no socket stays.
	require.NoError(t, os.WriteFile(path, []byte("precious"), 0o600))
	_, err = relink.StartProxy(c)
	requireCode(t, relink.CodeArgument, err)
	require.NoError(t, os.Remove(path))

	// What a process has left behind that was killed does not.
	l, err := net.Listen("unix", path)
	require.NoError(t, err)
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	require.NoError(t, l.Close())
	p := start(t, c)
	require.Empty(t, p.Address())
	require.Zero(t, p.Port())
	info, err := os.Lstat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	conn := connect(t, "unix", path)
	_, err = conn.Write([]byte("x"))
	require.NoError(t, err)
	_, err = conn.Read(make([]byte, 1))
	require.NoError(t, err)

	// One on which somebody listens stays too.
	_, err = relink.StartProxy(c)
	requireCode(t, relink.CodeArgument, err)

	require.NoError(t, c.SetProxySocket(filepath.Join(dir, strings.Repeat("long", 100))))
	_, err = relink.StartProxy(c)
	requireCode(t, relink.CodeArgument, err)
	require.NoError(t, c.SetProxySocket(filepath.Join(dir, "none", "s")))
	_, err = relink.StartProxy(c)
	requireCode(t, relink.CodeArgument, err)
}

// TestProxyGarbage: HTTP in place of a game's protocol, to a server that cannot prove that
// it is the one.
func TestProxyGarbage(t *testing.T) {
	s := serve(t, nil)
	c := relink.NewConfig()
	require.NoError(t, c.SetSuite(relink.SuiteNoise))
	require.NoError(t, c.AddServerKey(core.GenerateKey().PublicKey().String()))
	require.NoError(t, c.AddAddress(relink.TransportTCP, s.relay.Addr()))
	p := start(t, c)
	requireReset(t, p)
	eventually(t, "it says why", func() bool { return relink.ErrorCode(p.Stats().LastError) == relink.CodeAuthentication })
}
