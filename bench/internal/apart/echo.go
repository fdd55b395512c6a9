package apart

import (
	"context"
	"io"
	"net"
	"time"

	"github.com/relink-go/relink/bench/internal/process"
)

// Echo returns messages of a size.
func (e *End) Echo(size int, _ *process.None) error {
	return e.onEach(func(c net.Conn, _ *tally) error { return echo(c, size) })
}

func echo(c net.Conn, size int) error {
	p := make([]byte, size)
	for {
		if _, err := io.ReadFull(c, p); err != nil {
			return err
		}
		if _, err := c.Write(p); err != nil {
			return err
		}
	}
}

// Ask sends messages of a size on each stream and waits for the answer of each.
func (e *End) Ask(size int, _ *process.None) error {
	return e.onEach(func(c net.Conn, t *tally) error {
		p := make([]byte, size)
		last := time.Now()
		for {
			if err := exchange(c, p); err != nil {
				return err
			}
			now := time.Now()
			t.took(now.Sub(last))
			last = now
		}
	})
}

// Echoes lets the client send messages of a size, one at a time on each stream, and
// the server return them. The unit is a message there and back.
func Echoes(ctx context.Context, s Setup, size int, w Window) (Result, error) {
	return between(ctx, s, w.Warm+w.Length, func(e *ends) (Result, error) {
		if err := e.meet(s.Conns); err != nil {
			return Result{}, err
		}
		if err := e.server.Call("End.Echo", size, new(process.None)); err != nil {
			return Result{}, err
		}
		if err := e.client.Call("End.Ask", size, new(process.None)); err != nil {
			return Result{}, err
		}
		return e.watch(w, answered)
	})
}
