package conntest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"runtime"
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

// DialContext returns no typed nil with its error.
func TestDialContextFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := faultnet.New() // without a listener
		d := relink.Dialer{Suite: DH64RC4, DialTransport: n.Dial}
		c, err := d.DialContext(t.Context(), "tcp", "server")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		require.True(t, c == nil) // require.Nil takes a typed nil for nil
	})
}

// A conn that calls a function after its second Write, which is the last of a
// handshake of DH64RC4.
type afterSecondWrite struct {
	net.Conn
	writes int
	call   func()
}

func (c *afterSecondWrite) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if c.writes++; c.writes == 2 {
		c.call()
	}
	return n, err
}

// The context of a dial ends in the moment in which the session is there: the
// dial fails, and the session it has made is not left behind.
func TestDialEndsInTheLastMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sc := NewIdle(t, DH64RC4)
		ctx, cancel := context.WithCancel(t.Context())
		dial := sc.Dialer.DialTransport
		sc.Dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dial(ctx, network, address)
			return &afterSecondWrite{Conn: c, call: cancel}, err
		}
		c, err := sc.Dialer.DialConn(ctx, "tcp", "server")
		require.Nil(t, c)
		require.ErrorIs(t, err, context.Canceled)
		require.NotErrorIs(t, err, relink.ErrHandshakeTimeout)
		server, err := sc.Listener.AcceptConn() // which cannot know
		require.NoError(t, err)
		_, err = server.Read(make([]byte, 1))
		require.Error(t, err)
		require.NoError(t, sc.Listener.Close())
		requireNothingLeft(t)
	})
}

// A transport that wraps itself leads to no TCP connection, and does no harm.
type selfWrapped struct{ net.Conn }

func (c selfWrapped) NetConn() net.Conn { return c }

func (c selfWrapped) Interruptible() bool { return true }

func TestTransportThatWrapsItself(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s, func(r *Rig, _ *relink.ListenConfig) {
			r.Dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := r.Net.Dial(ctx, network, address)
				return selfWrapped{c}, err
			}
		})
		r.Exchange(1000)
		r.Net.Last().Cut(faultnet.Reset)
		r.Exchange(1000)
		r.Stop()
	})
}

// A closeCounter counts how often a transport was closed.
type closeCounter struct {
	net.Conn
	closed atomic.Int32
}

func (c *closeCounter) Close() error {
	c.closed.Add(1)
	return c.Conn.Close()
}

// A dialMistake is a DialTransport that does something wrong.
type dialMistake struct {
	name string
	dial func(ctx context.Context, transport net.Conn) (net.Conn, error)
	want error // nil: any
	// closes: the transport was handed over in a way that obliges to close it.
	closes bool
}

var errDialTest = errors.New("the test's dial error")

var dialMistakes = []dialMistake{
	{"error", func(context.Context, net.Conn) (net.Conn, error) { return nil, errDialTest }, errDialTest, false},
	{"nil", func(context.Context, net.Conn) (net.Conn, error) { return nil, nil }, nil, false},
	{"typed nil", func(context.Context, net.Conn) (net.Conn, error) { return (*net.TCPConn)(nil), nil }, nil, false},
	{"typed nil and error", func(context.Context, net.Conn) (net.Conn, error) { return (*net.TCPConn)(nil), errDialTest }, errDialTest, false},
	{"transport and error", func(_ context.Context, t net.Conn) (net.Conn, error) { return t, errDialTest }, errDialTest, true},
	{"panic", func(context.Context, net.Conn) (net.Conn, error) { panic("the test's panic") }, nil, false},
	{"nil panic", func(context.Context, net.Conn) (net.Conn, error) { panic(nil) }, nil, false},
	{"Goexit", func(context.Context, net.Conn) (net.Conn, error) { runtime.Goexit(); return nil, nil }, nil, false},
	{"until the context ends", func(ctx context.Context, _ net.Conn) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }, context.DeadlineExceeded, false},
	{"transport after the end of the context", func(ctx context.Context, t net.Conn) (net.Conn, error) {
		<-ctx.Done()
		time.Sleep(time.Minute)
		return t, nil
	}, context.DeadlineExceeded, true},
	{"panic after the end of the context", func(ctx context.Context, _ net.Conn) (net.Conn, error) {
		<-ctx.Done()
		time.Sleep(time.Minute)
		panic("the test's panic")
	}, context.DeadlineExceeded, false},
}

