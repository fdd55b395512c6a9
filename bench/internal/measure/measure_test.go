package measure_test

import (
	"bytes"
	"errors"
	"math"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/bench/internal/measure"
)

func TestSummarize(t *testing.T) {
	sample := []float64{5, 1, 4, 2, 3}
	require.Equal(t, measure.Summary{Median: 3, Low: 2, High: 4, N: 5}, measure.Summarize(sample))
	require.Equal(t, []float64{5, 1, 4, 2, 3}, sample)
	require.Equal(t, measure.Summary{Median: 1.5, Low: 1.25, High: 1.75, N: 2}, measure.Summarize([]float64{2, 1}))
	require.Equal(t, measure.Summary{Median: 7, Low: 7, High: 7, N: 1}, measure.Summarize([]float64{7}))
	require.True(t, math.IsNaN(measure.Summarize(nil).Median))
}

func TestQuantile(t *testing.T) {
	sorted := make([]float64, 1001)
	for i := range sorted {
		sorted[i] = float64(i)
	}
	require.InDelta(t, 990, measure.Quantile(sorted, 0.99), 1e-9)
	require.InDelta(t, 999, measure.Quantile(sorted, 0.999), 1e-9)
	require.InDelta(t, 1000, measure.Quantile(sorted, 1), 1e-9)
}

func TestRatios(t *testing.T) {
	require.Equal(t, []float64{2, 0.5}, measure.Ratios([]float64{4, 1, 9}, []float64{2, 2}))
}

func TestTurns(t *testing.T) {
	const rounds, n = 200, 3
	followed := make(map[[2]int]bool) // by which other each subject was
	seen := make(map[[2]int]int)
	last := -1
	require.NoError(t, measure.Turns(rounds, n, func(round, subject int) error {
		seen[[2]int{round, subject}]++
		followed[[2]int{last, subject}] = true
		last = subject
		return nil
	}))
	require.Len(t, seen, rounds*n)
	for i := range n {
		for j := range n {
			require.True(t, i == j || followed[[2]int{i, j}], "%d never came right before %d", i, j)
		}
	}
	stop := errors.New("stop")
	require.ErrorIs(t, measure.Turns(2, 3, func(_, _ int) error { return stop }), stop)
}

func TestProcessorTime(t *testing.T) {
	before, ok := measure.ProcessorTime()
	if !ok {
		t.Skip("this system does not tell")
	}
	var spent time.Duration
	for start := time.Now(); spent == 0 && time.Since(start) < time.Minute; {
		after, ok := measure.ProcessorTime()
		require.True(t, ok)
		spent = after - before
	}
	require.Positive(t, spent)
}

func TestTakeMemory(t *testing.T) {
	before := measure.TakeMemory()
	kept := make([]byte, 8<<20)
	quit := make(chan struct{})
	for range 10 {
		go func() { <-quit }()
	}
	grown := measure.TakeMemory().Since(before)
	require.InDelta(t, 8<<20, grown.Heap, 1<<20)
	require.Equal(t, 10, grown.Goroutines)
	runtime.KeepAlive(kept)
	close(quit)
	require.Positive(t, measure.Mallocs())
}

func TestUsage(t *testing.T) {
	before := measure.TakeUsage()
	later := measure.Usage{Processor: before.Processor + 3, Switches: before.Switches + 5}
	require.Equal(t, measure.Usage{Processor: 3, Switches: 5}, later.Since(before))
	require.Equal(t, later, before.And(measure.Usage{Processor: 3, Switches: 5}))
	require.GreaterOrEqual(t, measure.TakeUsage().Since(before).Switches, int64(0))
}

func TestResident(t *testing.T) {
	before, err := measure.Resident()
	if runtime.GOOS != "linux" {
		require.ErrorContains(t, err, "Linux")
		return
	}
	require.NoError(t, err)
	kept := bytes.Repeat([]byte{1}, 64<<20)
	after, err := measure.Resident()
	require.NoError(t, err)
	require.GreaterOrEqual(t, after-before, int64(60<<20)) // more with the race detector
	runtime.KeepAlive(kept)
	freed, err := measure.Resident()
	require.NoError(t, err)
	require.LessOrEqual(t, freed, after-(60<<20))
}
