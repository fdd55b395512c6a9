package relink_test

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// A temporaryError says so itself, as net/http has it.
type temporaryError struct{}

func (temporaryError) Error() string   { return "the test's temporary error" }
func (temporaryError) Temporary() bool { return true }

// Temporary errors of the inner listener cost pauses that grow to a second, and
// nothing else.
func TestTemporaryAcceptErrors(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s)
		errno := func(e syscall.Errno) error { return os.NewSyscallError("accept4", e) }
		for _, err := range []error{
			faultnet.ErrTooManyFiles, errno(syscall.ENFILE), errno(syscall.ENOBUFS), errno(syscall.ENOMEM),
			errno(syscall.ECONNABORTED), errno(syscall.EINTR),
			temporaryError{},
		} {
			start := time.Now()
			r.inner.FailNext(err)
			c, server := r.open()
			require.LessOrEqual(t, time.Since(start), 5*time.Millisecond)
			_, _ = c.Abort(), server.Abort()
		}
		many := make([]error, 20)
		for i := range many {
			many[i] = faultnet.ErrTooManyFiles
		}
		start := time.Now()
		r.inner.FailNext(many...)
		accept := background(func() (int, error) { _, err := r.l.Accept(); return 0, err })
		c, err := (&relink.Dialer{
			Suite:         s,
			Config:        relink.Config{HandshakeTimeout: time.Minute},
			DialTransport: r.net.Dial,
		}).DialConn(t.Context(), "tcp", "server")
		require.NoError(t, err)
		// Only the session that is established is accepted; some wires need a
		// first record for that.
		_, err = c.Write([]byte("x"))
		require.NoError(t, err)
		require.NoError(t, (<-accept).err)
		// 5 ms, doubled eight times, then a second each.
		require.Equal(t, 1275*time.Millisecond+12*time.Second, time.Since(start))
		// Live sessions did not notice.
		r.exchange(100)
		require.Zero(t, r.client.Stats().Resumes)
		_ = c.Abort()
		r.stop()
		time.Sleep(5 * time.Minute) // the accepted end of c expires
	})
}

// A brokenListener has an Accept of the test.
type brokenListener struct {
	*faultnet.Listener
	accept func() (net.Conn, error)
	calls  atomic.Int32
}

func (l *brokenListener) Accept() (net.Conn, error) {
	if l.calls.Add(1) > 1000 {
		panic("accept is called again and again")
	}
	return l.accept()
}

// An inner listener that fails for good, panics or returns nothing ends
// accepting with an error that Accept returns each time.
func TestBrokenInnerListener(t *testing.T) {
	errTest := errors.New("the test's error")
	for _, tt := range []struct {
		name   string
		accept func() (net.Conn, error)
		want   error
	}{
		{"error", func() (net.Conn, error) { return nil, errTest }, errTest},
		{"panic", func() (net.Conn, error) { panic("the test's panic") }, nil},
		{"nil", func() (net.Conn, error) { return nil, nil }, nil},
		{"typed nil", func() (net.Conn, error) { return (*net.TCPConn)(nil), nil }, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner := &brokenListener{Listener: faultnet.New().Listen(), accept: tt.accept}
				l, err := relink.NewListener(inner, relink.ListenConfig{Suites: []relink.ServerSuite{scpSuite}})
				require.NoError(t, err)
				for range 3 {
					_, err = l.Accept()
					require.Error(t, err)
					if tt.want != nil {
						require.ErrorIs(t, err, tt.want)
					}
					require.NotErrorIs(t, err, net.ErrClosed)
				}
				require.EqualValues(t, 1, inner.calls.Load())
				require.NoError(t, l.Close())
				_, err = l.Accept()
				require.ErrorIs(t, err, net.ErrClosed)
			})
		})
	}
}

// An inner listener that calls everything temporary, its own end included, is
// left alone after Close.
func TestTemporaryErrorsAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := &brokenListener{Listener: faultnet.New().Listen(), accept: func() (net.Conn, error) { return nil, temporaryError{} }}
		l, err := relink.NewListener(inner, relink.ListenConfig{Suites: []relink.ServerSuite{scpSuite}})
		require.NoError(t, err)
		time.Sleep(10 * time.Second)
		require.NoError(t, l.Close())
		calls := inner.calls.Load()
		time.Sleep(10 * time.Second)
		require.LessOrEqual(t, inner.calls.Load(), calls+1)
	})
}

// A Logger that hangs or panics when it is told of an Accept that failed does
// not stop accepting.
func TestAcceptErrorsAndTheLogger(t *testing.T) {
	for _, mistake := range []string{"hangs", "panics"} {
		t.Run(mistake, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s testSuite) {
				release := make(chan struct{})
				var records atomic.Int32
				handler := handlerFunc(func(slog.Record) {
					records.Add(1)
					if mistake == "panics" {
						panic("the test's panic")
					}
					<-release
				})
				r := newRig(t, s, withServer(func(c *relink.ListenConfig) { c.Logger, c.OnEvent = slog.New(handler), nil }))
				r.inner.FailNext(faultnet.ErrTooManyFiles, faultnet.ErrTooManyFiles)
				c, server := r.open()
				requireExchange(t, c, server, 100)
				require.Positive(t, records.Load())
				_, _ = c.Abort(), server.Abort()
				close(release)
				r.stop()
			})
		})
	}
}

// What a Logger gets for a failed Accept is a warning, and OnEvent gets nothing.
func TestAcceptErrorsAreLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged []slog.Record // read when nothing is left to deliver
		r := newRig(t, scpSuite, withServer(func(c *relink.ListenConfig) {
			c.Logger = slog.New(handlerFunc(func(r slog.Record) { logged = append(logged, r) }))
		}))
		r.inner.FailNext(faultnet.ErrTooManyFiles)
		time.Sleep(time.Second)
		synctest.Wait()
		last := logged[len(logged)-1]
		require.Equal(t, slog.LevelWarn, last.Level)
		require.Contains(t, last.Message, "accept failed")
		require.Equal(t, []relink.EventKind{relink.EventOpened}, r.serverEvents.kinds())
		r.stop()
	})
}
