// Command simulate runs a range of simulated schedules, a million of them if
// wanted, on all processors, and says what they have tried and found:
//
//	go run ./lab/simulate -n 1000000
//
// A run that was interrupted goes on with -first. A failure is shrunk and
// printed by the test that is named with it. -race finds data races too, and
// takes ten times as long.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/relink-go/relink/lab/simulation"
)

func main() {
	n := flag.Uint64("n", 1_000_000, "schedules")
	first := flag.Uint64("first", 0, "seed of the first")
	workers := flag.Int("workers", runtime.NumCPU(), "processes")
	race := flag.Bool("race", false, "with the race detector")
	flag.Parse()
	failed, err := run(*first, *n, *workers, *race)
	if err != nil {
		fmt.Fprintln(os.Stderr, "simulate:", err)
		os.Exit(1)
	}
	if failed {
		os.Exit(1)
	}
}

// run reports whether a schedule has failed.
func run(first, n uint64, workers int, race bool) (failed bool, err error) {
	dir, err := os.MkdirTemp("", "simulate")
	if err != nil {
		return false, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary := filepath.Join(dir, "simulation.test")
	args := []string{"test", "-c", "-o", binary}
	if race {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, "github.com/relink-go/relink/lab/simulation")...)
	build.Stdout, build.Stderr = os.Stdout, os.Stderr
	if err := build.Run(); err != nil {
		return false, fmt.Errorf("building the simulation: %w", err)
	}

	begun, told, shown := time.Now(), time.Now(), 0
	f := simulation.Fleet{Binary: binary, Workers: workers, First: first, N: n}
	f.Progress = func(done simulation.Counts, found []simulation.Found) {
		for ; shown < len(found); shown++ {
			fmt.Printf("seed %d: %.2000s\n", found[shown].Seed, found[shown].Failure.String())
		}
		if time.Since(told) < 10*time.Second {
			return
		}
		told = time.Now()
		rate := float64(done.Schedules) / time.Since(begun).Seconds()
		left := time.Duration(float64(n-uint64(done.Schedules)) / rate * float64(time.Second))
		fmt.Printf("%d of %d schedules, %.0f a second, %d failures, about %v left; all seeds below %d are done\n",
			done.Schedules, n, rate, len(found), left.Round(time.Second), f.Finished())
	}
	done, found, err := f.Run()
	if err != nil {
		return false, err
	}
	took := time.Since(begun)
	fmt.Printf("%v, %.0f schedules a second, seeds %d to %d\n%s%d failures\n",
		took.Round(time.Second), float64(done.Schedules)/took.Seconds(), first, first+n-1, done.Summary(), len(found))
	for _, f := range found {
		fmt.Printf("seed %d: %s\n\tRELINK_SCHEDULES=1 RELINK_FIRST_SEED=%d go test -run '^TestSchedules$' ./lab/simulation  (shrinks it)\n"+
			"\tRELINK_SEED=%d go test -v -run '^TestSchedule$' ./lab/simulation  (shows all of it)\n", f.Seed, f.Failure.Class, f.Seed, f.Seed)
	}
	return len(found) > 0, nil
}
