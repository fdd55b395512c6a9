package simulation

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Schedules run in several processes: the source of randomness is one for a
// process, one processor makes the order of goroutines repeatable, and a panic
// of the library costs one process and tells which schedule it was.

// workerVariable tells a test binary of this package to be a worker of a fleet
// for a range of seeds: first, number.
const workerVariable = "RELINK_SIMULATION_WORKER"

// A Found is a schedule that failed.
type Found struct {
	Seed    uint64
	Failure Failure
}

// A message is a line that a worker writes: the seed that it begins, a failure,
// or counts.
type message struct {
	Seed   *uint64 `json:",omitempty"`
	Found  *Found  `json:",omitempty"`
	Counts *Counts `json:",omitempty"`
}

// messagePrefix tells a worker's lines from those of package testing.
const messagePrefix = "relink-simulation "

func say(m message) {
	b, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s%s\n", messagePrefix, b)
}

// A Fleet runs ranges of seeds in worker processes.
type Fleet struct {
	Binary  string   // the test binary of this package
	Env     []string // beside the process's own
	Workers int
	First   uint64
	N       uint64
	// Progress, if not nil, is told now and then, and in the end, what has been
	// done. One call at a time.
	Progress func(done Counts, found []Found)

	mu      sync.Mutex // guards the fields below
	next    uint64
	pending map[uint64]bool // the first seeds of the shares under way
	done    Counts
	found   []Found
}

// share is the number of seeds that a worker gets at a time.
const share = 500

// Run runs all seeds and returns what was done and found.
func (f *Fleet) Run() (Counts, []Found, error) {
	f.next, f.done, f.pending = f.First, newCounts(), map[uint64]bool{}
	errs := make(chan error, f.Workers)
	for range f.Workers {
		go func() { errs <- f.work() }()
	}
	var err error
	for range f.Workers {
		if e := <-errs; e != nil {
			err = e
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.done, f.found, err
}

// work runs shares until none is left.
func (f *Fleet) work() error {
	for {
		f.mu.Lock()
		first := f.next
		n := min(share, f.First+f.N-first)
		f.next += n
		if n > 0 {
			f.pending[first] = true
		}
		f.mu.Unlock()
		if n == 0 {
			return nil
		}
		if err := f.process(first, n); err != nil {
			return err
		}
		f.mu.Lock()
		delete(f.pending, first)
		f.mu.Unlock()
	}
}

// process runs a range in worker processes: more than one if a schedule takes
// its process down.
func (f *Fleet) process(first, n uint64) error {
	for end := first + n; first < end; {
		cmd := exec.Command(f.Binary, "-test.run=^TestWorker$", "-test.timeout=0")
		cmd.Env = append(append(os.Environ(), f.Env...), fmt.Sprintf("%s=%d,%d", workerVariable, first, end-first))
		if os.Getenv("GOMAXPROCS") == "" {
			cmd.Env = append(cmd.Env, "GOMAXPROCS=1")
		}
		var complaint bytes.Buffer // written by a goroutine of the command's
		var other strings.Builder
		cmd.Stderr = &complaint
		out, err := cmd.StdoutPipe()
		if err != nil {
			return err
		}
		if err := cmd.Start(); err != nil {
			return err
		}
		seed, begun := first, false
		for sc := bufio.NewScanner(out); sc.Scan(); {
			line, ok := strings.CutPrefix(sc.Text(), messagePrefix)
			var m message
			if !ok || json.Unmarshal([]byte(line), &m) != nil {
				other.WriteString(sc.Text() + "\n")
				continue
			}
			if m.Seed != nil {
				seed, begun = *m.Seed, true
			}
			f.take(m)
		}
		if err = cmd.Wait(); err == nil {
			return nil
		}
		if !begun {
			return fmt.Errorf("a worker did not start: %w\n%s%s", err, other.String(), complaint.String())
		}
		f.take(message{Found: &Found{seed, Failure{Class: "panic", Detail: other.String() + complaint.String()}}})
		first = seed + 1
	}
	return nil
}

// Finished returns the seed below which all have been run. It is for Progress: a
// run that is interrupted can go on there.
func (f *Fleet) Finished() uint64 {
	low := f.next
	for first := range f.pending {
		low = min(low, first)
	}
	return low
}

func (f *Fleet) take(m message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if m.Found != nil {
		f.found = append(f.found, *m.Found)
	}
	if m.Counts != nil {
		f.done.add(*m.Counts)
	}
	if (m.Counts != nil || m.Found != nil) && f.Progress != nil {
		f.Progress(f.done, f.found)
	}
}

// WorkerRange returns the seeds that a fleet wants this process to run.
func WorkerRange() (first, n uint64, ok bool) {
	a, b, _ := strings.Cut(os.Getenv(workerVariable), ",")
	first, err1 := strconv.ParseUint(a, 10, 64)
	n, err2 := strconv.ParseUint(b, 10, 64)
	return first, n, err1 == nil && err2 == nil
}

// ScheduleVariable names a file with a schedule for TestSchedule to run.
const ScheduleVariable = "RELINK_SCHEDULE"

// Crashes returns what [Shrink] asks where a schedule takes its process down: it
// runs each candidate in a process of its own.
func Crashes(binary, dir string, env ...string) func(Schedule) bool {
	return func(s Schedule) bool {
		file := filepath.Join(dir, "candidate.schedule")
		if err := os.WriteFile(file, []byte(s.String()), 0o600); err != nil {
			return false
		}
		cmd := exec.Command(binary, "-test.run=^TestSchedule$")
		cmd.Env = append(append(os.Environ(), env...), ScheduleVariable+"="+file, "GOMAXPROCS=1")
		out, err := cmd.CombinedOutput()
		return err != nil && (bytes.Contains(out, []byte("panic: ")) || bytes.Contains(out, []byte("fatal error: ")))
	}
}

// maxWallTime is how long one schedule may take. It takes a few milliseconds,
// unless something spins without its time passing.
const maxWallTime = 3 * time.Minute

// Summary says in a few lines what was done.
func (c Counts) Summary() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d schedules, %d sessions, %d resumes, %d transports, %d MB read, %d MB sent again, %v of virtual time\n",
		c.Schedules, c.Sessions, c.Resumes, c.Paths, c.Bytes>>20, c.Replayed>>20, c.Virtual.Round(time.Hour))
	for _, m := range []struct {
		name string
		of   map[string]int64
	}{{"suites", c.Suites}, {"steps", c.Steps}, {"cuts", c.Cuts}, {"events", c.Events}, {"ends", c.Errors}} {
		fmt.Fprintf(&b, "%s:", m.name)
		for i, k := range sortedKeys(m.of) {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, " %s %d", k, m.of[k])
		}
		b.WriteByte('\n')
	}
	return b.String()
}
