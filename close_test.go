package relink_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
	"github.com/relink-go/relink/internal/transport"
)

// While a session is suspended and its dialer hangs, even one that ignores its
// context, no method but Read and Write waits for anything, and what is left
// after the end is the dialer's call alone.
func TestMethodsWhileTheDialerHangs(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		for name, end := range map[string]func(*relink.Conn) error{"Close": (*relink.Conn).Close, "Abort": (*relink.Conn).Abort} {
			release := make(chan struct{})
			var mu sync.Mutex
			var late []*closeCounter
			hang := false
			r := newRig(t, s, func(r *rig, _ *relink.ListenConfig) {
				r.dialer.CloseTimeout, r.dialer.ReplayLimit = 3*time.Second, 64<<10
				r.dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
					if !hang { // set while nothing dials
						return r.net.Dial(ctx, network, address)
					}
					<-release
					a, _, _ := faultnet.Pair(faultnet.Options{})
					mu.Lock()
					defer mu.Unlock()
					late = append(late, &closeCounter{Conn: a})
					return late[len(late)-1], nil
				}
			})
			hang = true
			r.exchange(100)
			c := r.client
			address := c.RemoteAddr()
			r.net.Last().Cut(faultnet.Reset)
			read := background(func() (int, error) { return c.Read(make([]byte, 1)) })
			write := background(func() (int, error) { return c.Write(rigData(1 << 20)) })
			synctest.Wait()
			time.Sleep(time.Minute) // through some attempts
			requireInstant(t, func() {
				requireSuspended(t, c)
				require.Equal(t, address, c.RemoteAddr())
				require.NotNil(t, c.LocalAddr())
				require.NoError(t, c.SetDeadline(time.Now().Add(time.Hour)))
				require.NoError(t, c.SetReadDeadline(time.Time{}))
				require.NoError(t, c.SetWriteDeadline(time.Time{}))
				require.NotEmpty(t, c.String())
				require.NotEmpty(t, c.ID())
				require.Positive(t, c.Stats().BytesWritten)
				c.NetworkChanged()
				require.NoError(t, end(c))
				for _, blocked := range []<-chan outcome{read, write} {
					o := <-blocked
					require.ErrorIs(t, o.err, errClosed)
				}
				require.ErrorIs(t, end(c), errClosed)
			})
			start := time.Now()
			<-c.Done()
			if name == "Close" {
				require.Equal(t, 3*time.Second, time.Since(start))
			} else {
				require.Zero(t, time.Since(start))
			}
			close(release)
			synctest.Wait()
			require.NotEmpty(t, late)
			for _, transport := range late {
				require.EqualValues(t, 1, transport.closed.Load())
			}
			r.stop()
		}
	})
}

// On a server that waits for its client nothing waits either.
func TestMethodsWhileTheClientIsAway(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s)
		r.exchange(100)
		r.suspend(faultnet.Refuse, faultnet.Reset)
		c := r.server
		requireInstant(t, func() {
			require.Equal(t, "10.0.0.1", strings.Split(c.RemoteAddr().String(), ":")[0])
			require.NoError(t, c.SetDeadline(time.Now().Add(time.Second)))
			_, err := c.Write([]byte("undelivered"))
			require.NoError(t, err)
			require.NoError(t, c.Close())
		})
		start := time.Now()
		require.Equal(t, relink.StateClosing, c.State())
		<-c.Done()
		require.Equal(t, 5*time.Second, time.Since(start))
		synctest.Wait()
		closed := r.serverEvents.all(relink.EventClosed)
		require.Len(t, closed, 1)
		require.ErrorIs(t, closed[0].Err, relink.ErrExpired) // it was not delivered
		r.stop()
	})
}

// A writer, a reader and a closer on one Conn at once: everybody returns, with
// net.ErrClosed where it was too late.
func TestReaderWriterAndCloserAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		for i := range 9 {
			r := newRig(t, s, withPath(faultnet.Options{Opaque: i%3 == 2, Buffer: 2 << 10}))
			// Time stands still while everybody is busy, so that the moment is
			// chosen by counting Reads, and the Writes are bounded.
			piece := rigData(700)
			var wg sync.WaitGroup
			var now sync.Once
			moment := make(chan struct{})
			for _, c := range r.ends() {
				wg.Go(func() {
					for range 60 {
						if _, err := c.Write(piece); err != nil {
							if !errors.Is(err, errClosed) && !errors.Is(err, relink.ErrPeerClosed) && !isLoss(err) {
								t.Error(err)
							}
							return
						}
					}
				})
				wg.Go(func() {
					b := make([]byte, 300)
					for reads := 0; ; reads++ {
						if reads == i {
							now.Do(func() { close(moment) })
						}
						if _, err := c.Read(b); err != nil {
							if !errors.Is(err, io.EOF) && !errors.Is(err, errClosed) && !isLoss(err) {
								t.Error(err)
							}
							return
						}
					}
				})
			}
			<-moment
			c := r.client
			if i%2 == 0 {
				c = r.server
			}
			var closers sync.WaitGroup
			var mu sync.Mutex
			ok := 0
			for range 3 {
				closers.Go(func() {
					if err := c.Close(); err == nil {
						mu.Lock()
						ok++
						mu.Unlock()
					} else if !errors.Is(err, errClosed) {
						t.Error(err)
					}
				})
			}
			closers.Wait()
			require.Equal(t, 1, ok)
			// The other side reads to the end, or finds the session lost.
			wg.Wait()
			<-c.Done()
			r.stop()
		}
	})
}

