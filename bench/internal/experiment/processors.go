package experiment

import (
	"context"

	"github.com/relink-go/relink/bench/internal/report"
	"github.com/relink-go/relink/bench/internal/subject"
)

var processors = Experiment{
	Name:  "processors",
	Title: "Throughput with one processor for each process, and with two",
	Text: "One connection as above, with GOMAXPROCS 1 and with GOMAXPROCS 2 in both processes. The system may run either of them on every processor it has; GOMAXPROCS says how many of a process's goroutines run at " +
		"once. With more of them, goroutines of one process wake each other across processors, and what that costs is what this is about.",
	run: runProcessors,
}

// processorsSubjects are the suites, and what has one goroutine for each direction.
var processorsSubjects = []string{subject.RC4, subject.TLS, subject.DH64RC4, subject.SCP, subject.Noise}

// fewProcessors and moreProcessors are the values of GOMAXPROCS that are compared.
const fewProcessors, moreProcessors = 1, 2

// withProcessors is a subject that writes on one connection.
func withProcessors(name string, size, procs int) contender {
	return contender{subject: name, task: writing, size: size, conns: 1, procs: procs}
}

func runProcessors(ctx context.Context, e *Env, s *report.Section) error {
	var groups [][]contender
	for _, size := range []int{large, small} {
		for _, name := range processorsSubjects {
			groups = append(groups, []contender{withProcessors(name, size, fewProcessors), withProcessors(name, size, moreProcessors)})
		}
	}
	all, err := e.contest(ctx, e.Scale.DuelRounds, groups...)
	if err != nil {
		return err
	}
	t := report.Table{Columns: []string{"subject", "size", "speed with 2 / with 1", "processor time with 2 / with 1", "MB/s with 1", "MB/s with 2", "s/GB with 1", "s/GB with 2", "switches/MB with 1", "switches/MB with 2"}}
	for i, f := range all {
		one, two := groups[i][0], groups[i][1]
		f.compare(s.Figures, two, one)
		t.Rows = append(t.Rows, []string{
			one.subject, report.Bytes(one.size),
			report.Spread(f.ratio(two, one, speedOf), report.Ratio), report.Spread(f.ratio(two, one, processorOf), report.Ratio),
			f.cell(one, speedOf, megabytes), f.cell(two, speedOf, megabytes), f.cell(one, processorOf, perGB), f.cell(two, processorOf, perGB),
			f.cell(one, switchesOf, 1/megabytes), f.cell(two, switchesOf, 1/megabytes),
		})
	}
	s.Tables = append(s.Tables, t)
	return nil
}