// A DialTransport that fails, hangs or panics makes Dial fail and nothing else.
func TestDialMistakes(t *testing.T) {
	for _, m := range dialMistakes {
		t.Run(m.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b, _ := faultnet.Pair(faultnet.Options{})
				defer b.Close()
				transport := &closeCounter{Conn: a}
				d := relink.Dialer{
					Suite:         SCP,
					DialTransport: func(ctx context.Context, _, _ string) (net.Conn, error) { return m.dial(ctx, transport) },
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				start := time.Now()
				c, err := d.DialConn(ctx, "tcp", "server")
				require.Error(t, err)
				require.Nil(t, c)
				require.Equal(t, time.Since(start) == time.Second, requireOpError(t, err).Timeout())
				require.LessOrEqual(t, time.Since(start), time.Second)
				if m.want != nil {
					require.ErrorIs(t, err, m.want)
				}
				time.Sleep(2 * time.Minute)
				require.Equal(t, m.closes, transport.closed.Load() == 1)
			})
		})
	}
}

// The same mistakes while a session resumes cost attempts, not the session.
func TestRedialMistakes(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		var mu sync.Mutex
		var late []*closeCounter
		next := 0
		var r *Rig
		dial := func(ctx context.Context, network, address string) (net.Conn, error) {
			mu.Lock()
			i := next - 1
			next++
			mu.Unlock()
			if i < 0 || i >= len(dialMistakes) {
				return r.Net.Dial(ctx, network, address)
			}
			a, _, _ := faultnet.Pair(faultnet.Options{})
			transport := &closeCounter{Conn: a}
			if dialMistakes[i].closes {
				mu.Lock()
				late = append(late, transport)
				mu.Unlock()
			}
			return dialMistakes[i].dial(ctx, transport)
		}
		r = New(t, s, func(rr *Rig, _ *relink.ListenConfig) {
			r = rr
			rr.Dialer.DialTransport = dial
			rr.Dialer.Vigilance = relink.VigilanceOff // an attempt is one dial
		})
		r.Exchange(1000)
		r.Net.Last().Cut(faultnet.Reset)
		r.Exchange(1000)
		// A failed attempt is told with the next one.
		attempts := r.Client.Events.All(relink.EventResuming)
		require.Len(t, attempts, len(dialMistakes)+1)
		require.NoError(t, attempts[0].Err)
		for i, m := range dialMistakes {
			require.Error(t, attempts[i+1].Err)
			if m.want != nil {
				require.ErrorIs(t, attempts[i+1].Err, m.want)
			}
		}
		time.Sleep(2 * time.Minute)
		for _, c := range late {
			require.EqualValues(t, 1, c.closed.Load())
		}
		r.Stop()
	})
}

// A network that heals is found within the time from one dial to the next, although the dials
// that began before never come back.
func TestRedialFindsANetworkThatHeals(t *testing.T) {
	for _, c := range []struct {
		vigilance relink.Vigilance
		most      time.Duration // from the healing to the new link
		dials     float64       // a second at most
	}{
		{relink.VigilanceForeground, 520 * time.Millisecond, 2.21},
		{relink.VigilanceBackground, 3010 * time.Millisecond, 0.6},
		{relink.VigilanceOff, 8010 * time.Millisecond, 0.3},
	} {
		t.Run(c.vigilance.String(), func(t *testing.T) {
			InBubble(t, func(t *testing.T, s Suite) {
				for silence := 2 * time.Second; silence < 40*time.Second; silence += 4100 * time.Millisecond {
					var silent atomic.Bool
					var dials atomic.Int32
					r := New(t, s, func(r *Rig, _ *relink.ListenConfig) {
						dial := r.Dialer.DialTransport
						r.Dialer.Vigilance = c.vigilance
						r.Dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
							dials.Add(1)
							if !silent.Load() {
								return dial(ctx, network, address)
							}
							<-ctx.Done()
							return nil, ctx.Err()
						}
					})
					r.Exchange(100)
					dials.Store(0)
					silent.Store(true)
					r.Net.Last().Cut(faultnet.Reset)
					time.Sleep(silence)
					silent.Store(false)
					healed := time.Now()
					require.LessOrEqual(t, float64(dials.Load()), 2+c.dials*silence.Seconds())
					r.Exchange(100)
					require.LessOrEqual(t, time.Since(healed), c.most, "after %v", silence)
					require.EqualValues(t, 1, r.Client.Stats().Resumes)
					r.Finish()
				}
			})
		})
	}
}

