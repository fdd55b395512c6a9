package relink_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
	"github.com/relink-go/relink/internal/suite"
)

// The first record of a resumed link says where the server's stream goes on. One
// that does not is a violation, and takes nothing over.
func TestFirstRecordWithoutACount(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		if !strings.HasPrefix(s.String(), "Noise") {
			t.Skip("the other wires have no such record")
		}
		r := newRig(t, s, withClient(func(c *relink.Dialer) {
			c.MinBackoff, c.MaxBackoff = time.Hour, time.Hour // keeps its own attempts away
		}))
		r.exchange(100)
		r.suspend(faultnet.Refuse, faultnet.Reset)
		r.net.SetDown(faultnet.NotDown)
		tr, err := r.net.Dial(context.Background(), "tcp", "server")
		require.NoError(t, err)
		p := relink.PresentResume(r.client, tr)
		require.NoError(t, p.Err)
		p.SayFirst(suite.Control{Ping: true})
		require.NoError(t, p.Err)
		synctest.Wait()
		require.EqualValues(t, 1, linksOf(r.server))
		refused := r.serverEvents.all(relink.EventRefused)
		require.Len(t, refused, 1)
		require.ErrorIs(t, refused[0].Err, relink.ErrProtocol)
		require.NoError(t, tr.Close())

		r.client.NetworkChanged()
		r.exchange(100)
		r.finish()
	})
}
