package experiment

import (
	"context"

	"github.com/relink-go/relink/bench/internal/report"
	"github.com/relink-go/relink/bench/internal/subject"
)

var resume = Experiment{
	Name:  "resume",
	Title: "Resume",
	Text: "A client is told that its network has changed (`NetworkChanged`), and at once writes a message; the time is until the echo of that message has come back over the new " +
		"transport. TCP and TLS stand for a program without sessions: it closes the connection, dials another and exchanges a message on it, before it begins to restore " +
		"its state. Client and server are processes of their own.",
	run: runResume,
}

// returners come back: the suites resume, and the others dial again.
var returners = []string{subject.TCP, subject.TLS, subject.DH64RC4, subject.SCP, subject.Noise}

func runResume(ctx context.Context, e *Env, s *report.Section) error {
	return unitTables(ctx, e, s, returners, subject.TCP, "resume", "From a change of the network to the first echo, loopback",
		func(atOnce int) contender { return contender{task: resuming, conns: atOnce} })
}

var storm = Experiment{
	Name:  "storm",
	Title: "Storm: all sessions are cut at once",
	Text: "All TCP connections of the client's process are reset within some milliseconds, while an application waits in Read on each end of each session. A message is then written on each session at once, and the times are those from the cut " +
		"until its echo is back. TCP and TLS dial again when their Read fails. Client and server are processes of their own, on the same processors; the clients are therefore as much of the storm as the server.",
	run: runStorm,
}

// storms is a subject whose sessions are cut.
func storms(name string, sessions int) contender {
	return contender{subject: name, task: storming, conns: sessions}
}

func runStorm(ctx context.Context, e *Env, s *report.Section) error {
	group := each(returners, storms("", e.Scale.StormSessions))
	all, err := e.contest(ctx, e.Scale.HeavyRounds, group)
	if err != nil {
		return err
	}
	f := all[0]
	for _, c := range group {
		s.Figures[serverFigure(c)] = f.summary(c, serverProcessorOf, micro)
	}
	s.Tables = append(s.Tables, unitTable(f, group, subject.TCP, report.Count(e.Scale.StormSessions)+" sessions"))
	return nil
}
