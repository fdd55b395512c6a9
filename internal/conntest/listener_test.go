package conntest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
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

func (temporaryError) Error() string { return "the test's temporary error" }

func (temporaryError) Temporary() bool { return true }

// Temporary errors of the inner listener cost pauses that grow to a second, and
// nothing else.
func TestTemporaryAcceptErrors(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s)
		errno := func(e syscall.Errno) error { return os.NewSyscallError("accept4", e) }
		for _, err := range []error{
			faultnet.ErrTooManyFiles, errno(syscall.ENFILE), errno(syscall.ENOBUFS), errno(syscall.ENOMEM),
			errno(syscall.ECONNABORTED), errno(syscall.EINTR),
			temporaryError{},
		} {
			start := time.Now()
			r.inner.FailNext(err)
			c, server := r.Open()
			require.LessOrEqual(t, time.Since(start), 5*time.Millisecond)
			_, _ = c.Abort(), server.Abort()
		}
		many := make([]error, 20)
		for i := range many {
			many[i] = faultnet.ErrTooManyFiles
		}
		start := time.Now()
		r.inner.FailNext(many...)
		accept := Background(func() (int, error) { _, err := r.Listener.Accept(); return 0, err })
		c, err := (&relink.Dialer{
			Suite:         s,
			Config:        relink.Config{HandshakeTimeout: time.Minute},
			DialTransport: r.Net.Dial,
		}).DialConn(t.Context(), "tcp", "server")
		require.NoError(t, err)
		// Only the session that is established is accepted; some wires need a
		// first record for that.
		_, err = c.Write([]byte("x"))
		require.NoError(t, err)
		require.NoError(t, (<-accept).Err)
		// 5 ms, doubled eight times, then a second each.
		require.Equal(t, 1275*time.Millisecond+12*time.Second, time.Since(start))
		// Live sessions did not notice.
		r.Exchange(100)
		require.Zero(t, r.Client.Stats().Resumes)
		_ = c.Abort()
		r.Stop()
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
				l, err := relink.NewListener(inner, relink.ListenConfig{Suites: []relink.ServerSuite{SCP}})
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
		l, err := relink.NewListener(inner, relink.ListenConfig{Suites: []relink.ServerSuite{SCP}})
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
			InBubble(t, func(t *testing.T, s Suite) {
				release := make(chan struct{})
				var records atomic.Int32
				handler := handlerFunc(func(slog.Record) {
					records.Add(1)
					if mistake == "panics" {
						panic("the test's panic")
					}
					<-release
				})
				r := New(t, s, WithServer(func(c *relink.ListenConfig) { c.Logger, c.OnEvent = slog.New(handler), nil }))
				r.inner.FailNext(faultnet.ErrTooManyFiles, faultnet.ErrTooManyFiles)
				c, server := r.Open()
				RequireExchange(t, c, server, 100)
				require.Positive(t, records.Load())
				_, _ = c.Abort(), server.Abort()
				close(release)
				r.Stop()
			})
		})
	}
}

// What a Logger gets for a failed Accept is a warning, and OnEvent gets nothing.
func TestAcceptErrorsAreLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged []slog.Record // read when nothing is left to deliver
		r := New(t, SCP, WithServer(func(c *relink.ListenConfig) {
			c.Logger = slog.New(handlerFunc(func(r slog.Record) { logged = append(logged, r) }))
		}))
		r.inner.FailNext(faultnet.ErrTooManyFiles)
		time.Sleep(time.Second)
		synctest.Wait()
		last := logged[len(logged)-1]
		require.Equal(t, slog.LevelWarn, last.Level)
		require.Contains(t, last.Message, "accept failed")
		require.Equal(t, []relink.EventKind{relink.EventOpened}, r.Server.Events.kinds())
		r.Stop()
	})
}

// inHalves answers with the first half of body, and with the second when it is let go.
func inHalves(body []byte, goOn <-chan struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(body[:len(body)/2])
		_ = http.NewResponseController(w).Flush()
		<-goOn
		_, _ = w.Write(body[len(body)/2:])
	}
}

