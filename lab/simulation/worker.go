package simulation

import (
	"fmt"
	"runtime/debug"
	"slices"
	"testing"
	"time"
)

// RunSeeds runs the schedules of a range of seeds, one after the other, and
// tells when each begins and what came of it.
func RunSeeds(t *testing.T, first, n uint64, o Options, begin func(seed uint64), tell func(seed uint64, r Result)) {
	t.Helper()
	for seed, end := first, first+n; seed < end; {
		// A subtest each few hundred, because what they leave behind for the end
		// of the test adds up.
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			for range min(200, end-seed) {
				begin(seed)
				tell(seed, runWatched(t, seed, o))
				seed++
			}
		})
	}
}

func runWatched(t *testing.T, seed uint64, o Options) Result {
	t.Helper()
	watchdog := time.AfterFunc(maxWallTime, func() {
		debug.SetTraceback("all")
		panic(fmt.Sprintf("simulation: the schedule of seed %d hangs", seed))
	})
	defer watchdog.Stop()
	return Run(t, Generate(seed), o)
}

// Work runs the seeds that a fleet wants this process to run, and reports to it.
func Work(t *testing.T, first, n uint64, o Options) {
	t.Helper()
	sum := newCounts()
	RunSeeds(t, first, n, o, func(seed uint64) {
		say(message{Seed: &seed})
	}, func(seed uint64, r Result) {
		sum.add(r.Counts)
		if r.Failure != nil {
			say(message{Found: &Found{seed, *r.Failure}})
		}
		if sum.Schedules%100 == 0 {
			say(message{Counts: &sum})
			sum = newCounts()
		}
	})
	say(message{Counts: &sum})
}

func sortedKeys(m map[string]int64) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// FailsLike returns what [Shrink] asks: whether a schedule fails with the class
// of the failure, in one of a few runs.
func FailsLike(t *testing.T, f Failure, o Options, runs int) func(Schedule) bool {
	t.Helper()
	return func(s Schedule) bool {
		for range runs {
			if r := Run(t, s, o); r.Failure != nil && r.Failure.Class == f.Class {
				return true
			}
		}
		return false
	}
}
