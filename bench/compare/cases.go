package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/relink-go/relink/bench/internal/apart"
	"github.com/relink-go/relink/bench/internal/measure"
	"github.com/relink-go/relink/bench/internal/report"
	"github.com/relink-go/relink/bench/internal/subject"
)

// A testCase is work in one setup, with what both versions made of it.
type testCase struct {
	work  work
	setup apart.Setup
	found [2][]apart.Result // of the old and the new version, by round
}

// A work is what the ends do.
type work struct {
	name    string
	conns   int       // what it takes; 0 leaves that to the command line
	pin     apart.Pin // unless the command line says another
	run     func(context.Context, apart.Setup, apart.Window) (apart.Result, error)
	metrics []metric
}

// A metric is one figure of a result.
type metric struct {
	name   string
	of     func(apart.Result) float64
	factor float64 // from the result's unit to the one that is shown
	better string
}

const (
	more = "more"
	less = "less"
)

// The figures that work is judged by, with their units.
func speed(name string, factor float64) metric {
	return metric{name, func(r apart.Result) float64 { return r.Rate }, factor, more}
}

func processor(name string, factor float64) metric {
	return metric{name, func(r apart.Result) float64 { return r.Processor }, factor, less}
}

func serverProcessor(name string, factor float64) metric {
	return metric{name, func(r apart.Result) float64 { return r.ServerProcessor }, factor, less}
}

func switches(name string, factor float64) metric {
	return metric{name, func(r apart.Result) float64 { return r.Switches }, factor, less}
}

// micro is from seconds to microseconds.
const micro = 1e6

var (
	p50 = metric{"p50 µs", func(r apart.Result) float64 { return r.P50 }, micro, less}
	p99 = metric{"p99 µs", func(r apart.Result) float64 { return r.P99 }, micro, less}
)

// units are the figures of work that is counted one by one.
var units = []metric{speed("a second", 1), p50, p99, processor("processor µs", micro), serverProcessor("server's µs", micro), switches("switches", 1)}

// numbered is the name of a work and its number, in thousands with a k: 1024 bytes, or 1000
// sessions.
var numbered = regexp.MustCompile(`^(write|echo|session|resume|storm|idle|sent)([0-9]*)(k?)$`)

// A work's number is bounded by these.
const (
	largestMessage = 64 << 20 // bytes
	mostSessions   = 100_000
)

// sentEach is what each session of "sent" has sent, in bytes.
const sentEach = 4 << 20

// sessionBatch is how many new sessions there are at a time.
const sessionBatch = 200

// settle is how long a server comes to rest before its memory is looked at.
const settle = 300 * time.Millisecond

const workNames = "write or echo with the size of the messages in bytes (write64k, echo128), session, resume, or storm, idle or sent with a number of sessions (storm2000)"

