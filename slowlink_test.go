package relink_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// A network so slow that a handshake with data in it takes longer than an
// attempt may is no reason to lose the session: later attempts carry none.
func TestResumeOverSlowNetwork(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s, withPath(faultnet.Options{Buffer: 300, Delay: 80 * time.Millisecond}))
		for _, c := range r.ends() {
			go func() { _, _ = c.Write(make([]byte, 50_000)) }()
		}
		time.Sleep(10 * time.Millisecond)
		r.net.Last().Cut(faultnet.ResetNow)
		time.Sleep(time.Minute)
		require.Equal(t, relink.StateConnected, r.client.State())
		require.Positive(t, r.client.Stats().Resumes)
		r.stop()
	})
}
