package experiment

import (
	"context"
	"fmt"
	"time"

	"github.com/relink-go/relink/bench/internal/measure"
	"github.com/relink-go/relink/bench/internal/report"
	"github.com/relink-go/relink/bench/internal/subject"
)

var echoMany = Experiment{
	Name:  "echo-many",
	Title: "Echo: many connections in turn",
	Text: "An echo of 128 B with both ends in one process, where each message goes over the next of so many connections to one server. That is nearer to what a server does: when it is a connection's turn, " +
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
			medians, err := echoMedians(ctx, e, subjects, size, n)
			if err != nil {
				return err
			}
			ratio, micros = append(ratio, medians.ratioCell(name)), append(micros, report.Number(medians.summary(name).Median/1e3))
		}
		ratios.Rows, times.Rows = append(ratios.Rows, ratio), append(times.Rows, micros)
	}
	s.Tables = append(s.Tables, ratios, times)
	return nil
}

// echoMedians returns the median time, in nanoseconds, for each subject and round, of
// so many connections that take turns. They are new in each round: where the
// memory of one happens to lie counts for as long as it lives.
func echoMedians(ctx context.Context, e *Env, subjects []subject.Subject, size, conns int) (series, error) {
	medians := make(series)
	for range e.Scale.Rounds {
		if err := echoRound(ctx, e, subjects, size, conns, medians); err != nil {
			return nil, err
		}
	}
	return medians, nil
}

func echoRound(ctx context.Context, e *Env, subjects []subject.Subject, size, conns int, medians series) error {
	circles, err := openCircles(ctx, e, subjects, size, conns)
	defer closeCircles(circles)
	if err != nil {
		return err
	}
	return echoTurns(ctx, e, subjects, circles, size, e.forTime(len(circles)), medians)
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

// echoTurns adds the median of the messages of turns, as long as there are to be
// more.
func echoTurns(ctx context.Context, e *Env, subjects []subject.Subject, circles []*circle, size int, more func() bool, medians series) error {
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
		medians.add(s.Name(), measure.Summarize(times[i]).Median)
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
