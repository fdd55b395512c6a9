package relink_test

import (
	"context"
	"io"
	"math"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// A linkCondition puts a rig into a condition in which deadlines must work.
type linkCondition struct {
	name  string
	enter func(r *rig)
}

var linkConditions = []linkCondition{
	{"connected", func(r *rig) {
		r.net.Last().Stall(faultnet.Up)
		r.net.Last().Stall(faultnet.Down)
	}},
	{"suspended", func(r *rig) { r.suspend(faultnet.Refuse, faultnet.Reset) }},
	{"dial under way", func(r *rig) {
		r.suspend(faultnet.Hang, faultnet.Reset)
		r.client.NetworkChanged()
	}},
	{"resume under way", func(r *rig) {
		r.net.OnDial(func(_ int, p *faultnet.Path) error { p.Stall(faultnet.Down); return nil })
		r.suspend(faultnet.Refuse, faultnet.Reset)
		r.net.SetDown(faultnet.NotDown)
		r.client.NetworkChanged()
	}},
	{"after a black hole", func(r *rig) { r.net.Last().Cut(faultnet.BlackHole) }},
}

// The beginning of Unix time is a deadline like any other that has passed, and not
// the absence of one.
func TestDeadlineAtTheBeginningOfUnixTime(t *testing.T) {
	epoch := time.Unix(0, 0)
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s, withBoth(func(c *relink.Config) { c.ReplayLimit = 16 << 10 }), withPath(faultnet.Options{Buffer: 4 << 10}))
		r.exchange(100)
		for _, c := range r.ends() {
			for _, before := range []time.Time{{}, time.Now().Add(time.Hour)} {
				require.NoError(t, c.SetReadDeadline(before))
				read := background(func() (int, error) { return c.Read(make([]byte, 1)) })
				stillBlocked(t, read)
				require.NoError(t, c.SetReadDeadline(epoch))
				synctest.Wait()
				require.Len(t, read, 1)
				require.ErrorIs(t, (<-read).err, errDeadline)
				require.NoError(t, c.SetReadDeadline(time.Time{}))
				r.exchange(100)
			}
		}
		path := r.net.Last()
		path.Stall(faultnet.Up)
		for _, before := range []time.Time{{}, time.Now().Add(time.Hour)} {
			require.NoError(t, r.client.SetWriteDeadline(before))
			write := background(func() (int, error) { return r.client.Write(make([]byte, 1<<20)) })
			stillBlocked(t, write)
			require.NoError(t, r.client.SetWriteDeadline(epoch))
			synctest.Wait()
			require.Len(t, write, 1)
			require.ErrorIs(t, (<-write).err, errDeadline)
			require.NoError(t, r.client.SetWriteDeadline(time.Time{}))
		}
		path.Release(faultnet.Up)
		go func() { _, _ = io.Copy(io.Discard, r.server) }()
		synctest.Wait()
		require.Zero(t, r.client.Stats().BytesPending)
		requireExchange(t, r.server, r.client, 0)
		r.stop()
	})
}

// No time but the zero one is the absence of a deadline, not even that from which the
// clock of sessions counts.
func TestOnlyTheZeroTimeIsNoDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // where the clock stands still
		require.True(t, relink.IsNoDeadline(time.Time{}))
		for _, d := range []time.Time{
			relink.Started(), relink.Started().Add(1), relink.Started().Add(-1), time.Now(), time.Unix(0, 0),
			time.Unix(0, math.MinInt64), time.Unix(0, math.MaxInt64), time.Unix(1<<40, 0),
		} {
			require.False(t, relink.IsNoDeadline(d), d)
		}
	})
	require.False(t, relink.IsNoDeadline(time.Now().Add(math.MaxInt64))) // beyond what a session counts to
}

// hasty takes each deadline for passed until it is told a second time, as a
// kernel's timer does when the clock was set back meanwhile.
type hasty struct {
	net.Conn
	told, calls atomic.Int32
}

