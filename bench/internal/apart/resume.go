package apart

import (
	"context"
	"net"
	"time"

	"github.com/relink-go/relink/bench/internal/process"
	"github.com/relink-go/relink/bench/internal/subject"
)

// A mover is a stream that survives a change of the network, of which it is told.
type mover interface{ NetworkChanged() }

// Return gives each stream a new transport, again and again, and exchanges a message
// on it. A stream that ends with its transport is dialled again.
func (e *End) Return(_ process.None, _ *process.None) error {
	return e.onEach(func(c net.Conn, t *tally) (err error) {
		p := make([]byte, greeting)
		for {
			start := time.Now()
			if m, ok := c.(mover); ok {
				m.NetworkChanged()
			} else {
				subject.Abort(c)
				if c, err = e.dial(); err != nil {
					return err
				}
			}
			if err := exchange(c, p); err != nil {
				return err
			}
			t.took(time.Since(start))
		}
	})
}

// Resumes lets the client change its transports, one after the other on each stream.
// The unit is a resume, or a new stream in its place, until a message has come back.
func Resumes(ctx context.Context, s Setup, w Window) (Result, error) {
	return between(ctx, s, w.Warm+w.Length, func(e *ends) (Result, error) {
		if err := e.visit(false); err != nil {
			return Result{}, err
		}
		if err := e.client.Call("End.Open", Opening{Count: s.Conns, AtOnce: dialers}, new(Seen)); err != nil {
			return Result{}, err
		}
		if err := e.client.Call("End.Return", process.None{}, new(process.None)); err != nil {
			return Result{}, err
		}
		return e.watch(w, answered)
	})
}
