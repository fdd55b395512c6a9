package experiment

import (
	"context"
	"runtime"

	"github.com/relink-go/relink/bench/internal/report"
	"github.com/relink-go/relink/bench/internal/subject"
)

var resident = Experiment{
	Name:  "resident",
	Title: "Resident memory of a server's connections",
	Text: "What the system says that the server's process holds (resident memory, on Linux), for each connection of which an application has returned one message of 16 bytes and waits in Read: heap, stacks, what the runtime needs to " +
		"manage them, without the kernel's own. Then what it holds when it has sent so much on each of them, to a client that reads it. Garbage was collected, and what the process does not use was given back before. Clients are a process of their own.",
	run: runResident,
}

// residents are what a server chooses from.
var residents = []string{subject.TCP, subject.RC4, subject.TLS, subject.DH64RC4, subject.SCP, subject.Noise, subject.Classic}

// sentEach is how much each connection has sent, in bytes.
const sentEach = 4 << 20

func idleSessions(name string, count int) contender {
	return contender{subject: name, task: idling, conns: count}
}

func sentSessions(name string, count int) contender {
	return contender{subject: name, task: sending, size: sentEach, conns: count}
}

// tellsResident says whether this system tells what a process holds.
const tellsResident = runtime.GOOS == "linux"

func runResident(ctx context.Context, e *Env, s *report.Section) error {
	t := report.Table{Columns: []string{"subject", report.Count(e.Scale.ResidentSessions) + " idle: KB each", report.Count(e.Scale.SentSessions) + " that sent " + report.Bytes(sentEach) + ": KB each"}}
	if !tellsResident {
		t.Rows = append(t.Rows, []string{"this system does not tell", "–", "–"})
		s.Tables = append(s.Tables, t)
		return nil
	}
	idles, sent := each(residents, idleSessions("", e.Scale.ResidentSessions)), each(residents, sentSessions("", e.Scale.SentSessions))
	all, err := e.contest(ctx, e.Scale.HeavyRounds, idles, sent)
	if err != nil {
		return err
	}
	for i, name := range residents {
		row := []string{name}
		for k, c := range []contender{idles[i], sent[i]} {
			held := all[k].summary(c, residentOf, kilobytes)
			s.Figures[residentFigure(c)] = held
			row = append(row, report.Spread(held, report.Number))
		}
		t.Rows = append(t.Rows, row)
	}
	s.Tables = append(s.Tables, t)
	return nil
}
