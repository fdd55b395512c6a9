package relink_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/conntest"
	"github.com/relink-go/relink/internal/faultnet"
)

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
