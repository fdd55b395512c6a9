package race

import (
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"time"
)

// The defaults of [Dialer].
const (
	defaultHeadStart = 250 * time.Millisecond // RFC 8305, section 8
	defaultMemory    = 10 * time.Minute
)

// A Way is one of the ways to the server.
type Way struct {
	// Name tells ways apart in errors. It is required.
	Name string

	// DialTransport opens a connection. It must give up when ctx ends; what it
	// returns late is closed. It is required.
	DialTransport func(ctx context.Context, network, address string) (net.Conn, error)

	// Network and Address, where they are not empty, are dialled in place of
	// what DialContext was called with.
	Network, Address string

	// HeadStart is how long this way is alone before the next one starts; if
	// it fails, the next starts at once. Zero means Dialer.HeadStart.
	HeadStart time.Duration
}

// A Dialer dials in several ways. Its DialContext may be used as
// relink.Dialer.DialTransport, by any number of goroutines; its fields must not
// be changed while it is, and it must not be copied.
type Dialer struct {
	// Ways are tried in this order, as long as nothing is known of them.
	Ways []Way

	// HeadStart is that of ways that have none of their own. Default 250
	// milliseconds. Less opens more connections in vain; more waits longer on
	// networks that swallow packets.
	HeadStart time.Duration

	// Memory is for how long it is remembered whether a way works, from when it
	// was learnt; then the order is that of Ways again, for a better way may be
	// open by now. Default 10 minutes.
	Memory time.Duration

	memory memory
}

// NetworkChanged forgets what is known: another network lets through other ways.
// Call it before relink.Conn.NetworkChanged.
func (d *Dialer) NetworkChanged() { d.memory.forget() }

// Order returns the names of the ways in the order in which they would start now.
func (d *Dialer) Order() []string {
	var names []string
	for _, i := range d.memory.order(len(d.Ways), d.memoryTime()) {
		names = append(names, d.Ways[i].Name)
	}
	return names
}

func (d *Dialer) memoryTime() time.Duration {
	if d.Memory == 0 {
		return defaultMemory
	}
	return d.Memory
}

// check says what is wrong with the configuration.
func (d *Dialer) check() error {
	if len(d.Ways) == 0 {
		return errors.New("race: Dialer.Ways is empty: name at least one way to the server")
	}
	if d.HeadStart < 0 || d.Memory < 0 {
		return errors.New("race: HeadStart and Memory are positive, or 0 for their defaults")
	}
	names := make(map[string]bool)
	for i, w := range d.Ways {
		switch {
		case w.Name == "":
			return fmt.Errorf("race: Ways[%d] has no name", i)
		case names[w.Name]:
			return fmt.Errorf("race: two ways have the name %q", w.Name)
		case w.DialTransport == nil:
			return fmt.Errorf("race: the way %q has no DialTransport", w.Name)
		case w.HeadStart < 0:
			return fmt.Errorf("race: the head start of the way %q is negative", w.Name)
		}
		names[w.Name] = true
	}
	return nil
}

// headStart returns that of a way.
func (d *Dialer) headStart(w Way) time.Duration {
	switch {
	case w.HeadStart > 0:
		return w.HeadStart
	case d.HeadStart > 0:
		return d.HeadStart
	default:
		return defaultHeadStart
	}
}

// DialContext starts the ways one after another and returns the first connection
// that there is; the other attempts end. If there is none, the error is an
// *[Error] that has the errors of all.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the losers
	r := &run{
		d: d, ctx: ctx, network: network, address: address,
		order: d.memory.order(len(d.Ways), d.memoryTime()), epoch: d.memory.current(),
		results: make(chan result), errs: make(map[int]error),
	}
	return r.wait()
}

// A run is one race.
type run struct {
	d                *Dialer
	ctx              context.Context //nolint:containedctx // it is the life of the run
	network, address string
	order            []int // of ways
	epoch            int
	results          chan result
	errs             map[int]error // of ways that have failed

	started int // of order
	next    *time.Timer
}

// A result is what one way has come to.
type result struct {
	way int
	t   net.Conn
	err error
}

// wait starts ways until one leads to the server, or none is left.
func (r *run) wait() (net.Conn, error) {
	r.next = time.NewTimer(0)
	defer r.next.Stop()
	for len(r.errs) < len(r.order) {
		select {
		case <-r.ctx.Done():
			return nil, r.failure()
		case <-r.next.C:
			r.start()
		case res := <-r.results:
			if res.err == nil {
				return r.d.memory.watch(res.t, r.d.Ways[res.way].Name, res.way, r.epoch), nil
			}
			r.errs[res.way] = res.err
			if r.ctx.Err() == nil { // else it may have been the end of ctx that it failed of
				r.d.memory.failed(res.way, r.epoch)
			}
			r.start() // what is left of its head start is of no use
		}
	}
	return nil, r.failure()
}

// start starts the next way, if there is one.
func (r *run) start() {
	if r.started == len(r.order) {
		return
	}
	i := r.order[r.started]
	r.started++
	go r.dial(i)
	if r.started < len(r.order) {
		r.next.Reset(r.d.headStart(r.d.Ways[i]))
	}
}

// dial runs one way, and keeps its mistakes from doing harm.
func (r *run) dial(i int) {
	w := r.d.Ways[i]
	res := result{way: i, err: errNothing} // stays if the way calls runtime.Goexit
	defer func() {
		if p := recover(); p != nil {
			res.err = fmt.Errorf("DialTransport panicked: %v", p)
		}
		select {
		case r.results <- res:
		case <-r.ctx.Done():
			if res.t != nil {
				_ = res.t.Close()
			}
		}
	}()
	network, address := r.network, r.address
	if w.Network != "" {
		network = w.Network
	}
	if w.Address != "" {
		address = w.Address
	}
	t, err := w.DialTransport(r.ctx, network, address)
	switch {
	case isNil(t) && err == nil:
	case err != nil:
		if !isNil(t) {
			_ = t.Close()
		}
		res.err = err
	default:
		res.t, res.err = t, nil
	}
}

// errNothing is the mistake of a DialTransport.
var errNothing = errors.New("DialTransport returned neither a connection nor an error")

// isNil reports whether t is nil or holds a nil pointer.
func isNil(t net.Conn) bool {
	if t == nil {
		return true
	}
	v := reflect.ValueOf(t)
	return v.Kind() == reflect.Pointer && v.IsNil()
}

// failure returns the errors of all ways, in the order of their starts. Those
// that were under way have that of the context.
func (r *run) failure() error {
	e := new(Error)
	for n, i := range r.order {
		err := r.errs[i]
		switch {
		case err != nil:
		case n < r.started:
			err = context.Cause(r.ctx)
		default:
			err = fmt.Errorf("not tried: %w", context.Cause(r.ctx))
		}
		e.Ways = append(e.Ways, WayError{r.d.Ways[i].Name, err})
	}
	return e
}
