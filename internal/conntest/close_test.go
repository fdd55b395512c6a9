package conntest

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

// Close and Abort end every call at once, also while the transport holds what is being
// sent: a Read while the last words do not get out.
func TestEndWhileTheTransportHolds(t *testing.T) {
	for name, end := range map[string]func(*relink.Conn) error{"Close": (*relink.Conn).Close, "Abort": (*relink.Conn).Abort} {
		for _, held := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				InBubble(t, func(t *testing.T, s Suite) {
					r := New(t, s, WithPath(faultnet.Options{Buffer: -1}))
					reader := Background(func() (int, error) { return r.Client.Read(make([]byte, 1)) })
					standby := Background(func() (int, error) { return r.Server.Read(make([]byte, 1)) })
					synctest.Wait()
					p := r.Net.Last()
					p.Stall(faultnet.Up) // without a buffer a Write then waits in the transport
					if held {
						RequireWrite(t, r.Client, Data(100))
						synctest.Wait() // the library's goroutine is in the transport
					}
					StillBlocked(t, reader)
					RequireInstant(t, func() {
						require.NoError(t, end(r.Client.Conn))
						require.ErrorIs(t, (<-reader).Err, net.ErrClosed)
					})
					p.Release(faultnet.Up)
					_ = r.Server.Abort()
					<-standby
					r.Stop()
					time.Sleep(time.Second) // the last words have their time
				})
			})
		}
	}
}

// While a session is suspended and its dialer hangs, even one that ignores its
// context, no method but Read and Write waits for anything, and what is left
// after the end is the dialer's call alone.
func TestMethodsWhileTheDialerHangs(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		for name, end := range map[string]func(*relink.Conn) error{"Close": (*relink.Conn).Close, "Abort": (*relink.Conn).Abort} {
			release := make(chan struct{})
			var mu sync.Mutex
			var late []*closeCounter
			hang := false
			r := New(t, s, func(r *Rig, _ *relink.ListenConfig) {
				r.Dialer.CloseTimeout, r.Dialer.ReplayLimit = 3*time.Second, 64<<10
				r.Dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
					if !hang { // set while nothing dials
						return r.Net.Dial(ctx, network, address)
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
			r.Exchange(100)
			c := r.Client.Conn
			address := c.RemoteAddr()
			r.Net.Last().Cut(faultnet.Reset)
			read := Background(func() (int, error) { return c.Read(make([]byte, 1)) })
			write := Background(func() (int, error) { return c.Write(Data(1 << 20)) })
			synctest.Wait()
			time.Sleep(time.Minute) // through some attempts
			RequireInstant(t, func() {
				RequireSuspended(t, c)
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
				for _, blocked := range []<-chan Outcome{read, write} {
					o := <-blocked
					require.ErrorIs(t, o.Err, net.ErrClosed)
				}
				require.ErrorIs(t, end(c), net.ErrClosed)
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
			r.Stop()
		}
	})
}

// On a server that waits for its client nothing waits either.
func TestMethodsWhileTheClientIsAway(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s)
		r.Exchange(100)
		r.Suspend(faultnet.Refuse, faultnet.Reset)
		c := r.Server.Conn
		RequireInstant(t, func() {
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
		closed := r.Server.Events.All(relink.EventClosed)
		require.Len(t, closed, 1)
		require.ErrorIs(t, closed[0].Err, relink.ErrExpired) // it was not delivered
		r.Stop()
	})
}

// A writer, a reader and a closer on one Conn at once: everybody returns, with
// net.ErrClosed where it was too late.
func TestReaderWriterAndCloserAtOnce(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		for i := range 9 {
			r := New(t, s, WithPath(faultnet.Options{Opaque: i%3 == 2, Buffer: 2 << 10}))
			// Time stands still while everybody is busy, so that the moment is
			// chosen by counting Reads, and the Writes are bounded.
			piece := Data(700)
			var wg sync.WaitGroup
			var now sync.Once
			moment := make(chan struct{})
			for _, c := range r.Ends() {
				wg.Go(func() {
					for range 60 {
						if _, err := c.Write(piece); err != nil {
							if !errors.Is(err, net.ErrClosed) && !errors.Is(err, relink.ErrPeerClosed) && !IsLoss(err) {
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
							if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && !IsLoss(err) {
								t.Error(err)
							}
							return
						}
					}
				})
			}
			<-moment
			c := r.Client.Conn
			if i%2 == 0 {
				c = r.Server.Conn
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
					} else if !errors.Is(err, net.ErrClosed) {
						t.Error(err)
					}
				})
			}
			closers.Wait()
			require.Equal(t, 1, ok)
			// The other side reads to the end, or finds the session lost.
			wg.Wait()
			<-c.Done()
			r.Stop()
		}
	})
}

