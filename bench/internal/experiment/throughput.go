package experiment

import (
	"context"
	"fmt"

	"github.com/relink-go/relink/bench/internal/report"
)

var throughput = Experiment{
	Name:  "throughput",
	Title: "Throughput, by size of the writes",
	Text: "On each connection one goroutine of the client writes messages of one size, and one of the server reads into a buffer of 256 KiB, over loopback TCP (QUIC: UDP). Client and server are processes of their own, " +
		"which are new for each measurement. The speed is that of the bytes that the server's application has read within a window; processor time is that of both processes, user and system, within the same " +
		"window, and divided by those bytes. Sizes at which gathering helps are small writes: relink sends what a row of Writes has left behind with one system call.",
	run: runThroughput,
}

func runThroughput(ctx context.Context, e *Env, s *report.Section) error {
	for _, conns := range []int{1, e.Scale.ManyConns} {
		what := connections(conns)
		err := speeds(ctx, e, s, contender{task: writing, conns: conns}, e.Scale.Sizes, what, fmt.Sprintf("throughput-%d", conns))
		if err != nil {
			return err
		}
	}
	return nil
}

var manyWriters = Experiment{
	Name:  "writers",
	Title: "Throughput: many writers on one connection",
	Text:  "The same on one connection, on which many goroutines of the client write at once. RC4 and QUIC forbid that and have a mutex around Write.",
	run:   runManyWriters,
}

func runManyWriters(ctx context.Context, e *Env, s *report.Section) error {
	n := e.Scale.Writers
	return speeds(ctx, e, s, contender{task: writing, conns: 1, writers: n}, e.Scale.ManySizes, fmt.Sprintf("%d goroutines on one connection", n), "writers")
}

// speeds measures all subjects with all sizes, and adds tables and a plot.
func speeds(ctx context.Context, e *Env, s *report.Section, at contender, sizes []int, what, file string) error {
	of := names(e.forData())
	var groups [][]contender
	for _, size := range sizes {
		at.size = size
		groups = append(groups, each(of, at))
	}
	e.Progress(what)
	all, err := e.contest(ctx, e.Scale.Rounds, groups...)
	if err != nil {
		return err
	}
	ratio := report.Table{Caption: "Ratio to the rival's speed (more is faster), " + what, Columns: []string{"subject", "rival"}}
	speed := report.Table{Caption: "MB/s, " + what, Columns: []string{"subject"}}
	spent := report.Table{Caption: "Seconds of processor time for a GB, both processes (less is better), " + what, Columns: []string{"subject"}}
	plot := report.Plot{
		File: file, Title: "Throughput over loopback, " + what,
		X: report.Axis{Label: "size of a write", Log: true, Ticks: sizeTicks(sizes)},
		Y: report.Axis{Label: "MB/s", Log: true},
	}
	for _, size := range sizes {
		for _, t := range []*report.Table{&ratio, &speed, &spent} {
			t.Columns = append(t.Columns, report.Bytes(size))
		}
	}
	for k, name := range of {
		line := report.Series{Name: name}
		ratios, rates, times := []string{name, versus(name)}, []string{name}, []string{name}
		for i, f := range all {
			c := groups[i][k]
			ratios = append(ratios, f.ratioCell(c, speedOf))
			rates = append(rates, f.cell(c, speedOf, megabytes))
			times = append(times, f.cell(c, processorOf, perGB))
			line.Points = append(line.Points, point(float64(sizes[i]), f.summary(c, speedOf, megabytes)))
		}
		if versus(name) != "–" {
			ratio.Rows = append(ratio.Rows, ratios)
		}
		speed.Rows, spent.Rows = append(speed.Rows, rates), append(spent.Rows, times)
		plot.Series = append(plot.Series, line)
	}
	s.Tables = append(s.Tables, ratio, speed, spent)
	s.Plots = append(s.Plots, plot)
	return nil
}
