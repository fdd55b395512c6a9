package faultnet

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// An Addr is the address of an end: "host:port" on the network "faultnet".
type Addr string

const serverAddr Addr = "10.0.0.100:7000"

// Network returns "faultnet".
func (Addr) Network() string { return "faultnet" }

// String returns the address as "host:port".
func (a Addr) String() string { return string(a) }

// ErrBroken is what an opaque conn returns, in a *net.OpError, in a direction
// that a deadline has broken. The call that the deadline interrupted returned
// the time-out itself.
var ErrBroken = errors.New("faultnet: an earlier deadline broke the connection")

// A conn is one end of a path. Its state is guarded by Path.mu.
type conn struct {
	p             *Path // constant, like the next four
	in, out       *half
	local, remote Addr

	owned       bool // handed out by a Network
	closed      bool
	writeClosed bool // CloseWrite or Close was called
	readLimit   limit
	writeLimit  limit
}

// A limit is the deadline of one direction of an end.
type limit struct {
	t      time.Time // zero: none
	broken bool      // an opaque conn had its deadline pass
}

func (l *limit) passed(now time.Time) bool { return !l.t.IsZero() && !l.t.After(now) }

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	for {
		now := time.Now()
		if err := c.limitErrLocked("read", &c.readLimit, now); err != nil {
			return 0, err
		}
		if len(b) == 0 {
			return 0, nil
		}
		n, next := c.p.takeLocked(c.in, b, now)
		ended := c.in.endedLocked(now)
		switch {
		case n > 0 && ended && c.in.end == fin && c.p.opts.EOFWithData:
			return n, io.EOF
		case n > 0:
			return n, nil
		case ended && c.in.end == fin:
			return 0, io.EOF
		case ended:
			return 0, c.errno("read", syscall.ECONNRESET)
		}
		if c.in.end != open && !c.in.stalled && len(c.in.queue) == 0 {
			next = c.in.endAt
		}
		c.p.waitLocked(c.in, c.readLimit.t, next)
	}
}

// Write implements net.Conn. Writes do not mix: each has its turn.
func (c *conn) Write(b []byte) (int, error) {
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	h := c.out
	for first := true; first || h.writing; first = false {
		now := time.Now()
		if err := c.writeErrLocked(now); err != nil {
			return 0, err
		}
		if h.writing {
			c.p.waitLocked(h, c.writeLimit.t, c.goneTimeLocked(now))
		}
	}
	h.writing = true
	defer func() {
		h.writing, h.offer = false, nil
		c.p.wakeLocked()
	}()
	b = c.shortenLocked(b)
	if c.p.opts.Buffer < 0 {
		h.offer, h.offerAt = b, time.Now().Add(c.p.opts.Delay)
		c.p.wakeLocked()
	}
	start := h.sent
	for {
		if c.p.opts.Buffer > 0 && !c.writeClosed { // it may have been closed while this Write waited for room
			c.p.enterLocked(h, b[h.sent-start:])
		}
		n := int(h.sent - start)
		if n == len(b) {
			return n, nil
		}
		now := time.Now()
		if err := c.writeErrLocked(now); err != nil {
			return n, err
		}
		if c.p.opts.Buffer > h.size {
			continue // A cut stopped at its offset, and the path goes on.
		}
		c.p.waitLocked(h, c.writeLimit.t, c.goneTimeLocked(now))
	}
}

// WriteNonblock writes what the path takes at once: nothing where it has no buffer,
// or where a Write is under way.
func (c *conn) WriteNonblock(b []byte) (int, error) {
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	h := c.out
	if err := c.writeErrLocked(time.Now()); err != nil {
		return 0, err
	}
	if h.writing || c.p.opts.Buffer < 0 {
		return 0, nil
	}
	b = c.shortenLocked(b)
	n := 0
	for n < len(b) && h.size < c.p.opts.Buffer {
		n += c.p.enterLocked(h, b[n:]) // up to a cut, which may let it go on
		if err := c.writeErrLocked(time.Now()); err != nil {
			return n, err
		}
	}
	return n, nil
}

// shortenLocked returns what a Write takes of b at the most.
func (c *conn) shortenLocked(b []byte) []byte {
	c.out.writes++
	if c.p.opts.ShortWrites && c.out.writes%3 == 0 && len(b) > 1 {
		return b[:len(b)/2]
	}
	return b
}

