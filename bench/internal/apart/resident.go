package apart

import (
	"context"
	"fmt"
	"time"

	"github.com/relink-go/relink/bench/internal/measure"
	"github.com/relink-go/relink/bench/internal/process"
)

// Resident tells how many bytes of memory the process holds, after it has given back
// what it does not use.
func (e *End) Resident(_ process.None, bytes *int64) (err error) {
	if *bytes, err = measure.Resident(); err != nil {
		return err
	}
	return e.failed.get()
}

// Sending says what to send.
type Sending struct {
	Size  int // of a message, in bytes
	Total int // on each stream
}

// Send sends so much on each stream, on a few at a time.
func (e *End) Send(what Sending, _ *process.None) error {
	p := make([]byte, what.Size)
	return inParallel(len(e.conns), dialers, func(i int) error {
		for left := what.Total; left > 0; left -= len(p) {
			if _, err := e.conns[i].Write(p[:min(left, len(p))]); err != nil {
				return err
			}
		}
		return nil
	})
}

// lookEvery is how often Arrived looks.
const lookEvery = 5 * time.Millisecond

// Arrived waits until so many bytes have been read on all streams together.
func (e *End) Arrived(bytes int64, _ *process.None) error {
	for e.bytes() < bytes {
		if err := e.failed.get(); err != nil {
			return err
		}
		time.Sleep(lookEvery)
	}
	return nil
}

// Greet exchanges a message on each stream, on a few at a time.
func (e *End) Greet(_ process.None, _ *process.None) error {
	return inParallel(len(e.conns), dialers, func(i int) error { return exchange(e.conns[i], make([]byte, greeting)) })
}

// perSecond is what every machine sends, in bytes a second: what it is expected to take
// has to have a bound.
const perSecond = 50 << 20

// Memory opens the setup's connections, and lets the client send a message on each,
// which the application of the server returns before it waits in Read again. Then the
// server sends so much on each if it is above zero. The unit is a connection, of which
// it tells what it adds to the resident memory of the server's process.
func Memory(ctx context.Context, s Setup, send int, settle time.Duration) (Result, error) {
	bytes := int64(send) * int64(s.Conns)
	return between(ctx, s, settle+time.Duration(bytes/perSecond)*time.Second, func(e *ends) (Result, error) {
		var before, after int64
		if err := e.server.Call("End.Resident", process.None{}, &before); err != nil {
			return Result{}, err
		}
		if err := e.meet(s.Conns); err != nil {
			return Result{}, err
		}
		if err := e.server.Call("End.Echo", greeting, new(process.None)); err != nil {
			return Result{}, err
		}
		if err := e.client.Call("End.Greet", process.None{}, new(process.None)); err != nil {
			return Result{}, err
		}
		if send > 0 {
			if err := e.send(Sending{Size: 64 << 10, Total: send}, bytes); err != nil {
				return Result{}, err
			}
		}
		time.Sleep(settle)
		if err := e.server.Call("End.Resident", process.None{}, &after); err != nil {
			return Result{}, err
		}
		if after <= before {
			return Result{}, fmt.Errorf("%d connections took no memory: %d bytes before and %d after", s.Conns, before, after)
		}
		return Result{Resident: float64(after-before) / float64(s.Conns)}, nil
	})
}

// send lets the server send, and waits until the client has read so many bytes.
func (e *ends) send(what Sending, bytes int64) error {
	if err := e.client.Call("End.Drain", what.Size, new(process.None)); err != nil {
		return err
	}
	if err := e.server.Call("End.Send", what, new(process.None)); err != nil {
		return err
	}
	return e.client.Call("End.Arrived", bytes, new(process.None))
}
