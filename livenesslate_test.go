package relink_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
)

// However the looks at a silent link fall, the first that finds it overdue is
// within a tick of the time-out, and not an eighth of the time-out later. A
// look takes place with the first tick after its time.
func TestSilenceIsFoundInTime(t *testing.T) {
	t.Parallel()
	for _, timeout := range []time.Duration{relink.MinLivenessTimeout, 4 * time.Second, defaultLivenessTimeout, time.Hour} {
		for first := time.Duration(0); first < timeout/8+tickEvery; first += timeout/800 + time.Millisecond {
			looks := 0
			silence := first
			for {
				pause, due := relink.NextLook(silence, timeout)
				if looks++; due {
					break
				}
				require.Positive(t, pause)
				silence += pause + (tickEvery-pause%tickEvery)%tickEvery
			}
			require.LessOrEqual(t, silence, timeout, "the first look after %v", first)
			require.GreaterOrEqual(t, silence, timeout-tickEvery, "the first look after %v", first)
			require.LessOrEqual(t, looks, 11, "the first look after %v", first)
		}
	}
}
