package experiment

import (
	"context"
	"fmt"

	"github.com/relink-go/relink/bench/internal/report"
	"github.com/relink-go/relink/bench/internal/subject"
)

var newSession = Experiment{
	Name:  "sessions",
	Title: "New sessions",
	Text: "The client dials, and sends a message of 16 bytes as soon as it may; the time is until the message has come back, when every handshake is over on both sides. Client and server are processes of their own. " +
		"200 streams at a time are opened, one after the other or several at once, and then closed, outside of the time. Processor time is that of both processes, with the kernel's work on " +
		"their behalf. TLS and QUIC verify a certificate; Noise knows the server's key; RC4, DH64RC4 and SCP do a key exchange that proves nothing.",
	run: runNewSession,
}

// opens is a subject that opens sessions.
func opens(name string, atOnce int) contender {
	return contender{subject: name, task: opening, conns: atOnce}
}

// sessionDuels are TCP with what goals compare with it and their limit, and what has keys
// that prove something.
var sessionDuels = [][]string{
	{subject.TCP, subject.DH64RC4, subject.RC4Steps},
	{subject.Noise, subject.TLS, subject.TLSX25519},
}

func runNewSession(ctx context.Context, e *Env, s *report.Section) error {
	of := names(subject.ForHandshakes(e.Credentials))
	err := unitTables(ctx, e, s, of, subject.TCP, "sessions", "A new session over loopback", func(atOnce int) contender { return opens("", atOnce) })
	if err != nil {
		return err
	}
	e.Progress("few at a time")
	var groups [][]contender
	for _, d := range sessionDuels {
		groups = append(groups, each(d, opens("", 1)))
	}
	all, err := e.contest(ctx, e.Scale.DuelRounds, groups...)
	if err != nil {
		return err
	}
	t := report.Table{Caption: "These alone in turns, one after the other, with more rounds", Columns: []string{"", "ratio of the medians of times", "ratio of processor times"}}
	for i, f := range all {
		base := groups[i][0]
		for _, c := range groups[i][1:] {
			a, b := c, base
			if base.subject == subject.Noise {
				a, b = base, c
			}
			f.compare(s.Figures, a, b)
			t.Rows = append(t.Rows, []string{
				a.subject + " / " + b.subject, report.Spread(f.ratio(a, b, p50Of), report.Ratio), report.Spread(f.ratio(a, b, processorOf), report.Ratio),
			})
		}
	}
	s.Tables = append(s.Tables, t)
	return nil
}

// unitTables measures work that is counted one by one, one after the other and several at
// a time, and adds a table for each and a plot of the first.
func unitTables(ctx context.Context, e *Env, s *report.Section, of []string, base, file, title string, at func(atOnce int) contender) error {
	counts := []int{1, e.Scale.Dialers}
	var groups [][]contender
	for _, n := range counts {
		groups = append(groups, each(of, at(n)))
	}
	all, err := e.contest(ctx, e.Scale.Rounds, groups...)
	if err != nil {
		return err
	}
	for i, f := range all {
		caption := "One after the other"
		if counts[i] > 1 {
			caption = fmt.Sprintf("%d at a time", counts[i])
		}
		s.Tables = append(s.Tables, unitTable(f, groups[i], base, caption))
	}
	s.Plots = append(s.Plots, report.Plot{
		File: file, Title: title, X: report.Axis{Label: "microseconds", Log: true}, Categories: of,
		Series: []report.Series{{Name: "p50", Points: all[0].dots(groups[0], p50Of)}, {Name: "processor time, both", Points: all[0].dots(groups[0], processorOf)}},
	})
	return nil
}

// unitTable has a row for each contender, with ratios to one of them.
func unitTable(f found, of []contender, base, caption string) report.Table {
	t := report.Table{
		Caption: caption,
		Columns: []string{"", "p50 / " + base, "processor time / " + base, "p50 µs", "p99 µs", "processor µs, both", "processor µs, server", "a second"},
	}
	for _, c := range of {
		b := c
		b.subject = base
		t.Rows = append(t.Rows, []string{
			c.subject, report.Spread(f.ratio(c, b, p50Of), report.Number), report.Spread(f.ratio(c, b, processorOf), report.Number),
			f.cell(c, p50Of, micro), f.cell(c, p99Of, micro), f.cell(c, processorOf, micro), f.cell(c, serverProcessorOf, micro), f.cell(c, speedOf, 1),
		})
	}
	return t
}
