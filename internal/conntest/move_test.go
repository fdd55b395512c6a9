package conntest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// drains reports whether the wire has a word for it.
func drains(s Suite) bool { return strings.HasPrefix(s.String(), Noise.String()) }

// moveDelay is one way of the paths of these tests.
const moveDelay = 25 * time.Millisecond

// A client whose network has changed, and whose old path still works, moves within a round
// trip, in which nothing is lost.
func TestMoveWithoutABreak(t *testing.T) {
	InAckBubble(t, func(t *testing.T, s Suite) {
		for name, move := range map[string]func(*Rig){
			"network": func(r *Rig) { r.Client.NetworkChanged() },
			"drain": func(r *Rig) {
				if drains(s) {
					require.NoError(t, r.Server.Drain(0, ""))
				} else {
					r.Client.NetworkChanged()
				}
			},
		} {
			r := New(t, s, WithPath(faultnet.Options{Delay: moveDelay}))
			m := sendMessages(r, true, true)
			time.Sleep(2 * time.Second)
			for i := range 3 {
				move(r)
				time.Sleep(11 * time.Second)
				require.Len(t, r.Net.Paths(), i+2, name)
			}
			require.LessOrEqual(t, m.stop(), 50*time.Millisecond+2*moveDelay, name) // from one message to the next, and a round trip
			require.EqualValues(t, 3, r.Client.Stats().Resumes, name)
			require.Empty(t, r.Client.Events.All(relink.EventSuspended, relink.EventResuming, relink.EventSuspected), name)
			require.Empty(t, r.Server.Events.All(relink.EventSuspended), name)
			r.Finish()
		}
	})
}

// On a classic wire the link is given up when the new transport is connected, and no sooner.
func TestClassicMovesWhenItIsConnected(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s, WithPath(faultnet.Options{Delay: moveDelay}))
		r.Exchange(100)
		r.Net.SetDown(faultnet.Hang)
		r.Client.NetworkChanged()
		time.Sleep(time.Second)
		require.Equal(t, relink.StateConnected, r.Client.State())
		r.Exchange(1000) // over the old link
		r.Net.SetDown(faultnet.NotDown)
		time.Sleep(10 * time.Second)
		require.EqualValues(t, 1, r.Client.Stats().Resumes)
		require.LessOrEqual(t, r.Client.Stats().LongestGap, 10*moveDelay)
		r.Exchange(1000)
		r.Finish()
	})
}

// Where no new transport is to be had, a link that is alive goes on, and one that is not is
// given up: the application said that the network has changed.
func TestMoveThatFails(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		for _, alive := range []bool{true, false} {
			r := New(t, s, Unsuspecting)
			r.Exchange(100)
			r.Net.SetDown(faultnet.Refuse)
			if !alive {
				r.Net.Last().Cut(faultnet.BlackHole)
			}
			r.Client.NetworkChanged()
			if alive {
				RequireWrite(t, r.Server, []byte("x"))
				RequireRead(t, r.Client, []byte("x"))
			}
			time.Sleep(5 * time.Second)
			require.Equal(t, alive, r.Client.State() == relink.StateConnected)
			require.Equal(t, !alive, len(r.Client.Events.All(relink.EventSuspended)) > 0)
			if alive {
				r.Exchange(100)
				require.Zero(t, r.Client.Stats().Resumes)
			}
			r.Net.SetDown(faultnet.NotDown)
			time.Sleep(5 * time.Second)
			r.Exchange(100)
			r.Finish()
		}
	})
}

// A session that renews its transports does so in time, and not more often.
func TestRenewEvery(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s, WithClient(func(d *relink.Dialer) { d.RenewEvery = time.Minute }))
		var at []time.Time
		r.Net.OnDial(func(int, *faultnet.Path) error {
			at = append(at, time.Now())
			return nil
		})
		last := time.Now()
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		require.GreaterOrEqual(t, len(at), 5)
		for _, now := range at {
			require.LessOrEqual(t, now.Sub(last), time.Minute)
			require.GreaterOrEqual(t, now.Sub(last), time.Minute-time.Minute/8)
			last = now
		}
		r.Exchange(100)
		r.Net.SetDown(faultnet.Refuse) // a renewal that fails costs nothing
		time.Sleep(3 * time.Minute)
		require.Equal(t, relink.StateConnected, r.Client.State())
		r.Net.SetDown(faultnet.NotDown)
		r.Exchange(100)
		r.Finish()
	})
	for _, bad := range []time.Duration{-1, time.Second - 1} {
		d := relink.Dialer{Suite: Noise, RenewEvery: bad}
		_, err := d.DialConn(context.Background(), "tcp", "server:1")
		require.ErrorContains(t, err, "Dialer.RenewEvery")
	}
}

