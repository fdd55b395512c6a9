package main

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"runtime/metrics"
	"slices"
	"sync"
	"time"

	"github.com/relink-go/relink"
)

const (
	sampleEvery = time.Second

	// leastSamples is how many samples the second half of a run needs for the
	// heap's growth to mean anything.
	leastSamples = 20

	// The bounds of the heap: what it may grow over the second half of a run,
	// by a straight line through the samples, which is this or a part of its
	// median; and what may be left when everything is closed.
	growthBound = 8 << 20
	growthPart  = 0.15
	restBound   = 3 << 20

	// settleTime is the usual monitor.settle.
	settleTime = 20 * time.Second
)

// A sample is the process at one moment.
type sample struct {
	at         time.Duration // since the beginning
	heap       int64         // live bytes, after a collection
	goroutines int
	files      int // -1 where the system does not tell
}

// A monitor samples its process.
type monitor struct {
	name   string
	settle time.Duration // how long what was closed may take to be gone
	before sample
	began  time.Time
	quit   chan struct{}
	done   sync.WaitGroup

	mu      sync.Mutex // guards samples
	samples []sample
}

func newMonitor(name string) *monitor {
	return &monitor{name: name, settle: settleTime, quit: make(chan struct{}), before: take(0)}
}

// warmUp does once what leaves something behind for good, as the runtime's
// network poller does, so that it is not taken for a leak.
func warmUp() {
	l, err := relink.Listen("tcp4", "127.0.0.1:0", relink.InsecureNoiseServer{})
	if err != nil {
		return // the run itself says why
	}
	if c, err := relink.Dial("tcp4", l.Addr().String(), relink.InsecureNoiseClient{}); err == nil {
		if s, err := l.AcceptConn(); err == nil {
			_ = s.Abort()
		}
		_ = c.Abort()
	}
	_ = l.Close()
	if c, err := net.Dial("tcp4", "127.0.0.1:1"); err == nil {
		_ = c.Close()
	}
}

// take takes a sample. It collects garbage first, so that what is counted is
// live.
func take(at time.Duration) sample {
	runtime.GC()
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	return sample{at: at, heap: int64(live[0].Value.Uint64()), goroutines: runtime.NumGoroutine(), files: openFiles()}
}

// openFiles returns the number of the process's descriptors, or -1.
func openFiles() int {
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return -1
	}
	return len(d) - 1 // one of them is for reading the directory
}

func (m *monitor) start() {
	m.began = time.Now()
	m.done.Go(func() {
		ticker := time.NewTicker(sampleEvery)
		defer ticker.Stop()
		for {
			select {
			case <-m.quit:
				return
			case <-ticker.C:
			}
			s := take(time.Since(m.began))
			m.mu.Lock()
			m.samples = append(m.samples, s)
			m.mu.Unlock()
		}
	})
}

func (m *monitor) stop() {
	close(m.quit)
	m.done.Wait()
}

// last returns the newest sample.
func (m *monitor) last() sample {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.samples) == 0 {
		return m.before
	}
	return m.samples[len(m.samples)-1]
}

// A judgement is what a monitor has found, as one process tells another.
type judgement struct {
	Name                            string
	HeapMedian, HeapMax             int64
	HeapGrowth, GrowthBound         int64 // over the second half; the bound is 0 if there were too few samples
	HeapRest                        int64 // more than at the beginning, when everything was closed
	GoroutinesBefore, GoroutinesMax int
	FilesBefore, FilesMax           int
	GoroutinesAfter, FilesAfter     int
	Stacks                          string // of what is left
	Samples                         int
	SettledAfter                    time.Duration
}

// judge waits until the process is as it was, and says what is left.
func (m *monitor) judge() judgement {
	j := judgement{
		Name: m.name, GoroutinesBefore: m.before.goroutines, FilesBefore: m.before.files, Samples: len(m.samples),
	}
	var heaps []int64
	for _, s := range m.samples {
		heaps = append(heaps, s.heap)
		j.GoroutinesMax, j.FilesMax = max(j.GoroutinesMax, s.goroutines), max(j.FilesMax, s.files)
	}
	if len(heaps) > 0 {
		j.HeapMax = slices.Max(heaps)
		slices.Sort(heaps)
		j.HeapMedian = heaps[len(heaps)/2]
	}
	if half := m.samples[len(m.samples)/2:]; len(half) >= leastSamples {
		j.HeapGrowth = growth(half)
		j.GrowthBound = max(growthBound, int64(growthPart*float64(j.HeapMedian)))
	}
	began := time.Now()
	after := take(0)
	for time.Since(began) < m.settle && (after.goroutines > m.before.goroutines || after.files > m.before.files) {
		time.Sleep(50 * time.Millisecond)
		after = take(0)
	}
	runtime.GC() // the second collection in a row empties every sync.Pool
	after = take(0)
	j.SettledAfter = time.Since(began)
	j.HeapRest = after.heap - m.before.heap
	j.GoroutinesAfter, j.FilesAfter = after.goroutines, after.files
	if after.goroutines > m.before.goroutines {
		stacks := make([]byte, 64<<10)
		j.Stacks = string(stacks[:runtime.Stack(stacks, true)])
	}
	return j
}

// growth returns how much the heap has grown over the samples, by the straight
// line that fits them best.
func growth(samples []sample) int64 {
	var n, sx, sy, sxx, sxy float64
	for _, s := range samples {
		x, y := s.at.Seconds(), float64(s.heap)
		n, sx, sy, sxx, sxy = n+1, sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	d := n*sxx - sx*sx
	if d == 0 {
		return 0
	}
	slope := (n*sxy - sx*sy) / d
	return int64(slope * (samples[len(samples)-1].at - samples[0].at).Seconds())
}

// failures returns what is wrong with the process.
func (j judgement) failures() (f []string) {
	if j.GoroutinesAfter > j.GoroutinesBefore {
		f = append(f, fmt.Sprintf("%s: %d goroutines are left of %d at the beginning:\n%s", j.Name, j.GoroutinesAfter, j.GoroutinesBefore, j.Stacks))
	}
	if j.FilesAfter > j.FilesBefore {
		f = append(f, fmt.Sprintf("%s: %d descriptors are left of %d at the beginning", j.Name, j.FilesAfter, j.FilesBefore))
	}
	if j.GrowthBound > 0 && j.HeapGrowth > j.GrowthBound {
		f = append(f, fmt.Sprintf("%s: the heap grew by %s over the second half of the run, and may grow by %s", j.Name, formatSize(j.HeapGrowth), formatSize(j.GrowthBound)))
	}
	if j.HeapRest > restBound {
		f = append(f, fmt.Sprintf("%s: %s of heap are left when everything is closed, and may be %s", j.Name, formatSize(j.HeapRest), formatSize(restBound)))
	}
	return f
}