// Shutdown of an http.Server closes its listener first. The requests under way are
// answered all the same, through cuts.
func TestAcceptorUnderHTTP(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		n := faultnet.New()
		inner := n.Listen()
		cfg := Setup{}
		l, err := relink.NewListener(inner, cfg.listener(s))
		require.NoError(t, err)
		body := Data(100_000)
		slow := make(chan struct{})
		server := &http.Server{Handler: inHalves(body, slow)}
		served := make(chan error, 1)
		go func() { served <- server.Serve(l.Acceptor()) }()
		d := &relink.Dialer{Suite: s, Config: cfg.shared(), DialTransport: n.Dial}
		transport := &http.Transport{DialContext: d.DialContext}
		response, err := (&http.Client{Transport: transport}).Get("http://server/")
		require.NoError(t, err)
		got := make([]byte, len(body)/2)
		_, err = io.ReadFull(response.Body, got)
		require.NoError(t, err)

		stopped := Background(func() (int, error) { return 0, server.Shutdown(context.Background()) })
		StillBlocked(t, stopped)
		require.ErrorIs(t, <-served, http.ErrServerClosed)
		for range 3 {
			n.Last().Cut(faultnet.Reset)
			synctest.Wait()
		}
		close(slow)
		rest, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, body, append(got, rest...))
		require.NoError(t, (<-stopped).Err)

		transport.CloseIdleConnections()
		require.NoError(t, l.Shutdown(t.Context()))
		_, err = inner.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
		time.Sleep(5 * time.Minute) // through what lingers
	})
}

// Close of an Acceptor ends accepting, and what nobody has accepted; everything else
// goes on.
func TestAcceptorClose(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		c := newCrowd(t, s, WithClient(func(cfg *relink.Dialer) { cfg.ResumeTimeout = 5 * time.Second }))
		a := c.Listener.Acceptor()
		require.Equal(t, c.Listener.Addr(), a.Addr())
		unaccepted, err := a.Accept()
		require.NoError(t, err)
		_, ok := unaccepted.(*relink.Conn)
		require.True(t, ok)
		defer unaccepted.(*relink.Conn).Abort()
		c.Net.SetDown(faultnet.NotDown)
		other, err := c.Dialer.DialConn(t.Context(), "tcp", "server")
		require.NoError(t, err)
		defer other.Abort()
		if !IsClassic(s) {
			requireSent(t, other)
		}
		synctest.Wait()
		require.Equal(t, 1, c.Listener.Stats().Backlog)

		RequireInstant(t, func() { require.NoError(t, a.Close()) })
		require.Zero(t, c.Listener.Stats().Backlog)
		require.ErrorIs(t, a.Close(), net.ErrClosed)
		for _, l := range []net.Listener{a, c.Listener, c.Listener.Acceptor()} {
			_, err = l.Accept()
			require.ErrorIs(t, err, net.ErrClosed)
		}
		_, err = other.Read(make([]byte, 1)) // its client learns it
		require.Error(t, err)
		require.NotErrorIs(t, err, relink.ErrExpired)

		// Live and suspended sessions resume.
		c.suspendedClient.NetworkChanged()
		RequireExchange(t, c.suspendedClient, c.suspended, 100)
		for range 3 {
			c.Client.NetworkChanged()
			c.Exchange(1000)
		}
		// New ones are refused.
		fresh, err := c.Dialer.DialConn(t.Context(), "tcp", "server")
		if err == nil { // a client may believe in its session until it hears more
			_, err = fresh.Read(make([]byte, 1))
			_ = fresh.Abort()
		}
		require.Error(t, err)
		require.Positive(t, c.Listener.Stats().Refused.ShuttingDown)

		require.NoError(t, c.Listener.Close())
		require.NoError(t, c.Listener.Acceptor().Close()) // a server may stop later
		c.stop()
	})
}

// An Accept that waits ends with the Acceptor.
func TestAcceptorCloseWakesAccept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := relink.NewListener(faultnet.New().Listen(), relink.ListenConfig{Suites: []relink.ServerSuite{SCP}})
		require.NoError(t, err)
		a := l.Acceptor()
		accepting := Background(func() (int, error) { _, err := a.Accept(); return 0, err })
		StillBlocked(t, accepting)
		RequireInstant(t, func() {
			require.NoError(t, a.Close())
			require.ErrorIs(t, (<-accepting).Err, net.ErrClosed)
		})
		require.NoError(t, l.Shutdown(t.Context()))
	})
}