// addressed has the client dial host:port addresses, which all lead to the listener, and
// notes them.
func addressed(dialled *[]string) Option {
	return func(r *Rig, _ *relink.ListenConfig) {
		dial := r.Dialer.DialTransport
		r.Dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
			*dialled = append(*dialled, address)
			return dial(ctx, network, address)
		}
	}
}

// inDrainBubble runs a test for the suites whose wire has a drain.
func inDrainBubble(t *testing.T, f func(t *testing.T, s Suite)) {
	InAckBubble(t, func(t *testing.T, s Suite) {
		if drains(s) {
			f(t, s)
		}
	})
}

// All sessions move within the time, spread over it, and Drain says when they have.
func TestDrain(t *testing.T) {
	inDrainBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s)
		const more = 20
		for range more {
			r.Open()
		}
		const within = time.Minute
		begun := time.Now()
		stayed, err := r.Listener.Drain(context.Background(), within)
		require.NoError(t, err)
		require.Zero(t, stayed)
		require.LessOrEqual(t, time.Since(begun), within+time.Second)
		require.Greater(t, time.Since(begun), within/2) // or 21 random moments were early
		require.EqualValues(t, more+1, r.Listener.Stats().Moved)
		require.EqualValues(t, more+1, r.Listener.Stats().Resumes)
		asked := r.Client.Events.All(relink.EventDraining)
		require.Len(t, asked, more+1)
		require.Equal(t, within, asked[0].Within)
		require.Empty(t, asked[0].To)
		r.Exchange(1000)
		r.Stop()
	})
}

// A drain to another address is followed there, and from then on the client comes back to
// that one; a port alone is of the host that was dialled.
func TestDrainToAnotherAddress(t *testing.T) {
	inDrainBubble(t, func(t *testing.T, s Suite) {
		var dialled []string
		r := NewIdle(t, s, addressed(&dialled))
		var err error
		r.Client.Conn, err = r.Dialer.DialConn(context.Background(), "tcp", "server:1")
		require.NoError(t, err)
		r.Server.Conn, err = r.Listener.AcceptConn()
		require.NoError(t, err)
		stayed, err := r.Listener.Drain(context.Background(), 0, ":2", "server:3")
		require.NoError(t, err)
		require.Zero(t, stayed)
		r.Net.Last().Cut(faultnet.Reset)
		r.Exchange(100)
		require.Equal(t, []string{"server:1", "server:2", "server:2"}, dialled)
		r.Finish()
	})
}

// A client does not go where it must not, and its session goes on where it is.
func TestDrainRefused(t *testing.T) {
	for name, c := range map[string]struct {
		to      string
		drainTo func(context.Context, string) error
		dials   bool
	}{
		"foreign host":     {to: "other:1"},
		"loopback":         {to: "127.0.0.1:1"},
		"hook says no":     {to: ":2", drainTo: func(context.Context, string) error { return errors.New("no") }},
		"hook panics":      {to: ":2", drainTo: func(context.Context, string) error { panic("the test's panic") }},
		"hook ends":        {to: ":2", drainTo: func(context.Context, string) error { runtime.Goexit(); return nil }},
		"hook takes long":  {to: ":2", drainTo: func(ctx context.Context, _ string) error { <-ctx.Done(); return nil }},
		"loopback allowed": {to: "127.0.0.1:1", drainTo: func(context.Context, string) error { return nil }, dials: true},
	} {
		t.Run(name, func(t *testing.T) {
			inDrainBubble(t, func(t *testing.T, s Suite) {
				var dialled []string
				var log bytes.Buffer
				r := NewIdle(t, s, addressed(&dialled), WithClient(func(d *relink.Dialer) {
					d.DrainTo, d.Logger = c.drainTo, slog.New(slog.NewTextHandler(&log, nil))
					inner := d.DialTransport
					d.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
						conn, err := inner(ctx, network, address)
						if err != nil {
							return nil, err
						}
						return &at{conn, address}, nil
					}
				}))
				var err error
				r.Client.Conn, err = r.Dialer.DialConn(context.Background(), "tcp", "server:1")
				require.NoError(t, err)
				r.Server.Conn, err = r.Listener.AcceptConn()
				require.NoError(t, err)
				stayed, err := r.Listener.Drain(context.Background(), time.Second, c.to)
				require.NoError(t, err)
				require.Equal(t, 1, stayed)
				told := r.Client.Events.All(relink.EventDraining)
				require.Len(t, told, 2)
				require.Equal(t, c.to, told[0].To)
				require.ErrorIs(t, told[1].Err, relink.ErrDrainRefused)
				require.ErrorContains(t, told[1].Err, relink.ErrDrainRefused.Error()+": ")
				require.NotErrorIs(t, told[1].Err, io.EOF)
				require.Equal(t, c.dials, len(dialled) > 1)
				r.Exchange(100)
				require.Zero(t, r.Client.Stats().Resumes)
				r.Net.Paths()[0].Cut(faultnet.Reset)
				r.Exchange(100)
				require.Equal(t, "server:1", dialled[len(dialled)-1])
				r.Finish()
				require.Contains(t, log.String(), "to="+c.to+" within=1s")
			})
		})
	}
}

