package relink_test

import (
	"context"
	"errors"
	"math"
	"net"
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
					Suite:         scpSuite,
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
	inBubble(t, func(t *testing.T, s testSuite) {
		var mu sync.Mutex
		var late []*closeCounter
		next := 0
		var r *rig
		dial := func(ctx context.Context, network, address string) (net.Conn, error) {
			mu.Lock()
			i := next - 1
			next++
			mu.Unlock()
			if i < 0 || i >= len(dialMistakes) {
				return r.net.Dial(ctx, network, address)
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
		r = newRig(t, s, func(rr *rig, _ *relink.ListenConfig) { r = rr; rr.dialer.DialTransport = dial })
		r.exchange(1000)
		r.net.Last().Cut(faultnet.Reset)
		r.exchange(1000)
		// A failed attempt is told with the next one.
		attempts := r.clientEvents.all(relink.EventResuming)
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
		r.stop()
	})
}

// Scenario: a process at its limit of descriptors completes TCP handshakes
// without accepting. Only the time limits get a client out of that.
func TestServerThatNeverAccepts(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
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
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s, withClient(func(c *relink.Dialer) {
			c.AttemptTimeout = 2 * time.Second
			c.MinBackoff, c.MaxBackoff = time.Millisecond, time.Millisecond
		}))
		r.exchange(10)
		var accepting atomic.Bool
		r.net.OnDial(func(_ int, p *faultnet.Path) error {
			if !accepting.Load() {
				p.Stall(faultnet.Up) // taken by the kernel, never by the process
				p.Stall(faultnet.Down)
			}
			return nil
		})
		start := time.Now()
		r.net.Last().Cut(faultnet.Reset)
		time.AfterFunc(9*time.Second, func() { accepting.Store(true) })
		r.exchange(1000)
		require.LessOrEqual(t, time.Since(start), 11*time.Second)
		attempts := r.clientEvents.all(relink.EventResuming)
		require.Len(t, attempts, 6)
		require.ErrorIs(t, attempts[1].Err, relink.ErrHandshakeTimeout)
		r.stop()
	})
}

// The first attempt is made at once, and each pause is within its bound.
func TestBackoffBounds(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		const least, most = 50 * time.Millisecond, 3 * time.Second
		r := newRig(t, s)
		r.net.SetDown(faultnet.Refuse)
		lost := time.Now()
		r.net.Last().Cut(faultnet.Reset)
		time.Sleep(115 * time.Second)
		attempts := r.clientEvents.all(relink.EventResuming)
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
		r.stop()
	})
}

// The longest times that a Config allows overflow nothing.
func TestLongestTimes(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s, withBoth(func(c *relink.Config) {
			c.ResumeTimeout, c.HandshakeTimeout, c.CloseTimeout = math.MaxInt64, math.MaxInt64, math.MaxInt64
			c.LivenessTimeout = math.MaxInt64
		}), withClient(func(d *relink.Dialer) {
			d.AttemptTimeout, d.MinBackoff, d.MaxBackoff = math.MaxInt64, math.MaxInt64, math.MaxInt64
		}))
		r.suspend(faultnet.Refuse, faultnet.Reset)
		synctest.Wait()
		r.net.SetDown(faultnet.NotDown)
		r.client.NetworkChanged()
		r.exchange(1000)
		r.stop()
	})
}

func TestNetworkChanged(t *testing.T) {
	quiet := withClient(func(c *relink.Dialer) { c.MinBackoff, c.MaxBackoff = time.Hour, time.Hour })
	t.Run("connected", func(t *testing.T) {
		inBubble(t, func(t *testing.T, s testSuite) {
			r := newRig(t, s, quiet)
			r.exchange(1000)
			r.net.Last().Cut(faultnet.BlackHole)
			r.net.SetClientHost("10.9.9.9")
			requireInstant(t, func() {
				r.client.NetworkChanged()
				r.exchange(1000)
			})
			synctest.Wait() // some wires carry data before the proof
			require.Contains(t, r.server.RemoteAddr().String(), "10.9.9.9")
			require.EqualValues(t, 1, r.client.Stats().Resumes)
			r.stop()
		})
	})
	t.Run("suspended", func(t *testing.T) {
		inBubble(t, func(t *testing.T, s testSuite) {
			r := newRig(t, s, quiet)
			r.suspend(faultnet.Refuse, faultnet.Reset)
			synctest.Wait() // in the pause of an hour
			r.net.SetDown(faultnet.NotDown)
			requireInstant(t, func() {
				r.client.NetworkChanged()
				r.exchange(1000)
			})
			r.stop()
		})
	})
	t.Run("while an attempt hangs", func(t *testing.T) {
		inBubble(t, func(t *testing.T, s testSuite) {
			r := newRig(t, s, quiet)
			r.suspend(faultnet.Refuse, faultnet.Reset)
			r.net.SetDown(faultnet.Hang)
			requireInstant(t, func() {
				r.client.NetworkChanged()
				synctest.Wait() // in the dial
				// Once for the dial, once for the handshake.
				r.net.OnDial(func(_ int, p *faultnet.Path) error { p.Stall(faultnet.Up); return nil })
				r.net.SetDown(faultnet.NotDown)
				synctest.Wait() // in the handshake
				requireSuspended(t, r.client)
				r.net.OnDial(nil)
				for range 3 { // also while the last call is being followed
					r.client.NetworkChanged()
				}
				r.exchange(1000)
			})
			r.stop()
		})
	})
	t.Run("again and again", func(t *testing.T) {
		inBubble(t, func(t *testing.T, s testSuite) {
			r := newRig(t, s)
			for range 50 {
				r.client.NetworkChanged()
				r.exchange(100)
			}
			require.GreaterOrEqual(t, r.client.Stats().Resumes, int64(50))
			r.stop()
		})
	})
	t.Run("on a server, after Close, after the end", func(t *testing.T) {
		inBubble(t, func(t *testing.T, s testSuite) {
			r := newRig(t, s)
			r.server.NetworkChanged()
			r.exchange(100)
			require.Zero(t, r.server.Stats().Resumes)
			require.NoError(t, r.client.Abort())
			dials := r.net.Dials()
			r.client.NetworkChanged()
			time.Sleep(time.Minute)
			require.Equal(t, dials, r.net.Dials())
			r.stop()
		})
	})
}