// A crowd is a listener with one session of each condition.
type crowd struct {
	*Rig                       // client and server are live
	suspendedClient, suspended *relink.Conn
	unaccepted                 *relink.Conn // the client's end
	handshaking                net.Conn     // has sent nothing
}

func newCrowd(t *testing.T, s Suite, options ...Option) *crowd {
	c := &crowd{Rig: New(t, s, options...)}
	c.suspendedClient, c.suspended = c.Open()
	path := c.Net.Last()
	c.Net.SetDown(faultnet.Refuse)
	path.Cut(faultnet.Reset)
	require.NoError(t, c.suspended.SetReadDeadline(time.Now().Add(time.Second)))
	_, err := c.suspended.Read(make([]byte, 1))
	requireTimeout(t, err)
	require.NoError(t, c.suspended.SetReadDeadline(time.Time{}))
	require.Equal(t, relink.StateSuspended, c.suspended.State())
	RequireSuspended(t, c.suspendedClient)
	c.Net.SetDown(faultnet.NotDown)
	c.unaccepted, err = c.Dialer.DialConn(t.Context(), "tcp", "server")
	require.NoError(t, err)
	if !IsClassic(s) {
		requireSent(t, c.unaccepted) // a server may wait for the client's first record
	}
	c.handshaking, err = c.Net.Dial(t.Context(), "tcp", "server")
	require.NoError(t, err)
	c.Net.SetDown(faultnet.Refuse) // the suspended one stays so
	synctest.Wait()
	return c
}

func requireSent(t *testing.T, c *relink.Conn) {
	_, err := c.Write([]byte("first"))
	require.NoError(t, err)
}

func (c *crowd) stop() {
	for _, conn := range []*relink.Conn{c.suspendedClient, c.suspended, c.unaccepted} {
		_ = conn.Abort()
	}
	_ = c.handshaking.Close()
	c.Rig.Stop()
}

// Close ends what nobody has accepted and what cannot be resumed any more. Live
// sessions go on until they lose their transport.
func TestListenerClose(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		c := newCrowd(t, s)
		accepted, err := c.Listener.AcceptConn()
		require.NoError(t, err)
		defer accepted.Abort()
		accepting := Background(func() (int, error) {
			_, err := c.Listener.Accept()
			return 0, err
		})
		StillBlocked(t, accepting)
		RequireInstant(t, func() {
			require.NoError(t, c.Listener.Close())
			o := <-accepting
			require.ErrorIs(t, o.Err, net.ErrClosed)
			// Suspended: lost, typed, at once.
			_, err := c.suspended.Read(make([]byte, 1))
			require.ErrorIs(t, err, relink.ErrSessionLost)
			// Handshaking: closed.
			_, err = c.handshaking.Read(make([]byte, 1))
			require.Error(t, err)
		})
		require.ErrorIs(t, c.Listener.Close(), net.ErrClosed)
		_, err = c.Listener.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
		var op *net.OpError
		require.ErrorAs(t, err, &op)
		require.Equal(t, c.inner.Addr(), op.Addr)

		c.Exchange(1000)
		c.Net.Paths()[0].Cut(faultnet.Reset)
		start := time.Now()
		_, err = c.Server.Read(make([]byte, 1))
		require.ErrorIs(t, err, relink.ErrSessionLost)
		require.Zero(t, time.Since(start))
		c.stop()
	})
}

// A session that nobody has accepted ends with the listener, and its client
// sees that.
func TestListenerCloseEndsUnaccepted(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		c := newCrowd(t, s, WithClient(func(cfg *relink.Dialer) { cfg.ResumeTimeout = 5 * time.Second }))
		require.NoError(t, c.Listener.Close())
		_, err := c.unaccepted.Read(make([]byte, 1))
		require.Error(t, err)
		synctest.Wait()
		require.Zero(t, live(c.Listener)-1) // the live one
		c.stop()
	})
}

