package conntest

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/faultnet"
)

// Cut is the loss of a transport, on either side, whether the application waits in Read or
// not: the client comes back and nothing is missing.
func TestCutMethod(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s)
		r.Exchange(1000)
		for i, c := range []*Side{r.Client, r.Server, r.Client, r.Server} {
			before := r.Net.Dials()
			require.True(t, c.Cut())
			synctest.Wait()
			r.Exchange(5000)
			synctest.Wait()
			require.EqualValues(t, i+1, c.Stats().Resumes)
			require.Greater(t, r.Net.Dials(), before)
		}
		r.Suspend(faultnet.Refuse, faultnet.ResetNow)
		require.False(t, r.Client.Cut()) // there is nothing to cut
		require.False(t, r.Server.Cut())
		r.Stop()
	})
}
