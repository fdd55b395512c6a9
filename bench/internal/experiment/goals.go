package experiment

import (
	"fmt"
	"slices"

	"github.com/relink-go/relink/bench/internal/report"
	"github.com/relink-go/relink/bench/internal/subject"
)

// Goals returns the figures to reach. What was measured comes from the run.
func Goals() []report.Goal { return goals(Complete()) }

// background is what a process does beside what is measured, for each session or
// message: a listener's own goroutines, the runtime's allocations.
const background = 0.01

// goals are those for the numbers of sessions of a run.
func goals(s Scale) []report.Goal {
	few, full := s.CrowdSessions[0], s.CrowdSessions[len(s.CrowdSessions)-1]
	onTCP := s.TCPSessions[0]
	ratio, number := report.Ratio, report.Number
	least := func(work, figure string, bound float64, format func(float64) string, rivals string) report.Goal {
		return report.Goal{Work: work, Figure: figure, AtLeast: true, Bound: bound, Format: format, Rivals: rivals}
	}
	most := func(work, figure string, bound float64, format func(float64) string, rivals string) report.Goal {
		return report.Goal{Work: work, Figure: figure, Bound: bound, Format: format, Rivals: rivals}
	}
	zero := func(work, figure, rivals string) report.Goal {
		return report.Goal{Work: work, Figure: figure, Slack: background, Format: thousandths, Rivals: rivals}
	}
	limited := func(g report.Goal, limit, is string) report.Goal {
		g.Limit, g.LimitIs = limit, is
		return g
	}
	const small, large = 1 << 10, 64 << 10
	dh := func(size int) contender { return contender{subject.DH64RC4, size} }
	noise := func(size int) contender { return contender{subject.Noise, size} }
	rc4 := func(size int) contender { return contender{subject.RC4, size} }
	gathered := func(size int) contender { return contender{subject.RC4Gathered, size} }
	all := []report.Goal{
		limited(least("DH64RC4, 64 KiB writes: speed / RC4 straight over TCP", duelFigure(dh(large), rc4(large)), 1, ratio, "0.97–1.0"),
			duelFigure(contender{subject.RC4Kept, large}, rc4(large)), subject.RC4Kept),
		least("the same / RC4 straight over TCP with crypto/rc4", duelFigure(dh(large), contender{subject.CryptoRC4, large}), 1, ratio, "0.97–1.0"),
		least("DH64RC4, 1 KiB writes: speed / its own 64 KiB", duelFigure(dh(small), dh(large)), 0.9, ratio, "0.3"),
		least("Noise, 1 KiB writes: speed / its own 64 KiB", duelFigure(noise(small), noise(large)), 0.9, ratio, "0.3"),
		limited(least("DH64RC4, 256 B writes: speed / RC4 straight over TCP", duelFigure(dh(256), rc4(256)), 9, number, "0.9–1.0"),
			duelFigure(gathered(256), rc4(256)), subject.RC4Gathered),
		limited(least("DH64RC4, 64 B writes: speed / RC4 straight over TCP", duelFigure(dh(64), rc4(64)), 20, number, "0.9–1.0"),
			duelFigure(gathered(64), rc4(64)), subject.RC4Gathered),
		least("Noise, 64 KiB writes: speed / TLS 1.3 with AES-256-GCM, which Noise has", duelFigure(noise(large), contender{subject.TLSAES256, large}), 1.3, ratio, ""),
		least("the same / TLS 1.3 as it comes, with AES-128-GCM", duelFigure(noise(large), contender{subject.TLS, large}), 1.3, ratio, ""),
		least("Noise, 64 B writes: speed / raw TCP", duelFigure(noise(64), contender{subject.TCP, 64}), 35, number, "about 30, without encryption"),
	}
	for _, q := range []struct {
		work, when, name string
		bound            float64
		rivals           string
	}{
		{"128 B echo, p50", whenGrown, "p50", 1.03, ""},
		{"128 B echo, p99", whenGrown, "p99", 1.1, "3.2, with background goroutines"},
		{"128 B echo while histories grow, p50", whileGrowing, "p50", 1.03, ""},
		{"128 B echo while histories grow, p99", whileGrowing, "p99", 1.1, ""},
	} {
		for _, pair := range [][2]string{{subject.DH64RC4, subject.RC4}, {subject.SCP, subject.RC4}, {subject.Noise, subject.TLSAES256}} {
			work := fmt.Sprintf("%s: time of %s / %s", q.work, pair[0], pair[1])
			g := most(work, figure(echoFigure(q.when, q.name), pair[0], pair[1]), q.bound, ratio, q.rivals)
			if pair[1] == subject.RC4 {
				g = limited(g, figure(echoFigure(q.when, q.name), subject.RC4Kept, subject.RC4), subject.RC4Kept)
			}
			all = append(all, g)
		}
	}
	all = append(all,
		limited(most("new session, DH64RC4: time / TCP's connect and accept", figure(newSessionDuel, subject.DH64RC4, subject.TCP), 1.75, ratio, "7–13"),
			figure(newSessionDuel, subject.RC4Steps, subject.TCP), subject.RC4Steps),
		most("idle session of a server, DH64RC4: heap beyond the transport, bytes", heapFigure(idle, subject.DH64RC4, onTCP), 1536, number, "64 KiB to 1 MiB"),
		most("idle session of a server, Noise: heap beyond the transport, bytes", heapFigure(idle, subject.Noise, onTCP), 3072, number, "64 KiB to 1 MiB"))
	suites := []string{subject.DH64RC4, subject.SCP, subject.Noise}
	for _, name := range suites {
		all = append(all, zero("goroutines of an idle session of a server, "+name, goroutineFigure(idle, name, onTCP), "0–2"))
	}
	for _, name := range suites {
		all = append(all,
			most(report.Count(full)+" suspended sessions, "+name+": heap, MB", crowdHeap(suspended, name, full), 150, number, ""),
			most(report.Count(full)+" suspended sessions, "+name+": % of a core", crowdProcessor(suspended, name, full), 1, number, ""),
			most(report.Count(full)+" idle sessions, "+name+": % of a core", crowdProcessor(idle, name, full), 1, number, ""),
			most(fmt.Sprintf("resume p99 beside %s suspended sessions / beside %s, %s", report.Count(full), report.Count(few), name), crowdResume(name, full, few), 1.2, ratio, ""))
	}
	for _, count := range slices.Backward(s.GameSessions) {
		for _, name := range suites {
			work := fmt.Sprintf("a game's load of %s sessions, %s: processor time of a message / raw TCP", report.Count(count), name)
			rival := subject.RC4
			if name == subject.Noise {
				rival = subject.TLS
			}
			g := most(work, figure(gameFigure(count), name, subject.TCP), 1.2, ratio, "")
			all = append(all, limited(g, figure(gameFigure(count), rival, subject.TCP), rival+", which cannot resume"))
		}
	}
	for _, name := range suites {
		all = append(all,
			zero("allocations, both sides, for an echo: "+name, echoAllocations+name, ""),
			zero("allocations, both sides, for a write: "+name, writeAllocations+name, ""))
	}
	return all
}
