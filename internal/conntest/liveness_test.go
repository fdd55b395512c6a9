package conntest

import (
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// These tests use the kernel's real TCP, because what they are about is how the
// library reads its state. They take seconds because the kernel's keep-alive
// counts in seconds. Their limits only tell "within a few LivenessTimeouts"
// from "never".

const (
	livenessTimeout = time.Second
	livenessNever   = 40 * time.Second
)

// A livenessRig is a client and a server with a relay between them that can
// fall silent.
type livenessRig struct {
	relay          *faultnet.Relay
	client, server *relink.Conn

	mu        sync.Mutex
	suspended []error       // reasons, client only
	lost      chan struct{} // a value for each
}

func newLivenessRig(t *testing.T, s Suite, buffers int) *livenessRig {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells what a silent connection has under way, and lets the relay drop segments unseen")
	}
	r := &livenessRig{lost: make(chan struct{}, 100)}
	cfg := Setup{LivenessTimeout: livenessTimeout}
	l, err := relink.Listen("tcp", "127.0.0.1:0", s)
	require.NoError(t, err)
	r.relay, err = faultnet.NewRelay(l.Addr().String())
	require.NoError(t, err)
	if buffers > 0 {
		r.relay.SetBuffers(buffers)
	}
	cfg.OnEvent = func(e relink.Event) {
		if e.Kind != relink.EventSuspended {
			return
		}
		r.mu.Lock()
		r.suspended = append(r.suspended, e.Err)
		r.mu.Unlock()
		r.lost <- struct{}{}
	}
	d := relink.Dialer{Suite: s, Config: cfg.shared()}
	r.client, err = d.DialConn(context.Background(), "tcp", r.relay.Addr())
	require.NoError(t, err)
	r.server, err = l.AcceptConn()
	require.NoError(t, err)
	t.Cleanup(func() {
		_, _, _ = r.client.Abort(), r.server.Abort(), l.Close()
		_ = r.relay.Close()
	})
	return r
}

// exchange sends a few bytes there and back.
func (r *livenessRig) exchange(t *testing.T) {
	t.Helper()
	for _, ends := range [][2]*relink.Conn{{r.client, r.server}, {r.server, r.client}} {
		_, err := ends[0].Write([]byte("hello"))
		require.NoError(t, err)
		got := make([]byte, 5)
		_, err = io.ReadFull(ends[1], got)
		require.NoError(t, err)
		require.Equal(t, "hello", string(got))
	}
}

// fallSilent cuts the link without a trace. Before, it lets the kernels settle
// their delayed acknowledgements: the relay's own retransmissions would go on
// reaching the client, as those of a path that has vanished do not.
func (r *livenessRig) fallSilent() {
	time.Sleep(300 * time.Millisecond) // the kernel's clock cannot be faked
	r.relay.Cut(faultnet.BlackHole)
}

func (r *livenessRig) waitLost(t *testing.T) {
	t.Helper()
	start := time.Now()
	select {
	case <-r.lost:
		t.Logf("found after %v, which is %.1f times LivenessTimeout: %v", time.Since(start).Round(10*time.Millisecond),
			float64(time.Since(start))/float64(livenessTimeout), r.suspended)
	case <-time.After(livenessNever):
		t.Fatal("the silent drop was not noticed")
	}
}

// A silent drop under data shows although no error comes, and the stream goes
// on over the next transport.
func TestSilentDropUnderData(t *testing.T) {
	t.Parallel()
	r := newLivenessRig(t, DH64RC4, 0)
	r.exchange(t)
	r.fallSilent()
	_, err := r.client.Write([]byte("into the void"))
	require.NoError(t, err)
	r.waitLost(t)
	got := make([]byte, 13)
	_, err = io.ReadFull(r.server, got)
	require.NoError(t, err)
	require.Equal(t, "into the void", string(got))
	r.exchange(t)
}

// A silent drop of a link on which nothing is under way is found by keep-alive.
func TestSilentDropWhileIdle(t *testing.T) {
	t.Parallel()
	r := newLivenessRig(t, DH64RC4, 0)
	r.exchange(t)
	r.fallSilent()
	r.waitLost(t)
	require.ErrorIs(t, r.suspended[0], syscall.ETIMEDOUT)
	r.exchange(t)
}

// A peer that is alive and does not read, so that its window is closed, is not
// declared dead, for as many time-outs as it likes; and everything arrives when
// it reads again.
func TestPausedPeerIsNotDead(t *testing.T) {
	t.Parallel()
	r := newLivenessRig(t, DH64RC4, 16<<10)
	r.exchange(t)
	const size = 8 << 20
	written := make(chan error, 1)
	go func() { // far more than all buffers hold: the Write blocks
		_, err := r.client.Write(make([]byte, size))
		written <- err
	}()
	time.Sleep(5 * livenessTimeout) // the kernel's clock cannot be faked
	select {
	case err := <-written:
		t.Fatalf("the Write was to block: %v", err)
	default:
	}
	require.Empty(t, r.suspended)
	n, err := io.CopyN(io.Discard, r.server, size)
	require.NoError(t, err)
	require.EqualValues(t, size, n)
	require.NoError(t, <-written)
	require.Empty(t, r.suspended)
}

