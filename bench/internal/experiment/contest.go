package experiment

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/relink-go/relink/bench/internal/apart"
	"github.com/relink-go/relink/bench/internal/measure"
	"github.com/relink-go/relink/bench/internal/process"
	"github.com/relink-go/relink/bench/internal/report"
)

// A task is what the two ends of a contender do.
type task string

const (
	writing     task = "writes"
	echoing     task = "echo"
	growingEcho task = "echo while histories grow"
	opening     task = "new session"
	resuming    task = "resume"
	storming    task = "storm"
	idling      task = "idle"
	sending     task = "having sent"
)

// A contender is a subject at a task, with its two ends in processes of their own. What
// the task does not have stays zero.
type contender struct {
	subject string
	task    task
	size    int // of a message, in bytes
	writers int // goroutines on each connection
	conns   int
	procs   int // GOMAXPROCS of each process; 0 means the default
	pin     apart.Pin
}

// String is what figures are named by.
func (c contender) String() string {
	parts := []string{c.subject, string(c.task)}
	if c.size > 0 {
		parts = append(parts, report.Bytes(c.size))
	}
	if c.writers > 1 {
		parts = append(parts, fmt.Sprintf("%d writers", c.writers))
	}
	parts = append(parts, connections(c.conns))
	if c.procs > 0 {
		parts = append(parts, fmt.Sprintf("GOMAXPROCS %d", c.procs))
	}
	if c.pin != apart.Free {
		parts = append(parts, c.pin.String())
	}
	return strings.Join(parts, ", ")
}

// connections says how many there are.
func connections(n int) string {
	if n == 1 {
		return "one connection"
	}
	return report.Count(n) + " connections"
}

// measure lets the contender do its task once.
func (c contender) measure(ctx context.Context, s Scale) (apart.Result, error) {
	setup := apart.Setup{Subject: c.subject, Conns: c.conns, GOMAXPROCS: c.procs, Pin: c.pin}
	window := apart.Window{Warm: s.Warm, Length: s.Time}
	switch c.task {
	case writing:
		return apart.Throughput(ctx, setup, apart.Writing{Size: c.size, Writers: c.writers}, window)
	case echoing:
		window.Warm = s.EchoWarm
		return apart.Echoes(ctx, setup, c.size, window)
	case growingEcho:
		window.Warm = 0
		return apart.Echoes(ctx, setup, c.size, window)
	case opening:
		return apart.Sessions(ctx, setup, s.NewBatch, window)
	case resuming:
		return apart.Resumes(ctx, setup, window)
	case storming:
		return apart.Storm(ctx, setup)
	case idling:
		return apart.Memory(ctx, setup, 0, s.Settle)
	case sending:
		return apart.Memory(ctx, setup, c.size, s.Settle)
	default:
		return apart.Result{}, fmt.Errorf("internal error: no task is called %q", c.task)
	}
}

// found is what contenders came to, one result a round.
type found map[contender][]apart.Result

// A metric is a figure of a result.
type metric func(apart.Result) float64

func speedOf(r apart.Result) float64           { return r.Rate }
func processorOf(r apart.Result) float64       { return r.Processor }
func serverProcessorOf(r apart.Result) float64 { return r.ServerProcessor }
func switchesOf(r apart.Result) float64        { return r.Switches }
func p50Of(r apart.Result) float64             { return r.P50 }
func p99Of(r apart.Result) float64             { return r.P99 }
func residentOf(r apart.Result) float64        { return r.Resident }

// values returns a figure of a contender, one a round, times a factor.
func (f found) values(c contender, m metric, factor float64) []float64 {
	var all []float64
	for _, r := range f[c] {
		all = append(all, m(r)*factor)
	}
	return all
}

func (f found) summary(c contender, m metric, factor float64) measure.Summary {
	return measure.Summarize(f.values(c, m, factor))
}

// cell formats the median of a figure.
func (f found) cell(c contender, m metric, factor float64) string {
	return report.Number(f.summary(c, m, factor).Median)
}

