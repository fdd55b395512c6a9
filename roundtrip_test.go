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