// The end of a Conn, seen from its own methods.
func TestStates(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s)
		c := r.Client.Conn
		require.Equal(t, relink.StateConnected, c.State())
		require.Contains(t, c.String(), c.ID())
		require.Contains(t, c.String(), "connected")
		require.Equal(t, r.Server.ID(), c.ID())
		r.Suspend(faultnet.Refuse, faultnet.Reset)
		RequireSuspended(t, c)
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
		r.Stop()
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
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s, WithClient(func(d *relink.Dialer) { d.MinBackoff, d.MaxBackoff = time.Hour, time.Hour }))
		r.Suspend(faultnet.Refuse, faultnet.Reset)
		synctest.Wait()
		require.Equal(t, relink.StateSuspended, r.Client.State())
		require.Equal(t, relink.StateSuspended, r.Server.State())
		r.Net.SetDown(faultnet.Hang)
		r.Client.NetworkChanged()
		synctest.Wait()
		require.Equal(t, relink.StateResuming, r.Client.State())
		require.Equal(t, relink.StateSuspended, r.Server.State())
		RequireWrite(t, r.Client, []byte("x")) // something to linger for
		require.NoError(t, r.Client.Close())
		require.Equal(t, relink.StateClosing, r.Client.State())
		r.Stop()
	})
}

// Both sides name the suite that they speak, on a listener of several too.
func TestSuite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := faultnet.New()
		l, err := relink.NewListener(n.Listen(), relink.ListenConfig{Suites: []relink.ServerSuite{DH64RC4, SCP, Noise}})
		require.NoError(t, err)
		for _, s := range []Suite{SCP, Noise, DH64RC4} {
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
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func TestStats(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s)
		st := r.Client.Stats()
		require.Less(t, st.RoundTrip, time.Millisecond) // of the handshake
		st.RoundTrip = 0
		require.Equal(t, relink.Stats{}, st)
		r.Exchange(1000)
		r.Suspend(faultnet.Refuse, faultnet.ResetNow)
		_, err := r.Client.Write(Data(500))
		require.NoError(t, err)
		st = r.Client.Stats()
		require.EqualValues(t, 1500, st.BytesWritten)
		require.EqualValues(t, 1000, st.BytesRead)
		require.EqualValues(t, 500, st.BytesPending)
		time.Sleep(10 * time.Second)
		r.Net.SetDown(faultnet.NotDown)
		_, err = io.ReadFull(r.Server, make([]byte, 500))
		require.NoError(t, err)
		synctest.Wait()
		for _, c := range r.Ends() {
			st := c.Stats()
			require.EqualValues(t, 1, st.Resumes)
			require.GreaterOrEqual(t, st.LongestGap, 10*time.Second)
			require.LessOrEqual(t, st.LongestGap, 14*time.Second)
			require.Zero(t, st.BytesPending)
		}
		r.Stop()
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
		r := New(t, SCP)
		for _, conn := range []net.Conn{
			r.Client.Conn, netConnWrapper{r.Client.Conn}, netConnWrapper{netConnWrapper{r.Client.Conn}}, tls.Client(r.Client.Conn, nil),
		} {
			c, ok := relink.FromConn(conn)
			require.True(t, ok)
			require.Same(t, r.Client.Conn, c)
		}
		for _, conn := range []net.Conn{nil, r.Net.Last().Client(), netConnWrapper{}, &selfWrapper{}} {
			c, ok := relink.FromConn(conn)
			require.False(t, ok)
			require.Nil(t, c)
		}
		r.Stop()
	})
}

