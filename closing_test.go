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

// Close over a transport whose direction cannot be ended by itself leaves what is
// under way to that transport, and does not take the session over to ask.
func TestCloseOverOpaqueTransport(t *testing.T) {
	inBubble(t, func(t *testing.T, s relink.Suite) {
		r := newRig(t, s, withPath(faultnet.Options{Opaque: true}), withBoth(func(c *relink.Config) { c.ReplayLimit = 64 << 10 }))
		r.exchange(100)
		data := rigData(40 << 10)
		requireWrite(t, r.client, data)
		require.NoError(t, r.client.Close())
		synctest.Wait()
		got := make([]byte, len(data))
		_, err := io.ReadFull(r.server, got)
		require.NoError(t, err)
		require.Equal(t, data, got)
		<-r.client.Done()
		require.NoError(t, r.clientEvents.all(relink.EventClosed)[0].Err)
		require.Equal(t, 1, r.net.Dials())
		r.stop()
	})
}
