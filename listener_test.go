package relink_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// A crowd is a listener with one session of each condition.
type crowd struct {
	*rig                       // client and server are live
	suspendedClient, suspended *relink.Conn
	unaccepted                 *relink.Conn // the client's end
	handshaking                net.Conn     // has sent nothing
}

func newCrowd(t *testing.T, s testSuite, options ...rigOption) *crowd {
	c := &crowd{rig: newRig(t, s, options...)}
	c.suspendedClient, c.suspended = c.open()
	path := c.net.Last()
	c.net.SetDown(faultnet.Refuse)
	path.Cut(faultnet.Reset)
	require.NoError(t, c.suspended.SetReadDeadline(time.Now().Add(time.Second)))
	_, err := c.suspended.Read(make([]byte, 1))
	requireTimeout(t, err)
	require.NoError(t, c.suspended.SetReadDeadline(time.Time{}))
	require.Equal(t, relink.StateSuspended, c.suspended.State())
	requireSuspended(t, c.suspendedClient)
	c.net.SetDown(faultnet.NotDown)
	c.unaccepted, err = c.dialer.DialConn(t.Context(), "tcp", "server")
	require.NoError(t, err)
	if !isClassic(s) {
		requireSent(t, c.unaccepted) // a server may wait for the client's first record
	}
	c.handshaking, err = c.net.Dial(t.Context(), "tcp", "server")
	require.NoError(t, err)
	c.net.SetDown(faultnet.Refuse) // the suspended one stays so
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
	c.rig.stop()
}

// Close ends what nobody has accepted and what cannot be resumed any more. Live
// sessions go on until they lose their transport.
func TestListenerClose(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		c := newCrowd(t, s)
		accepted, err := c.l.AcceptConn()
		require.NoError(t, err)
		defer accepted.Abort()
		accepting := background(func() (int, error) {
			_, err := c.l.Accept()
			return 0, err
		})
		stillBlocked(t, accepting)
		requireInstant(t, func() {
			require.NoError(t, c.l.Close())
			o := <-accepting
			require.ErrorIs(t, o.err, net.ErrClosed)
			// Suspended: lost, typed, at once.
			_, err := c.suspended.Read(make([]byte, 1))
			require.ErrorIs(t, err, relink.ErrSessionLost)
			// Handshaking: closed.
			_, err = c.handshaking.Read(make([]byte, 1))
			require.Error(t, err)
		})
		require.ErrorIs(t, c.l.Close(), net.ErrClosed)
		_, err = c.l.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
		var op *net.OpError
		require.ErrorAs(t, err, &op)
		require.Equal(t, c.inner.Addr(), op.Addr)

		c.exchange(1000)
		c.net.Paths()[0].Cut(faultnet.Reset)
		start := time.Now()
		_, err = c.server.Read(make([]byte, 1))
		require.ErrorIs(t, err, relink.ErrSessionLost)
		require.Zero(t, time.Since(start))
		c.stop()
	})
}

// A session that nobody has accepted ends with the listener, and its client
// sees that.
func TestListenerCloseEndsUnaccepted(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		c := newCrowd(t, s, withClient(func(cfg *relink.Dialer) { cfg.ResumeTimeout = 5 * time.Second }))
		require.NoError(t, c.l.Close())
		_, err := c.unaccepted.Read(make([]byte, 1))
		require.Error(t, err)
		synctest.Wait()
		require.Zero(t, live(c.l)-1) // the live one
		c.stop()
	})
}

// Shutdown refuses new sessions, resumes the others, hands out those that wait
// for Accept, and returns when all have ended.
func TestShutdown(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		c := newCrowd(t, s)
		shutdown := background(func() (int, error) { return 0, c.l.Shutdown(context.Background()) })
		stillBlocked(t, shutdown)
		c.net.SetDown(faultnet.NotDown)

		// Unaccepted sessions are served.
		waiting, err := c.l.AcceptConn()
		require.NoError(t, err)
		if !isClassic(s) {
			_, err := io.ReadFull(waiting, make([]byte, len("first")))
			require.NoError(t, err)
		}
		requireExchange(t, c.unaccepted, waiting, 100)
		// The suspended one resumes.
		c.suspendedClient.NetworkChanged()
		requireExchange(t, c.suspendedClient, c.suspended, 100)
		// The live one resumes as well.
		c.client.NetworkChanged()
		c.exchange(100)
		// New ones are refused, those included whose handshake had begun.
		fresh, err := c.dialer.DialConn(t.Context(), "tcp", "server")
		if err == nil { // a client may believe in its session until it hears more
			_, err = fresh.Read(make([]byte, 1))
			_ = fresh.Abort()
		}
		require.Error(t, err)

		require.NoError(t, c.client.Close())
		_, err = c.server.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err)
		require.NoError(t, c.server.Close())
		require.NoError(t, waiting.Abort())
		stillBlocked(t, shutdown)
		require.NoError(t, c.suspended.Abort())
		o := <-shutdown
		require.NoError(t, o.err)
		_, err = c.l.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
		require.NoError(t, c.l.Shutdown(context.Background())) // again
		c.stop()
	})
}

