package rtt_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/rtt"
)

const ms = time.Millisecond

func TestNothingIsKnown(t *testing.T) {
	var e rtt.Estimator
	require.False(t, e.Known())
	require.Zero(t, e.Smoothed())
	require.Zero(t, e.Variation())
	require.Zero(t, e.Bound())
}

// The numbers are those of RFC 6298, section 2, with its alpha of 1/8 and beta of 1/4.
func TestSamples(t *testing.T) {
	var e rtt.Estimator
	for _, step := range []struct{ sample, smoothed, variation, bound time.Duration }{
		{sample: 80 * ms, smoothed: 80 * ms, variation: 40 * ms, bound: 240 * ms},
		{sample: 80 * ms, smoothed: 80 * ms, variation: 30 * ms, bound: 200 * ms},
		{sample: 160 * ms, smoothed: 90 * ms, variation: 42500 * time.Microsecond, bound: 260 * ms},
		{sample: 10 * ms, smoothed: 80 * ms, variation: 51875 * time.Microsecond, bound: 287500 * time.Microsecond},
	} {
		e.Add(step.sample)
		require.True(t, e.Known())
		require.Equal(t, step.smoothed, e.Smoothed())
		require.Equal(t, step.variation, e.Variation())
		require.Equal(t, step.bound, e.Bound())
	}
}

// A steady path is waited for no shorter than a timer is exact.
func TestSteadyPath(t *testing.T) {
	var e rtt.Estimator
	for range 200 {
		e.Add(50 * ms)
	}
	require.Equal(t, 50*ms, e.Smoothed())
	require.Equal(t, 60*ms, e.Bound())
}

// A queue that fills raises the bound above what it makes a round trip take, at once.
func TestQueueThatFills(t *testing.T) {
	var e rtt.Estimator
	for range 20 {
		e.Add(50 * ms)
	}
	for sample := 50 * ms; sample < 4*time.Second; sample += 40 * ms {
		e.Add(sample)
		if sample > 500*ms {
			require.Greater(t, e.Bound(), sample+40*ms, "the next sample was to be expected")
		}
	}
	for range 60 { // and an empty one lowers it again
		e.Add(50 * ms)
	}
	require.Less(t, e.Bound(), 100*ms)
}

// Whatever it is given, it stays within what was given and overflows nowhere.
func TestNonsense(t *testing.T) {
	for _, sample := range []time.Duration{math.MinInt64, -1, 0, 1, math.MaxInt64} {
		var e rtt.Estimator
		for range 100 {
			e.Add(sample)
			require.True(t, e.Known())
			require.Positive(t, e.Smoothed())
			require.LessOrEqual(t, e.Smoothed(), time.Minute)
			require.GreaterOrEqual(t, e.Variation(), time.Duration(0))
			require.Greater(t, e.Bound(), e.Smoothed())
		}
	}
}
