package relink_test

import (
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/conntest"
	"github.com/relink-go/relink/internal/faultnet"
)

// However the looks at a silent link fall, the first that finds it overdue is
// within a tick of the time-out, and not an eighth of the time-out later. A
// look takes place with the first tick after its time.
func TestSilenceIsFoundInTime(t *testing.T) {
	t.Parallel()
	for _, timeout := range []time.Duration{relink.MinLivenessTimeout, 4 * time.Second, conntest.DefaultLivenessTimeout, time.Hour} {
		for first := time.Duration(0); first < timeout/8+conntest.TickEvery; first += timeout/800 + time.Millisecond {
			looks := 0
			silence := first
			for {
				pause, due := relink.NextLook(silence, timeout)
				if looks++; due {
					break
				}
				require.Positive(t, pause)
				silence += pause + (conntest.TickEvery-pause%conntest.TickEvery)%conntest.TickEvery
			}
			require.LessOrEqual(t, silence, timeout, "the first look after %v", first)
			require.GreaterOrEqual(t, silence, timeout-conntest.TickEvery, "the first look after %v", first)
			require.LessOrEqual(t, looks, 11, "the first look after %v", first)
		}
	}
}

// While both applications wait in Read over TCP, the library has no goroutine
// and looks after no session.
func TestIdleServerHasNothing(t *testing.T) {
	conntest.ForEachSuite(t, func(t *testing.T, s conntest.Suite) {
		client, server, l := conntest.Pair(t, s, conntest.TransportKinds[0], conntest.Setup{})
		defer func() {
			_, _ = client.Abort(), server.Abort()
			_ = l.Close()
		}()
		conntest.RequireExchange(t, client, server, 100_000)
		reading := conntest.Background(func() (int, error) { return server.Read(make([]byte, 1)) })
		clientReading := conntest.Background(func() (int, error) { return client.Read(make([]byte, 1)) })
		// Both at once: until its ticks have seen that nothing is left to do, a session
		// is looked after, with and without a goroutine.
		require.Eventually(t, func() bool { return len(conntest.LibraryGoroutines()) == 0 && relink.WatchedBy(l) == 0 },
			time.Minute, 10*time.Millisecond, "%v", conntest.LibraryGoroutines)
		conntest.RequireWrite(t, client, []byte("x"))
		conntest.RequireWrite(t, server, []byte("x"))
		require.NoError(t, (<-reading).Err)
		require.NoError(t, (<-clientReading).Err)
	})
}

// A session whose application waits in Read has no ticks, on either side, whatever it has
// carried: a device would be woken by them for ever. Where the suite pings a transport
// that no kernel probes it has to have them.
func TestIdleSessionHasNoTicks(t *testing.T) {
	conntest.InBubble(t, func(t *testing.T, s conntest.Suite) {
		r := conntest.New(t, s, conntest.WithBoth(func(c *relink.Config) { c.LivenessTimeout = -1 }))
		r.Exchange(1000)
		conntest.RequireWrite(t, r.Server, []byte("the client is the last to read"))
		conntest.RequireRead(t, r.Client, []byte("the client is the last to read"))
		reads := []<-chan conntest.Outcome{
			conntest.Background(func() (int, error) { return r.Client.Read(make([]byte, 1)) }),
			conntest.Background(func() (int, error) { return r.Server.Read(make([]byte, 1)) }),
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.False(t, relink.Ticking(r.Client.Conn), "the client")
		require.False(t, relink.Ticking(r.Server.Conn), "the server")
		_, _ = r.Client.Abort(), r.Server.Abort()
		for _, read := range reads {
			require.Error(t, (<-read).Err)
		}
	})
}

// TestSizeOfConn: the runtime puts a word before each object of more than 512
// bytes that has pointers, and takes memory in sizes of which 640 is one; the
// next is 704.
func TestSizeOfConn(t *testing.T) {
	t.Parallel()
	require.LessOrEqual(t, relink.SizeOfConn, uintptr(640-8))
}

// A session that waits for its tick gets it although others keep waking the
// sweeper.
func TestTicksAreNotPutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := conntest.New(t, conntest.DH64RC4)
		client, server := r.Open()
		for _, c := range []*relink.Conn{client, server} {
			go func() { _, _ = io.Copy(io.Discard, c) }()
		}
		time.Sleep(time.Second) // before Accept it was looked after
		_, err := r.Server.Write([]byte("x"))
		require.NoError(t, err)
		require.Equal(t, 1, relink.WatchedBy(r.Listener))
		for range 20 { // suspended and resumed, again and again
			time.Sleep(50 * time.Millisecond)
			r.Net.Last().Cut(faultnet.Reset)
			synctest.Wait()
		}
		require.Zero(t, relink.WatchedBy(r.Listener))
		_, _ = client.Abort(), server.Abort()
		r.Stop()
	})
}

