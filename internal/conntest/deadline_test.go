package conntest

import (
	"context"
	"io"
	"net"
	"os"
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
	enter func(r *Rig)
}

var linkConditions = []linkCondition{
	{"connected", func(r *Rig) {
		r.Net.Last().Stall(faultnet.Up)
		r.Net.Last().Stall(faultnet.Down)
	}},
	{"suspended", func(r *Rig) { r.Suspend(faultnet.Refuse, faultnet.Reset) }},
	{"dial under way", func(r *Rig) {
		r.Suspend(faultnet.Hang, faultnet.Reset)
		r.Client.NetworkChanged()
	}},
	{"resume under way", func(r *Rig) {
		r.Net.OnDial(func(_ int, p *faultnet.Path) error { p.Stall(faultnet.Down); return nil })
		r.Suspend(faultnet.Refuse, faultnet.Reset)
		r.Net.SetDown(faultnet.NotDown)
		r.Client.NetworkChanged()
	}},
	{"after a black hole", func(r *Rig) { r.Net.Last().Cut(faultnet.BlackHole) }},
}

// The beginning of Unix time is a deadline like any other that has passed, and not
// the absence of one.
func TestDeadlineAtTheBeginningOfUnixTime(t *testing.T) {
	epoch := time.Unix(0, 0)
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s, WithBoth(func(c *relink.Config) { c.ReplayLimit = 16 << 10 }), WithPath(faultnet.Options{Buffer: 4 << 10}))
		r.Exchange(100)
		for _, c := range r.Ends() {
			for _, before := range []time.Time{{}, time.Now().Add(time.Hour)} {
				require.NoError(t, c.SetReadDeadline(before))
				read := Background(func() (int, error) { return c.Read(make([]byte, 1)) })
				StillBlocked(t, read)
				require.NoError(t, c.SetReadDeadline(epoch))
				synctest.Wait()
				require.Len(t, read, 1)
				require.ErrorIs(t, (<-read).Err, os.ErrDeadlineExceeded)
				require.NoError(t, c.SetReadDeadline(time.Time{}))
				r.Exchange(100)
			}
		}
		path := r.Net.Last()
		path.Stall(faultnet.Up)
		for _, before := range []time.Time{{}, time.Now().Add(time.Hour)} {
			require.NoError(t, r.Client.SetWriteDeadline(before))
			write := Background(func() (int, error) { return r.Client.Write(make([]byte, 1<<20)) })
			StillBlocked(t, write)
			require.NoError(t, r.Client.SetWriteDeadline(epoch))
			synctest.Wait()
			require.Len(t, write, 1)
			require.ErrorIs(t, (<-write).Err, os.ErrDeadlineExceeded)
			require.NoError(t, r.Client.SetWriteDeadline(time.Time{}))
		}
		path.Release(faultnet.Up)
		go func() { _, _ = io.Copy(io.Discard, r.Server.Conn) }()
		synctest.Wait()
		require.Zero(t, r.Client.Stats().BytesPending)
		RequireExchange(t, r.Server, r.Client, 0)
		r.Stop()
	})
}

// hasty takes each deadline for passed until it is told a second time, as a
// kernel's timer does when the clock was set back meanwhile.
type hasty struct {
	net.Conn
	told, calls atomic.Int32
}

func (c *hasty) Interruptible() bool { return true }

func (c *hasty) SetReadDeadline(t time.Time) error { return c.set(t, c.Conn.SetReadDeadline) }

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
	InBubble(t, func(t *testing.T, s Suite) {
		var transport *hasty
		r := New(t, s, WithPath(faultnet.Options{Buffer: 4 << 10}), WithBoth(func(c *relink.Config) { c.ReplayLimit = 16 << 10 }), func(r *Rig, _ *relink.ListenConfig) {
			r.Dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := r.Net.Dial(ctx, network, address)
				transport = &hasty{Conn: c}
				return transport, err
			}
		})
		r.Exchange(100)
		before := transport.calls.Load()
		require.NoError(t, r.Client.SetDeadline(time.Now().Add(time.Hour)))
		read := Background(func() (int, error) { return r.Client.Read(make([]byte, 1)) })
		StillBlocked(t, read)
		r.Net.Last().Stall(faultnet.Up)
		data := Data(100 << 10)
		write := Background(func() (int, error) { return r.Client.Write(data) })
		StillBlocked(t, write)
		require.Less(t, transport.calls.Load()-before, int32(20))
		RequireWrite(t, r.Server, []byte("x"))
		require.NoError(t, (<-read).Err)
		r.Net.Last().Release(faultnet.Up)
		got := make([]byte, len(data))
		_, err := io.ReadFull(r.Server, got)
		require.NoError(t, err)
		require.Equal(t, data, got)
		require.NoError(t, (<-write).Err)
		r.Stop()
	})
}

