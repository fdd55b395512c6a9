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

// sized is the name of a work: what is done, and the size in bytes, or in KiB with a k.
var sized = regexp.MustCompile(`^(write|echo)([0-9]+)(k?)$`)

const largest = 64 << 20

// parseWork finds the work of a name, as write64k or echo128.
func parseWork(name string) (work, error) {
	parts := sized.FindStringSubmatch(name)
	if parts == nil {
		return work{}, fmt.Errorf("-only has %q: use write or echo with the size of the messages, as write64k or echo128", name)
	}
	size, err := strconv.Atoi(parts[2])
	if parts[3] == "k" {
		size <<= 10
	}
	if err != nil || size < 1 || size > largest {
		return work{}, fmt.Errorf("-only has %q: messages have 1 byte to 64 MiB", name)
	}
	w := work{name: parts[1] + " " + report.Bytes(size)}
	if parts[1] == "write" {
		w.run = func(ctx context.Context, s apart.Setup, in apart.Window) (apart.Result, error) {
			return apart.Throughput(ctx, s, size, in)
		}
		w.metrics = []metric{
			{"MB/s", func(r apart.Result) float64 { return r.Rate }, 1e-6, more},
			{"processor s/GB", func(r apart.Result) float64 { return r.Processor }, 1e9, less},
			{"server's s/GB", func(r apart.Result) float64 { return r.ServerProcessor }, 1e9, less},
			{"switches/MB", func(r apart.Result) float64 { return r.Switches }, 1e6, less},
		}
		return w, nil
	}
	w.pin = apart.OneCore
	w.run = func(ctx context.Context, s apart.Setup, in apart.Window) (apart.Result, error) {
		return apart.Echoes(ctx, s, size, in)
	}
	w.metrics = []metric{
		{"p50 µs", func(r apart.Result) float64 { return r.P50 }, 1e6, less},
		{"p99 µs", func(r apart.Result) float64 { return r.P99 }, 1e6, less},
		{"processor µs", func(r apart.Result) float64 { return r.Processor }, 1e6, less},
		{"switches", func(r apart.Result) float64 { return r.Switches }, 1, less},
	}
	return w, nil
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
