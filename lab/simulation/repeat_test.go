package simulation_test

import (
	"os"
	"runtime"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/lab/simulation"
)

// A seed that is run twice does the same to the nanosecond: every step, event,
// Read and Write with its result and its time. The exceptions are schedules in
// which two timers are due in the same instant, whose order package synctest
// shuffles on purpose, and those that the machine interrupts.
func TestARunCanBeRepeated(t *testing.T) {
	if os.Getenv("GOMAXPROCS") != "" || raceDetector {
		t.Skip("several processors, and the race detector, shuffle goroutines")
	}
	const seeds = 100
	same, other := 0, []uint64(nil)
	for seed := range uint64(seeds) {
		s := simulation.Generate(seed)
		a := simulation.Run(t, s, simulation.Options{Trace: true})
		b := simulation.Run(t, s, simulation.Options{Trace: true})
		require.NotEmpty(t, a.Trace)
		if slices.Equal(a.Trace, b.Trace) {
			same++
		} else {
			other = append(other, seed)
		}
	}
	t.Logf("%d of %d do the same, all but %v", same, seeds, other)
	// Most do even on a machine that interrupts all the time.
	require.Greater(t, same, seeds*6/10)
	require.Equal(t, 1, runtime.GOMAXPROCS(0))
}