// A server believes in a link on which nothing comes no longer than half of its
// ResumeTimeout and LivenessTimeout, although the transport lives and the kernel of some
// hop answers its probes: what a client has given up is not delivered later than that.
func TestIdleLinkIsKnownAlive(t *testing.T) {
	const resume, liveness = 80 * time.Second, 10 * time.Second
	conntest.InAckBubble(t, func(t *testing.T, s conntest.Suite) {
		for _, idle := range []time.Duration{0, 7 * time.Second, 19950 * time.Millisecond, 20 * time.Second, 33 * time.Second, time.Hour} {
			r := conntest.New(t, s, conntest.WithBoth(func(c *relink.Config) { c.ResumeTimeout, c.LivenessTimeout = resume, liveness }))
			for _, c := range r.Ends() {
				relink.KernelProbes(c)
			}
			r.Exchange(1000)
			reading := conntest.Background(func() (int, error) { return r.Server.Read(make([]byte, 1)) })
			time.Sleep(idle)
			require.Equal(t, relink.StateConnected, r.Server.State())
			require.Empty(t, r.Server.Events.All(relink.EventSuspended))
			last := time.Now()
			r.Net.SetDown(faultnet.Refuse)
			path := r.Net.Last()
			path.Stall(faultnet.Up)
			_, err := r.Client.Write([]byte("withheld"))
			require.NoError(t, err)
			for r.Server.State() == relink.StateConnected {
				time.Sleep(100 * time.Millisecond)
			}
			require.LessOrEqual(t, time.Since(last), resume/2+liveness+time.Second)
			path.Release(faultnet.Up)
			o := <-reading
			require.ErrorIs(t, o.Err, relink.ErrExpired)
			require.Zero(t, o.N)
			r.Stop()
		}
	})
}

// The ping that this takes is one in half of ResumeTimeout, whatever the kernel does
// beside; and there is none on a wire without pings, or without detection.
func TestIdleLinkIsPingedSeldom(t *testing.T) {
	const resume = 80 * time.Second
	conntest.InBubble(t, func(t *testing.T, s conntest.Suite) {
		for _, off := range []bool{false, true} {
			r := conntest.New(t, s, conntest.WithBoth(func(c *relink.Config) {
				if c.ResumeTimeout = resume; off {
					c.LivenessTimeout = -1
				}
			}))
			for _, c := range r.Ends() {
				relink.KernelProbes(c)
			}
			r.Exchange(10)
			reading := conntest.Background(func() (int, error) { return r.Server.Read(make([]byte, 1)) })
			waiting := conntest.Background(func() (int, error) { return r.Client.Read(make([]byte, 1)) })
			time.Sleep(resume)
			down, up := r.Net.Last().Sent(faultnet.Down), r.Net.Last().Sent(faultnet.Up)
			time.Sleep(100 * resume / 2)
			pings := int64(100)
			if off || conntest.IsClassic(s) {
				pings = 0
			}
			down, up = r.Net.Last().Sent(faultnet.Down)-down, r.Net.Last().Sent(faultnet.Up)-up
			if strings.HasPrefix(s.String(), "Noise") || pings == 0 {
				const ping, pong = 3 + 1 + 16, 3 + 1 + 16 + 16
				require.InDelta(t, pings*ping, down, ping)
				require.InDelta(t, pings*pong, up, pong)
			} else { // another framing
				require.InDelta(t, float64(down)/float64(up), 20.0/36, 0.5)
				require.Positive(t, down)
			}
			require.Equal(t, relink.StateConnected, r.Server.State())
			r.Stop()
			<-reading
			<-waiting
			synctest.Wait()
		}
	})
}

// The handshake of a link is its first sample, on both sides and every suite.
func TestRoundTripOfHandshake(t *testing.T) {
	const delay = 25 * time.Millisecond
	conntest.InBubble(t, func(t *testing.T, s conntest.Suite) {
		r := conntest.New(t, s, conntest.WithPath(faultnet.Options{Delay: delay}))
		smoothed, _ := relink.RoundTrip(r.Client.Conn)
		require.Equal(t, 2*delay, smoothed)
		r.Exchange(10) // SCP's server has asked nothing, so that it knows only what pings tell
		smoothed, _ = relink.RoundTrip(r.Server.Conn)
		if !strings.HasPrefix(s.String(), "SCP") {
			require.Equal(t, 2*delay, smoothed)
		}
		r.Stop()
	})
}

// On a wire with pings the estimate follows a path that becomes slower, while data is
// carried; and an idle session is not pinged for it.
func TestRoundTripFollows(t *testing.T) {
	conntest.InAckBubble(t, func(t *testing.T, s conntest.Suite) {
		r := conntest.New(t, s, conntest.WithPath(faultnet.Options{Delay: 10 * time.Millisecond}),
			conntest.WithBoth(func(c *relink.Config) { c.LivenessTimeout, c.ResumeTimeout = 24*time.Hour, 1000*time.Hour }))
		r.Net.Last().SetDelay(100 * time.Millisecond)
		echo := conntest.Background(func() (int, error) {
			_, err := io.Copy(r.Server.Conn, r.Server.Conn)
			return 0, err
		})
		for range 600 {
			conntest.RequireWrite(t, r.Client, []byte("x"))
			conntest.RequireRead(t, r.Client, []byte("x"))
		}
		for _, c := range r.Ends() {
			smoothed, variation := relink.RoundTrip(c)
			require.InDelta(t, 200*time.Millisecond, smoothed, float64(25*time.Millisecond))
			require.Less(t, variation, 40*time.Millisecond)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		up, down := r.Net.Last().Sent(faultnet.Up), r.Net.Last().Sent(faultnet.Down)
		time.Sleep(time.Hour)
		require.Equal(t, up, r.Net.Last().Sent(faultnet.Up))
		require.Equal(t, down, r.Net.Last().Sent(faultnet.Down))
		r.Stop()
		<-echo
	})
}
