package relink_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// All that a client has said in a resume, its proof included, is said again,
// before a byte has been exchanged that would make its counts stale. It is worth
// nothing, because the server has asked for something else this time.
func TestReplayedProof(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s)
		r.exchange(100)
		r.net.OnDial(func(_ int, p *faultnet.Path) error {
			p.Record()
			return nil
		})
		r.client.NetworkChanged()
		time.Sleep(time.Second)
		require.EqualValues(t, 2, linksOf(r.server))
		said := r.net.Last().Bytes(faultnet.Up)
		require.NotEmpty(t, said)

		c, err := r.net.Dial(context.Background(), "tcp", "server")
		require.NoError(t, err)
		_, err = c.Write(said)
		require.NoError(t, err)
		synctest.Wait()
		require.EqualValues(t, 2, linksOf(r.server), "the session has gone to whoever has recorded it")
		require.Len(t, r.serverEvents.all(relink.EventRefused), 1)
		require.NoError(t, c.Close())
		r.exchange(100)
		require.EqualValues(t, 2, linksOf(r.server))
		r.stop()
	})
}
