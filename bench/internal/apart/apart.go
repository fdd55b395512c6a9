package apart

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/relink-go/relink/bench/internal/process"
)

// A Setup says what is measured, and where.
type Setup struct {
	Executable string // of both ends: it calls [process.Serve] with an [End]; empty means this program
	Subject    string
	Conns      int
	GOMAXPROCS int // of each process; 0 means the default
	Pin        Pin
}

// A Pin says which processors the ends may run on.
type Pin int

// The pins that there are.
const (
	Free     Pin = iota // all of them
	OneCore             // both ends the same one
	CoreEach            // each end one of its own
)

// String says where the ends run.
func (p Pin) String() string {
	switch p {
	case OneCore:
		return "both ends on one core"
	case CoreEach:
		return "a core for each end"
	default:
		return "anywhere"
	}
}

func (p Pin) processors() (server, client []int, err error) {
	if p == Free {
		return nil, nil, nil
	}
	all, err := process.Processors()
	if err != nil {
		return nil, nil, err
	}
	last := len(all) - 1
	if p == OneCore {
		return all[last:], all[last:], nil
	}
	if last < 1 {
		return nil, nil, errors.New("a core for each end takes two cores, and there is one")
	}
	return all[last-1 : last], all[last:], nil
}

// A Result is what a piece of work came to. Its unit is what the work says: a byte, a
// message, a session. What the work does not tell is zero.
type Result struct {
	Rate            float64 // units a second
	Processor       float64 // seconds of processor time for a unit, of both ends
	ServerProcessor float64 // of the server's alone
	Switches        float64 // context switches for a unit, of both ends
	P50, P99        float64 // seconds that a unit took
	Resident        float64 // bytes of the server's memory for a unit
}

// grace is how long the ends have for what takes as long as it takes: handshakes, and
// whatever the machine does beside.
const grace = time.Minute

// ends are the two processes of a measurement. The server listens.
type ends struct {
	server, client *process.Process
	how            How // to dial
}

// between starts two new processes and lets work use them. No measurement lasts for
// ever: an end that is stuck is an error, after the time that the work takes by design
// and some grace.
func between(ctx context.Context, s Setup, takes time.Duration, work func(*ends) (Result, error)) (r Result, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", s.Subject, err)
		}
	}()
	ctx, cancel := context.WithTimeoutCause(ctx, takes+grace, fmt.Errorf("an end is stuck: %v were not enough", takes+grace))
	defer cancel()
	onServer, onClient, err := s.Pin.processors()
	if err != nil {
		return Result{}, err
	}
	var e ends
	if e.server, err = process.Start(ctx, process.Options{Executable: s.Executable, GOMAXPROCS: s.GOMAXPROCS, Processors: onServer}); err != nil {
		return Result{}, err
	}
	defer e.server.Close()
	if e.client, err = process.Start(ctx, process.Options{Executable: s.Executable, GOMAXPROCS: s.GOMAXPROCS, Processors: onClient}); err != nil {
		return Result{}, err
	}
	defer e.client.Close()
	if err := e.server.Call("End.Listen", How{Subject: s.Subject}, &e.how); err != nil {
		return Result{}, err
	}
	return work(&e)
}

// meet opens streams.
func (e *ends) meet(conns int) error {
	how := e.how
	how.Conns = conns
	return atOnce(
		func() error { return e.server.Call("End.Accept", conns, new(process.None)) },
		func() error { return e.client.Call("End.Dial", how, new(process.None)) })
}

// watch watches both ends during the same window, and makes a result of it. One of the
// ends counts units of the work; where a slow machine has carried none, there is
// another window.
func (e *ends) watch(w Window, count func(server, client Seen) (units int64, elapsed time.Duration)) (Result, error) {
	for {
		var server, client Seen
		err := atOnce(
			func() error { return e.server.Call("End.Watch", w, &server) },
			func() error { return e.client.Call("End.Watch", w, &client) })
		if err != nil {
			return Result{}, err
		}
		if units, elapsed := count(server, client); units > 0 {
			return result(units, elapsed, server, client), nil
		}
		w.Warm = 0
	}
}

// read counts bytes that the server's application has read.
func read(server, _ Seen) (int64, time.Duration) { return server.Bytes, server.Elapsed }

// answered counts messages that the client has got back.
func answered(_, client Seen) (int64, time.Duration) { return client.Messages, client.Elapsed }

// atOnce calls both and returns the first error as soon as it is there: the other
// end may wait for the one that failed, until its process is closed.
func atOnce(f, g func() error) error {
	done := make(chan error, 2)
	go func() { done <- f() }()
	go func() { done <- g() }()
	if err := <-done; err != nil {
		return err
	}
	return <-done
}

// result makes a result of what both ends saw, while one of them counted units of the
// work.
func result(units int64, elapsed time.Duration, server, client Seen) Result {
	rate := float64(units) / elapsed.Seconds()
	perUnit := func(s Seen, v float64) float64 { return v / s.Elapsed.Seconds() / rate }
	at := perUnit(server, server.Used.Processor.Seconds())
	return Result{
		Rate:            rate,
		Processor:       at + perUnit(client, client.Used.Processor.Seconds()),
		ServerProcessor: at,
		Switches:        perUnit(server, float64(server.Used.Switches)) + perUnit(client, float64(client.Used.Switches)),
		P50:             client.P50 / 1e9,
		P99:             client.P99 / 1e9,
	}
}
