package experiment

import (
	"context"
	"fmt"
	"slices"

	"github.com/relink-go/relink/bench/internal/helper"
	"github.com/relink-go/relink/bench/internal/measure"
	"github.com/relink-go/relink/bench/internal/process"
	"github.com/relink-go/relink/bench/internal/report"
	"github.com/relink-go/relink/bench/internal/subject"
)

var memory = Experiment{
	Name:  "memory",
	Title: "Memory and goroutines of a server's connections",
	Text: "A server in a process of its own, its clients in another, over loopback TCP (QUIC: UDP). On each connection of the server an application waits in Read with a buffer of 256 bytes. " +
		"Idle: the connections have carried nothing but their handshakes. Active: each has just carried 16 messages of 256 bytes in both directions. What the server's process holds after two garbage " +
		"collections is compared with what it held before the first connection, and the same with bare TCP is subtracted: what is left is the library's share, heap and stacks of " +
		"goroutines, for one connection. Every measurement has fresh processes. Stacks come in blocks that the runtime shares out, so that a small figure, also below zero, is none.",
	run: runMemory,
}

// exchanged is how many messages make a connection active.
const exchanged = 16

// A state is what a session is doing when it is measured.
type state string

const (
	idle      state = "idle"
	active    state = "active"
	suspended state = "suspended"
)

// A holding is what connections in a state hold, each: one value a round.
type holding struct{ heap, stacks, goroutines series }

func newHolding() holding { return holding{make(series), make(series), make(series)} }

