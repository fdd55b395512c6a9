package experiment

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/bench/internal/helper"
	"github.com/relink-go/relink/bench/internal/measure"
	"github.com/relink-go/relink/bench/internal/report"
	"github.com/relink-go/relink/bench/internal/subject"
)

var resume = Experiment{
	Name:  "resume",
	Title: "Resume",
	Text: "A client is told that its network has changed (`NetworkChanged`), and at once writes a message; the time is until the echo of that message has come back over the new " +
		"transport. For comparison: closing a TCP connection, dialling another and one echo on it, which is what a program without sessions would do before it begins to restore " +
		"its state. Rate: several clients do that as fast as they can. Processor time is that of both sides.",
	run: runResume,
}

// resumeMessage is the size in bytes of the message that must come back.
const resumeMessage = 16

// A returner is a client that leaves and comes back.
type returner struct {
	name   string
	again  func() (time.Duration, error) // once
	rush   func(while time.Duration) (int64, time.Duration, error)
	finish func()
}

func runResume(ctx context.Context, e *Env, s *report.Section) error {
	var returners []returner
	defer func() {
		for _, r := range returners {
			r.finish()
		}
	}()
	r, err := redial(ctx, e)
	if err != nil {
		return err
	}
	returners = append(returners, r)
	for _, subj := range subject.Resumables(e.Credentials) {
		r, err := resumer(ctx, e, subj)
		if err != nil {
			return err
		}
		returners = append(returners, r)
	}
	var of []string
	for _, r := range returners {
		of = append(of, r.name)
	}

	e.Progress("one after the other")
	p50, p99, processor, rates := make(series), make(series), make(series), make(series)
	for range e.Scale.Rounds {
		round := make([][]float64, len(returners))
		spent := make([]time.Duration, len(returners))
		// Enough for a p99: several turns of each.
		turns := max(1, int(e.Scale.Time/(10*time.Millisecond)))
		err := measure.Turns(turns, len(returners), func(_, i int) error {
			before, _ := measure.ProcessorTime()
			for range e.Scale.Resumes {
				took, err := returners[i].again()
				if err != nil {
					return fmt.Errorf("%s: %w", of[i], err)
				}
				round[i] = append(round[i], float64(took))
			}
			after, _ := measure.ProcessorTime()
			spent[i] += after - before
			return ctx.Err()
		})
		if err != nil {
			return err
		}
		for i, name := range of {
			slices.Sort(round[i])
			p50.add(name, measure.Quantile(round[i], 0.5))
			p99.add(name, measure.Quantile(round[i], 0.99))
			processor.add(name, float64(spent[i])/float64(len(round[i])))
		}
	}
	e.Progress("rates")
	err = measure.Turns(e.Scale.Rounds, len(returners), func(_, i int) error {
		n, took, err := returners[i].rush(e.Scale.Time)
		rates.add(of[i], float64(n)/took.Seconds())
		return err
	})
	if err != nil {
		return err
	}
	t := report.Table{Columns: []string{"", "p50 / TCP", "p50 µs", "p99 µs", "processor µs", "a second"}}
	for _, name := range of {
		t.Rows = append(t.Rows, []string{
			name, report.Spread(p50.ratio(name, of[0]), report.Number), report.Number(p50.summary(name).Median / 1e3), report.Number(p99.summary(name).Median / 1e3),
			report.Number(processor.summary(name).Median / 1e3), report.Number(rates.summary(name).Median),
		})
		p50.compare(s.Figures, "resume p50", [2]string{name, of[0]})
	}
	s.Tables = append(s.Tables, t)
	s.Plots = append(s.Plots, report.Plot{
		File: "resume", Title: "From a change of the network to the first echo, loopback",
		X: report.Axis{Label: "microseconds", Log: true}, Categories: of,
		Series: []report.Series{{Name: "p50", Points: p50.dotted(of, 1e-3)}, {Name: "p99", Points: p99.dotted(of, 1e-3)}},
	})
	return nil
}

// redial is what a program without sessions does.
func redial(ctx context.Context, e *Env) (returner, error) {
	found, err := subject.Named(e.Credentials, subject.TCP)
	if err != nil {
		return returner{}, err
	}
	d, err := openDoor(found[0])
	if err != nil {
		return returner{}, err
	}
	again := func() (time.Duration, error) {
		start := time.Now()
		client, server, err := d.enter(ctx, subject.Loopback{})
		if err != nil {
			return 0, err
		}
		go func() {
			Echo(server, resumeMessage)
			subject.Abort(server)
		}()
		err = RoundTrips(client, resumeMessage, 1, nil)
		took := time.Since(start)
		subject.Abort(client)
		return took, err
	}
	return returner{
		name: "TCP: dial and echo", again: again, finish: d.close,
		rush: func(while time.Duration) (int64, time.Duration, error) {
			return rushOf(e.Scale.Dialers, while, func(int) error {
				_, err := again()
				return err
			})
		},
	}, nil
}

// resumer opens a session for each dialler.
func resumer(ctx context.Context, e *Env, s subject.Resumable) (returner, error) {
	d, err := openDoor(s)
	if err != nil {
		return returner{}, err
	}
	clients := make([]*relink.Conn, e.Scale.Dialers)
	finish := func() {
		for _, c := range clients {
			if c != nil {
				_ = c.Abort()
			}
		}
		d.close()
	}
	for i := range clients {
		client, server, err := d.enter(ctx, subject.Loopback{})
		if err != nil {
			finish()
			return returner{}, err
		}
		clients[i] = client.(*relink.Conn)
		go func() {
			Echo(server, resumeMessage)
			subject.Abort(server)
		}()
	}
	message := make([]byte, resumeMessage)
	return returner{
		name:  s.Name(),
		again: func() (time.Duration, error) { return helper.ResumeOnce(clients[0], message) },
		rush: func(while time.Duration) (int64, time.Duration, error) {
			return rushOf(len(clients), while, func(i int) error {
				_, err := helper.ResumeOnce(clients[i], make([]byte, resumeMessage))
				return err
			})
		},
		finish: finish,
	}, nil
}

// rushOf lets several goroutines do something again and again for a while.
func rushOf(n int, while time.Duration, f func(i int) error) (int64, time.Duration, error) {
	var done atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, n)
	start := time.Now()
	for i := range n {
		wg.Go(func() {
			for time.Since(start) < while {
				if errs[i] = f(i); errs[i] != nil {
					return
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	return done.Load(), time.Since(start), errors.Join(errs...)
}
