package experiment

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/relink-go/relink/bench/internal/measure"
	"github.com/relink-go/relink/bench/internal/report"
	"github.com/relink-go/relink/bench/internal/subject"
)

var echo = Experiment{
	Name:  "echo",
	Title: "Echo: a message there and back",
	Text: "One goroutine writes a message and waits for its echo, another returns what it reads; one message is under way at a time. Turns are short (about a " +
		"millisecond), so that a ratio compares moments that lie close together. Every time is kept; the quantiles are those of all messages of a round, " +
		"and the ratios those of one round, whose connections are new.",
	run: runEcho,
}

// echoQuantiles are what is told of the times.
var echoQuantiles = []struct {
	name string
	q    float64
}{{"p50", 0.5}, {"p99", 0.99}, {"p99.9", 0.999}}

func runEcho(ctx context.Context, e *Env, s *report.Section) error {
	subjects := e.forData()
	of := names(subjects)
	for _, size := range e.Scale.EchoSizes {
		e.Progress(report.Bytes(size))
		found, err := echoTimes(ctx, e, subjects, size, 1, e.Scale.Rounds)
		if err != nil {
			return err
		}
		ratios := report.Table{Caption: fmt.Sprintf("%s: ratio of times to the rival (less is faster)", report.Bytes(size)), Columns: []string{"subject", "rival"}}
		times := report.Table{Caption: fmt.Sprintf("%s: microseconds", report.Bytes(size)), Columns: []string{"subject"}}
		plot := report.Plot{
			File: fmt.Sprintf("echo-%d", size), Title: fmt.Sprintf("Echo of %s over loopback", report.Bytes(size)),
			X: report.Axis{Label: "microseconds", Log: true}, Categories: of,
		}
		for i, q := range echoQuantiles {
			ratios.Columns, times.Columns = append(ratios.Columns, q.name), append(times.Columns, q.name)
			plot.Series = append(plot.Series, report.Series{Name: q.name, Points: found[i].dotted(of, 1e-3)})
		}
		for _, name := range of {
			row, ratio := []string{name}, []string{name, versus(name)}
			for i := range echoQuantiles {
				row = append(row, report.Number(found[i].summary(name).Median/1e3))
				ratio = append(ratio, found[i].ratioCell(name))
			}
			times.Rows = append(times.Rows, row)
			if versus(name) != "–" {
				ratios.Rows = append(ratios.Rows, ratio)
			}
		}
		s.Tables = append(s.Tables, ratios, times)
		s.Plots = append(s.Plots, plot)
	}
	return nil
}

