package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/relink-go/relink"
)

// steerEvery is how often a bot thinks.
const steerEvery = 200 * time.Millisecond

// bots play until ctx ends, and return the first thing that went wrong with one.
func bots(ctx context.Context, d *relink.Dialer, address string, n int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			if err := bot(ctx, d, address, fmt.Sprintf("bot %d", i+1)); err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("bot %d: %w", i+1, err))
			}
		})
	}
	all.Wait()
	if err := context.Cause(ctx); ctx.Err() != err { //nolint:errorlint // the cause is either ctx's own error or ours
		return err
	}
	return nil
}

// joinTries is how often a bot tries to get in. What was opened survives a cut; the opening
// is one attempt, which may meet one.
const joinTries = 20

// bot runs after the nearest coin.
func bot(ctx context.Context, d *relink.Dialer, address, name string) error {
	p, err := join(ctx, d, address, name)
	for tries := 1; err != nil && tries < joinTries && ctx.Err() == nil; tries++ {
		time.Sleep(steerEvery)
		p, err = join(ctx, d, address, name)
	}
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = p.conn.Abort() })
	defer stop()
	defer p.conn.Abort()
	var thought time.Time
	for {
		m, err := p.next()
		if err != nil {
			return err
		}
		if m.Type == "state" && time.Since(thought) > steerEvery {
			thought = time.Now()
			if err := p.steer(p.towardsCoin()); err != nil {
				return err
			}
		}
	}
}

// towardsCoin returns the direction of the nearest coin, and not quite.
func (p *player) towardsCoin() (dx, dy float64) {
	nearest := math.Inf(1)
	for _, me := range p.state.Players {
		if me[0] != p.number {
			continue
		}
		for _, at := range p.state.Coins {
			x, y := float64(at[0]-me[1]), float64(at[1]-me[2])
			if far := math.Hypot(x, y); far < nearest && far > 0 {
				nearest, dx, dy = far, x/far, y/far
			}
		}
	}
	return dx + rand.Float64()/2 - 0.25, dy + rand.Float64()/2 - 0.25
}
