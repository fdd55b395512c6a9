package relink_test

import (
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// The handshake of a link is its first sample, on both sides and every suite.
func TestRoundTripOfHandshake(t *testing.T) {
	const delay = 25 * time.Millisecond
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s, withPath(faultnet.Options{Delay: delay}))
		smoothed, _ := relink.RoundTrip(r.client)
		require.Equal(t, 2*delay, smoothed)
		r.exchange(10) // SCP's server has asked nothing, so that it knows only what pings tell
		smoothed, _ = relink.RoundTrip(r.server)
		if !strings.HasPrefix(s.String(), "SCP") {
			require.Equal(t, 2*delay, smoothed)
		}
		r.stop()
	})
}

// On a wire with pings the estimate follows a path that becomes slower, while data is
// carried; and an idle session is not pinged for it.
func TestRoundTripFollows(t *testing.T) {
	inAckBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s, withPath(faultnet.Options{Delay: 10 * time.Millisecond}),
			withBoth(func(c *relink.Config) { c.LivenessTimeout = 24 * time.Hour }))
		r.net.Last().SetDelay(100 * time.Millisecond)
		echo := background(func() (int, error) {
			_, err := io.Copy(r.server, r.server)
			return 0, err
		})
		for range 600 {
			requireWrite(t, r.client, []byte("x"))
			requireRead(t, r.client, []byte("x"))
		}
		for _, c := range r.ends() {
			smoothed, variation := relink.RoundTrip(c)
			require.InDelta(t, 200*time.Millisecond, smoothed, float64(25*time.Millisecond))
			require.Less(t, variation, 40*time.Millisecond)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		up, down := r.net.Last().Sent(faultnet.Up), r.net.Last().Sent(faultnet.Down)
		time.Sleep(time.Hour)
		require.Equal(t, up, r.net.Last().Sent(faultnet.Up))
		require.Equal(t, down, r.net.Last().Sent(faultnet.Down))
		r.stop()
		<-echo
	})
}
