package apart

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/relink-go/relink/bench/internal/measure"
	"github.com/relink-go/relink/bench/internal/process"
	"github.com/relink-go/relink/bench/internal/subject"
)

// lines are a network whose TCP connections can all be cut.
type lines struct {
	subject.Loopback
	mu    sync.Mutex // guards conns
	conns []*net.TCPConn
}

// DialTCP implements [subject.Network].
func (l *lines) DialTCP(ctx context.Context, address string) (net.Conn, error) {
	c, err := l.Loopback.DialTCP(ctx, address)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if t, ok := c.(*net.TCPConn); ok {
		l.conns = append(l.conns, t)
	}
	return c, nil
}

// cut resets all connections that there are, and returns how many.
func (l *lines) cut() int {
	l.mu.Lock()
	conns := l.conns
	l.conns = nil
	l.mu.Unlock()
	for _, c := range conns {
		_ = c.SetLinger(0)
		_ = c.Close()
	}
	return len(conns)
}

// Storm cuts all streams at once, while an application waits in Read on each, and
// waits until a message has come back on every one. A stream that ends with its
// transport is dialled again.
func (e *End) Storm(_ process.None, seen *Seen) error {
	_, moves := e.conns[0].(mover)
	times := make([]float64, len(e.conns))
	var start time.Time // set before the cut, which all wait for
	var back sync.WaitGroup
	var failed failure
	for i, c := range e.conns {
		back.Go(func() {
			p := make([]byte, greeting)
			_, err := io.ReadFull(c, p)
			if err != nil && !moves {
				if e.conns[i], err = e.dial(); err == nil {
					err = exchange(e.conns[i], p)
				}
			}
			times[i] = float64(time.Since(start))
			if err != nil {
				failed.set(fmt.Errorf("stream %d of %d: %w", i+1, len(e.conns), err))
			}
		})
	}
	used := measure.TakeUsage()
	start = time.Now()
	if cut := e.lines.cut(); cut < len(e.conns) {
		return fmt.Errorf("%d transports were cut, and there are %d streams", cut, len(e.conns))
	}
	if moves {
		for _, c := range e.conns {
			if _, err := c.Write(make([]byte, greeting)); err != nil {
				return err
			}
		}
	}
	back.Wait()
	seen.Elapsed = time.Since(start)
	seen.Used = measure.TakeUsage().Since(used)
	seen.count(times)
	return failed.get()
}

// settle is how long a server and its clients come to rest before a storm.
const settle = 300 * time.Millisecond

// Storm opens the setup's connections and cuts them all at once. The unit is a resume,
// or a new stream in its place, until a message has come back; its times are those
// since the cut.
func Storm(ctx context.Context, s Setup) (Result, error) {
	return between(ctx, s, settle, func(e *ends) (Result, error) {
		if err := e.visit(true); err != nil {
			return Result{}, err
		}
		if err := e.client.Call("End.Open", Opening{Count: s.Conns, AtOnce: dialers}, new(Seen)); err != nil {
			return Result{}, err
		}
		time.Sleep(settle)
		var all spans
		cut, err := e.span(func(seen *Seen) error { return e.client.Call("End.Storm", process.None{}, seen) })
		if err != nil {
			return Result{}, err
		}
		all.add(cut)
		return all.result(), nil
	})
}
