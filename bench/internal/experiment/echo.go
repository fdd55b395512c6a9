package experiment

import (
	"context"
	"fmt"

	"github.com/relink-go/relink/bench/internal/apart"
	"github.com/relink-go/relink/bench/internal/report"
	"github.com/relink-go/relink/bench/internal/subject"
)

var echo = Experiment{
	Name:  "echo",
	Title: "Echo: a message there and back",
	Text: "One goroutine of the client writes a message and waits for its echo, one of the server returns what it reads; one message is under way at a time. Client and server are processes of their own, new for each " +
		"measurement, and each is bound to one core of the machine: both to the same one, or each to its own (on Linux; elsewhere the system puts them where it likes). What it takes is mostly waking the other process; free to " +
		"move, the median has two values. Every time within the window is kept. All is of one build of the program: where the linker puts the code moves a median by half a percent from one build to the next.",
	run: runEcho,
}

func runEcho(ctx context.Context, e *Env, s *report.Section) error {
	of := names(e.forData())
	var groups [][]contender
	for i, pin := range placements() {
		for _, size := range e.Scale.EchoSizes {
			if i > 0 && size != echoDuelSize {
				continue // one size shows where the ends run
			}
			groups = append(groups, each(of, contender{task: echoing, size: size, conns: 1, pin: pin}))
		}
	}
	all, err := e.contest(ctx, e.Scale.Rounds, groups...)
	if err != nil {
		return err
	}
	for i, f := range all {
		group := groups[i]
		size, where := report.Bytes(group[0].size), group[0].pin.String()
		t := report.Table{
			Caption: fmt.Sprintf("%s, %s (less is better)", size, where),
			Columns: []string{"subject", "rival", "p50 / rival", "p99 / rival", "processor time / rival", "p50 µs", "p99 µs", "processor µs, both"},
		}
		for _, c := range group {
			t.Rows = append(t.Rows, []string{
				c.subject, versus(c.subject), f.ratioCell(c, p50Of), f.ratioCell(c, p99Of), f.ratioCell(c, processorOf),
				f.cell(c, p50Of, micro), f.cell(c, p99Of, micro), f.cell(c, processorOf, micro),
			})
		}
		s.Tables = append(s.Tables, t)
		s.Plots = append(s.Plots, report.Plot{
			File: fmt.Sprintf("echo-%d-%d", group[0].size, i), Title: fmt.Sprintf("Echo of %s over loopback, %s", size, where),
			X: report.Axis{Label: "microseconds", Log: true}, Categories: of,
			Series: []report.Series{{Name: "p50", Points: f.dots(group, p50Of)}, {Name: "p99", Points: f.dots(group, p99Of)}},
		})
	}
	return nil
}

var echoDuels = Experiment{
	Name:  "echo-head-to-head",
	Title: "Echo: few at a time",
	Text: "The comparisons of echoes that the goals speak of, of 128 B as above, but with few at a time and in more rounds. A session without acknowledgements keeps the last 2 MiB that it has sent by default. " +
		"Until that much was sent it takes more memory, and each page of it that is new to the process costs a message a page fault, one in 32 on each side: the first messages of a connection are shown by themselves.",
	run: runEchoDuels,
}

// echoDuelSize is the size of the messages in bytes.
const echoDuelSize = 128

// echoes is a subject that echoes.
func echoes(name string, what task, pin apart.Pin) contender {
	return contender{subject: name, task: what, size: echoDuelSize, conns: 1, pin: pin}
}

// echoRivals are the subjects that are compared with others, with them.
var echoRivals = []struct {
	rival string
	of    []string
}{
	{subject.RC4, []string{subject.RC4Kept, subject.DH64RC4, subject.SCP}},
	{subject.TLSAES256, []string{subject.Noise}},
}

func runEchoDuels(ctx context.Context, e *Env, s *report.Section) error {
	var groups [][]contender
	for i, pin := range placements() {
		for _, r := range echoRivals {
			group := append([]string{r.rival}, r.of...)
			groups = append(groups, each(group, echoes("", echoing, pin)))
			if i == 0 {
				groups = append(groups, each(group, echoes("", growingEcho, pin)))
			}
		}
	}
	all, err := e.contest(ctx, e.Scale.DuelRounds, groups...)
	if err != nil {
		return err
	}
	t := report.Table{
		Caption: "Ratios to the rival (less is better)",
		Columns: []string{"subject", "rival", "", "where", "p50", "p99", "processor time", "p50 µs"},
	}
	for i, f := range all {
		rival := groups[i][0]
		for _, c := range groups[i][1:] {
			f.compare(s.Figures, c, rival)
			t.Rows = append(t.Rows, []string{
				c.subject, rival.subject, string(c.task), c.pin.String(),
				report.Spread(f.ratio(c, rival, p50Of), report.Ratio), report.Spread(f.ratio(c, rival, p99Of), report.Ratio),
				report.Spread(f.ratio(c, rival, processorOf), report.Ratio), f.cell(c, p50Of, micro),
			})
		}
	}
	s.Tables = append(s.Tables, t)
	return nil
}
