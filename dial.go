package relink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"reflect"
	"time"

	"github.com/relink-go/relink/internal/clock"
	"github.com/relink-go/relink/internal/socket"
	"github.com/relink-go/relink/internal/suite"
)

// A Dialer opens sessions. The zero value lacks only Suite. It may be used by any
// number of goroutines, and must not be changed while it is.
type Dialer struct {
	Config

	// Suite is the wire protocol to speak. There is no default, so that whoever
	// reads the call sees what protects the stream.
	Suite ClientSuite

	// DialTransport opens a transport: at first, and again each time that the
	// last one is lost, with the same network and address, which it resolves
	// anew. It must give up when ctx ends; if it does not, it is abandoned, and
	// what it returns late is closed. ctx also ends as soon as the attempt does, when
	// the transport is in use: what has to live as long as the transport (a WebSocket
	// library may tie it to the ctx of its dial) is given another, such as
	// context.WithoutCancel(ctx). To resume a session it is called again while a call
	// has no answer: see AttemptTimeout. Nil means a net.Dialer.
	DialTransport func(ctx context.Context, network, address string) (net.Conn, error)

	// AttemptTimeout bounds one attempt to redial and resume. Default 5
	// seconds. While the transport is not connected another is dialled beside it every
	// half second (four round trips of the last one, if that is more; a 128th of the time
	// without a transport; MaxBackoff with [VigilanceBackground]; never with
	// [VigilanceOff]), so that a network which heals is found at once.
	// Two at most are dialled at a time.
	AttemptTimeout time.Duration

	// MinBackoff and MaxBackoff bound the pause after a failed attempt to
	// resume: the n-th pause is a random time up to MinBackoff·2ⁿ, but never
	// above MaxBackoff. The first attempt is made at once, but on SCP none within
	// 10 milliseconds of the last one, or of the opening: its servers need them.
	// Defaults 50 milliseconds and 3 seconds.
	MinBackoff, MaxBackoff time.Duration

	// Vigilance says how soon a link that shows no sign of life is suspected, and a second
	// transport is dialled beside it. The zero value is [VigilanceForeground];
	// [Conn.SetVigilance] changes it for a session. A negative LivenessTimeout
	// switches suspicions off too. The classic suites, which have no pings, suspect a link
	// only where the kernel knows that data is not acknowledged: on Linux and
	// Android, and over TCP.
	Vigilance Vigilance
}

// Dial opens a session with the suite and otherwise default settings; see
// [Dialer.DialConn].
func Dial(network, address string, suite ClientSuite) (*Conn, error) {
	d := Dialer{Suite: suite}
	return d.DialConn(context.Background(), network, address)
}

// Dial is [Dialer.DialConn] without a context, as net.Dialer has it.
func (d *Dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

// DialContext is [Dialer.DialConn] as net.Dialer, http.Transport and others have
// it; it returns a *[Conn].
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := d.DialConn(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// DialConn dials the address and opens a new session. ctx bounds the dialling
// and the handshake, not the life of the Conn; HandshakeTimeout bounds the
// handshake in any case. The first dial is tried once.
//
// Every error is a *net.OpError. Its Timeout method reports whether a time limit
// has passed: that of ctx, HandshakeTimeout, which is also [ErrHandshakeTimeout],
// or one of the transport's. It does not where ctx was cancelled, and then the
// error is context.Canceled. A wrong setting is an error that names the field.
func (d *Dialer) DialConn(ctx context.Context, network, address string) (*Conn, error) {
	dialled := dialledAddr{network, address}
	set, err := d.resolve()
	if err != nil {
		return nil, dialError(ctx, err, nil, dialled)
	}
	r := &redialer{wake: make(chan struct{}, 1), vigilance: d.Vigilance}
	if p, ok := set.protocols[0].(suite.Spaced); ok {
		r.minInterval = time.Duration(p.MinInterval()) * time.Millisecond
	}
	if transport := d.DialTransport; transport != nil {
		r.dial = func(ctx context.Context) (net.Conn, error) {
			return dialRecover(ctx, func(ctx context.Context) (net.Conn, error) { return transport(ctx, network, address) })
		}
	} else {
		own := net.Dialer{KeepAliveConfig: socket.KeepAlive(set.LivenessTimeout)}
		r.dial, r.keepAliveSet = func(ctx context.Context) (net.Conn, error) { return own.DialContext(ctx, network, address) }, true
	}
	t, err := r.dial(ctx)
	if err != nil {
		return nil, dialError(ctx, err, nil, dialled)
	}
	c, err := openSession(ctx, t, set, r)
	if err != nil {
		closeTransport(t)
		return nil, dialError(ctx, err, t.LocalAddr(), t.RemoteAddr())
	}
	return c, nil
}

// dialError makes what Dial returns of an error: a *net.OpError, which a
// transport's mostly is already, whose Timeout tells the truth.
func dialError(ctx context.Context, err error, source, addr net.Addr) error {
	late := isTimeout(err)
	if errors.Is(ctx.Err(), context.Canceled) {
		late = false // a transport may be made to give up by a deadline, and say so
		if !errors.Is(err, context.Canceled) {
			err = fmt.Errorf("%w (%s)", ctxError(ctx), err.Error())
		}
	}
	if op, ok := err.(*net.OpError); ok && op.Timeout() == late { //nolint:errorlint // only the outermost is what users see
		return op
	}
	if late {
		err = timeoutError{err}
	}
	return &net.OpError{Op: "dial", Net: "relink", Source: source, Addr: addr, Err: err}
}

// isTimeout reports whether a time limit is somewhere in an error.
func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout() || errors.Is(err, ErrHandshakeTimeout) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}

// A timeoutError says of an error that it is a time limit's, as net.Error has
// it.
type timeoutError struct{ error }

func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }
func (e timeoutError) Unwrap() error { return e.error }

// A dialledAddr is what Dial was told to dial.
type dialledAddr struct{ network, address string }

func (a dialledAddr) Network() string { return a.network }
func (a dialledAddr) String() string  { return a.address }

// openSession runs the client's handshake on a transport.
func openSession(ctx context.Context, t net.Conn, set *settings, r *redialer) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, set.HandshakeTimeout)
	defer cancel()
	s := newStream(t)
	var c *Conn
	err := within(ctx, t, func() error {
		session, sl, err := set.protocols[0].Open(s)
		if err != nil {
			return publicError(err)
		}
		c = newConn(set.each[0], set.protocols[0], session, newNotifier(set))
		c.redial, c.s.client = r, true
		r.touched = clock.Now()
		c.mu.Lock()
		defer c.unlock()
		c.attachLocked(s, 0, sl)
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

// dialRecover calls a user's dialer and keeps its mistakes from doing harm: one
// that panics fails, one that outlives ctx is left behind, and what it returns
// then is closed.
func dialRecover(ctx context.Context, dial func(context.Context) (net.Conn, error)) (net.Conn, error) {
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
			return
		}
		if r.t = contain(r.t); r.err != nil {
			_, r.t = r.t.Close(), nil
		}
	}()
	select {
	case r := <-results:
		return r.t, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("relink: DialTransport: %w", ctxError(ctx))
	}
}

// isNilListener reports whether there is no listener.
func isNilListener(l net.Listener) bool { return l == nil || isNilPointer(l) }

// isNil reports whether t is nil or holds a nil pointer.
func isNil(t net.Conn) bool {
	return t == nil || isNilPointer(t)
}

func isNilPointer(x any) bool {
	v := reflect.ValueOf(x)
	return v.Kind() == reflect.Pointer && v.IsNil()
}
