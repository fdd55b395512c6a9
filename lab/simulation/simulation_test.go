package simulation_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/lab/simulation"
)

// number returns an environment variable that holds a number.
func number(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(s, 10, 64)
	require.NoError(t, err, name)
	return n
}

// TestSchedules runs a few hundred schedules, or as many as RELINK_SCHEDULES
// says, in as many processes as there are processors, from the seed
// RELINK_FIRST_SEED on. A failure is shrunk and printed.
func TestSchedules(t *testing.T) {
	first := number(t, "RELINK_FIRST_SEED", 0)
	n := number(t, "RELINK_SCHEDULES", 0)
	if n == 0 {
		n = 300
		if testing.Short() {
			n = 100
		}
		var found []simulation.Found
		simulation.RunSeeds(t, first, n, simulation.Options{}, func(uint64) {}, func(seed uint64, r simulation.Result) {
			if r.Failure != nil {
				found = append(found, simulation.Found{Seed: seed, Failure: *r.Failure})
			}
		})
		report(t, found)
		return
	}
	binary, err := os.Executable()
	require.NoError(t, err)
	f := simulation.Fleet{Binary: binary, Workers: runtime.NumCPU(), First: first, N: n}
	begun := time.Now()
	done, found, err := f.Run()
	require.NoError(t, err)
	took := time.Since(begun)
	t.Logf("%v, %.0f schedules a second\n%s", took.Round(time.Second), float64(done.Schedules)/took.Seconds(), done.Summary())
	report(t, found)
	require.EqualValues(t, n, done.Schedules)
}

// maxReported is how many failures are shrunk and printed.
const maxReported = 5

// report fails the test with the shortest schedules that fail like those found.
func report(t *testing.T, found []simulation.Found) {
	t.Helper()
	for i, f := range found {
		if i == maxReported {
			t.Errorf("and %d more", len(found)-i)
			break
		}
		s := simulation.Generate(f.Seed)
		fails := simulation.FailsLike(t, f.Failure, simulation.Options{}, 5)
		if f.Failure.Class == "panic" {
			binary, err := os.Executable()
			require.NoError(t, err)
			fails = simulation.Crashes(binary, t.TempDir())
		}
		shortest := "It does not fail each time."
		if fails(s) {
			shortest = "The shortest schedule that fails so:\n\n" + simulation.Shrink(s, fails).String()
		}
		t.Errorf("seed %d: %v\n\n%s\nRun the seed again, with a trace, in the root of the repository:\n\n"+
			"\tRELINK_SEED=%d go test -v -run '^TestSchedule$' ./lab/simulation\n\n"+
			"or put the schedule into a file and name that, with its whole path, in RELINK_SCHEDULE. Those in testdata are run by each test.",
			f.Seed, &f.Failure, shortest, f.Seed)
	}
}

// TestWorker is a worker of a fleet.
func TestWorker(t *testing.T) {
	first, n, ok := simulation.WorkerRange()
	if !ok {
		t.Skip("not started by a fleet")
	}
	simulation.Work(t, first, n, harmFromEnvironment(t))
}

// TestSchedule runs the schedule of the seed RELINK_SEED, or that in the file
// RELINK_SCHEDULE, and prints all that happens.
func TestSchedule(t *testing.T) {
	var s simulation.Schedule
	switch file := os.Getenv(simulation.ScheduleVariable); {
	case file != "":
		s = readSchedule(t, file)
	case os.Getenv("RELINK_SEED") != "":
		s = simulation.Generate(number(t, "RELINK_SEED", 0))
	default:
		t.Skip("neither RELINK_SEED nor RELINK_SCHEDULE is set")
	}
	o := harmFromEnvironment(t)
	o.Trace = true
	r := simulation.Run(t, s, o)
	t.Logf("\n%v\n%s", s, strings.Join(r.Trace, "\n"))
	if r.Failure != nil {
		t.Error(r.Failure)
	}
}

func readSchedule(t *testing.T, file string) simulation.Schedule {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	s, err := simulation.Parse(string(text))
	require.NoError(t, err, file)
	return s
}

// TestKept runs the schedules that once failed. Each says in a comment what it
// found.
func TestKept(t *testing.T) {
	files, err := filepath.Glob("testdata/*.schedule")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".schedule"), func(t *testing.T) {
			s := readSchedule(t, file)
			for range 20 { // the order of goroutines may matter
				if r := simulation.Run(t, s, simulation.Options{}); r.Failure != nil {
					t.Fatal(r.Failure)
				}
			}
		})
	}
}

// TestEverythingHappens requires that the schedules of some hundred seeds have
// every kind of step that does something, every kind of cut, every kind of
// event, and every way in which a call may end.
func TestEverythingHappens(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a second or two")
	}
	sum := map[string]int64{}
	simulation.RunSeeds(t, 1000, 700, simulation.Options{}, func(uint64) {}, func(seed uint64, r simulation.Result) {
		if r.Failure != nil {
			t.Errorf("seed %d: %v", seed, r.Failure)
		}
		for _, m := range []map[string]int64{r.Counts.Steps, r.Counts.Cuts, r.Counts.Events, r.Counts.Errors, r.Counts.Suites} {
			for k, n := range m {
				sum[k] += n
			}
		}
	})
	want := []string{
		"snet", "snetclear", "scp", "noise", "insecurenoise",
		"client opened", "client suspended", "client resuming", "client resumed", "client closed",
		"server opened", "server suspended", "server resumed", "server refused", "server closed",
		"client waitacked nil", "client dial another error",
	}
	for _, v := range simulation.Verbs() {
		want = append(want, string(v))
	}
	for _, k := range []string{"Reset", "ResetNow", "End", "BlackHole", "BlackHoleUp", "BlackHoleDown", "EndUp", "EndDown"} {
		want = append(want, k, k+" at a byte", k+" in a handshake")
	}
	for _, side := range []string{"client", "server"} {
		for _, end := range []string{"read EOF", "read ErrSessionLost", "read ErrExpired", "read ErrClosed", "read ErrDeadlineExceeded", "write ErrPeerClosed", "write ErrClosed", "write ErrDeadlineExceeded"} {
			want = append(want, side+" "+end)
		}
	}
	for _, k := range want {
		if sum[k] == 0 {
			t.Errorf("it never happened: %s", k)
		}
	}
	if t.Failed() {
		t.Log(fmt.Sprint(sum))
	}
}
