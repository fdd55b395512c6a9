package gaptest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// workerEnv makes the program a worker.
const workerEnv = "RELINK_GAPTEST_WORKER"

// A worker is this program once more. It is told names of tests, one at a time, and says
// of each what has come of it. Where coverage is measured, for which it would all have to be in
// one process, and with RELINK_GAPTEST_DIRECT=1, there is none.
type worker struct {
	in  io.WriteCloser
	out *bufio.Reader
	cmd *exec.Cmd
}

// verdict begins the line that ends what a worker says of a test.
const verdict = "gaptest verdict: "

// What a worker says of a test that was not wrong.
const (
	ok   = verdict + "ok\n"
	skip = verdict + "skip\n"
)

// TestMain is a worker where it is told to be.
func TestMain(m *testing.M) {
	if os.Getenv(workerEnv) != "" {
		os.Args = append(os.Args[:1], "-test.run=^TestWorker$", "-test.v", "-test.timeout=0", "-test.count=1")
	}
	os.Exit(m.Run())
}

// TestWorker does a worker's work.
func TestWorker(t *testing.T) {
	if os.Getenv(workerEnv) == "" {
		t.Skip("it is the other end of the other tests")
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		f, ok := lookUp(lines.Text())
		if !ok {
			fmt.Printf("%sno test has the name %q\n", verdict, lines.Text())
			continue
		}
		said, skipped := "FAIL", false
		if t.Run(lines.Text(), func(t *testing.T) {
			defer func() { skipped = t.Skipped() }()
			f(t)
		}) {
			said = "ok"
		}
		if skipped {
			said = "skip"
		}
		fmt.Printf("\n%s%s\n", verdict, said)
	}
}

// direct reports whether tests run in this process.
func direct() bool { return testing.CoverMode() != "" || os.Getenv("RELINK_GAPTEST_DIRECT") != "" }

// A crew is the workers of one test function, which take turns.
type crew struct {
	asked, skipped atomic.Int64

	mu   sync.Mutex // guards free
	free []*worker
}

func newCrew(t *testing.T) *crew {
	c := new(crew)
	t.Cleanup(func() {
		for _, w := range c.free {
			w.end()
		}
	})
	return c
}

// run runs one test, by its name below the crew's test function, which may be called in
// parallel.
func (c *crew) run(t *testing.T, name string) {
	t.Helper()
	if direct() {
		f, ok := lookUp(name)
		if !ok {
			t.Fatalf("no test has the name %q", name)
		}
		f(t)
		return
	}
	c.mu.Lock()
	var w *worker
	if n := len(c.free); n > 0 {
		w, c.free = c.free[n-1], c.free[:n-1]
	}
	c.mu.Unlock()
	if w == nil {
		w = startWorker(t)
	}
	c.asked.Add(1)
	said, alive := w.ask(name)
	if alive {
		c.mu.Lock()
		c.free = append(c.free, w)
		c.mu.Unlock()
	} else {
		w.end()
	}
	switch said {
	case ok:
	case skip:
		c.skipped.Add(1)
		t.Skip("this time the scenario does not come to this gap")
	default:
		t.Errorf("%s\nAlone: go test -run '^%s$' ./internal/gaptest", said, strings.ReplaceAll(t.Name(), "/", "$/^"))
	}
}

func startWorker(t *testing.T) *worker {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), workerEnv+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	r, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = out, out // in the order in which it is said
	err = cmd.Start()
	_ = out.Close()
	if err != nil {
		t.Fatal(err)
	}
	return &worker{in, bufio.NewReader(r), cmd}
}

// ask runs a test and returns what is wrong, if anything, and whether the worker can go
// on.
func (w *worker) ask(name string) (said string, alive bool) {
	var log strings.Builder
	_, err := io.WriteString(w.in, name+"\n")
	for err == nil {
		var line string
		if line, err = w.out.ReadString('\n'); strings.HasPrefix(line, verdict) {
			if line == ok || line == skip {
				return line, true
			}
			return log.String() + line, true
		}
		log.WriteString(line)
	}
	return log.String() + "the worker has ended", false
}

func (w *worker) end() {
	_ = w.in.Close()
	stuck := time.AfterFunc(time.Minute, func() { _ = w.cmd.Process.Kill() })
	defer stuck.Stop()
	_, _ = io.Copy(io.Discard, w.out)
	_ = w.cmd.Wait()
}

// lookUp returns the test with the name that [testing.T.Run] knows it by.
func lookUp(name string) (func(*testing.T), bool) {
	function, rest, _ := strings.Cut(name, "/")
	switch function {
	case "TestGaps":
		return gapNamed(rest)
	case "TestListenerWaiters":
		return listenerWaiterNamed(rest)
	case "TestWaiters":
		return waiterNamed(rest)
	default:
		return nil, false
	}
}