// An at says that it leads to the address that was dialled.
type at struct {
	net.Conn
	address string
}

func (a *at) RemoteAddr() net.Addr {
	if ap, err := netip.ParseAddrPort(a.address); err == nil {
		return net.TCPAddrFromAddrPort(ap)
	}
	return a.Conn.RemoteAddr()
}

// A target that is another server, with another key or with the same, or none at all, ends
// the attempt and nothing else.
func TestDrainToAnotherServer(t *testing.T) {
	inDrainBubble(t, func(t *testing.T, s Suite) {
		foreign := NewIdle(t, s)
		other := NewIdle(t, Noise)
		for _, target := range []func(ctx context.Context, network, address string) (net.Conn, error){
			foreign.Dialer.DialTransport,
			other.Dialer.DialTransport,
			func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no such host") },
		} {
			r := New(t, s, WithClient(func(d *relink.Dialer) {
				home := d.DialTransport
				d.DrainTo = func(context.Context, string) error { return nil }
				d.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
					if address == "elsewhere:1" {
						return target(ctx, network, address)
					}
					return home(ctx, network, address)
				}
			}))
			stayed, err := r.Listener.Drain(context.Background(), time.Second, "elsewhere:1")
			require.NoError(t, err)
			require.Equal(t, 1, stayed)
			told := r.Client.Events.All(relink.EventDraining)
			require.Len(t, told, 2)
			require.Error(t, told[1].Err)
			require.NotErrorIs(t, told[1].Err, relink.ErrDrainRefused)
			r.Exchange(100)
			r.Net.Paths()[0].Cut(faultnet.Reset)
			r.Exchange(100)
			r.Stop()
		}
	})
}

// A server that asks again and again moves its client every ten seconds at most.
func TestLoopOfDrains(t *testing.T) {
	inDrainBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s)
		for range 600 {
			require.NoError(t, r.Server.Drain(0, ":1")) // which is no port of a host
			require.NoError(t, r.Server.Drain(0, ""))
			time.Sleep(100 * time.Millisecond)
		}
		moves := len(r.Net.Paths()) - 1
		require.Positive(t, moves)
		require.LessOrEqual(t, moves, 7)
		r.Exchange(100)
		r.Finish()
	})
}

// A later drain replaces an earlier one, and a session without a transport is told when it
// comes back.
func TestDrainOfASuspendedSession(t *testing.T) {
	inDrainBubble(t, func(t *testing.T, s Suite) {
		var dialled []string
		r := NewIdle(t, s, addressed(&dialled))
		var err error
		r.Client.Conn, err = r.Dialer.DialConn(context.Background(), "tcp", "server:1")
		require.NoError(t, err)
		r.Server.Conn, err = r.Listener.AcceptConn()
		require.NoError(t, err)
		require.NoError(t, r.Server.Drain(time.Hour, ":2"))
		synctest.Wait()
		r.Suspend(faultnet.Refuse, faultnet.Reset)
		stayed, err := r.Listener.Drain(context.Background(), 0, ":3")
		require.NoError(t, err)
		require.Zero(t, stayed)
		r.Net.SetDown(faultnet.NotDown)
		time.Sleep(10 * time.Second)
		require.Equal(t, "server:3", dialled[len(dialled)-1])
		require.NotContains(t, dialled, "server:2")
		r.Exchange(100)
		r.Finish()
	})
}

// Drain with what makes no sense is an error, and asks nobody.
func TestDrainArguments(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s)
		for _, to := range []string{"", "host", ":", "host:", "a b:1", "h\u00e4user:1", string(make([]byte, 256))} {
			_, err := r.Listener.Drain(context.Background(), 0, to)
			require.Error(t, err, "%q", to)
			if to != "" {
				require.Error(t, r.Server.Drain(0, to), "%q", to)
			}
		}
		for _, within := range []time.Duration{-1, 24*time.Hour + 1} {
			_, err := r.Listener.Drain(context.Background(), within)
			require.Error(t, err)
			require.Error(t, r.Server.Drain(within, ""))
		}
		require.ErrorIs(t, r.Client.Drain(0, ""), errors.ErrUnsupported)
		if !drains(s) {
			require.ErrorIs(t, r.Server.Drain(0, ""), errors.ErrUnsupported)
			stayed, err := r.Listener.Drain(context.Background(), time.Hour)
			require.NoError(t, err)
			require.Equal(t, 1, stayed)
		} else {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			r.Net.SetDown(faultnet.Refuse)
			stayed, err := r.Listener.Drain(ctx, time.Hour)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, 1, stayed)
			r.Net.SetDown(faultnet.NotDown)
		}
		require.NoError(t, r.Listener.Close())
		r.Stop()
	})
}