func (c *hasty) Interruptible() bool { return true }

func (c *hasty) SetReadDeadline(t time.Time) error  { return c.set(t, c.Conn.SetReadDeadline) }
func (c *hasty) SetWriteDeadline(t time.Time) error { return c.set(t, c.Conn.SetWriteDeadline) }

func (c *hasty) set(t time.Time, set func(time.Time) error) error {
	if t.After(time.Now()) && c.told.Add(1)%2 == 1 {
		t = time.Unix(1, 0)
	}
	return set(t)
}

func (c *hasty) Read(p []byte) (int, error) {
	c.calls.Add(1)
	return c.Conn.Read(p)
}

func (c *hasty) Write(p []byte) (int, error) {
	c.calls.Add(1)
	return c.Conn.Write(p)
}

// A transport that takes a deadline for passed too early is told again, and not
// asked again and again.
func TestTransportTakesDeadlineForPassed(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		var transport *hasty
		r := newRig(t, s, withPath(faultnet.Options{Buffer: 4 << 10}), withBoth(func(c *relink.Config) { c.ReplayLimit = 16 << 10 }), func(r *rig, _ *relink.ListenConfig) {
			r.dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := r.net.Dial(ctx, network, address)
				transport = &hasty{Conn: c}
				return transport, err
			}
		})
		r.exchange(100)
		before := transport.calls.Load()
		require.NoError(t, r.client.SetDeadline(time.Now().Add(time.Hour)))
		read := background(func() (int, error) { return r.client.Read(make([]byte, 1)) })
		stillBlocked(t, read)
		r.net.Last().Stall(faultnet.Up)
		data := rigData(100 << 10)
		write := background(func() (int, error) { return r.client.Write(data) })
		stillBlocked(t, write)
		require.Less(t, transport.calls.Load()-before, int32(20))
		requireWrite(t, r.server, []byte("x"))
		require.NoError(t, (<-read).err)
		r.net.Last().Release(faultnet.Up)
		got := make([]byte, len(data))
		_, err := io.ReadFull(r.server, got)
		require.NoError(t, err)
		require.Equal(t, data, got)
		require.NoError(t, (<-write).err)
		r.stop()
	})
}

// Deadlines hold, can be moved, cleared and set in the past whatever the
// transport does, are not the loss of a link, and the call can be repeated.
func TestDeadlines(t *testing.T) {
	for _, condition := range linkConditions {
		t.Run(condition.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s testSuite) {
				slow := withBoth(func(c *relink.Config) {
					c.ReplayLimit = 16 << 10
					c.HandshakeTimeout = time.Hour
					c.ResumeTimeout, c.LivenessTimeout = time.Hour, -1
				})
				patient := withClient(func(d *relink.Dialer) { d.AttemptTimeout = time.Hour })
				r := newRig(t, s, slow, patient, withPath(faultnet.Options{Buffer: 4 << 10}))
				condition.enter(r)
				synctest.Wait()
				for _, c := range r.ends() {
					state := c.State()
					for _, call := range []struct {
						do  func() (int, error)
						set func(time.Time) error
					}{
						{func() (int, error) { return c.Read(make([]byte, 1)) }, c.SetReadDeadline},
						{func() (int, error) { return c.Write(make([]byte, 1<<20)) }, c.SetWriteDeadline},
						{func() (int, error) { return c.Read(make([]byte, 1)) }, c.SetDeadline},
						{func() (int, error) { return c.Write(make([]byte, 1<<20)) }, c.SetDeadline},
					} {
						checkDeadlines(t, call.do, call.set)
					}
					if state != relink.StateConnected || condition.name == "connected" {
						require.Equal(t, state, c.State())
					}
				}
				r.stop()
			})
		})
	}
}

