package relink_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
)

// Once the peer's application reads no more, Write says so, and goes on saying
// so when the session is lost afterwards.
func TestPeerClosedSticks(t *testing.T) {
	inAckBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s, withClient(func(c *relink.Dialer) { c.ReplayLimit = 8 << 10 }))
		// More than the client takes while nobody reads, so that the end waits.
		requireWrite(t, r.server, rigData(16<<10))
		require.NoError(t, r.server.Close())
		time.Sleep(time.Second) // for the client's tick: its application does not read
		_, err := r.client.Write([]byte("x"))
		require.ErrorIs(t, err, relink.ErrPeerClosed)

		require.NoError(t, r.server.Abort())
		buf := make([]byte, 32<<10)
		for err = nil; err == nil; {
			_, err = r.client.Read(buf)
		}
		require.ErrorIs(t, err, relink.ErrSessionLost)
		_, err = r.client.Write([]byte("x"))
		require.ErrorIs(t, err, relink.ErrPeerClosed)
		r.stop()
	})
}
