package abuse

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
)

// fullServerVariable makes the test's program a server with few descriptors.
const fullServerVariable = "RELINK_ABUSE_FULL_SERVER"

const (
	fewFiles      = 64
	serverTimeout = 2 * time.Second        // the server's HandshakeTimeout
	clientTimeout = 700 * time.Millisecond // and a client's
)

// fullServerProcess echoes, within fewFiles descriptors. It prints its address,
// and for each line of its input how often Accept failed and how many handshakes
// were refused so far.
func fullServerProcess() {
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: fewFiles, Max: fewFiles}); err != nil {
		panic(err)
	}
	inner, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	var failed lineCounter
	l, err := relink.NewListener(inner, relink.ListenConfig{
		Suites: []relink.ServerSuite{relink.InsecureNoiseServer{}},
		Config: relink.Config{HandshakeTimeout: serverTimeout, Logger: slog.New(slog.NewTextHandler(&failed, &slog.HandlerOptions{Level: slog.LevelDebug}))},
	})
	if err != nil {
		panic(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c) }()
		}
	}()
	fmt.Println(l.Addr())
	for asked := bufio.NewScanner(os.Stdin); asked.Scan(); {
		fmt.Println(failed.accept.Load(), failed.refused.Load())
	}
}

// A lineCounter counts the lines of a log that tell of an Accept that failed, and
// of a handshake that was refused.
type lineCounter struct{ accept, refused atomic.Int64 }

func (l *lineCounter) Write(p []byte) (int, error) {
	if strings.Contains(string(p), "accept failed") {
		l.accept.Add(1)
	}
	if strings.Contains(string(p), "relink: refused") {
		l.refused.Add(1)
	}
	return len(p), nil
}

// A process without a descriptor left completes TCP handshakes and accepts
// nothing. A client's time limit catches that, the sessions that are there go on,
// and when the strangers' time is up the server takes new ones again by itself.
func TestNoDescriptorLeft(t *testing.T) {
	in, out, end := startProcess(t, fullServerVariable)
	said := bufio.NewReader(out)
	address, err := said.ReadString('\n')
	require.NoError(t, err)
	address = strings.TrimSpace(address)

	d := relink.Dialer{Suite: relink.InsecureNoiseClient{}, Config: relink.Config{HandshakeTimeout: clientTimeout}}
	c, err := d.DialConn(t.Context(), "tcp4", address)
	require.NoError(t, err)
	echo := func() {
		t.Helper()
		want := stranger(1, 100)
		_, err := c.Write(want)
		require.NoError(t, err)
		got := make([]byte, len(want))
		_, err = io.ReadFull(c, got)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	echo()

	// More strangers than there are descriptors: all are connected, some are
	// not accepted.
	var strangers []net.Conn
	for range 2 * fewFiles {
		s, err := net.Dial("tcp4", address)
		require.NoError(t, err)
		strangers = append(strangers, s)
	}
	begin := time.Now()
	_, err = d.DialConn(t.Context(), "tcp4", address)
	took := time.Since(begin)
	require.ErrorIs(t, err, relink.ErrHandshakeTimeout)
	require.GreaterOrEqual(t, took, clientTimeout)
	echo()
	for _, s := range strangers {
		_ = s.Close()
	}

	// Each stranger is closed when HandshakeTimeout has passed, or now that it
	// has gone. Nobody has to tell the server.
	attempts := 0
	for deadline := time.Now().Add(60 * time.Second); ; attempts++ {
		again, err := d.DialConn(t.Context(), "tcp4", address)
		if err == nil {
			_ = again.Abort()
			break
		}
		require.True(t, time.Now().Before(deadline), "the server has not recovered: %v", err)
	}
	echo()
	_ = c.Abort()
	var failed, refused int
	// The last strangers' handshakes may still be on their way into the log.
	for deadline := time.Now().Add(60 * time.Second); refused < 2*fewFiles-1; time.Sleep(10 * time.Millisecond) {
		require.True(t, time.Now().Before(deadline), "%d handshakes were refused", refused)
		_, err = io.WriteString(in, "\n")
		require.NoError(t, err)
		_, err = fmt.Fscan(said, &failed, &refused)
		require.NoError(t, err)
	}
	end()
	t.Logf("a client gave up after %v; Accept failed %d times, %d handshakes were refused; %d more attempts until the server took sessions again", took, failed, refused, attempts)
	require.Positive(t, failed)
}