func checkDeadlines(t *testing.T, do func() (int, error), set func(time.Time) error) {
	t.Helper()
	start := time.Now()
	at := func(d time.Duration) time.Time { return start.Add(d) }

	// Set before the call.
	require.NoError(t, set(at(time.Second)))
	_, err := do()
	requireTimeout(t, err)
	require.Equal(t, time.Second, time.Since(start))
	requireInstant(t, func() { // it stays
		_, err := do()
		requireTimeout(t, err)
	})

	// Cleared, then set during the call, moved later, moved earlier.
	require.NoError(t, set(time.Time{}))
	done := background(do)
	time.Sleep(time.Second)
	stillBlocked(t, done)
	require.NoError(t, set(at(4*time.Second)))
	time.Sleep(time.Second)
	require.NoError(t, set(at(9*time.Second)))
	time.Sleep(4 * time.Second)
	stillBlocked(t, done)
	require.NoError(t, set(at(8*time.Second)))
	o := <-done
	requireTimeout(t, o.err)
	require.Equal(t, 8*time.Second, o.at.Sub(start))

	// Set, then cleared during the call, then set in the past.
	require.NoError(t, set(at(10*time.Second)))
	done = background(do)
	synctest.Wait()
	require.NoError(t, set(time.Time{}))
	time.Sleep(4 * time.Second)
	stillBlocked(t, done)
	requireInstant(t, func() {
		require.NoError(t, set(time.Unix(1, 0)))
		o := <-done
		requireTimeout(t, o.err)
	})
	require.NoError(t, set(time.Time{}))
}

// A deadline belongs to the session: it outlives the transport under which it
// was set, in both directions of time.
func TestDeadlineSurvivesResume(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s)
		start := time.Now()
		var reads []<-chan outcome
		for _, c := range r.ends() {
			require.NoError(t, c.SetReadDeadline(start.Add(10*time.Second)))
			reads = append(reads, background(func() (int, error) { return c.Read(make([]byte, 1)) }))
		}
		for range 3 {
			time.Sleep(time.Second)
			r.net.Last().Cut(faultnet.Reset)
			synctest.Wait()
		}
		require.Equal(t, relink.StateConnected, r.client.State())
		require.EqualValues(t, 3, r.server.Stats().Resumes)
		for _, read := range reads {
			o := <-read
			requireTimeout(t, o.err)
			require.Equal(t, 10*time.Second, o.at.Sub(start))
		}
		for _, c := range r.ends() {
			require.NoError(t, c.SetDeadline(time.Time{}))
		}
		r.exchange(100)
		require.EqualValues(t, 3, r.client.Stats().Resumes) // no deadline was taken for a loss
		r.stop()
	})
}

// A deadline that is set as soon as Accept or Dial returns survives whatever
// the handshake has still to do.
func TestDeadlineRightAfterAccept(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		for _, opaque := range []bool{false, true} {
			n := faultnet.New()
			n.SetOptions(faultnet.Options{Opaque: opaque, Delay: 10 * time.Millisecond})
			cfg := setup{}
			l, err := relink.NewListener(n.Listen(), cfg.listener(s))
			require.NoError(t, err)
			dialed := make(chan *relink.Conn, 1)
			go func() {
				c, err := (&relink.Dialer{Suite: s, Config: cfg.shared(), DialTransport: n.Dial}).DialConn(context.Background(), "tcp", "server")
				if err == nil {
					_ = c.SetDeadline(time.Now().Add(2 * time.Second))
				}
				dialed <- c
			}()
			server, err := l.AcceptConn()
			require.NoError(t, err)
			start := time.Now()
			require.NoError(t, server.SetDeadline(start.Add(time.Second)))
			_, err = server.Read(make([]byte, 1))
			requireTimeout(t, err)
			require.Equal(t, time.Second, time.Since(start))
			client := <-dialed
			require.NotNil(t, client)
			_, err = client.Read(make([]byte, 1))
			requireTimeout(t, err)
			require.LessOrEqual(t, time.Since(start), 2*time.Second+50*time.Millisecond)
			require.NoError(t, server.SetDeadline(time.Time{}))
			require.NoError(t, client.SetDeadline(time.Time{}))
			requireExchange(t, client, server, 1000)
			_, _, _ = client.Abort(), server.Abort(), l.Close()
		}
	})
}

