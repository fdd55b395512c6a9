package clock_test

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/clock"
)

// No time but the zero one is the absence of a deadline, not even that from which the
// clock counts.
func TestOnlyTheZeroTimeIsNoDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // where the clock stands still
		require.Equal(t, clock.None, clock.Deadline(time.Time{}))
		for _, d := range []time.Time{
			clock.Started(), clock.Started().Add(1), clock.Started().Add(-1), time.Now(), time.Unix(0, 0),
			time.Unix(0, math.MinInt64), time.Unix(0, math.MaxInt64), time.Unix(1<<40, 0),
		} {
			require.NotEqual(t, clock.None, clock.Deadline(d), d)
		}
	})
	require.NotEqual(t, clock.None, clock.Deadline(time.Now().Add(math.MaxInt64))) // beyond what it counts to
}

func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := clock.Deadline(time.Now().Add(time.Second))
		require.Equal(t, time.Second, d.Until())
		require.False(t, d.Expired())
		require.True(t, d.Std().Equal(time.Now().Add(time.Second)))
		time.Sleep(time.Second)
		require.True(t, d.Expired())
		require.False(t, clock.None.Expired())
		require.True(t, clock.None.Std().IsZero())
		require.True(t, clock.LongAgo.Expired())
		require.True(t, clock.LongAgo.Std().Before(time.Now()))
		require.False(t, clock.In(math.MaxInt64).Expired())
	})
}

// A Coarse tells how long ago it was, to about a tenth of a second, also when it has gone
// around.
func TestCoarse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := clock.CoarseNow()
		time.Sleep(10 * time.Second)
		require.InDelta(t, 10*time.Second, m.Since(), float64(100*time.Millisecond))
		later := m + math.MaxUint32 // which is just before it
		require.InDelta(t, 10*time.Second, later.Since(), float64(200*time.Millisecond))
	})
}