// What a wire cannot do is unsupported, and does nothing.
func TestUnsupported(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s)
		if IsClassic(s) {
			for _, c := range r.Ends() {
				require.ErrorIs(t, c.CloseWrite(), errors.ErrUnsupported)
				require.ErrorIs(t, c.WaitAcked(t.Context(), 0), errors.ErrUnsupported)
				require.Zero(t, c.Acked())
			}
		}
		r.Exchange(100)
		_, ok := relink.SCPRequestOf(r.Server.Conn)
		require.Equal(t, IsSCP(s), ok)
		r.Stop()
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
			r := New(t, sides{relink.SCPServer{}, tt.client})
			for range 2 { // a resume does not change it
				for _, c := range r.Ends() {
					got, ok := relink.SCPRequestOf(c)
					require.True(t, ok)
					require.Equal(t, tt.want, got)
				}
				r.Net.Last().Cut(faultnet.Reset)
				r.Exchange(10)
			}
			r.Stop()
		})
	}
}

// A server that has closed, and whose client has come on another path to say that
// it has everything, ends without an error when its old transport does, however
// that ends.
func TestClosedServerHasBeenAsked(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		if !IsClassic(s) {
			return // it takes the new transport
		}
		r := New(t, s)
		r.Exchange(100)
		RequireWrite(t, r.Server, Data(1000))
		_, err := io.ReadFull(r.Client, make([]byte, 1000))
		require.NoError(t, err)
		old := r.Net.Last()
		old.Cut(faultnet.BlackHole)
		require.NoError(t, r.Server.Close())
		r.Client.NetworkChanged()
		synctest.Wait()
		require.Equal(t, relink.StateClosing, r.Server.State())
		start := time.Now()
		old.Cut(faultnet.Reset)
		<-r.Server.Done()
		require.Less(t, time.Since(start), time.Second)
		require.NoError(t, r.Server.Events.All(relink.EventClosed)[0].Err)
		r.Stop()
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
			InBubble(t, func(t *testing.T, s Suite) {
				r := New(t, s, WithPath(faultnet.Options{Opaque: true}), WithBoth(func(c *relink.Config) { c.ReplayLimit = 64 << 10 }), func(r *Rig, _ *relink.ListenConfig) {
					dial := r.Dialer.DialTransport
					r.Dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
						c, err := dial(ctx, network, address)
						if err != nil {
							return nil, err
						}
						return wrap(c), nil
					}
				})
				r.Exchange(100)
				data := Data(40 << 10)
				RequireWrite(t, r.Client, data)
				require.NoError(t, r.Client.Close())
				synctest.Wait()
				got := make([]byte, len(data))
				_, err := io.ReadFull(r.Server, got)
				require.NoError(t, err)
				require.Equal(t, data, got)
				<-r.Client.Done()
				require.NoError(t, r.Client.Events.All(relink.EventClosed)[0].Err)
				require.Equal(t, 1, r.Net.Dials())
				r.Stop()
			})
		})
	}
}

// superseded lets the client resume twice, on transports whose last message the
// server gets in this order: that of the first resume, which takes the session
// over, and when release is called that of the second, which loses. The client
// takes the second for its session's.
func superseded(sc *Rig) (release func()) {
	sc.Net.OnDial(func(i int, p *faultnet.Path) error {
		if i <= 2 {
			p.Stall(faultnet.Down)
		}
		return nil
	})
	resume := func() *faultnet.Path {
		sc.Client.NetworkChanged()
		synctest.Wait()
		p := sc.Net.Last()
		p.Stall(faultnet.Up)
		p.Release(faultnet.Down)
		synctest.Wait()
		return p
	}
	first, second := resume(), resume()
	return func() {
		first.Release(faultnet.Up)
		synctest.Wait()
		second.Release(faultnet.Up)
	}
}