// Deadlines hold, can be moved, cleared and set in the past whatever the
// transport does, are not the loss of a link, and the call can be repeated.
func TestDeadlines(t *testing.T) {
	for _, condition := range linkConditions {
		t.Run(condition.name, func(t *testing.T) {
			InBubble(t, func(t *testing.T, s Suite) {
				slow := WithBoth(func(c *relink.Config) {
					c.ReplayLimit = 16 << 10
					c.HandshakeTimeout = time.Hour
					c.ResumeTimeout, c.LivenessTimeout = time.Hour, -1
				})
				patient := WithClient(func(d *relink.Dialer) { d.AttemptTimeout = time.Hour })
				r := New(t, s, slow, patient, WithPath(faultnet.Options{Buffer: 4 << 10}))
				condition.enter(r)
				synctest.Wait()
				for _, c := range r.Ends() {
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
				r.Stop()
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
	RequireInstant(t, func() { // it stays
		_, err := do()
		requireTimeout(t, err)
	})

	// Cleared, then set during the call, moved later, moved earlier.
	require.NoError(t, set(time.Time{}))
	done := Background(do)
	time.Sleep(time.Second)
	StillBlocked(t, done)
	require.NoError(t, set(at(4*time.Second)))
	time.Sleep(time.Second)
	require.NoError(t, set(at(9*time.Second)))
	time.Sleep(4 * time.Second)
	StillBlocked(t, done)
	require.NoError(t, set(at(8*time.Second)))
	o := <-done
	requireTimeout(t, o.Err)
	require.Equal(t, 8*time.Second, o.At.Sub(start))

	// Set, then cleared during the call, then set in the past.
	require.NoError(t, set(at(10*time.Second)))
	done = Background(do)
	synctest.Wait()
	require.NoError(t, set(time.Time{}))
	time.Sleep(4 * time.Second)
	StillBlocked(t, done)
	RequireInstant(t, func() {
		require.NoError(t, set(time.Unix(1, 0)))
		o := <-done
		requireTimeout(t, o.Err)
	})
	require.NoError(t, set(time.Time{}))
}

// A deadline belongs to the session: it outlives the transport under which it
// was set, in both directions of time.
func TestDeadlineSurvivesResume(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s)
		start := time.Now()
		var reads []<-chan Outcome
		for _, c := range r.Ends() {
			require.NoError(t, c.SetReadDeadline(start.Add(10*time.Second)))
			reads = append(reads, Background(func() (int, error) { return c.Read(make([]byte, 1)) }))
		}
		for range 3 {
			time.Sleep(time.Second)
			r.Net.Last().Cut(faultnet.Reset)
			synctest.Wait()
		}
		require.Equal(t, relink.StateConnected, r.Client.State())
		require.EqualValues(t, 3, r.Server.Stats().Resumes)
		for _, read := range reads {
			o := <-read
			requireTimeout(t, o.Err)
			require.Equal(t, 10*time.Second, o.At.Sub(start))
		}
		for _, c := range r.Ends() {
			require.NoError(t, c.SetDeadline(time.Time{}))
		}
		r.Exchange(100)
		require.EqualValues(t, 3, r.Client.Stats().Resumes) // no deadline was taken for a loss
		r.Stop()
	})
}

// A deadline that is set as soon as Accept or Dial returns survives whatever
// the handshake has still to do.
func TestDeadlineRightAfterAccept(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		for _, opaque := range []bool{false, true} {
			n := faultnet.New()
			n.SetOptions(faultnet.Options{Opaque: opaque, Delay: 10 * time.Millisecond})
			cfg := Setup{}
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
			RequireExchange(t, client, server, 1000)
			_, _, _ = client.Abort(), server.Abort(), l.Close()
		}
	})
}

// What a Write that ran into its deadline says to have taken is what arrives,
// no byte more or less, also when it is repeated over a transport that is cut.
func TestWriteCountIsExact(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s, WithBoth(func(c *relink.Config) { c.ReplayLimit = 16 << 10 }), WithPath(faultnet.Options{Buffer: 1 << 10}))
		data := Data(200_000)
		got := make(chan []byte, 1)
		go func() {
			b := make([]byte, 0, len(data))
			for len(b) < len(data) {
				_ = r.Server.SetReadDeadline(time.Now().Add(3 * time.Millisecond))
				n, err := r.Server.Read(b[len(b):min(cap(b), len(b)+777)])
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
			require.NoError(t, r.Client.SetWriteDeadline(time.Now().Add(2*time.Millisecond)))
			n, err := r.Client.Write(rest)
			rest = rest[n:]
			if err != nil {
				requireTimeout(t, err)
			}
			if i%20 == 19 {
				r.Net.Last().Cut(faultnet.Reset)
			}
		}
		require.Equal(t, data, <-got)
		require.Positive(t, r.Client.Stats().Resumes)
		r.Stop()
	})
}

// Deadlines on a closed Conn are an error, as net.Conn has it.
func TestDeadlineAfterClose(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s)
		require.NoError(t, r.Client.SetReadDeadline(time.Now().Add(-time.Second)))
		n, err := r.Client.Read(nil)
		require.Zero(t, n)
		requireTimeout(t, err)
		require.NoError(t, r.Client.Close())
		for _, set := range []func(time.Time) error{r.Client.SetDeadline, r.Client.SetReadDeadline, r.Client.SetWriteDeadline} {
			require.ErrorIs(t, set(time.Time{}), net.ErrClosed)
		}
		_, err = r.Server.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err)
		r.Stop()
	})
}

// The kernel's sockets keep to it as the transport in memory does: over a relay
// that stalls, black-holes and resets.
func TestDeadlinesOverTCP(t *testing.T) {
	ForEachSuite(t, func(t *testing.T, s Suite) {
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
		RequireExchange(t, c, server, 10_000)
		_, _, _ = c.Abort(), server.Abort(), l.Close()
	})
}