// Shutdown refuses new sessions, resumes the others, hands out those that wait
// for Accept, and returns when all have ended.
func TestShutdown(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		c := newCrowd(t, s)
		shutdown := Background(func() (int, error) { return 0, c.Listener.Shutdown(context.Background()) })
		StillBlocked(t, shutdown)
		c.Net.SetDown(faultnet.NotDown)

		// Unaccepted sessions are served.
		waiting, err := c.Listener.AcceptConn()
		require.NoError(t, err)
		if !IsClassic(s) {
			_, err := io.ReadFull(waiting, make([]byte, len("first")))
			require.NoError(t, err)
		}
		RequireExchange(t, c.unaccepted, waiting, 100)
		// The suspended one resumes.
		c.suspendedClient.NetworkChanged()
		RequireExchange(t, c.suspendedClient, c.suspended, 100)
		// The live one resumes as well.
		c.Client.NetworkChanged()
		c.Exchange(100)
		// New ones are refused, those included whose handshake had begun.
		fresh, err := c.Dialer.DialConn(t.Context(), "tcp", "server")
		if err == nil { // a client may believe in its session until it hears more
			_, err = fresh.Read(make([]byte, 1))
			_ = fresh.Abort()
		}
		require.Error(t, err)

		require.NoError(t, c.Client.Close())
		_, err = c.Server.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err)
		require.NoError(t, c.Server.Close())
		require.NoError(t, waiting.Abort())
		StillBlocked(t, shutdown)
		require.NoError(t, c.suspended.Abort())
		o := <-shutdown
		require.NoError(t, o.Err)
		_, err = c.Listener.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
		require.NoError(t, c.Listener.Shutdown(context.Background())) // again
		c.stop()
	})
}

// When its context ends Shutdown closes the listener, with Close's effect on
// what is left.
func TestShutdownTimeout(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		c := newCrowd(t, s)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		require.ErrorIs(t, c.Listener.Shutdown(ctx), context.DeadlineExceeded)
		require.Equal(t, 3*time.Second, time.Since(start))
		_, err := c.suspended.Read(make([]byte, 1))
		require.ErrorIs(t, err, relink.ErrSessionLost)
		c.Exchange(100)
		c.stop()
	})
}

// Without sessions there is nothing to wait for, even if the context has ended.
func TestShutdownWithoutSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		for range 50 {
			l, err := relink.NewListener(faultnet.New().Listen(), relink.ListenConfig{Suites: []relink.ServerSuite{SCP}})
			require.NoError(t, err)
			require.NoError(t, l.Shutdown(ended))
		}
	})
}

// A handshake that is under way when the last session ends must not bring the
// listener back to life, nor down with it.
func TestShutdownDuringHandshakes(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		for range 5 {
			r := New(t, s)
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					if c, err := r.Dialer.DialConn(ctx, "tcp", "server"); err == nil {
						_ = c.Abort()
					}
				})
			}
			wg.Go(func() {
				for {
					c, err := r.Listener.AcceptConn()
					if err != nil {
						return
					}
					_ = c.Abort()
				}
			})
			wg.Go(func() { _ = r.Server.Abort() })
			require.NoError(t, r.Listener.Shutdown(context.Background()))
			cancel()
			wg.Wait()
			r.Stop()
		}
	})
}

// No more than MaxSessions live at a time, suspended ones included. Resumes do
// not count, and the end of one makes room.
func TestMaxSessions(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s, WithServer(func(c *relink.ListenConfig) { c.MaxSessions = 2 }))
		second, secondServer := r.Open()
		try := func() error {
			c, err := r.Dialer.DialConn(t.Context(), "tcp", "server")
			if err != nil {
				return err
			}
			_, err = c.Read(make([]byte, 1))
			_ = c.Abort()
			return err
		}
		require.Error(t, try())
		synctest.Wait()
		refused := r.Server.Events.All(relink.EventRefused)
		require.Len(t, refused, 1)
		require.ErrorIs(t, refused[0].Err, relink.ErrTooManySessions)
		r.Net.Paths()[0].Cut(faultnet.Reset)
		r.Exchange(100)
		r.Net.Last().Cut(faultnet.Reset) // suspended for a moment at least
		require.Error(t, try())
		require.NoError(t, secondServer.Abort())
		_ = second.Abort()
		third, thirdServer := r.Open()
		RequireExchange(t, third, thirdServer, 100)
		_, _ = third.Abort(), thirdServer.Abort()
		r.Stop()
	})
}