// A server that was away for long is not dialled by all its clients within half a second.
func TestRedialIsSlowAfterALongTime(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		var silent atomic.Bool
		var dials atomic.Int32
		r := New(t, s, func(r *Rig, server *relink.ListenConfig) {
			server.ResumeTimeout = 2 * time.Hour
			r.Dialer.ResumeTimeout = 2 * time.Hour
			dial := r.Dialer.DialTransport
			r.Dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
				dials.Add(1)
				if !silent.Load() {
					return dial(ctx, network, address)
				}
				<-ctx.Done()
				return nil, ctx.Err()
			}
		})
		silent.Store(true)
		r.Net.Last().Cut(faultnet.Reset)
		time.Sleep(time.Hour)
		dials.Store(0)
		time.Sleep(time.Minute)
		require.LessOrEqual(t, dials.Load(), int32(24))
		require.GreaterOrEqual(t, dials.Load(), int32(12))
		silent.Store(false)
		r.Exchange(100)
		r.Finish()
	})
}

// Scenario: a process at its limit of descriptors completes TCP handshakes
// without accepting. Only the time limits get a client out of that.
func TestServerThatNeverAccepts(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		n := faultnet.New()
		inner := n.Listen()
		d := relink.Dialer{
			Suite:         s,
			Config:        relink.Config{HandshakeTimeout: 7 * time.Second},
			DialTransport: n.Dial,
		}
		start := time.Now()
		_, err := d.DialConn(t.Context(), "tcp", "server")
		require.ErrorIs(t, err, relink.ErrHandshakeTimeout)
		require.Equal(t, 7*time.Second, time.Since(start))
		var op *net.OpError
		require.ErrorAs(t, err, &op)
		require.Equal(t, n.Last().Client().RemoteAddr(), op.Addr)

		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(errDialTest) })
		start = time.Now()
		_, err = d.DialConn(ctx, "tcp", "server")
		require.ErrorIs(t, err, errDialTest)
		require.Equal(t, time.Second, time.Since(start))
		require.NoError(t, inner.Close())
	})
}

func TestResumeAtServerThatNeverAccepts(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s, WithClient(func(c *relink.Dialer) {
			c.AttemptTimeout = 2 * time.Second
			c.MinBackoff, c.MaxBackoff = time.Millisecond, time.Millisecond
		}))
		r.Exchange(10)
		var accepting atomic.Bool
		r.Net.OnDial(func(_ int, p *faultnet.Path) error {
			if !accepting.Load() {
				p.Stall(faultnet.Up) // taken by the kernel, never by the process
				p.Stall(faultnet.Down)
			}
			return nil
		})
		start := time.Now()
		r.Net.Last().Cut(faultnet.Reset)
		time.AfterFunc(9*time.Second, func() { accepting.Store(true) })
		r.Exchange(1000)
		require.LessOrEqual(t, time.Since(start), 11*time.Second)
		attempts := r.Client.Events.All(relink.EventResuming)
		require.Len(t, attempts, 6)
		require.ErrorIs(t, attempts[1].Err, relink.ErrHandshakeTimeout)
		r.Stop()
	})
}