// A client closes on a transport whose resume loses the race against an earlier
// one of its own, which the server had in hand for longer. The server drops the
// loser, and on a wire without a close message that looks like the server's
// assent to the end. The client must not take it for that: the bytes that went
// over the loser are nowhere.
func TestCloseOnASupersededTransport(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		sc := NewIdle(t, s, With(Setup{ResumeTimeout: 20 * time.Second}))
		sc.Connect()
		sc.Echo(100, time.Minute)
		release := superseded(sc)
		sc.Client.Send(300)
		require.NoError(t, sc.Client.Close())
		synctest.Wait()
		release()
		require.NoError(t, sc.Server.SetReadDeadline(time.Now().Add(time.Minute)))
		require.Equal(t, io.EOF, sc.Server.readAll())
		require.EqualValues(t, 400, sc.Server.got)
		sc.Client.awaitDone()
		require.NoError(t, sc.Server.Close())
		sc.Server.awaitDone()
		require.NoError(t, sc.Listener.Close())
		requireNothingLeft(t)
	})
}

// The client streams into the transport that has lost. The server must not read
// on there: what it reads the client takes for delivered, and the classic suites
// keep no more than half of ReplayLimit of that.
func TestALostRaceSwallowsLittle(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		const capacity = 4 << 10
		sc := NewIdle(t, s, With(Setup{ReplayLimit: 4 * capacity}), WithPath(faultnet.Options{Buffer: capacity}))
		sc.Connect()
		sc.Echo(100, time.Minute)
		release := superseded(sc)
		const amount = 60 << 10
		written := sc.Client.writing(amount)
		synctest.Wait()
		release()
		sc.Server.Receive(amount)
		<-written
		sc.Finish()
	})
}

// What has arrived and was not read before Close is not taken by the
// application: it does not count as read here, nor as taken at the peer,
// whether it came before the Close or after.
func TestDiscardedIsNotTaken(t *testing.T) {
	for _, abort := range []bool{false, true} {
		InBubble(t, func(t *testing.T, s Suite) {
			r := New(t, s)
			r.Exchange(100)
			_, err := r.Client.Write(Data(500))
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			waited := Background(func() (int, error) { return 0, r.Client.WaitAcked(ctx, 600) })
			time.Sleep(time.Second)
			synctest.Wait()
			if abort {
				require.NoError(t, r.Server.Abort())
			} else {
				require.NoError(t, r.Server.Close())
			}
			_, _ = r.Client.Write(Data(50))
			require.Error(t, (<-waited).Err)
			if IsClassic(s) {
				require.Zero(t, r.Client.Acked())
			} else {
				require.EqualValues(t, 100, r.Client.Acked())
			}
			time.Sleep(time.Second)
			require.EqualValues(t, 100, r.Server.Stats().BytesRead)
			r.Stop()
			require.EqualValues(t, 100, r.Server.Stats().BytesRead)
		})
	}
}

// Once the peer's application reads no more, Write says so, and goes on saying
// so when the session is lost afterwards.
func TestPeerClosedSticks(t *testing.T) {
	InAckBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s, WithClient(func(c *relink.Dialer) { c.ReplayLimit = 8 << 10 }))
		// More than the client takes while nobody reads, so that the end waits.
		RequireWrite(t, r.Server, Data(16<<10))
		require.NoError(t, r.Server.Close())
		time.Sleep(time.Second) // for the client's tick: its application does not read
		_, err := r.Client.Write([]byte("x"))
		require.ErrorIs(t, err, relink.ErrPeerClosed)

		require.NoError(t, r.Server.Abort())
		buf := make([]byte, 32<<10)
		for err = nil; err == nil; {
			_, err = r.Client.Read(buf)
		}
		require.ErrorIs(t, err, relink.ErrSessionLost)
		_, err = r.Client.Write([]byte("x"))
		require.ErrorIs(t, err, relink.ErrPeerClosed)
		r.Stop()
	})
}
