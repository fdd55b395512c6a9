package experiment

import (
	"context"
	"fmt"
	"time"

	"github.com/relink-go/relink/bench/internal/helper"
	"github.com/relink-go/relink/bench/internal/measure"
	"github.com/relink-go/relink/bench/internal/process"
	"github.com/relink-go/relink/bench/internal/report"
	"github.com/relink-go/relink/bench/internal/subject"
)

var game = Experiment{
	Name:  "game",
	Title: "A game's load",
	Text: "A server in one process and its clients in another, over loopback TCP. Every connection carries 20 messages of 100 bytes a second each way; the sending is spread " +
		"evenly over the second, and an application waits in Read on each connection. Processor time is that of a process, user and system, divided by the messages that were sent in both directions within the " +
		"window. More messages are wanted from the larger number of sessions than two processors carry: whoever takes more time then falls behind. Each measurement has two fresh processes, and the subjects take turns.",
	run: runGame,
}

// gameSubjects are what a game server chooses from.
var gameSubjects = []string{subject.TCP, subject.RC4, subject.TLS, subject.DH64RC4, subject.SCP, subject.Noise}

// The messages of the load.
const (
	gameMessage   = 100
	gamePerSecond = 20
)

func runGame(ctx context.Context, e *Env, s *report.Section) error {
	plot := report.Plot{
		File: "game", Title: "A game's load: processor time of a message, both sides",
		X: report.Axis{Label: "microseconds"}, Categories: gameSubjects,
	}
	for _, count := range e.Scale.GameSessions {
		both, server, rate := make(series), make(series), make(series)
		err := measure.Turns(e.Scale.GameRounds, len(gameSubjects), func(round, i int) error {
			name := gameSubjects[i]
			e.Progress(fmt.Sprintf("%s sessions, %s, round %d", report.Count(count), name, round+1))
			at, with, err := play(ctx, e, name, count)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			messages := float64(at.Sent + with.Sent)
			both.add(name, float64(at.ProcessorTime+with.ProcessorTime)/messages)
			server.add(name, float64(at.ProcessorTime)/messages)
			rate.add(name, messages/e.Scale.GameWindow.Seconds())
			return ctx.Err()
		})
		if err != nil {
			return err
		}
		t := report.Table{
			Caption: fmt.Sprintf("%s connections, %d messages a second wanted", report.Count(count), 2*count*gamePerSecond),
			Columns: []string{"subject", "both sides / TCP", "µs a message, both sides", "server / TCP", "µs a message, server", "messages a second"},
		}
		for _, name := range gameSubjects {
			t.Rows = append(t.Rows, []string{
				name, report.Spread(both.ratio(name, subject.TCP), report.Ratio), report.Number(both.summary(name).Median / 1e3),
				report.Spread(server.ratio(name, subject.TCP), report.Ratio), report.Number(server.summary(name).Median / 1e3),
				report.Number(rate.summary(name).Median),
			})
			both.compare(s.Figures, gameFigure(count), [2]string{name, subject.TCP}, [2]string{name, subject.RC4}, [2]string{name, subject.TLS})
		}
		s.Tables = append(s.Tables, t)
		plot.Series = append(plot.Series, report.Series{Name: report.Count(count) + " sessions", Points: both.dotted(gameSubjects, 1e-3)})
	}
	s.Plots = append(s.Plots, plot)
	return nil
}

// gameFigure names the processor time of a message in a load of so many sessions.
func gameFigure(count int) string {
	return fmt.Sprintf("game of %d, processor time of a message", count)
}

// play runs the load once and returns what the server and the clients say.
func play(ctx context.Context, e *Env, name string, count int) (at, with helper.Carried, err error) {
	server, err := process.Start(ctx, process.Options{})
	if err != nil {
		return at, with, err
	}
	defer server.Close()
	client, err := process.Start(ctx, process.Options{})
	if err != nil {
		return at, with, err
	}
	defer client.Close()
	how := helper.How{Subject: name, Credentials: e.Credentials, Count: count}
	if err := server.Call("Party.Listen", how, &how.Address); err != nil {
		return at, with, err
	}
	if err := meet(server, client, how); err != nil {
		return at, with, err
	}
	time.Sleep(e.Scale.Settle)
	load := helper.Load{Size: gameMessage, PerSecond: gamePerSecond, Warm: e.Scale.GameWarm, Window: e.Scale.GameWindow}
	done := make(chan error, 1)
	go func() { done <- client.Call("Party.Run", load, &with) }()
	err = server.Call("Party.Run", load, &at)
	if clientErr := <-done; err == nil {
		err = clientErr
	}
	return at, with, err
}