// ratio returns the summary of the rounds' ratios.
func (f found) ratio(a, b contender, m metric) measure.Summary {
	return measure.Summarize(measure.Ratios(f.values(a, m, 1), f.values(b, m, 1)))
}

// ratioCell formats a contender's figure relative to that of its rival at the same
// task.
func (f found) ratioCell(c contender, m metric) string {
	rival := c
	var ok bool
	if rival.subject, ok = rivalOf[c.subject]; !ok || len(f[rival]) == 0 {
		return "–"
	}
	return report.Spread(f.ratio(c, rival, m), report.Ratio)
}

// The names of figures that goals are judged by.
func speedRatio(a, b contender) string     { return fmt.Sprintf("speed: %v / %v", a, b) }
func processorRatio(a, b contender) string { return fmt.Sprintf("processor time: %v / %v", a, b) }
func p50Ratio(a, b contender) string       { return fmt.Sprintf("p50: %v / %v", a, b) }
func p99Ratio(a, b contender) string       { return fmt.Sprintf("p99: %v / %v", a, b) }
func processorFigure(c contender) string   { return fmt.Sprintf("processor time: %v", c) }
func serverFigure(c contender) string      { return fmt.Sprintf("server's processor time: %v", c) }
func residentFigure(c contender) string    { return fmt.Sprintf("resident: %v", c) }

// compare adds the ratios of two contenders to the figures.
func (f found) compare(to report.Figures, a, b contender) {
	to[speedRatio(a, b)] = f.ratio(a, b, speedOf)
	to[processorRatio(a, b)] = f.ratio(a, b, processorOf)
	if len(f[a]) > 0 && f[a][0].P50 > 0 {
		to[p50Ratio(a, b)] = f.ratio(a, b, p50Of)
		to[p99Ratio(a, b)] = f.ratio(a, b, p99Of)
	}
}

// contest measures every contender once in each round. Groups follow each other in an
// order that is drawn anew, and so do the contenders of a group: what is compared with
// each other is measured within seconds. The processes are new for each measurement:
// where the memory of a connection happens to lie can make a tenth of its speed, for as
// long as it lives.
func (e *Env) contest(ctx context.Context, rounds int, groups ...[]contender) ([]found, error) {
	all := make([]found, len(groups))
	for i := range all {
		all[i] = make(found)
	}
	told := -1
	err := measure.Turns(rounds, len(groups), func(round, i int) error {
		if round > told {
			told = round
			e.Progress(fmt.Sprintf("round %d of %d", round+1, rounds))
		}
		for _, k := range rand.Perm(len(groups[i])) {
			c := groups[i][k]
			r, err := c.measure(ctx, e.Scale)
			if err != nil {
				return errors.Join(ctx.Err(), fmt.Errorf("%v: %w", c, err))
			}
			all[i][c] = append(all[i][c], r)
		}
		return nil
	})
	return all, err
}

// each returns a contender for each of the subjects, at the same task.
func each(subjects []string, at contender) []contender {
	var all []contender
	for _, s := range subjects {
		at.subject = s
		all = append(all, at)
	}
	return all
}

// dots returns a plot's points in microseconds: one category for each contender.
func (f found) dots(of []contender, m metric) []report.Point {
	var points []report.Point
	for i, c := range of {
		s := f.summary(c, m, micro)
		points = append(points, report.Point{Y: float64(i), X: s.Median, Low: s.Low, High: s.High})
	}
	return points
}

// placements returns where the ends of an echo may run, which decides what is measured:
// where the system may move them, the median has two values. The first is the one
// that repeats best.
func placements() []apart.Pin {
	processors, err := process.Processors()
	switch {
	case err != nil:
		return []apart.Pin{apart.Free} // this system does not pin
	case len(processors) < 2:
		return []apart.Pin{apart.OneCore}
	default:
		return []apart.Pin{apart.OneCore, apart.CoreEach}
	}
}

// The factors from a result's units to those of tables.
const (
	megabytes = 1e-6 // from bytes
	perGB     = 1e9  // from seconds a byte
	micro     = 1e6  // from seconds
	kilobytes = 1e-3 // from bytes
)
