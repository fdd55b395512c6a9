package transport

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// A Listener takes connections from an inner listener and prepares each in a
// goroutine of its own, so that none delays another. Accept returns those that
// are ready; one whose preparation failed is returned as a [Failed].
type Listener struct {
	// Constant after creation.
	inner net.Listener
	set   Settings
	ctx   context.Context //nolint:containedctx // it is the life of the listener
	stop  context.CancelCauseFunc

	mu      sync.Mutex // guards everything below
	changed sync.Cond  // anything below
	ready   []result
	pending *list.List // of preparation, the oldest first
	failure error      // why accepting has ended
	closed  bool
}

// Settings say how a Listener prepares connections. All are required.
type Settings struct {
	Name    string        // of the package, for errors
	Timeout time.Duration // for each preparation
	Limit   int           // preparations under way, and connections that wait for Accept

	// Prepare returns what Accept is to return, or an error, after which the
	// connection is closed. It must return when ctx ends; the connection is
	// closed then.
	Prepare func(ctx context.Context, t net.Conn) (net.Conn, error)

	// Expired and PushedOut are the errors of connections whose time was up or
	// which gave way to newer ones.
	Expired, PushedOut error
}

// A preparation is one that is under way.
type preparation struct {
	began  time.Time
	cancel context.CancelCauseFunc
}

// grace is how long a preparation is left alone when there are too many. Those
// of honest peers need less, unless all come at once.
const grace = 250 * time.Millisecond

// A result is what one Accept returns.
type result struct {
	t   net.Conn
	err error
}

// NewListener returns a Listener that accepts from inner at once.
func NewListener(inner net.Listener, set Settings) *Listener {
	l := &Listener{inner: inner, set: set, pending: list.New()}
	l.ctx, l.stop = context.WithCancelCause(context.Background())
	l.changed.L = &l.mu
	go l.acceptLoop()
	return l
}

// Accept waits for the next connection that is ready.
func (l *Listener) Accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		switch {
		case l.closed:
			return nil, &net.OpError{Op: "accept", Net: l.set.Name, Addr: l.inner.Addr(), Err: net.ErrClosed}
		case len(l.ready) > 0:
			r := l.ready[0]
			l.ready[0] = result{}
			if l.ready = l.ready[1:]; len(l.ready) == 0 {
				l.ready = nil
			}
			l.changed.Broadcast()
			return r.t, r.err
		case l.failure != nil:
			return nil, l.failure
		}
		l.changed.Wait()
	}
}

// Addr returns the inner listener's address.
func (l *Listener) Addr() net.Addr { return l.inner.Addr() }

// Close closes the inner listener, what is being prepared, and what nobody has
// accepted.
func (l *Listener) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return &net.OpError{Op: "close", Net: l.set.Name, Addr: l.inner.Addr(), Err: net.ErrClosed}
	}
	l.closed = true
	ready := l.ready
	l.ready = nil
	l.changed.Broadcast()
	l.mu.Unlock()
	l.stop(net.ErrClosed)
	err := l.inner.Close()
	for _, r := range ready {
		if r.t != nil {
			_ = r.t.Close()
		}
	}
	return err
}

// acceptLoop takes connections from the inner listener, and stops for a while
// when nobody takes them.
func (l *Listener) acceptLoop() {
	for {
		t, err := l.acceptContained()
		if err == nil {
			l.begin(t)
			l.waitUntil(func() bool { return len(l.ready) < l.set.Limit })
			continue
		}
		l.mu.Lock()
		last := l.closed || !isTemporary(err)
		if last {
			l.failure = err
		} else {
			l.ready = append(l.ready, result{err: err})
		}
		l.changed.Broadcast()
		l.mu.Unlock()
		if last {
			return
		}
		l.waitUntil(func() bool { return len(l.ready) == 0 }) // whoever accepts knows how long to pause
	}
}

// waitUntil waits for a condition, which is called with the lock held, or until
// the listener is closed.
func (l *Listener) waitUntil(ok func() bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !ok() && !l.closed {
		l.changed.Wait()
	}
}

// acceptContained keeps an inner listener's mistakes from doing harm.
func (l *Listener) acceptContained() (t net.Conn, err error) {
	defer func() {
		if p := recover(); p != nil {
			t, err = nil, fmt.Errorf("%s: the inner listener panicked: %v", l.set.Name, p)
		}
	}()
	t, err = l.inner.Accept()
	if err == nil && t == nil {
		err = fmt.Errorf("%s: the inner listener returned neither a connection nor an error", l.set.Name)
	}
	return t, err
}

// isTemporary is what net/http goes by.
func isTemporary(err error) bool {
	var temporary interface{ Temporary() bool }
	return errors.As(err, &temporary) && temporary.Temporary() && !errors.Is(err, net.ErrClosed)
}

// begin starts the preparation of a connection. If there are too many, the
// oldest gives way once it has had its grace.
func (l *Listener) begin(t net.Conn) {
	ctx, cancel := context.WithCancelCause(l.ctx)
	l.mu.Lock()
	for l.pending.Len() >= l.set.Limit && !l.closed {
		oldest := l.pending.Front()
		p := oldest.Value.(preparation)
		left := grace - time.Since(p.began)
		if left <= 0 {
			l.pending.Remove(oldest)
			p.cancel(l.set.PushedOut)
			break
		}
		timer := time.AfterFunc(left, l.wake)
		l.changed.Wait()
		timer.Stop()
	}
	place := l.pending.PushBack(preparation{time.Now(), cancel})
	l.mu.Unlock()
	go l.prepare(ctx, cancel, place, t)
}

func (l *Listener) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.changed.Broadcast()
}

func (l *Listener) prepare(ctx context.Context, cancel context.CancelCauseFunc, place *list.Element, t net.Conn) {
	timer := time.AfterFunc(l.set.Timeout, func() { cancel(l.set.Expired) })
	closed := context.AfterFunc(ctx, func() { _ = t.Close() })
	c, err := l.prepareContained(ctx, t)
	timer.Stop()
	if !closed() || err != nil { // in the first case it is closed, whatever came of it
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		_ = t.Close()
		c = &Failed{t, &net.OpError{Op: "accept", Net: l.set.Name, Source: t.LocalAddr(), Addr: t.RemoteAddr(), Err: err}}
	}
	cancel(nil)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pending.Remove(place)
	l.changed.Broadcast()
	if l.closed {
		go func() { _ = c.Close() }() // some block in it
		return
	}
	l.ready = append(l.ready, result{t: c})
}

// prepareContained calls Prepare, which may call what users have given.
func (l *Listener) prepareContained(ctx context.Context, t net.Conn) (c net.Conn, err error) {
	defer func() {
		if p := recover(); p != nil {
			c, err = nil, fmt.Errorf("%s: a callback panicked: %v", l.set.Name, p)
		}
	}()
	return l.set.Prepare(ctx, t)
}