func runMemory(ctx context.Context, e *Env, s *report.Section) error {
	of := e.Scale.MemorySubjects
	if of == nil {
		of = names(subject.ForConnections(e.Credentials))
	}
	heapPlot := report.Plot{
		File: "memory", Title: "Heap of an idle connection of a server, beyond bare TCP",
		X: report.Axis{Label: "bytes", Log: true}, Categories: of[1:],
	}
	count := e.Scale.TCPSessions
	held := map[state]holding{idle: newHolding(), active: newHolding()}
	err := measure.Turns(e.Scale.MemoryRounds, len(of), func(_, i int) error {
		e.Progress(fmt.Sprintf("%s, %s connections", of[i], report.Count(count)))
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := hold(ctx, e, of[i], count, held); err != nil {
			return fmt.Errorf("%s, %d connections: %w", of[i], count, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	t := report.Table{
		Caption: report.Count(count) + " connections: the library's share of each",
		Columns: []string{"subject", "idle: heap, bytes", "stacks", "goroutines", "active: heap, bytes", "stacks", "goroutines"},
	}
	dots := report.Series{Name: report.Count(count) + " connections"}
	for i, name := range of[1:] { // the first is bare TCP
		row := []string{name}
		for _, st := range []state{idle, active} {
			for _, v := range []series{held[st].heap, held[st].stacks, held[st].goroutines} {
				row = append(row, report.Number(measure.Summarize(above(v, name, of[0])).Median))
			}
			s.Figures[heapFigure(st, name)] = measure.Summarize(above(held[st].heap, name, of[0]))
			s.Figures[goroutineFigure(st, name)] = measure.Summarize(above(held[st].goroutines, name, of[0]))
		}
		t.Rows = append(t.Rows, row)
		m := s.Figures[heapFigure(idle, name)]
		dots.Points = append(dots.Points, report.Point{X: m.Median, Y: float64(i), Low: m.Low, High: m.High})
	}
	s.Tables = append(s.Tables, t)
	heapPlot.Series = append(heapPlot.Series, dots)
	s.Plots = append(s.Plots, heapPlot)
	return nil
}

// above subtracts the bare transport's values round by round.
func above(v series, name, bare string) []float64 {
	found := slices.Clone(v[name])
	for i := range found {
		found[i] -= v[bare][i]
	}
	return found
}

func heapFigure(st state, name string) string {
	return fmt.Sprintf("heap of a session, %s, %s", st, name)
}

func goroutineFigure(st state, name string) string {
	return fmt.Sprintf("goroutines of a session, %s, %s", st, name)
}

// hold opens connections between two new processes and measures the server's.
func hold(ctx context.Context, e *Env, name string, count int, held map[state]holding) error {
	server, err := process.Start(ctx, process.Options{})
	if err != nil {
		return err
	}
	defer server.Close()
	client, err := process.Start(ctx, process.Options{})
	if err != nil {
		return err
	}
	defer client.Close()
	how := helper.How{Subject: name, Credentials: e.Credentials, Echo: true, Count: count}
	if err := server.Call("Party.Listen", how, &how.Address); err != nil {
		return err
	}
	var before measure.Memory
	if err := server.Call("Party.Memory", helper.Rest{Goroutines: 5 * count}, &before); err != nil {
		return err
	}
	if err := meet(server, client, how); err != nil {
		return err
	}
	for _, st := range []state{idle, active} {
		if st == active {
			if err := client.Call("Party.Exchange", exchanged, new(process.None)); err != nil {
				return err
			}
		}
		var now measure.Memory
		if err := server.Call("Party.Memory", helper.Rest{Settle: e.Scale.Settle}, &now); err != nil {
			return err
		}
		m, n := now.Since(before), float64(count)
		held[st].heap.add(name, m.Heap/n)
		held[st].stacks.add(name, m.Stacks/n)
		held[st].goroutines.add(name, float64(m.Goroutines)/n)
	}
	return nil
}

// meet lets the client's process dial and the server's accept.
func meet(server, client *process.Process, how helper.How) error {
	dialled := make(chan error, 1)
	go func() {
		err := client.Call("Party.Dial", how, new(process.None))
		if err != nil {
			server.Close() // it would wait for ever
		}
		dialled <- err
	}()
	err := server.Call("Party.Accept", how.Count, new(process.None))
	if dialErr := <-dialled; dialErr != nil {
		return dialErr
	}
	return err
}

var crowd = Experiment{
	Name:  "crowd",
	Title: "Many sessions: memory, processor time, and resumes beside them",
	Text: "More sessions than a process has descriptors: their transports are pipes in memory (`net.Pipe`). Where the sessions are idle or suspended, clients only do the handshake and nothing is " +
		"kept of them, so that all that is left is the server's; the bare pipes, and the applications in Read on them, are measured before and subtracted. For active sessions both sides are in the " +
		"process, have carried 16 messages of 256 bytes in both directions, and the figure is the mean of the two sides. A suspended session has no transport, and no application waits " +
		"on it. LivenessTimeout is off: over TCP the kernel's keep-alive watches an idle session, and pipes have none. Processor time is that of the whole process while nothing happens. Resumes: sessions over loopback TCP on the same listener get a new transport, as in the section above, while all " +
		"the others stay suspended; the listeners with few and with many take turns.",
	run: runCrowd,
}

func runCrowd(ctx context.Context, e *Env, s *report.Section) error {
	counts := e.Scale.CrowdSessions
	var growth []report.Series
	var latency []report.Series
	for _, suite := range subject.Resumables(e.Credentials) {
		name := suite.Name()
		held, err := gatherAll(ctx, e, name, s.Figures)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		t := report.Table{
			Caption: name,
			Columns: []string{"sessions", "idle: heap, bytes", "goroutines", "% of a core", "active: heap, bytes", "goroutines", "suspended: heap, bytes", "goroutines", "% of a core", "resume p50 µs", "resume p99 µs"},
		}
		lines := map[state]*report.Series{}
		for _, st := range []state{idle, active, suspended} {
			lines[st] = &report.Series{Name: fmt.Sprintf("%s, %s", name, st)}
		}
		p50, p99 := report.Series{Name: name + ", p50"}, report.Series{Name: name + ", p99"}
		for i, n := range counts {
			h := held[i]
			t.Rows = append(t.Rows, []string{
				report.Count(n),
				report.Number(h.share[idle].Heap), report.Number(h.share[idle].Goroutines), report.Number(h.percent[idle]),
				report.Number(h.share[active].Heap), report.Number(h.share[active].Goroutines),
				report.Number(h.share[suspended].Heap), report.Number(h.share[suspended].Goroutines), report.Number(h.percent[suspended]),
				report.Number(measure.Summarize(h.p50).Median / 1e3), report.Number(measure.Summarize(h.p99).Median / 1e3),
			})
			for st, line := range lines {
				line.Points = append(line.Points, report.Point{X: float64(n), Y: h.share[st].Heap * float64(n) / megabyte})
			}
			p50.Points = append(p50.Points, point(float64(n), measure.Summarize(scaledBy(h.p50, 1e-3))))
			p99.Points = append(p99.Points, point(float64(n), measure.Summarize(scaledBy(h.p99, 1e-3))))
		}
		s.Tables = append(s.Tables, t)
		for _, st := range []state{idle, active, suspended} {
			growth = append(growth, *lines[st])
		}
		latency = append(latency, p50, p99)
	}
	var ticks []report.Tick
	for _, n := range counts {
		ticks = append(ticks, report.Tick{At: float64(n), Label: report.Count(n)})
	}
	x := report.Axis{Label: "sessions", Log: true, Ticks: ticks}
	s.Plots = append(s.Plots,
		report.Plot{File: "crowd-memory", Title: "Heap of all sessions, the library's share", X: x, Y: report.Axis{Label: "MB", Log: true}, Series: growth},
		report.Plot{File: "crowd-resume", Title: "A resume beside suspended sessions, loopback TCP", X: x, Y: report.Axis{Label: "microseconds", Log: true}, Series: latency})
	return nil
}

func scaledBy(values []float64, factor float64) []float64 {
	return series{"": values}.scaled("", factor)
}
