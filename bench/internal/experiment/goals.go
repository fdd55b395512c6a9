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
	ratio, number := report.Ratio, report.Number
	suites := []string{subject.DH64RC4, subject.SCP, subject.Noise}
	all := slices.Concat(throughputGoals(s), processorGoals(), echoGoals(), transportGoals())
	all = append(all,
		limited(most("new session, DH64RC4: time until a first message is back / TCP", p50Ratio(opens(subject.DH64RC4, 1), opens(subject.TCP, 1)), 1.75, ratio, "7–13"),
			p50Ratio(opens(subject.RC4Steps, 1), opens(subject.TCP, 1)), subject.RC4Steps),
		most(fmt.Sprintf("storm of %s sessions, Noise: the server's processor time of a resume, µs", report.Count(s.StormSessions)),
			serverFigure(storms(subject.Noise, s.StormSessions)), 120, number, ""))
	if tellsResident {
		for _, g := range []struct {
			name  string
			bound float64
		}{{subject.DH64RC4, 6.3}, {subject.Noise, 8.3}} {
			c := idleSessions(g.name, s.ResidentSessions)
			tcp := idleSessions(subject.TCP, s.ResidentSessions)
			all = append(all, limited(most(fmt.Sprintf("idle session of a server, %s: resident memory of its process, KB", g.name), residentFigure(c), g.bound, number, "TLS 1.3: 14–18"),
				residentFigure(tcp), subject.TCP))
		}
		all = append(all, most(fmt.Sprintf("session that has sent %s, DH64RC4: resident memory, KB", report.Bytes(sentEach)), residentFigure(sentSessions(subject.DH64RC4, s.SentSessions)), 2100, number, ""))
	}
	all = append(all,
		most("idle session of a server, DH64RC4: heap beyond the transport, bytes", heapFigure(idle, subject.DH64RC4), 1536, number, "64 KiB to 1 MiB"),
		most("idle session of a server, Noise: heap beyond the transport, bytes", heapFigure(idle, subject.Noise), 3072, number, "64 KiB to 1 MiB"))
	for _, name := range suites {
		all = append(all, zero("goroutines of an idle session of a server, "+name, goroutineFigure(idle, name), "0–2"))
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

// least is a goal for a figure that should be large.
func least(work, figure string, bound float64, format func(float64) string, rivals string) report.Goal {
	return report.Goal{Work: work, Figure: figure, AtLeast: true, Bound: bound, Format: format, Rivals: rivals}
}

// most is one for a figure that should be small.
func most(work, figure string, bound float64, format func(float64) string, rivals string) report.Goal {
	return report.Goal{Work: work, Figure: figure, Bound: bound, Format: format, Rivals: rivals}
}

// zero is one for a figure of which there should be nothing.
func zero(work, figure, rivals string) report.Goal {
	return report.Goal{Work: work, Figure: figure, Slack: background, Format: thousandths, Rivals: rivals}
}

// limited adds what has to be done in any case.
func limited(g report.Goal, limit, is string) report.Goal {
	g.Limit, g.LimitIs = limit, is
	return g
}

// throughputGoals are those of headToHead.
func throughputGoals(s Scale) []report.Goal {
	ratio, number, many := report.Ratio, report.Number, s.ManyConns
	speed := func(name, rival string, size, conns int) string {
		return speedRatio(writes(name, size, conns), writes(rival, size, conns))
	}
	spent := func(name, rival string, conns int) string {
		return processorRatio(writes(name, large, conns), writes(rival, large, conns))
	}
	sixteen := ", " + connections(many)
	return []report.Goal{
		least("Noise, 64 KiB writes: speed / TLS 1.3 as it comes", speed(subject.Noise, subject.TLS, large, 1), 1.5, ratio, ""),
		least("the same"+sixteen, speed(subject.Noise, subject.TLS, large, many), 1.4, ratio, ""),
		least("Noise, 64 KiB writes: speed / TLS 1.3 with AES-256-GCM, which Noise has", speed(subject.Noise, subject.TLSAES256, large, 1), 1.3, ratio, ""),
		least("Noise, 64 KiB writes: speed / classic, without any cipher", speed(subject.Noise, subject.Classic, large, 1), 1, ratio, ""),
		least("the same"+sixteen, speed(subject.Noise, subject.Classic, large, many), 1, ratio, ""),
		most("Noise, 64 KiB writes: processor time of both ends, s/GB", processorFigure(writes(subject.Noise, large, 1)), 0.6, number, "TLS 1.3: 1.07"),
		least("DH64RC4, 64 KiB writes: speed / classic RC4", speed(subject.DH64RC4, subject.ClassicRC, large, 1), 1.15, ratio, ""),
		least("the same"+sixteen, speed(subject.DH64RC4, subject.ClassicRC, large, many), 1.3, ratio, ""),
		most("DH64RC4, 64 KiB writes: processor time / classic RC4", spent(subject.DH64RC4, subject.ClassicRC, 1), 0.8, ratio, ""),
		limited(least("DH64RC4, 64 KiB writes: speed / RC4 straight over TCP", speed(subject.DH64RC4, subject.RC4, large, 1), 1, ratio, "0.97–1.0"),
			speed(subject.RC4Kept, subject.RC4, large, 1), subject.RC4Kept),
		least("the same / RC4 straight over TCP with crypto/rc4", speed(subject.DH64RC4, subject.CryptoRC4, large, 1), 1, ratio, "0.97–1.0"),
		least("DH64RC4, 1 KiB writes: speed / its own 64 KiB", speedRatio(writes(subject.DH64RC4, small, 1), writes(subject.DH64RC4, large, 1)), 0.9, ratio, "0.3"),
		least("Noise, 1 KiB writes: speed / its own 64 KiB", speedRatio(writes(subject.Noise, small, 1), writes(subject.Noise, large, 1)), 0.9, ratio, "0.3"),
		limited(least("DH64RC4, 256 B writes: speed / RC4 straight over TCP", speed(subject.DH64RC4, subject.RC4, 256, 1), 9, number, "0.9–1.0"),
			speed(subject.RC4Gathered, subject.RC4, 256, 1), subject.RC4Gathered),
		limited(least("DH64RC4, 64 B writes: speed / RC4 straight over TCP", speed(subject.DH64RC4, subject.RC4, tiny, 1), 20, number, "0.9–1.0"),
			speed(subject.RC4Gathered, subject.RC4, tiny, 1), subject.RC4Gathered),
		least("Noise, 64 B writes: speed / raw TCP", speed(subject.Noise, subject.TCP, tiny, 1), 35, number, "about 30, without encryption"),
	}
}

// processorGoals are those of processors.
func processorGoals() []report.Goal {
	var all []report.Goal
	figure := func(name string, size int) string {
		return speedRatio(withProcessors(name, size, moreProcessors), withProcessors(name, size, fewProcessors))
	}
	for _, name := range []string{subject.Noise, subject.DH64RC4} {
		for _, size := range []int{large, small} {
			all = append(all, least(fmt.Sprintf("%s, %s writes: speed with GOMAXPROCS 2 / with 1 in both processes", name, report.Bytes(size)),
				figure(name, size), 0.97, report.Ratio, "TLS 1.3: 0.97, RC4: 0.99"))
		}
	}
	return all
}

// echoGoals are those of echoDuels.
func echoGoals() []report.Goal {
	var all []report.Goal
	for i, pin := range placements() {
		tasks := []task{echoing}
		if i == 0 {
			tasks = append(tasks, growingEcho)
		}
		for _, what := range tasks {
			for _, q := range []struct {
				name   string
				figure func(a, b contender) string
				bound  float64
				rivals string
			}{{"p50", p50Ratio, 1.03, ""}, {"p99", p99Ratio, 1.1, "3.2, with background goroutines"}} {
				for _, r := range echoRivals {
					rival := echoes(r.rival, what, pin)
					for _, name := range r.of {
						if name == subject.RC4Kept {
							continue // it is the limit
						}
						work := fmt.Sprintf("%s %s, %v, %s: time of %s / %s", report.Bytes(echoDuelSize), what, pin, q.name, name, r.rival)
						g := most(work, q.figure(echoes(name, what, pin), rival), q.bound, report.Ratio, q.rivals)
						if r.rival == subject.RC4 {
							g = limited(g, q.figure(echoes(subject.RC4Kept, what, pin), rival), subject.RC4Kept)
						}
						all = append(all, g)
					}
				}
			}
		}
	}
	return all
}

// transportGoals are those of transports.
func transportGoals() []report.Goal {
	pin := placements()[0]
	echo := func(name, rival string) string {
		return p50Ratio(echoes(name, echoing, pin), echoes(rival, echoing, pin))
	}
	bulk := func(name, rival string) string { return speedRatio(writes(name, large, 1), writes(rival, large, 1)) }
	work := func(what, name, rival string) string { return what + ": " + name + " / " + rival }
	return []report.Goal{
		most(work("128 B echo, p50", subject.NoiseWebSocket, "coder/websocket's own"), echo(subject.NoiseWebSocket, subject.WebSocket), 1.3, report.Ratio, ""),
		least(work("64 KiB writes, speed", subject.NoiseWebSocket, "coder/websocket's own"), bulk(subject.NoiseWebSocket, subject.WebSocket), 0.95, report.Ratio, ""),
		least(work("64 KiB writes, speed", subject.NoiseQUIC, "a bare stream"), bulk(subject.NoiseQUIC, subject.QUIC), 0.95, report.Ratio, ""),
		most(work("128 B echo, p50", subject.NoiseQUIC, "a bare stream"), echo(subject.NoiseQUIC, subject.QUIC), 1/0.95, report.Ratio, ""),
	}
}