// echoTimes returns the quantiles, in nanoseconds, for each subject and round, of
// so many connections that take turns. They are new in each round: where the
// memory of one happens to lie counts for as long as it lives.
func echoTimes(ctx context.Context, e *Env, subjects []subject.Subject, size, conns, rounds int) ([]series, error) {
	found := []series{{}, {}, {}}
	for range rounds {
		if err := echoRound(ctx, e, subjects, size, conns, found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func echoRound(ctx context.Context, e *Env, subjects []subject.Subject, size, conns int, found []series) error {
	circles, err := openCircles(ctx, e, subjects, size, conns)
	defer closeCircles(circles)
	if err != nil {
		return err
	}
	return echoTurns(ctx, e, subjects, circles, size, e.forTime(len(circles)), found)
}

// openCircles opens a circle of connections for each subject.
func openCircles(ctx context.Context, e *Env, subjects []subject.Subject, size, conns int) ([]*circle, error) {
	circles := make([]*circle, 0, len(subjects))
	for _, s := range subjects {
		c, err := openCircle(ctx, s, size, conns)
		if err == nil {
			circles = append(circles, c)
			err = c.roundTrips(size, max(5*e.Scale.EchoBatch, 4*conns), nil)
		}
		if err != nil {
			return circles, fmt.Errorf("%s: %w", s.Name(), err)
		}
	}
	return circles, nil
}

func closeCircles(circles []*circle) {
	for _, c := range circles {
		c.close()
	}
}

// forTime says whether to go on until each of n subjects has had its time.
func (e *Env) forTime(n int) (more func() bool) {
	start := time.Now()
	return func() bool { return time.Since(start) < e.Scale.Time*time.Duration(n) }
}

// echoTurns adds the quantiles of the messages of turns, as long as there are to
// be more.
func echoTurns(ctx context.Context, e *Env, subjects []subject.Subject, circles []*circle, size int, more func() bool, found []series) error {
	times := make([][]float64, len(circles))
	for more() {
		err := measure.Turns(len(circles), len(circles), func(_, i int) error {
			return circles[i].roundTrips(size, e.Scale.EchoBatch, &times[i])
		})
		if err != nil {
			return err
		}
	}
	for i, s := range subjects {
		slices.Sort(times[i])
		for k, q := range echoQuantiles {
			found[k].add(s.Name(), measure.Quantile(times[i], q.q))
		}
	}
	return ctx.Err()
}

// openCircle opens connections to one server, each with an [Echo] behind it.
func openCircle(ctx context.Context, s subject.Subject, size, conns int) (*circle, error) {
	l, err := s.Listen()
	if err != nil {
		return nil, err
	}
	r := &circle{listener: l}
	for range conns {
		client, server, err := subject.Connect(ctx, s, subject.Loopback{}, l)
		if err != nil {
			r.close()
			return nil, err
		}
		r.conns, r.servers = append(r.conns, client), append(r.servers, server)
		go Echo(server, size)
	}
	return r, nil
}

// close ends the streams and their server.
func (r *circle) close() {
	for i := range r.conns {
		subject.Abort(r.conns[i])
		subject.Abort(r.servers[i])
	}
	_ = r.listener.Close()
}

var echoDuels = Experiment{
	Name:  "echo-head-to-head",
	Title: "Echo: two at a time",
	Text: "The comparisons of echoes that the goals speak of, of 128 B as above, but with two at a time and in more rounds. A session without acknowledgements keeps the last 2 MiB that it has sent by default. " +
		"Until that much was sent it takes more memory, and each page of it that is new to the process costs a message a page fault, one in 32 on each side: these messages are shown by themselves. Where the linker puts the code " +
		"moves a median by half a percent from one binary to the next: see performance.md.",
	run: runEchoDuels,
}

// echoDuelSize is the size of the messages.
const echoDuelSize = 128

// growingEchoes is how many messages it takes until histories are as long as they
// get.
const growingEchoes = subject.ReplayLimit / 2 / echoDuelSize

// echoDuelists are the subjects that are compared with their rivals.
var echoDuelists = []string{subject.RC4Kept, subject.DH64RC4, subject.SCP, subject.Noise}

// What of a connection's life the times of echoDuels are from.
const (
	whileGrowing = "while histories grow"
	whenGrown    = "then"
)

// echoFigure names a quantile of the times of echoDuels.
func echoFigure(when, quantile string) string {
	return fmt.Sprintf("echo of %s, two at a time, %s, %s", report.Bytes(echoDuelSize), when, quantile)
}

func runEchoDuels(ctx context.Context, e *Env, s *report.Section) error {
	duels := make([][]subject.Subject, len(echoDuelists))
	growing, grown := make([][]series, len(echoDuelists)), make([][]series, len(echoDuelists))
	for i, name := range echoDuelists {
		var err error
		if duels[i], err = subject.Named(e.Credentials, rivalOf[name], name); err != nil {
			return err
		}
		growing[i], grown[i] = []series{{}, {}, {}}, []series{{}, {}, {}}
	}
	err := e.duelRounds(len(duels), func(i int) error {
		circles, err := openCircles(ctx, e, duels[i], echoDuelSize, 1)
		defer closeCircles(circles)
		if err != nil {
			return err
		}
		sent := 0
		grows := func() bool {
			sent += e.Scale.EchoBatch
			return sent <= e.Scale.GrowingEchoes
		}
		if err := echoTurns(ctx, e, duels[i], circles, echoDuelSize, grows, growing[i]); err != nil {
			return err
		}
		return echoTurns(ctx, e, duels[i], circles, echoDuelSize, e.forTime(len(circles)), grown[i])
	})
	if err != nil {
		return err
	}
	t := report.Table{Caption: "Ratio of times to the rival (less is faster)", Columns: []string{"subject", "rival", "when"}}
	for _, q := range echoQuantiles {
		t.Columns = append(t.Columns, q.name)
	}
	for i, name := range echoDuelists {
		for _, phase := range []struct {
			when  string
			found []series
		}{{whileGrowing, growing[i]}, {whenGrown, grown[i]}} {
			row := []string{name, rivalOf[name], phase.when}
			for k, q := range echoQuantiles {
				phase.found[k].compare(s.Figures, echoFigure(phase.when, q.name), [2]string{name, rivalOf[name]})
				row = append(row, phase.found[k].ratioCell(name))
			}
			t.Rows = append(t.Rows, row)
		}
	}
	s.Tables = append(s.Tables, t)
	return nil
}

var echoMany = Experiment{
	Name:  "echo-many",
	Title: "Echo: many connections in turn",
	Text: "An echo of 128 B, where each message goes over the next of so many connections to one server. That is nearer to what a server does: when it is a connection's turn, " +
		"what belongs to it has left the nearer caches. A subject and its rival are measured by themselves, so that every connection has its turn within 50 ms: nobody reads from the clients in between, and a client of " +
		"relink that has not been read for a tick of 100 ms is read by a goroutine of the library, which costs some 6 µs of the client's time to start and to stop.",
	run: runEchoMany,
}

func runEchoMany(ctx context.Context, e *Env, s *report.Section) error {
	const size = 128
	ratios := report.Table{Caption: "Ratio of the median times to the rival (less is faster), by connections", Columns: []string{"subject", "rival"}}
	times := report.Table{Caption: "Median, microseconds, by connections", Columns: []string{"subject"}}
	for _, n := range e.Scale.EchoConns {
		ratios.Columns, times.Columns = append(ratios.Columns, report.Count(n)), append(times.Columns, report.Count(n))
	}
	for _, name := range []string{subject.RC4Kept, subject.DH64RC4, subject.SCP, subject.Noise} {
		subjects, err := subject.Named(e.Credentials, rivalOf[name], name)
		if err != nil {
			return err
		}
		ratio, micros := []string{name, rivalOf[name]}, []string{name}
		for _, n := range e.Scale.EchoConns {
			e.Progress(fmt.Sprintf("%s, %d connections", name, n))
			found, err := echoTimes(ctx, e, subjects, size, n, e.Scale.Rounds)
			if err != nil {
				return err
			}
			ratio, micros = append(ratio, found[0].ratioCell(name)), append(micros, report.Number(found[0].summary(name).Median/1e3))
		}
		ratios.Rows, times.Rows = append(ratios.Rows, ratio), append(times.Rows, micros)
	}
	s.Tables = append(s.Tables, ratios, times)
	return nil
}

var allocations = Experiment{
	Name:  "allocations",
	Title: "Allocations",
	Text: "Objects that both sides together allocate for one message: for an echo of 128 B a Write and a Read on each side, for a write of 16 KiB one Write and the Reads that " +
		"take it. 8 MiB were carried before in each direction, so that buffers and histories have grown. What the rest of the process allocates in the background counts too, which " +
		"is why a thousandth may remain.",
	run: runAllocations,
}

const (
	echoAllocations  = "allocations per echo: "
	writeAllocations = "allocations per write: "
)

func runAllocations(ctx context.Context, e *Env, s *report.Section) error {
	const small, large, warm = 128, 16 << 10, 8 << 20
	messages := max(100, int(e.Scale.Time/(20*time.Microsecond)))
	subjects := e.forData()
	t := report.Table{Columns: []string{"subject", "echo of 128 B", "write of 16 KiB"}}
	for _, subj := range subjects {
		name := subj.Name()
		e.Progress(name)
		p, err := subject.Open(ctx, subj, subject.Loopback{})
		if err != nil {
			return err
		}
		err = func() error {
			defer p.Close()
			if err := WriteBatch(p.Client, p.Server, large, warm/large, 1, nil); err != nil {
				return err
			}
			if err := WriteBatch(p.Server, p.Client, large, warm/large, 1, nil); err != nil {
				return err
			}
			var echoes, writes []float64
			for range e.Scale.Rounds {
				before := measure.Mallocs()
				if err := WriteBatch(p.Client, p.Server, large, messages, 1, nil); err != nil {
					return err
				}
				writes = append(writes, perMessage(before, messages))
			}
			go Echo(p.Server, small)
			if err := RoundTrips(p.Client, small, 100, nil); err != nil {
				return err
			}
			for range e.Scale.Rounds {
				before := measure.Mallocs()
				if err := RoundTrips(p.Client, small, messages, nil); err != nil {
					return err
				}
				echoes = append(echoes, perMessage(before, messages))
			}
			s.Figures[echoAllocations+name] = measure.Summarize(echoes)
			s.Figures[writeAllocations+name] = measure.Summarize(writes)
			t.Rows = append(t.Rows, []string{name, thousandths(s.Figures[echoAllocations+name].Median), thousandths(s.Figures[writeAllocations+name].Median)})
			return nil
		}()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	s.Tables = append(s.Tables, t)
	return nil
}

// batchAllocations is what a batch allocates itself: its buffers, channel and
// goroutine.
const batchAllocations = 8

func perMessage(before uint64, messages int) float64 {
	return max(0, float64(measure.Mallocs()-before)-batchAllocations) / float64(messages)
}

// thousandths formats what ought to be zero.
func thousandths(v float64) string { return fmt.Sprintf("%.3f", v) }