// A transport without a buffer, as a pipe or a stream whose window is closed,
// takes nothing more from the middle of the first record on, and says nothing.
// Nobody uses the session, and nothing was ever sent; the silence is found all the same.
func TestFirstRecordIsStuck(t *testing.T) {
	for _, s := range Suites {
		if !TraitsOf(s).Pings {
			continue
		}
		t.Run(s.String(), func(t *testing.T) {
			// Up to where, a run without a cut says.
			stuck, end := 0, int64(math.MaxInt64)
			for off := int64(-1); off < end; off++ {
				synctest.Test(t, func(t *testing.T) {
					sc := NewIdle(t, s, WithPath(faultnet.Options{Buffer: -1, Opaque: true}))
					if off < 0 {
						sc.Connect()
						synctest.Wait()
						end = sc.Net.Last().Sent(faultnet.Up)
						return
					}
					sc.Net.OnDial(func(i int, p *faultnet.Path) error {
						if i == 0 {
							p.CutAt(faultnet.Up, off, faultnet.BlackHole)
						}
						return nil
					})
					c, err := sc.Dialer.DialConn(t.Context(), "tcp", "server")
					if err != nil {
						return // the handshake was cut, which Dial reports
					}
					stuck++
					sc.Client.Conn = c
					time.Sleep(DefaultLivenessTimeout + time.Second)
					synctest.Wait()
					require.GreaterOrEqual(t, len(sc.Net.Paths()), 2, "cut at %d: the silence was not found", off)
				})
			}
			require.Positive(t, stuck)
		})
	}
}

// With a negative LivenessTimeout the transports that the library dials are as
// package net makes them, and a session works like any other.
func TestLivenessOff(t *testing.T) {
	ForEachSuite(t, func(t *testing.T, s Suite) {
		inner, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		cfg := Setup{LivenessTimeout: -1}
		l, err := relink.NewListener(inner, cfg.listener(s))
		require.NoError(t, err)
		d := relink.Dialer{Suite: s, Config: cfg.shared()}
		client, err := d.DialConn(context.Background(), "tcp", l.Addr().String())
		require.NoError(t, err)
		server, err := l.AcceptConn()
		require.NoError(t, err)
		RequireExchange(t, client, server, 10_000)
		client.NetworkChanged()
		RequireExchange(t, client, server, 10_000)
		_, _, _ = client.Abort(), server.Abort(), l.Close()
	})
}

// A silent loss shows within LivenessTimeout on any transport, whoever waits,
// and the session goes on over the next one.
func TestBlackHole(t *testing.T) {
	const timeout = 4 * time.Second
	for _, kind := range []faultnet.Kind{faultnet.BlackHole, faultnet.BlackHoleUp, faultnet.BlackHoleDown} {
		for _, opaque := range []bool{false, true} {
			for _, busy := range []string{"idle", "reading", "writing"} {
				t.Run(fmt.Sprintf("%v/opaque=%v/%s", kind, opaque, busy), func(t *testing.T) {
					InAckBubble(t, func(t *testing.T, s Suite) {
						r := New(t, s, Unsuspecting, WithPath(faultnet.Options{Opaque: opaque}),
							WithBoth(func(c *relink.Config) { c.LivenessTimeout = timeout }))
						r.Exchange(1000)
						time.Sleep(time.Minute) // an idle session stays
						require.Zero(t, r.Client.Stats().Resumes)
						var reading <-chan Outcome
						data := Data(200_000)
						switch busy {
						case "reading":
							reading = Background(func() (int, error) { return r.Client.Read(make([]byte, 1)) })
						case "writing":
							RequireWrite(t, r.Client, data)
						}
						synctest.Wait()
						r.Net.Last().Cut(kind)
						time.Sleep(2*timeout + time.Second)
						require.EqualValues(t, 1, r.Client.Stats().Resumes)
						require.EqualValues(t, 1, r.Server.Stats().Resumes)
						if busy == "writing" {
							RequireRead(t, r.Server, data)
						}
						if reading != nil {
							RequireWrite(t, r.Server, []byte{1})
							require.NoError(t, (<-reading).Err)
						}
						r.Exchange(1000)
						require.EqualValues(t, 1, r.Client.Stats().Resumes)
						r.Finish()
					})
				})
			}
		}
	}
}

// An application that pauses reading is not dead, however long it pauses and
// however much is sent to it.
func TestPauseIsNotDeath(t *testing.T) {
	for _, opaque := range []bool{false, true} {
		for _, clientPauses := range []bool{true, false} {
			t.Run(fmt.Sprintf("opaque=%v/client=%v", opaque, clientPauses), func(t *testing.T) {
				InAckBubble(t, func(t *testing.T, s Suite) {
					r := New(t, s, WithLimit(64<<10), WithPath(faultnet.Options{Opaque: opaque}))
					from, to := r.Client.Conn, r.Server.Conn
					if clientPauses {
						from, to = to, from
					}
					data := Data(1 << 20)
					done := Background(func() (int, error) { return from.Write(data) })
					time.Sleep(3*DefaultLivenessTimeout + DefaultResumeTimeout)
					StillBlocked(t, done)
					RequireRead(t, to, data)
					require.NoError(t, (<-done).Err)
					require.Zero(t, r.Client.Stats().Resumes)
					r.Finish()
				})
			})
		}
	}
}