// parseWork finds the work of a name.
func parseWork(name string) (work, error) {
	parts := numbered.FindStringSubmatch(name)
	if parts == nil {
		return work{}, fmt.Errorf("-only has %q: there are %s", name, workNames)
	}
	what, thousand, most := parts[1], 1000, mostSessions
	if what == "write" || what == "echo" {
		thousand, most = 1024, largestMessage
	}
	if what == "session" || what == "resume" {
		if parts[2] != "" {
			return work{}, fmt.Errorf("-only has %q: %s takes no number; -conns says how many at a time", name, what)
		}
		if what == "resume" {
			return work{name: what, run: apart.Resumes, metrics: units}, nil
		}
		return work{
			name: "new session",
			run: func(ctx context.Context, s apart.Setup, in apart.Window) (apart.Result, error) {
				return apart.Sessions(ctx, s, sessionBatch, in)
			},
			metrics: units,
		}, nil
	}
	n, err := strconv.Atoi(parts[2])
	if parts[3] == "k" && n <= most {
		n *= thousand
	}
	if err != nil || n < 1 || n > most {
		return work{}, fmt.Errorf("-only has %q: %s takes a number from 1 to %d", name, what, most)
	}
	switch what {
	case "write":
		return work{
			name: "write " + report.Bytes(n),
			run: func(ctx context.Context, s apart.Setup, in apart.Window) (apart.Result, error) {
				return apart.Throughput(ctx, s, apart.Writing{Size: n}, in)
			},
			metrics: []metric{speed("MB/s", 1e-6), processor("processor s/GB", 1e9), serverProcessor("server's s/GB", 1e9), switches("switches/MB", 1e6)},
		}, nil
	case "echo":
		return work{
			name: "echo " + report.Bytes(n),
			pin:  apart.OneCore,
			run: func(ctx context.Context, s apart.Setup, in apart.Window) (apart.Result, error) {
				return apart.Echoes(ctx, s, n, in)
			},
			metrics: []metric{p50, p99, processor("processor µs", micro), switches("switches", 1)},
		}, nil
	case "storm":
		return work{
			name:  "storm of " + report.Count(n),
			conns: n,
			run: func(ctx context.Context, s apart.Setup, _ apart.Window) (apart.Result, error) {
				return apart.Storm(ctx, s)
			},
			metrics: units,
		}, nil
	default:
		w := work{name: report.Count(n) + " idle", conns: n}
		send := 0
		if what == "sent" {
			send, w.name = sentEach, fmt.Sprintf("%s that sent %s", report.Count(n), report.Bytes(sentEach))
		}
		w.run = func(ctx context.Context, s apart.Setup, _ apart.Window) (apart.Result, error) {
			return apart.Memory(ctx, s, send, settle)
		}
		w.metrics = []metric{{"resident KB each", func(r apart.Result) float64 { return r.Resident }, 1e-3, less}}
		return w, nil
	}
}

// subjectName completes the short name of a suite.
func subjectName(s string) string {
	for _, full := range []string{subject.Noise, subject.DH64RC4, subject.SCP} {
		if strings.EqualFold("relink "+s, full) {
			return full
		}
	}
	return s
}

// takeTurns runs all cases in each round, in an order that is drawn anew, and in each
// case first the one version or the other.
func takeTurns(ctx context.Context, o options, versions []version, told func(round int)) error {
	last := -1
	return measure.Turns(o.rounds, len(o.cases), func(round, i int) error {
		if round > last {
			last = round
			told(round)
		}
		c := &o.cases[i]
		var both [2]apart.Result
		for _, k := range rand.Perm(len(both)) {
			setup := c.setup
			setup.Executable = versions[k].workers[round%o.layouts]
			var err error
			if both[k], err = c.work.run(ctx, setup, o.window); err != nil {
				return fmt.Errorf("%s, %s: %w", versions[k].name, c.work.name, err)
			}
		}
		for k, r := range both {
			c.found[k] = append(c.found[k], r)
		}
		return nil
	})
}

// write writes the table.
func write(out io.Writer, o options) error {
	rows := []string{"work\tsubject\tconns\tprocs\tfigure\told\tnew\tnew/old [quartiles]\tbetter\trounds"}
	for _, c := range o.cases {
		rounds := len(c.found[0])
		if rounds == 0 {
			continue
		}
		procs := strconv.Itoa(c.setup.GOMAXPROCS)
		if c.setup.GOMAXPROCS == 0 {
			procs = "default"
		}
		for _, m := range c.work.metrics {
			older, newer := m.values(c.found[0]), m.values(c.found[1])
			ratio := measure.Summarize(measure.Ratios(newer, older))
			rows = append(rows, fmt.Sprintf("%s\t%s\t%d\t%s\t%s\t%s\t%s\t%.3f [%.3f–%.3f]\t%s\t%d", c.work.name, c.setup.Subject, c.setup.Conns, procs, m.name,
				report.Number(measure.Summarize(older).Median), report.Number(measure.Summarize(newer).Median), ratio.Median, ratio.Low, ratio.High, m.better, rounds))
		}
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if _, err := fmt.Fprintf(t, "old: %s\nnew: %s\n\n%s\n", o.old, o.new, strings.Join(rows, "\n")); err != nil {
		return err
	}
	return t.Flush()
}

func (m metric) values(of []apart.Result) []float64 {
	values := make([]float64, len(of))
	for i, r := range of {
		values[i] = m.of(r) * m.factor
	}
	return values
}