// The first attempt is made at once, and each pause is within its bound.
func TestBackoffBounds(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		const least, most = 50 * time.Millisecond, 3 * time.Second
		r := New(t, s)
		r.Net.SetDown(faultnet.Refuse)
		lost := time.Now()
		r.Net.Last().Cut(faultnet.Reset)
		time.Sleep(115 * time.Second)
		attempts := r.Client.Events.All(relink.EventResuming)
		require.Greater(t, len(attempts), 30) // 3 s at most, and 1.5 s on average
		// A client that is not reading finds the loss with its standby.
		require.LessOrEqual(t, attempts[0].Time.Sub(lost), 200*time.Millisecond)
		lost = attempts[0].Time
		bound := least
		distinct := map[time.Duration]bool{}
		for _, e := range attempts[1:] {
			require.LessOrEqual(t, e.Time.Sub(lost), bound)
			require.ErrorIs(t, e.Err, syscall.ECONNREFUSED)
			distinct[e.Time.Sub(lost)] = true
			lost, bound = e.Time, min(2*bound, most)
		}
		require.Greater(t, len(distinct), len(attempts)/2, "no jitter")
		r.Stop()
	})
}

// The longest times that a Config allows overflow nothing.
func TestLongestTimes(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s, WithBoth(func(c *relink.Config) {
			c.ResumeTimeout, c.HandshakeTimeout, c.CloseTimeout = math.MaxInt64, math.MaxInt64, math.MaxInt64
			c.LivenessTimeout = math.MaxInt64
		}), WithClient(func(d *relink.Dialer) {
			d.AttemptTimeout, d.MinBackoff, d.MaxBackoff = math.MaxInt64, math.MaxInt64, math.MaxInt64
		}))
		r.Suspend(faultnet.Refuse, faultnet.Reset)
		synctest.Wait()
		r.Net.SetDown(faultnet.NotDown)
		r.Client.NetworkChanged()
		r.Exchange(1000)
		r.Stop()
	})
}

func TestNetworkChanged(t *testing.T) {
	quiet := WithClient(func(c *relink.Dialer) { c.MinBackoff, c.MaxBackoff = time.Hour, time.Hour })
	t.Run("connected", func(t *testing.T) {
		InBubble(t, func(t *testing.T, s Suite) {
			r := New(t, s, quiet)
			r.Exchange(1000)
			r.Net.Last().Cut(faultnet.BlackHole)
			r.Net.SetClientHost("10.9.9.9")
			RequireInstant(t, func() {
				r.Client.NetworkChanged()
				r.Exchange(1000)
			})
			synctest.Wait() // some wires carry data before the proof
			require.Contains(t, r.Server.RemoteAddr().String(), "10.9.9.9")
			require.EqualValues(t, 1, r.Client.Stats().Resumes)
			r.Stop()
		})
	})
	t.Run("suspended", func(t *testing.T) {
		InBubble(t, func(t *testing.T, s Suite) {
			r := New(t, s, quiet)
			r.Suspend(faultnet.Refuse, faultnet.Reset)
			synctest.Wait() // in the pause of an hour
			r.Net.SetDown(faultnet.NotDown)
			RequireInstant(t, func() {
				r.Client.NetworkChanged()
				r.Exchange(1000)
			})
			r.Stop()
		})
	})
	t.Run("while an attempt hangs", func(t *testing.T) {
		InBubble(t, func(t *testing.T, s Suite) {
			r := New(t, s, quiet)
			r.Suspend(faultnet.Refuse, faultnet.Reset)
			r.Net.SetDown(faultnet.Hang)
			RequireInstant(t, func() {
				r.Client.NetworkChanged()
				synctest.Wait() // in the dial
				// Once for the dial, once for the handshake.
				r.Net.OnDial(func(_ int, p *faultnet.Path) error { p.Stall(faultnet.Up); return nil })
				r.Net.SetDown(faultnet.NotDown)
				synctest.Wait() // in the handshake
				RequireSuspended(t, r.Client.Conn)
				r.Net.OnDial(nil)
				for range 3 { // also while the last call is being followed
					r.Client.NetworkChanged()
				}
				r.Exchange(1000)
			})
			r.Stop()
		})
	})
	t.Run("again and again", func(t *testing.T) {
		InBubble(t, func(t *testing.T, s Suite) {
			r := New(t, s)
			for range 50 {
				r.Client.NetworkChanged()
				r.Exchange(100)
			}
			require.GreaterOrEqual(t, r.Client.Stats().Resumes, int64(50))
			r.Stop()
		})
	})
	t.Run("on a server, after Close, after the end", func(t *testing.T) {
		InBubble(t, func(t *testing.T, s Suite) {
			r := New(t, s)
			r.Server.NetworkChanged()
			r.Exchange(100)
			require.Zero(t, r.Server.Stats().Resumes)
			require.NoError(t, r.Client.Abort())
			dials := r.Net.Dials()
			r.Client.NetworkChanged()
			time.Sleep(time.Minute)
			require.Equal(t, dials, r.Net.Dials())
			r.Stop()
		})
	})
}

