package relink_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// On a wire that does not tell how much is replayed, a server drains the replay
// of a distant client, which begins a round trip after the answer, although the
// application does not read.
func TestDrainOfDistantReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, scpSuite, withPath(faultnet.Options{Delay: 400 * time.Millisecond}))
		r.net.Last().Cut(faultnet.ResetNow)
		_, err := r.client.Write(make([]byte, 3<<20))
		require.NoError(t, err)
		_, err = r.server.Write([]byte("x")) // makes it notice, and asks for ticks
		require.NoError(t, err)
		time.Sleep(time.Minute)
		require.Zero(t, r.client.Stats().BytesPending)
		r.stop()
	})
}

// Such a drain has an end: long after a resume a server takes no more than ever
// from a client whose data its application does not want.
func TestDrainEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, scpSuite)
		r.client.NetworkChanged()
		time.Sleep(10 * time.Second)
		require.Equal(t, relink.StateConnected, r.client.State())
		require.NoError(t, r.client.SetWriteDeadline(time.Now().Add(time.Minute)))
		_, err := r.client.Write(make([]byte, 3<<20))
		requireTimeout(t, err)
		require.Less(t, r.server.Stats().Memory, int64(512<<10))
		r.stop()
	})
}
