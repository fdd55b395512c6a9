package relink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
)

// A Dialer opens sessions. The zero value lacks only Config.Suites, which must
// name exactly one suite. It may be used by any number of goroutines, and
// must not be changed while it is.
type Dialer struct {
	Config

	// DialTransport opens a transport: at first, and again each time that the
	// last one is lost, with the same network and address, which it resolves
	// anew. It must give up when ctx ends; if it does not, it is abandoned, and
	// what it returns late is closed. Nil means a net.Dialer.
	DialTransport func(ctx context.Context, network, address string) (net.Conn, error)
}

// Dial opens a session with the suite and otherwise default settings; see
// [Dialer.Dial].
func Dial(network, address string, suite Suite) (*Conn, error) {
	d := Dialer{Config: Config{Suites: []Suite{suite}}}
	return d.Dial(context.Background(), network, address)
}

// Dial dials the address and opens a new session. ctx bounds the dialling and
// the handshake, not the life of the Conn; HandshakeTimeout bounds the
// handshake in any case. The first dial is tried once.
func (d *Dialer) Dial(ctx context.Context, network, address string) (*Conn, error) {
	set, err := d.Config.resolve()
	if err != nil {
		return nil, err
	}
	if len(set.protocols) != 1 {
		return nil, fmt.Errorf("relink: a Dialer takes exactly one suite, and Config.Suites has %d", len(set.protocols))
	}
	if err := set.configure(false); err != nil {
		return nil, err
	}
	r := &redialer{wake: make(chan struct{}, 1)}
	if transport := d.DialTransport; transport != nil {
		r.dial = func(ctx context.Context) (net.Conn, error) {
			return dialContained(ctx, func(ctx context.Context) (net.Conn, error) { return transport(ctx, network, address) })
		}
	} else {
		own := net.Dialer{KeepAliveConfig: keepAlive(set.LivenessTimeout)}
		r.dial, r.made = func(ctx context.Context) (net.Conn, error) { return own.DialContext(ctx, network, address) }, true
	}
	t, err := r.dial(ctx)
	if err != nil {
		return nil, err
	}
	c, err := openSession(ctx, t, set, r)
	if err != nil {
		closeTransport(t)
		return nil, &net.OpError{Op: "dial", Net: "relink", Source: t.LocalAddr(), Addr: t.RemoteAddr(), Err: err}
	}
	return c, nil
}

// DialContext is [Dialer.Dial] as http.Transport and others want it.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := d.Dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// openSession runs the client's handshake on a transport.
func openSession(ctx context.Context, t net.Conn, set *settings, r *redialer) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, set.HandshakeTimeout)
	defer cancel()
	s := newStream(t)
	var c *Conn
	err := within(ctx, t, func() error {
		session, sl, err := set.protocols[0].Open(s)
		if err != nil {
			return err
		}
		c = newConn(set, set.protocols[0], session, newNotifier(set))
		c.redial = r
		c.mu.Lock()
		defer c.mu.Unlock()
		c.openedLocked(t)
		c.attachLocked(t, s.rest(), 0, sl)
		return nil
	})
	if err != nil && c != nil {
		_ = c.Abort() // ctx ended in the last moment
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// errNoTransport is the mistake of a DialTransport.
var errNoTransport = errors.New("relink: DialTransport returned neither a transport nor an error")

// dialContained calls a user's dialer and keeps its mistakes from doing harm: one
// that panics fails, one that outlives ctx is left behind, and what it returns
// then is closed.
func dialContained(ctx context.Context, dial func(context.Context) (net.Conn, error)) (net.Conn, error) {
	type result struct {
		t   net.Conn
		err error
	}
	results := make(chan result)
	go func() {
		r := result{err: errNoTransport} // stays if the dialer calls runtime.Goexit
		defer func() {
			if p := recover(); p != nil {
				r = result{err: fmt.Errorf("relink: DialTransport panicked: %v", p)}
			}
			select {
			case results <- r:
			case <-ctx.Done():
				if r.t != nil {
					_ = r.t.Close()
				}
			}
		}()
		r.t, r.err = dial(ctx)
		if isNil(r.t) {
			r.t = nil
			if r.err == nil {
				r.err = errNoTransport
			}
		} else if r.err != nil {
			_, r.t = r.t.Close(), nil
		}
	}()
	select {
	case r := <-results:
		return r.t, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("relink: dial: %w", ctx.Err())
	}
}

// isNil reports whether t is nil or holds a nil pointer.
func isNil(t net.Conn) bool {
	if t == nil {
		return true
	}
	v := reflect.ValueOf(t)
	return v.Kind() == reflect.Pointer && v.IsNil()
}