// The end of a Conn, seen from its own methods.
func TestStates(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s)
		c := r.client
		require.Equal(t, relink.StateConnected, c.State())
		require.Contains(t, c.String(), c.ID())
		require.Contains(t, c.String(), "connected")
		require.Equal(t, r.server.ID(), c.ID())
		r.suspend(faultnet.Refuse, faultnet.Reset)
		requireSuspended(t, c)
		_, err := c.Write([]byte("x"))
		require.NoError(t, err)
		done := c.Done()
		select {
		case <-done:
			require.Fail(t, "Done before the end")
		default:
		}
		require.NoError(t, c.Close())
		require.Equal(t, relink.StateClosing, c.State())
		<-done
		require.Equal(t, relink.StateClosed, c.State())
		<-c.Done()                                 // again
		require.NoError(t, nilOrClosed(c.Abort())) // harmless
		require.Contains(t, c.String(), "closed")
		r.stop()
		for state, name := range map[relink.State]string{
			relink.StateConnected: "connected", relink.StateSuspended: "suspended", relink.StateResuming: "resuming",
			relink.StateClosing: "closing", relink.StateClosed: "closed", 99: "State(99)",
		} {
			require.Equal(t, name, state.String())
		}
	})
}

// A client is resuming while it has an attempt under way, and suspended between
// two. A server cannot know.
func TestStateResuming(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s, withClient(func(d *relink.Dialer) { d.MinBackoff, d.MaxBackoff = time.Hour, time.Hour }))
		r.suspend(faultnet.Refuse, faultnet.Reset)
		synctest.Wait()
		require.Equal(t, relink.StateSuspended, r.client.State())
		require.Equal(t, relink.StateSuspended, r.server.State())
		r.net.SetDown(faultnet.Hang)
		r.client.NetworkChanged()
		synctest.Wait()
		require.Equal(t, relink.StateResuming, r.client.State())
		require.Equal(t, relink.StateSuspended, r.server.State())
		requireWrite(t, r.client, []byte("x")) // something to linger for
		require.NoError(t, r.client.Close())
		require.Equal(t, relink.StateClosing, r.client.State())
		r.stop()
	})
}

// Both sides name the suite that they speak, on a listener of several too.
func TestSuite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := faultnet.New()
		l, err := relink.NewListener(n.Listen(), relink.ListenConfig{Suites: []relink.ServerSuite{dh64rc4Suite, scpSuite, noiseSuite}})
		require.NoError(t, err)
		for _, s := range []testSuite{scpSuite, noiseSuite, dh64rc4Suite} {
			d := relink.Dialer{Suite: s, DialTransport: n.Dial}
			c, err := d.DialConn(t.Context(), "tcp", "server")
			require.NoError(t, err)
			server, err := l.AcceptConn()
			require.NoError(t, err)
			require.Equal(t, s.String(), c.Suite())
			require.Equal(t, s.String(), server.Suite())
			_, _ = c.Abort(), server.Abort()
		}
		require.NoError(t, l.Close())
	})
}

func nilOrClosed(err error) error {
	if errors.Is(err, errClosed) {
		return nil
	}
	return err
}

func TestStats(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s)
		require.Equal(t, relink.Stats{}, r.client.Stats())
		r.exchange(1000)
		r.suspend(faultnet.Refuse, faultnet.ResetNow)
		_, err := r.client.Write(rigData(500))
		require.NoError(t, err)
		st := r.client.Stats()
		require.EqualValues(t, 1500, st.BytesWritten)
		require.EqualValues(t, 1000, st.BytesRead)
		require.EqualValues(t, 500, st.BytesPending)
		time.Sleep(10 * time.Second)
		r.net.SetDown(faultnet.NotDown)
		_, err = io.ReadFull(r.server, make([]byte, 500))
		require.NoError(t, err)
		synctest.Wait()
		for _, c := range r.ends() {
			st := c.Stats()
			require.EqualValues(t, 1, st.Resumes)
			require.GreaterOrEqual(t, st.LongestGap, 10*time.Second)
			require.LessOrEqual(t, st.LongestGap, 14*time.Second)
			require.Zero(t, st.BytesPending)
		}
		r.stop()
	})
}

// A wrapper has a NetConn method, as *tls.Conn has.
type netConnWrapper struct{ net.Conn }

