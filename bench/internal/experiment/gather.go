package experiment

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/relink-go/relink/bench/internal/helper"
	"github.com/relink-go/relink/bench/internal/measure"
	"github.com/relink-go/relink/bench/internal/process"
	"github.com/relink-go/relink/bench/internal/report"
)

// A crowded is what was found with one number of sessions.
type crowded struct {
	count    int
	process  *process.Process
	share    map[state]helper.Share
	percent  map[state]float64 // of a core
	p50, p99 []float64         // of resumes, in nanoseconds, one a round
}

// crowdGuests is how many sessions resume in turn.
const crowdGuests = 8

// gatherAll measures one suite at each number of sessions.
func gatherAll(ctx context.Context, e *Env, name string, figures report.Figures) ([]*crowded, error) {
	var all []*crowded
	defer func() {
		for _, c := range all {
			if c.process != nil {
				c.process.Close()
			}
		}
	}()
	for _, n := range e.Scale.CrowdSessions {
		c := &crowded{count: n, share: make(map[state]helper.Share), percent: make(map[state]float64)}
		all = append(all, c)
		e.Progress(fmt.Sprintf("%s, %s sessions", name, report.Count(n)))
		if err := c.active(ctx, e, name); err != nil {
			return nil, err
		}
		if err := c.gather(ctx, e, name); err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	e.Progress(name + ", processor time")
	if err := watchAll(e, all, idle); err != nil {
		return nil, err
	}
	for _, c := range all {
		var share helper.Share
		if err := c.process.Call("Crowd.Suspend", process.None{}, &share); err != nil {
			return nil, err
		}
		c.share[suspended] = share
	}
	if err := watchAll(e, all, suspended); err != nil {
		return nil, err
	}
	e.Progress(name + ", resumes")
	if err := resumeAll(e, all); err != nil {
		return nil, err
	}
	for _, c := range all {
		for _, st := range []state{idle, active, suspended} {
			figures[crowdHeap(st, name, c.count)] = measure.Summarize([]float64{c.share[st].Heap * float64(c.count) / megabyte})
			figures[crowdGoroutines(st, name, c.count)] = measure.Summarize([]float64{c.share[st].Goroutines})
		}
		for _, st := range []state{idle, suspended} {
			figures[crowdProcessor(st, name, c.count)] = measure.Summarize([]float64{c.percent[st]})
		}
		figures[crowdResume(name, c.count, all[0].count)] = measure.Summarize(measure.Ratios(c.p99, all[0].p99))
	}
	return all, nil
}

func crowdHeap(st state, name string, n int) string {
	return fmt.Sprintf("MB of %d sessions, %s, %s", n, st, name)
}

func crowdGoroutines(st state, name string, n int) string {
	return fmt.Sprintf("goroutines of each of %d sessions, %s, %s", n, st, name)
}

func crowdProcessor(st state, name string, n int) string {
	return fmt.Sprintf("%% of a core for %d sessions, %s, %s", n, st, name)
}

func crowdResume(name string, n, few int) string {
	return fmt.Sprintf("resume p99 beside %d / beside %d: %s", n, few, name)
}

// active measures sessions that have carried something, in a process that ends
// then.
func (c *crowded) active(ctx context.Context, e *Env, name string) error {
	p, err := process.Start(ctx, process.Options{})
	if err != nil {
		return err
	}
	defer p.Close()
	how := helper.How{Subject: name, Credentials: e.Credentials, Count: c.count}
	if err := p.Call("Crowd.Gather", helper.Gather{How: how, Clients: true, Settle: e.Scale.Settle}, new(process.None)); err != nil {
		return err
	}
	if err := p.Call("Crowd.Exchange", exchanged, new(process.None)); err != nil {
		return err
	}
	var share helper.Share
	if err := p.Call("Crowd.Share", process.None{}, &share); err != nil {
		return err
	}
	c.share[active] = share
	return nil
}

// gather opens sessions without clients, in a process that stays.
func (c *crowded) gather(ctx context.Context, e *Env, name string) (err error) {
	if c.process, err = process.Start(ctx, process.Options{}); err != nil {
		return err
	}
	how := helper.How{Subject: name, Credentials: e.Credentials, Count: c.count}
	if err := c.process.Call("Crowd.Gather", helper.Gather{How: how, Settle: e.Scale.Settle}, new(process.None)); err != nil {
		return err
	}
	var share helper.Share
	if err := c.process.Call("Crowd.Share", process.None{}, &share); err != nil {
		return err
	}
	c.share[idle] = share
	return nil
}

// watchAll measures the processor time of all processes while nothing happens in any.
func watchAll(e *Env, all []*crowded, st state) error {
	spent, errs := make([]time.Duration, len(all)), make([]error, len(all))
	done := make(chan struct{})
	for i, c := range all {
		go func() {
			errs[i] = c.process.Call("Crowd.Watch", e.Scale.CrowdWatch, &spent[i])
			done <- struct{}{}
		}()
	}
	for range all {
		<-done
	}
	for i, c := range all {
		c.percent[st] = 100 * float64(spent[i]) / float64(e.Scale.CrowdWatch)
	}
	return errors.Join(errs...)
}

// resumeTurn is how many resumes a listener has in its turn.
const resumeTurn = 20

// resumeAll lets the listeners take turns.
func resumeAll(e *Env, all []*crowded) error {
	var times []time.Duration
	for _, c := range all {
		if err := c.process.Call("Crowd.Invite", crowdGuests, new(process.None)); err != nil {
			return err
		}
		if err := c.process.Call("Crowd.Resume", 2*crowdGuests, &times); err != nil {
			return err
		}
	}
	for range e.Scale.Rounds {
		round := make([][]float64, len(all))
		err := measure.Turns(max(1, e.Scale.CrowdResumes/resumeTurn), len(all), func(_, i int) error {
			var times []time.Duration
			if err := all[i].process.Call("Crowd.Resume", min(resumeTurn, e.Scale.CrowdResumes), &times); err != nil {
				return err
			}
			for _, t := range times {
				round[i] = append(round[i], float64(t))
			}
			return nil
		})
		if err != nil {
			return err
		}
		for i, c := range all {
			slices.Sort(round[i])
			c.p50 = append(c.p50, measure.Quantile(round[i], 0.5))
			c.p99 = append(c.p99, measure.Quantile(round[i], 0.99))
		}
	}
	return nil
}