// A device may sleep through the whole of ResumeTimeout in the middle of an
// attempt or a pause. However late it is then, one attempt is made.
func TestAttemptAfterTheDeadline(t *testing.T) {
	for _, where := range []string{"pause", "dial", "handshake"} {
		t.Run(where, func(t *testing.T) {
			InBubble(t, func(t *testing.T, s Suite) {
				const limit, asleep = 10 * time.Second, time.Hour
				r := New(t, s,
					WithClient(func(c *relink.Dialer) {
						c.ResumeTimeout, c.AttemptTimeout = limit, asleep
						c.MinBackoff, c.MaxBackoff = asleep, asleep
					}),
					WithServer(func(c *relink.ListenConfig) { c.ResumeTimeout, c.HandshakeTimeout = 2*asleep, 2*asleep }))
				r.Exchange(100)
				switch where {
				case "pause":
					r.Net.SetDown(faultnet.Refuse)
				case "dial":
					r.Net.SetDown(faultnet.Hang)
				case "handshake":
					r.Net.OnDial(func(_ int, p *faultnet.Path) error { p.Stall(faultnet.Up); return nil })
				}
				r.Net.Last().Cut(faultnet.Reset)
				if where == "pause" {
					time.Sleep(limit / 2)
				} else {
					time.Sleep(2 * limit)
				}
				RequireSuspended(t, r.Client.Conn)
				r.Net.OnDial(nil)
				if where != "dial" {
					r.Net.SetDown(faultnet.NotDown)
				}
				time.AfterFunc(asleep, func() { r.Net.SetDown(faultnet.NotDown) })
				r.Exchange(100)
				r.Stop()
			})
		})
	}
}

// When the deadline is over, so is the session, but not before an attempt that
// began after it has failed.
func TestClientExpiry(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		const limit = 10 * time.Second
		r := New(t, s, WithClient(func(c *relink.Dialer) { c.ResumeTimeout = limit }))
		read := Background(func() (int, error) { return r.Client.Read(make([]byte, 1)) })
		synctest.Wait()
		start := time.Now()
		r.Net.SetDown(faultnet.Refuse)
		r.Net.Last().Cut(faultnet.End) // a clean end says nothing without a refusal
		o := <-read
		require.ErrorIs(t, o.Err, relink.ErrExpired)
		require.ErrorIs(t, o.Err, syscall.ECONNREFUSED) // what the last attempt met
		require.True(t, IsLoss(o.Err))
		require.Equal(t, limit, o.At.Sub(start))
		attempts := r.Client.Events.All(relink.EventResuming)
		require.GreaterOrEqual(t, attempts[len(attempts)-1].Time.Sub(start), limit)
		_, err := r.Client.Write([]byte("x"))
		require.ErrorIs(t, err, relink.ErrExpired)
		require.Equal(t, relink.StateClosed, r.Client.State())
		closed := r.Client.Events.All(relink.EventClosed)
		require.Len(t, closed, 1)
		require.ErrorIs(t, closed[0].Err, relink.ErrExpired)
		dials := r.Net.Dials()
		time.Sleep(time.Minute)
		require.Equal(t, dials, r.Net.Dials())
		r.Stop()
	})
}