func (w netConnWrapper) NetConn() net.Conn { return w.Conn }

// A selfWrapper leads to itself.
type selfWrapper struct{ net.Conn }

func (w *selfWrapper) NetConn() net.Conn { return w }

func TestFromConn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, scpSuite)
		for _, conn := range []net.Conn{
			r.client, netConnWrapper{r.client}, netConnWrapper{netConnWrapper{r.client}}, tls.Client(r.client, nil),
		} {
			c, ok := relink.FromConn(conn)
			require.True(t, ok)
			require.Same(t, r.client, c)
		}
		for _, conn := range []net.Conn{nil, r.net.Last().Client(), netConnWrapper{}, &selfWrapper{}} {
			c, ok := relink.FromConn(conn)
			require.False(t, ok)
			require.Nil(t, c)
		}
		r.stop()
	})
}

// What a wire cannot do is unsupported, and does nothing.
func TestUnsupported(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s)
		if isClassic(s) {
			for _, c := range r.ends() {
				require.ErrorIs(t, c.CloseWrite(), errors.ErrUnsupported)
				require.ErrorIs(t, c.WaitAcked(t.Context(), 0), errors.ErrUnsupported)
				require.Zero(t, c.Acked())
			}
		}
		r.exchange(100)
		_, ok := relink.SCPRequestOf(r.server)
		require.Equal(t, isSCP(s), ok)
		r.stop()
	})
}

// What an SCP client asks for reaches the server's application.
func TestSCPRequest(t *testing.T) {
	for _, tt := range []struct {
		client relink.SCPClient
		want   relink.SCPRequest
	}{
		{relink.SCPClient{}, relink.SCPRequest{}},
		{relink.SCPClient{TargetServer: "world_01"}, relink.SCPRequest{TargetServer: "world_01", HasTarget: true}},
		{relink.SCPClient{Flag: relink.SCPFlagForbidForwardIP}, relink.SCPRequest{Flag: 1, HasTarget: true, HasFlag: true}},
		{relink.SCPClient{TargetServer: "A", Flag: 1<<32 - 1}, relink.SCPRequest{TargetServer: "A", Flag: 1<<32 - 1, HasTarget: true, HasFlag: true}},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, sides{relink.SCPServer{}, tt.client})
			for range 2 { // a resume does not change it
				for _, c := range r.ends() {
					got, ok := relink.SCPRequestOf(c)
					require.True(t, ok)
					require.Equal(t, tt.want, got)
				}
				r.net.Last().Cut(faultnet.Reset)
				r.exchange(10)
			}
			r.stop()
		})
	}
}

// A server that has closed, and whose client has come on another path to say that
// it has everything, ends without an error when its old transport does, however
// that ends.
func TestClosedServerHasBeenAsked(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		if !isClassic(s) {
			return // it takes the new transport
		}
		r := newRig(t, s)
		r.exchange(100)
		requireWrite(t, r.server, rigData(1000))
		_, err := io.ReadFull(r.client, make([]byte, 1000))
		require.NoError(t, err)
		old := r.net.Last()
		old.Cut(faultnet.BlackHole)
		require.NoError(t, r.server.Close())
		r.client.NetworkChanged()
		synctest.Wait()
		require.Equal(t, relink.StateClosing, r.server.State())
		start := time.Now()
		old.Cut(faultnet.Reset)
		<-r.server.Done()
		require.Less(t, time.Since(start), time.Second)
		require.NoError(t, r.serverEvents.all(relink.EventClosed)[0].Err)
		r.stop()
	})
}

// Close over a transport whose direction cannot be ended by itself leaves what is
// under way to that transport, and does not take the session over to ask. A
// wrapper has CloseWrite and says that it cannot.
func TestCloseOverOpaqueTransport(t *testing.T) {
	for name, wrap := range map[string]func(net.Conn) net.Conn{
		"bare":    func(t net.Conn) net.Conn { return t },
		"wrapped": func(t net.Conn) net.Conn { return transport.Conn{Conn: t} },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s testSuite) {
				r := newRig(t, s, withPath(faultnet.Options{Opaque: true}), withBoth(func(c *relink.Config) { c.ReplayLimit = 64 << 10 }), func(r *rig, _ *relink.ListenConfig) {
					dial := r.dialer.DialTransport
					r.dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
						c, err := dial(ctx, network, address)
						if err != nil {
							return nil, err
						}
						return wrap(c), nil
					}
				})
				r.exchange(100)
				data := rigData(40 << 10)
				requireWrite(t, r.client, data)
				require.NoError(t, r.client.Close())
				synctest.Wait()
				got := make([]byte, len(data))
				_, err := io.ReadFull(r.server, got)
				require.NoError(t, err)
				require.Equal(t, data, got)
				<-r.client.Done()
				require.NoError(t, r.clientEvents.all(relink.EventClosed)[0].Err)
				require.Equal(t, 1, r.net.Dials())
				r.stop()
			})
		})
	}
}
