package relink_test

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// A server that has closed, and whose client has come on another path to say that
// it has everything, ends without an error when its old transport does, however
// that ends.
func TestClosedServerHasBeenAsked(t *testing.T) {
	inBubble(t, func(t *testing.T, s relink.Suite) {
		if !relink.IsClassic(s) {
			return // it takes the new transport
		}
		r := newRig(t, s)
		r.exchange(100)
		requireWrite(t, r.server, rigData(1000))
		_, err := io.ReadFull(r.client, make([]byte, 1000))
		require.NoError(t, err)
		old := r.net.Last()
		old.Cut(faultnet.BlackHole)
		require.NoError(t, r.server.Close())
		r.client.NetworkChanged()
		synctest.Wait()
		require.Equal(t, relink.StateClosing, r.server.State())
		start := time.Now()
		old.Cut(faultnet.Reset)
		<-r.server.Done()
		require.Less(t, time.Since(start), time.Second)
		require.NoError(t, r.serverEvents.all(relink.EventClosed)[0].Err)
		r.stop()
	})
}
