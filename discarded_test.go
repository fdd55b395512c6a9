package relink_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// What has arrived and was not read before Close is not taken by the
// application: it does not count as read here, nor as taken at the peer,
// whether it came before the Close or after.
func TestDiscardedIsNotTaken(t *testing.T) {
	for _, abort := range []bool{false, true} {
		inBubble(t, func(t *testing.T, s testSuite) {
			r := newRig(t, s)
			r.exchange(100)
			_, err := r.client.Write(rigData(500))
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			waited := background(func() (int, error) { return 0, r.client.WaitAcked(ctx, 600) })
			time.Sleep(time.Second)
			synctest.Wait()
			if abort {
				require.NoError(t, r.server.Abort())
			} else {
				require.NoError(t, r.server.Close())
			}
			_, _ = r.client.Write(rigData(50))
			require.Error(t, (<-waited).err)
			if isClassic(s) {
				require.Zero(t, r.client.Acked())
			} else {
				require.EqualValues(t, 100, r.client.Acked())
			}
			time.Sleep(time.Second)
			require.EqualValues(t, 100, r.server.Stats().BytesRead)
			r.stop()
			require.EqualValues(t, 100, r.server.Stats().BytesRead)
		})
	}
}