// What a Write that ran into its deadline says to have taken is what arrives,
// no byte more or less, also when it is repeated over a transport that is cut.
func TestWriteCountIsExact(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s, withBoth(func(c *relink.Config) { c.ReplayLimit = 16 << 10 }), withPath(faultnet.Options{Buffer: 1 << 10}))
		data := rigData(200_000)
		got := make(chan []byte, 1)
		go func() {
			b := make([]byte, 0, len(data))
			for len(b) < len(data) {
				_ = r.server.SetReadDeadline(time.Now().Add(3 * time.Millisecond))
				n, err := r.server.Read(b[len(b):min(cap(b), len(b)+777)])
				b = b[:len(b)+n]
				if err != nil {
					time.Sleep(time.Millisecond)
				}
				if n > 0 && len(b)%5 == 0 {
					time.Sleep(time.Millisecond)
				}
			}
			got <- b
		}()
		rest := data
		for i := 0; len(rest) > 0; i++ {
			require.NoError(t, r.client.SetWriteDeadline(time.Now().Add(2*time.Millisecond)))
			n, err := r.client.Write(rest)
			rest = rest[n:]
			if err != nil {
				requireTimeout(t, err)
			}
			if i%20 == 19 {
				r.net.Last().Cut(faultnet.Reset)
			}
		}
		require.Equal(t, data, <-got)
		require.Positive(t, r.client.Stats().Resumes)
		r.stop()
	})
}

// Deadlines on a closed Conn are an error, as net.Conn has it.
func TestDeadlineAfterClose(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s)
		require.NoError(t, r.client.SetReadDeadline(time.Now().Add(-time.Second)))
		n, err := r.client.Read(nil)
		require.Zero(t, n)
		requireTimeout(t, err)
		require.NoError(t, r.client.Close())
		for _, set := range []func(time.Time) error{r.client.SetDeadline, r.client.SetReadDeadline, r.client.SetWriteDeadline} {
			require.ErrorIs(t, set(time.Time{}), errClosed)
		}
		_, err = r.server.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err)
		r.stop()
	})
}

// The kernel's sockets keep to it as the transport in memory does: over a relay
// that stalls, black-holes and resets.
func TestDeadlinesOverTCP(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s testSuite) {
		l, err := relink.Listen("tcp", "127.0.0.1:0", s)
		require.NoError(t, err)
		relay, err := faultnet.NewRelay(l.Addr().String())
		require.NoError(t, err)
		defer relay.Close()
		c, err := relink.Dial("tcp", relay.Addr(), s)
		require.NoError(t, err)
		_, err = c.Write([]byte("x")) // some wires need it to be accepted
		require.NoError(t, err)
		server, err := l.AcceptConn()
		require.NoError(t, err)
		_, err = server.Read(make([]byte, 1))
		require.NoError(t, err)
		const wait = 20 * time.Millisecond
		for _, disturb := range []func(){
			func() {},
			func() { relay.Stall(faultnet.Up); relay.Stall(faultnet.Down) },
			func() { relay.Cut(faultnet.BlackHole) },
			func() { relay.Cut(faultnet.Reset) },
		} {
			disturb()
			for _, conn := range []*relink.Conn{c, server} {
				start := time.Now()
				require.NoError(t, conn.SetReadDeadline(start.Add(wait)))
				_, err := conn.Read(make([]byte, 1))
				requireTimeout(t, err)
				require.GreaterOrEqual(t, time.Since(start), wait)
				require.Less(t, time.Since(start), 5*time.Second)
				require.NoError(t, conn.SetReadDeadline(time.Time{}))
			}
		}
		relay.Release(faultnet.Up)
		relay.Release(faultnet.Down)
		c.NetworkChanged()
		requireExchange(t, c, server, 10_000)
		_, _, _ = c.Abort(), server.Abort(), l.Close()
	})
}