// When its context ends Shutdown closes the listener, with Close's effect on
// what is left.
func TestShutdownTimeout(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		c := newCrowd(t, s)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		require.ErrorIs(t, c.l.Shutdown(ctx), context.DeadlineExceeded)
		require.Equal(t, 3*time.Second, time.Since(start))
		_, err := c.suspended.Read(make([]byte, 1))
		require.ErrorIs(t, err, relink.ErrSessionLost)
		c.exchange(100)
		c.stop()
	})
}

// Without sessions there is nothing to wait for, even if the context has ended.
func TestShutdownWithoutSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		for range 50 {
			l, err := relink.NewListener(faultnet.New().Listen(), relink.ListenConfig{Suites: []relink.ServerSuite{scpSuite}})
			require.NoError(t, err)
			require.NoError(t, l.Shutdown(ended))
		}
	})
}

// A handshake that is under way when the last session ends must not bring the
// listener back to life, nor down with it.
func TestShutdownDuringHandshakes(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		for range 5 {
			r := newRig(t, s)
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					if c, err := r.dialer.DialConn(ctx, "tcp", "server"); err == nil {
						_ = c.Abort()
					}
				})
			}
			wg.Go(func() {
				for {
					c, err := r.l.AcceptConn()
					if err != nil {
						return
					}
					_ = c.Abort()
				}
			})
			wg.Go(func() { _ = r.server.Abort() })
			require.NoError(t, r.l.Shutdown(context.Background()))
			cancel()
			wg.Wait()
			r.stop()
		}
	})
}

// No more than MaxSessions live at a time, suspended ones included. Resumes do
// not count, and the end of one makes room.
func TestMaxSessions(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s, withServer(func(c *relink.ListenConfig) { c.MaxSessions = 2 }))
		second, secondServer := r.open()
		try := func() error {
			c, err := r.dialer.DialConn(t.Context(), "tcp", "server")
			if err != nil {
				return err
			}
			_, err = c.Read(make([]byte, 1))
			_ = c.Abort()
			return err
		}
		require.Error(t, try())
		synctest.Wait()
		refused := r.serverEvents.all(relink.EventRefused)
		require.Len(t, refused, 1)
		require.ErrorIs(t, refused[0].Err, relink.ErrTooManySessions)
		r.net.Paths()[0].Cut(faultnet.Reset)
		r.exchange(100)
		r.net.Last().Cut(faultnet.Reset) // suspended for a moment at least
		require.Error(t, try())
		require.NoError(t, secondServer.Abort())
		_ = second.Abort()
		third, thirdServer := r.open()
		requireExchange(t, third, thirdServer, 100)
		_, _ = third.Abort(), thirdServer.Abort()
		r.stop()
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
				events := new(eventLog)
				l, err := relink.NewListener(n.Listen(), relink.ListenConfig{
					Suites: []relink.ServerSuite{dh64rc4Suite, scpSuite, noiseSuite},
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
						require.Equal(t, isSCP(s), asked)
						require.Equal(t, s.String() == noiseSuite.String(), server.WaitAcked(t.Context(), 0) == nil)
						requireExchange(t, c, server, 200)
						n.Last().Cut(faultnet.Reset)
						requireExchange(t, c, server, 200)
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
					refused := events.all(relink.EventRefused)
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
				refused := events.all(relink.EventRefused)
				require.ErrorIs(t, refused[len(refused)-1].Err, relink.ErrProtocol)
				require.NoError(t, l.Close())
			})
		})
	}
}

var mixedClients = []relink.ClientSuite{relink.SCPClient{TargetServer: "a"}, dh64rc4Suite, noiseSuite, scpSuite}

// net/http serves over sessions as over any other connections, and its own
// Shutdown goes together with the listener's.
func TestHTTP(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		n := faultnet.New()
		cfg := setup{}
		l, err := relink.NewListener(n.Listen(), cfg.listener(s))
		require.NoError(t, err)
		body := rigData(100_000)
		slow := make(chan struct{})
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(body[:len(body)/2])
			_ = http.NewResponseController(w).Flush()
			<-slow
			_, _ = w.Write(body[len(body)/2:])
		})}
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
		drained := background(func() (int, error) { return 0, l.Shutdown(context.Background()) })
		stillBlocked(t, drained)
		n.Last().Cut(faultnet.Reset)
		close(slow)
		rest, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, body, append(got, rest...))
		stillBlocked(t, drained) // the client keeps its connection
		transport.CloseIdleConnections()
		synctest.Wait()
		require.NoError(t, server.Shutdown(t.Context()))
		// Where the wire tells the client's end at once, the listener is closed
		// before the server is.
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			require.ErrorIs(t, err, net.ErrClosed)
		}
		require.NoError(t, (<-drained).err)
		time.Sleep(5 * time.Minute) // through what lingers
	})
}