// One listener serves clients of several suites, whatever the pieces in which
// their first bytes arrive, and says why it serves no others.
func TestSeveralSuites(t *testing.T) {
	for _, piece := range []int{0, 1, 2, 5} {
		t.Run(fmt.Sprint(piece), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := faultnet.New()
				n.SetOptions(faultnet.Options{Segment: piece})
				events := new(EventLog)
				l, err := relink.NewListener(n.Listen(), relink.ListenConfig{
					Suites: []relink.ServerSuite{DH64RC4, SCP, Noise},
					Config: relink.Config{OnEvent: events.add},
				})
				require.NoError(t, err)
				for range 8 {
					for _, s := range mixedClients {
						d := relink.Dialer{Suite: s, DialTransport: n.Dial}
						c, err := d.DialConn(t.Context(), "tcp", "server")
						require.NoError(t, err)
						server, err := l.AcceptConn()
						require.NoError(t, err)
						_, asked := relink.SCPRequestOf(server)
						require.Equal(t, IsSCP(s), asked)
						require.Equal(t, s.String() == Noise.String(), server.WaitAcked(t.Context(), 0) == nil)
						RequireExchange(t, c, server, 200)
						n.Last().Cut(faultnet.Reset)
						RequireExchange(t, c, server, 200)
						synctest.Wait() // a resume may not be confirmed yet
						_, _ = c.Abort(), server.Abort()
					}
				}
				synctest.Wait()
				for _, first := range []string{"Q\x01 a client of another suite", "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x02\x00", "\xfe"} {
					c, err := n.Dial(t.Context(), "tcp", "server")
					require.NoError(t, err)
					_, err = c.Write([]byte(first))
					require.NoError(t, err)
					_, err = c.Read(make([]byte, 1))
					require.Error(t, err)
					synctest.Wait()
					refused := events.All(relink.EventRefused)
					require.ErrorIs(t, refused[len(refused)-1].Err, relink.ErrNoSuite)
					require.Nil(t, refused[len(refused)-1].Conn)
					require.Equal(t, c.LocalAddr(), refused[len(refused)-1].Remote)
					require.NoError(t, c.Close())
				}
				// What begins like a client of the suite Noise is told so.
				c, err := n.Dial(t.Context(), "tcp", "server")
				require.NoError(t, err)
				_, err = c.Write([]byte("REPORT / HTTP/1.1\r\n\r\n"))
				require.NoError(t, err)
				hint, err := io.ReadAll(c)
				require.NoError(t, err)
				require.Equal(t, []byte{0x52, 1, 2, 0, 0}, hint) // BadRequest
				refused := events.All(relink.EventRefused)
				require.ErrorIs(t, refused[len(refused)-1].Err, relink.ErrProtocol)
				require.NoError(t, l.Close())
			})
		})
	}
}

var mixedClients = []relink.ClientSuite{relink.SCPClient{TargetServer: "a"}, DH64RC4, Noise, SCP}

// net/http serves over sessions as over any other connections, and its own
// Shutdown goes together with the listener's.
func TestHTTP(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		n := faultnet.New()
		cfg := Setup{}
		l, err := relink.NewListener(n.Listen(), cfg.listener(s))
		require.NoError(t, err)
		body := Data(100_000)
		slow := make(chan struct{})
		server := &http.Server{Handler: inHalves(body, slow)}
		served := make(chan error, 1)
		go func() { served <- server.Serve(l) }()
		d := &relink.Dialer{Suite: s, Config: cfg.shared(), DialTransport: n.Dial}
		transport := &http.Transport{DialContext: d.DialContext}
		client := http.Client{Transport: transport}
		response, err := client.Get("http://server/")
		require.NoError(t, err)
		got := make([]byte, len(body)/2)
		_, err = io.ReadFull(response.Body, got)
		require.NoError(t, err)

		// The listener drains: the download goes on, also through a cut.
		drained := Background(func() (int, error) { return 0, l.Shutdown(context.Background()) })
		StillBlocked(t, drained)
		n.Last().Cut(faultnet.Reset)
		close(slow)
		rest, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, body, append(got, rest...))
		StillBlocked(t, drained) // the client keeps its connection
		transport.CloseIdleConnections()
		synctest.Wait()
		require.NoError(t, server.Shutdown(t.Context()))
		// Where the wire tells the client's end at once, the listener is closed
		// before the server is.
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			require.ErrorIs(t, err, net.ErrClosed)
		}
		require.NoError(t, (<-drained).Err)
		time.Sleep(5 * time.Minute) // through what lingers
	})
}