// limitErrLocked returns why the end itself forbids op: it has closed, its
// deadline has passed, or an opaque conn is broken.
func (c *conn) limitErrLocked(op string, l *limit, now time.Time) error {
	switch {
	case c.closed:
		return c.opError(op, net.ErrClosed)
	case l.broken:
		return c.opError(op, ErrBroken)
	case l.passed(now):
		l.broken = c.p.opts.Opaque
		return c.opError(op, os.ErrDeadlineExceeded)
	}
	return nil
}

// writeErrLocked returns why nothing more can be written.
func (c *conn) writeErrLocked(now time.Time) error {
	if err := c.limitErrLocked("write", &c.writeLimit, now); err != nil {
		return err
	}
	switch {
	case c.out.writeErr != 0:
		return c.errno("write", c.out.writeErr)
	case c.writeClosed:
		return c.errno("write", syscall.EPIPE)
	case !c.hearsOfPeerLocked() || c.out.readerGoneAt.After(now):
		return nil
	case c.p.opts.ResetOnUnread:
		c.in.end, c.in.endAt, c.in.queue = reset, now, nil
		c.p.wakeLocked()
		return c.errno("write", syscall.ECONNRESET)
	}
	return c.errno("write", syscall.EPIPE)
}

// hearsOfPeerLocked reports whether the peer has closed and its answer to a
// Write can come back: a reset needs both directions.
func (c *conn) hearsOfPeerLocked() bool {
	return c.out.readerGone && !c.out.silent && !c.out.stalled && !c.in.silent && !c.in.stalled
}

// goneTimeLocked returns when this end will know that the peer has closed, or
// zero.
func (c *conn) goneTimeLocked(now time.Time) time.Time {
	if c.hearsOfPeerLocked() && c.out.readerGoneAt.After(now) {
		return c.out.readerGoneAt
	}
	return time.Time{}
}

// Close implements net.Conn. What was written before stays readable at the
// other end; what was not read here is lost.
func (c *conn) Close() error {
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	if c.closed {
		return c.opError("close", net.ErrClosed)
	}
	c.closed = true
	arrives := time.Now().Add(c.p.opts.Delay)
	unread := !c.in.stalled && (len(c.in.queue) > 0 || len(c.in.offer) > 0)
	c.in.queue = nil
	c.in.readerGone, c.in.readerGoneAt = true, arrives
	if unread && c.p.opts.ResetOnUnread && !c.out.silent && c.out.end != reset {
		c.out.end, c.out.endAt = reset, arrives
		if !c.out.stalled {
			c.out.queue = nil
		}
	}
	c.finLocked(arrives)
	return nil
}

// CloseWrite ends the outbound direction: the other end reads what was written
// before and then io.EOF.
func (c *conn) CloseWrite() error {
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	if c.closed {
		return c.opError("close", net.ErrClosed)
	}
	if c.out.writeErr != 0 {
		return c.errno("shutdown", c.out.writeErr)
	}
	c.finLocked(time.Now().Add(c.p.opts.Delay))
	return nil
}

func (c *conn) finLocked(arrives time.Time) {
	c.writeClosed = true
	if !c.out.silent && c.out.end == open {
		c.out.end, c.out.endAt = fin, arrives
	}
	c.p.wakeLocked()
}

// Interruptible reports that a deadline does no harm to this conn: after a
// time-out the same call can be made again.
func (c *conn) Interruptible() bool { return true }

// LocalAddr implements net.Conn.
func (c *conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn.
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error { return c.setLimits(t, &c.readLimit, &c.writeLimit) }

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error { return c.setLimits(t, &c.readLimit) }

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error { return c.setLimits(t, &c.writeLimit) }

func (c *conn) setLimits(t time.Time, limits ...*limit) error {
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	if c.closed {
		return c.opError("set", net.ErrClosed)
	}
	now := time.Now()
	for _, l := range limits {
		l.broken = l.broken || c.p.opts.Opaque && l.passed(now)
		l.t = t
	}
	c.p.wakeLocked()
	return nil
}

func (c *conn) errno(op string, e syscall.Errno) error {
	return c.opError(op, os.NewSyscallError(op, e))
}

func (c *conn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: c.local.Network(), Source: c.local, Addr: c.remote, Err: err}
}

// An opaqueConn hides all but net.Conn.
type opaqueConn struct{ net.Conn }