// With an attempt that hangs the end comes one AttemptTimeout after the
// deadline at the latest.
func TestClientExpiryInAHangingAttempt(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		const limit, attempt = 10 * time.Second, 3 * time.Second
		r := New(t, s, WithClient(func(c *relink.Dialer) {
			c.ResumeTimeout, c.AttemptTimeout = limit, attempt
			c.MinBackoff, c.MaxBackoff = time.Millisecond, time.Millisecond
		}))
		read := Background(func() (int, error) { return r.Client.Read(make([]byte, 1)) })
		synctest.Wait()
		start := time.Now()
		r.Net.SetDown(faultnet.Hang)
		r.Net.Last().Cut(faultnet.Reset)
		o := <-read
		require.ErrorIs(t, o.Err, relink.ErrExpired)
		require.GreaterOrEqual(t, o.At.Sub(start), limit+attempt)
		require.LessOrEqual(t, o.At.Sub(start), limit+2*attempt)
		r.Stop()
	})
}

// A time limit of Dial is a time-out as package net has it, whoever's it is, and
// a cancelled Dial is not.
func TestDialTimeout(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		n := faultnet.New()
		inner := n.Listen() // nobody answers
		defer func() { _ = inner.Close() }()
		d := relink.Dialer{Suite: s, DialTransport: n.Dial, Config: relink.Config{HandshakeTimeout: 7 * time.Second}}

		start := time.Now()
		_, err := d.Dial("tcp", "server")
		require.Equal(t, 7*time.Second, time.Since(start))
		require.True(t, requireOpError(t, err).Timeout())
		require.True(t, requireOpError(t, err).Temporary()) // as crypto/tls has it
		require.ErrorIs(t, err, relink.ErrHandshakeTimeout)
		require.ErrorIs(t, err, context.DeadlineExceeded)

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = d.DialContext(ctx, "tcp", "server")
		require.Equal(t, 8*time.Second, time.Since(start))
		require.True(t, requireOpError(t, err).Timeout())
		require.ErrorIs(t, err, context.DeadlineExceeded)

		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err = d.DialConn(ctx, "tcp", "server")
		require.Equal(t, 9*time.Second, time.Since(start))
		require.False(t, requireOpError(t, err).Timeout())
		require.ErrorIs(t, err, context.Canceled)
		require.NotErrorIs(t, err, relink.ErrHandshakeTimeout)
	})
}

// What a transport's dialer fails with is the error of Dial, wrapped once.
func TestDialTransportErrors(t *testing.T) {
	plain := errors.New("no route")
	own := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	for _, tt := range []struct {
		name      string
		err       error
		cancelled bool
		timeout   bool
		same      bool // it is returned as it is
	}{
		{"plain", plain, false, false, false},
		{"net.OpError", own, false, false, true},
		{"net.OpError, timed out", &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}, false, true, true},
		{"wrapped net.OpError", fmt.Errorf("proxy: %w", own), false, false, false},
		{"deadline of a ctx, wrapped", fmt.Errorf("proxy: %w", context.DeadlineExceeded), false, true, false},
		{"deadline, wrapped", fmt.Errorf("proxy: %w", os.ErrDeadlineExceeded), false, true, false},
		{"cancelled", context.Canceled, true, false, false},
		{"cancelled by a deadline", &net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}, true, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				d := relink.Dialer{Suite: SCP, DialTransport: func(context.Context, string, string) (net.Conn, error) {
					if tt.cancelled {
						cancel()
					}
					return nil, tt.err
				}}
				_, err := d.DialConn(ctx, "tcp", "server:7")
				op := requireOpError(t, err)
				require.Equal(t, tt.timeout, op.Timeout())
				if tt.cancelled {
					require.ErrorIs(t, err, context.Canceled)
					return
				}
				require.ErrorIs(t, err, tt.err)
				require.Equal(t, tt.same, err == tt.err) //nolint:errorlint // the very same
				if !tt.same {
					require.Equal(t, "server:7", op.Addr.String())
					require.ErrorContains(t, err, "dial relink server:7: ")
				}
			})
		})
	}
}
