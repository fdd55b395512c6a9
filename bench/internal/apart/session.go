package apart

import (
	"context"
	"net"
	"time"

	"github.com/relink-go/relink/bench/internal/measure"
	"github.com/relink-go/relink/bench/internal/process"
)

// greeting is the size in bytes of a message that shows that a stream is there.
const greeting = 16

// Opening says which streams to open.
type Opening struct {
	Count  int
	AtOnce int // dialled at a time
}

// Open opens streams, and exchanges a first message on each.
func (e *End) Open(o Opening, seen *Seen) error {
	e.conns = make([]net.Conn, o.Count)
	times := make([]float64, o.Count)
	used, start := measure.TakeUsage(), time.Now()
	err := inParallel(o.Count, o.AtOnce, func(i int) (err error) {
		began := time.Now()
		if e.conns[i], err = e.dial(); err != nil {
			return err
		}
		err = exchange(e.conns[i], make([]byte, greeting))
		times[i] = float64(time.Since(began))
		return err
	})
	seen.Elapsed = time.Since(start)
	seen.Used = measure.TakeUsage().Since(used)
	seen.count(times)
	return err
}

// quiet is how long the end of a batch may go on in the background.
const quiet = 10 * time.Millisecond

// Sessions lets the client open new streams, as many at a time as the setup has
// connections. A batch of them is opened and then ended, outside of the time, until the
// batches have taken as long as the window. The unit is a stream, from Dial until a
// first message has come back.
func Sessions(ctx context.Context, s Setup, batch int, w Window) (Result, error) {
	return between(ctx, s, w.Warm+w.Length, func(e *ends) (Result, error) {
		if err := e.visit(false); err != nil {
			return Result{}, err
		}
		var all spans
		for warm := true; warm || all.elapsed < w.Length; warm = false {
			opened, err := e.span(func(seen *Seen) error {
				return e.client.Call("End.Open", Opening{Count: batch, AtOnce: max(s.Conns, 1)}, seen)
			})
			if err != nil {
				return Result{}, err
			}
			if !warm {
				all.add(opened)
			}
			if err := e.client.Call("End.Forget", process.None{}, new(process.None)); err != nil {
				return Result{}, err
			}
			if err := e.server.Call("End.Forget", process.None{}, new(process.None)); err != nil {
				return Result{}, err
			}
			time.Sleep(quiet)
		}
		return all.result(), nil
	})
}

// visit lets the server accept whoever comes, and tells the client where that is.
func (e *ends) visit(cuttable bool) error {
	how := e.how
	how.Cuttable = cuttable
	if err := e.server.Call("End.Serve", greeting, new(process.None)); err != nil {
		return err
	}
	return e.client.Call("End.Dial", how, new(process.None))
}

// A span is what both ends did from the beginning of the client's work to its end.
type span struct {
	client Seen
	server measure.Usage
}

// span watches both ends while the client does what f asks it for.
func (e *ends) span(f func(*Seen) error) (found span, err error) {
	var before, after measure.Usage
	if err := e.server.Call("End.Used", process.None{}, &before); err != nil {
		return span{}, err
	}
	if err := f(&found.client); err != nil {
		return span{}, err
	}
	err = e.server.Call("End.Used", process.None{}, &after)
	found.server = after.Since(before)
	return found, err
}

// spans are added up. The quantiles are means of those of the spans.
type spans struct {
	elapsed        time.Duration
	client, server measure.Usage
	count          int64
	p50, p99, n    float64
}

func (a *spans) add(s span) {
	a.elapsed += s.client.Elapsed
	a.client = a.client.And(s.client.Used)
	a.server = a.server.And(s.server)
	a.count += s.client.Messages
	a.p50 += s.client.P50
	a.p99 += s.client.P99
	a.n++
}

func (a *spans) result() Result {
	return result(a.count, a.elapsed, Seen{Elapsed: a.elapsed, Used: a.server},
		Seen{Elapsed: a.elapsed, Used: a.client, P50: a.p50 / a.n, P99: a.p99 / a.n})
}