// A device may sleep through the whole of ResumeTimeout in the middle of an
// attempt or a pause. However late it is then, one attempt is made.
func TestAttemptAfterTheDeadline(t *testing.T) {
	for _, where := range []string{"pause", "dial", "handshake"} {
		t.Run(where, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s testSuite) {
				const limit, asleep = 10 * time.Second, time.Hour
				r := newRig(t, s,
					withClient(func(c *relink.Dialer) {
						c.ResumeTimeout, c.AttemptTimeout = limit, asleep
						c.MinBackoff, c.MaxBackoff = asleep, asleep
					}),
					withServer(func(c *relink.ListenConfig) { c.ResumeTimeout, c.HandshakeTimeout = 2*asleep, 2*asleep }))
				r.exchange(100)
				switch where {
				case "pause":
					r.net.SetDown(faultnet.Refuse)
				case "dial":
					r.net.SetDown(faultnet.Hang)
				case "handshake":
					r.net.OnDial(func(_ int, p *faultnet.Path) error { p.Stall(faultnet.Up); return nil })
				}
				r.net.Last().Cut(faultnet.Reset)
				if where == "pause" {
					time.Sleep(limit / 2)
				} else {
					time.Sleep(2 * limit)
				}
				requireSuspended(t, r.client)
				r.net.OnDial(nil)
				if where != "dial" {
					r.net.SetDown(faultnet.NotDown)
				}
				time.AfterFunc(asleep, func() { r.net.SetDown(faultnet.NotDown) })
				r.exchange(100)
				r.stop()
			})
		})
	}
}

// When the deadline is over, so is the session, but not before an attempt that
// began after it has failed.
func TestClientExpiry(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		const limit = 10 * time.Second
		r := newRig(t, s, withClient(func(c *relink.Dialer) { c.ResumeTimeout = limit }))
		read := background(func() (int, error) { return r.client.Read(make([]byte, 1)) })
		synctest.Wait()
		start := time.Now()
		r.net.SetDown(faultnet.Refuse)
		r.net.Last().Cut(faultnet.End) // a clean end says nothing without a refusal
		o := <-read
		require.ErrorIs(t, o.err, relink.ErrExpired)
		require.ErrorIs(t, o.err, syscall.ECONNREFUSED) // what the last attempt met
		require.True(t, isLoss(o.err))
		require.Equal(t, limit, o.at.Sub(start))
		attempts := r.clientEvents.all(relink.EventResuming)
		require.GreaterOrEqual(t, attempts[len(attempts)-1].Time.Sub(start), limit)
		_, err := r.client.Write([]byte("x"))
		require.ErrorIs(t, err, relink.ErrExpired)
		require.Equal(t, relink.StateClosed, r.client.State())
		closed := r.clientEvents.all(relink.EventClosed)
		require.Len(t, closed, 1)
		require.ErrorIs(t, closed[0].Err, relink.ErrExpired)
		dials := r.net.Dials()
		time.Sleep(time.Minute)
		require.Equal(t, dials, r.net.Dials())
		r.stop()
	})
}

// With an attempt that hangs the end comes one AttemptTimeout after the
// deadline at the latest.
func TestClientExpiryInAHangingAttempt(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		const limit, attempt = 10 * time.Second, 3 * time.Second
		r := newRig(t, s, withClient(func(c *relink.Dialer) {
			c.ResumeTimeout, c.AttemptTimeout = limit, attempt
			c.MinBackoff, c.MaxBackoff = time.Millisecond, time.Millisecond
		}))
		read := background(func() (int, error) { return r.client.Read(make([]byte, 1)) })
		synctest.Wait()
		start := time.Now()
		r.net.SetDown(faultnet.Hang)
		r.net.Last().Cut(faultnet.Reset)
		o := <-read
		require.ErrorIs(t, o.err, relink.ErrExpired)
		require.GreaterOrEqual(t, o.at.Sub(start), limit+attempt)
		require.LessOrEqual(t, o.at.Sub(start), limit+2*attempt)
		r.stop()
	})
}
