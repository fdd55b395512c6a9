package relink_test

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// What a client's handshake says about the data that comes with it is a number
// from a peer. Data behind a gap must not close the gap.
func TestEarlyDataBehindAGap(t *testing.T) {
	inAckBubble(t, func(t *testing.T, s testSuite) {
		s, h, _ := hooked(s)
		r := newRig(t, s)
		r.exchange(100)
		data := rigData(1000)
		r.suspend(faultnet.Refuse, faultnet.Reset)
		requireWrite(t, r.client, data)
		pending := func(p []byte) (int64, int) { return 100 + 10, copy(p, data[10:]) }
		h.pending.Store(&pending)
		r.net.SetDown(faultnet.NotDown)
		requireRead(t, r.server, data)
		require.EqualValues(t, 1, r.server.Stats().Resumes)
		r.exchange(100)
		r.finish()
	})
}

// Data for which the server has no room is dropped, like any that the peer has
// to send again anyway. The limit is the server's, whatever the client does.
func TestEarlyDataBeyondTheRoom(t *testing.T) {
	const limit = 8 << 10
	inAckBubble(t, func(t *testing.T, s testSuite) {
		s, h, _ := hooked(s)
		r := newRig(t, s, withLimit(limit))
		data := rigData(limit)
		requireWrite(t, r.client, data)
		time.Sleep(time.Second) // for the server's tick: its application does not read
		require.Zero(t, r.client.Stats().BytesPending)
		r.net.SetDown(faultnet.Refuse)
		r.net.Last().Cut(faultnet.Reset)
		synctest.Wait()
		pending := func(p []byte) (int64, int) { return limit, copy(p, bytes.Repeat([]byte{0xee}, 1000)) }
		h.pending.Store(&pending)
		r.net.SetDown(faultnet.NotDown)
		r.client.NetworkChanged()
		synctest.Wait()
		require.EqualValues(t, 2, linksOf(r.server))
		requireRead(t, r.server, data)
		r.exchange(100)
		require.EqualValues(t, 2, linksOf(r.server))
		for _, e := range r.serverEvents.all(relink.EventRefused) {
			require.False(t, isInternal(e.Err), "%v", e.Err)
		}
		r.finish()
	})
}
