// Package hedge dials again beside a dial that has no answer yet.
package hedge

import (
	"context"
	"net"
	"time"
)

// A call is one dial under way.
type call struct{ cancel context.CancelFunc }

// Dial returns the transport that is connected first. The first dial has all the time of
// ctx. While it waits another begins every so often, which the next one ends, so that two
// are under way at most: an answer that was lost costs no more than that time, and a path
// that takes longer to answer is no worse off than with one dial. If every is not positive
// there is one dial.
//
// The error is that of the dial that was under way for longest, when none is left. A failure
// begins no new dial. drop gets what is connected too late. dial must return when its context
// ends; that of the transport which is returned ends with ctx.
func Dial(ctx context.Context, every time.Duration, dial func(context.Context) (net.Conn, error), drop func(net.Conn)) (net.Conn, error) {
	if every <= 0 {
		return dial(ctx)
	}
	type result struct {
		of  *call
		t   net.Conn
		err error
	}
	results, over := make(chan result), make(chan struct{})
	defer close(over)
	start := func() *call {
		of := new(call)
		var own context.Context
		own, of.cancel = context.WithCancel(ctx)
		go func() {
			t, err := dial(own)
			select {
			case results <- result{of, t, err}:
			case <-over:
				if err == nil {
					drop(t)
				}
			}
		}()
		return of
	}
	timer := time.NewTimer(every)
	defer timer.Stop()
	first, second := start(), (*call)(nil)
	replace := false // the second was given up, and another follows
	for {
		select {
		case r := <-results:
			if r.err == nil {
				for _, other := range []*call{first, second} {
					if other != nil && other != r.of {
						other.cancel()
					}
				}
				return r.t, nil
			}
			r.of.cancel()
			switch {
			case r.of == first && (second == nil || ctx.Err() != nil):
				return nil, r.err
			case r.of == first && replace: // nothing is left but what was given up
				first, second, replace = start(), nil, false
			case r.of == first:
				first, second = second, nil
			case r.of == second && replace && ctx.Err() == nil:
				second, replace = start(), false
			case r.of == second:
				second, replace = nil, false
			}
		case <-timer.C:
			if ctx.Err() != nil {
				continue // the dials under way are about to say so
			}
			if second == nil {
				second = start()
			} else {
				replace = true // when it has returned
				second.cancel()
			}
			timer.Reset(every)
		}
	}
}
