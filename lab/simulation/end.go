package simulation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"sync"
	"time"

	"github.com/relink-go/relink"
)

// An end is one side of a session with the application that uses it: a
// goroutine that writes, one that reads, and what both have seen. All of it is
// guarded by world.mu; the goroutines give it up while they call the library.
type end struct {
	w     *world
	s     *session
	side  Side
	name  string
	peer  *end
	conn  *relink.Conn // nil until it is open
	life  *life
	wrote stream // what this side writes

	// Orders.
	orders   sync.Cond // they have changed
	toWrite  int64     // up to this offset
	writeMax int       // in one Write; 0: all
	toRead   int64     // up to this offset
	readMax  int       // in one Read
	quit     bool

	// What the application has seen.
	written   int64 // as Write has returned it
	writing   int   // bytes that the Write under way was given, or 0
	got       int64
	reading   bool
	readCall  call
	writeCall call

	closeAt      time.Time // when Close, CloseWrite or Abort was called, or zero
	closeWriteAt time.Time
	abortAt      time.Time

	seen  seen // what was seen at the last look
	waits int  // WaitAcked calls under way
}

// A call is what is known of the Reads, or of the Writes, of an end.
type call struct {
	since    time.Time // when the one under way has begun
	deadline time.Time
	setAt    time.Time // when that deadline was set
	previous time.Time // the deadline before, as far as it was due at setAt
	timedOut bool      // the application waits for another deadline

	err    error // what has ended the Reads or Writes for good
	at     time.Time
	judged bool
}

func newEnd(s *session, side Side) *end {
	e := &end{w: s.w, s: s, side: side, name: fmt.Sprintf("%s %d", side, s.index), wrote: newStream(s.w.s.Seed, s.index, side)}
	e.orders.L = &s.w.mu
	return e
}

// attach gives the end its Conn and starts its application. The lock is held.
func (e *end) attach(c *relink.Conn) {
	e.conn, e.life = c, e.w.lifeOf(e.side, c)
	e.w.tell(e.name, "open")
	if e.side == Server {
		e.w.counts.Sessions++
	}
	e.w.wg.Go(e.write)
	e.w.wg.Go(e.read)
	e.w.ring()
}

// open reports whether the end has a Conn that was not closed here.
func (e *end) open() bool { return e.conn != nil && e.closeAt.IsZero() && e.abortAt.IsZero() }

// gone is when the application has given the Conn up, or zero.
func (e *end) gone() time.Time {
	if e.closeAt.IsZero() || !e.abortAt.IsZero() && e.abortAt.Before(e.closeAt) {
		return e.abortAt
	}
	return e.closeAt
}

// buffers are what applications read into and write from.
var buffers = sync.Pool{New: func() any { return new([maxOperation]byte) }}

// write is the goroutine of the application that writes.
func (e *end) write() {
	buffer := buffers.Get().(*[maxOperation]byte)
	defer buffers.Put(buffer)
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	for e.writeCall.err == nil {
		for !e.quit && (e.written >= e.toWrite || e.writeCall.timedOut) {
			e.orders.Wait()
		}
		if e.quit {
			return
		}
		n := int(min(e.toWrite-e.written, maxOperation))
		if e.writeMax > 0 {
			n = min(n, e.writeMax)
		}
		p := buffer[:n]
		copy(p, e.wrote.at(e.written, n))
		e.writing, e.writeCall.since = n, time.Now()
		e.w.mu.Unlock()
		k, err := e.conn.Write(p)
		e.w.mu.Lock()
		e.wroteSome(p, k, err)
	}
}

// wroteSome takes what a Write has returned.
func (e *end) wroteSome(p []byte, n int, err error) {
	w := e.w
	e.writing = 0
	w.tell(e.name, "write %d at %d: %d, %v", len(p), e.written, n, err)
	if n < 0 || n > len(p) || (err == nil) != (n == len(p)) {
		w.fail("inexact write", "%s: a Write of %d bytes returned %d, %v", e.name, len(p), n, err)
		n = min(max(n, 0), len(p))
	}
	if !bytes.Equal(p, e.wrote.at(e.written, len(p))) {
		w.fail("write changed its slice", "%s: at offset %d", e.name, e.written)
	}
	e.written += int64(n)
	e.returned(&e.writeCall, "write", err)
	w.ring()
}

// read is the goroutine of the application that reads.
func (e *end) read() {
	buffer := buffers.Get().(*[maxOperation]byte)
	defer buffers.Put(buffer)
	e.w.mu.Lock()
	defer e.w.mu.Unlock()
	for e.readCall.err == nil {
		for !e.quit && (e.got >= e.toRead || e.readCall.timedOut) {
			e.orders.Wait()
		}
		if e.quit {
			return
		}
		n := int(min(e.toRead-e.got, maxOperation))
		if e.readMax > 0 {
			n = min(n, e.readMax)
		}
		p := buffer[:n]
		e.reading, e.readCall.since = true, time.Now()
		e.w.mu.Unlock()
		k, err := e.conn.Read(p)
		e.w.mu.Lock()
		e.readSome(p, k, err)
	}
}

// readSome takes what a Read has returned.
func (e *end) readSome(p []byte, n int, err error) {
	w := e.w
	e.reading = false
	w.tell(e.name, "read %d at %d: %d, %v", len(p), e.got, n, err)
	if n < 0 || n > len(p) || n == 0 && err == nil {
		w.fail("inexact read", "%s: a Read of %d bytes returned %d, %v", e.name, len(p), n, err)
		n = min(max(n, 0), len(p))
	}
	if wrong := e.peer.wrote.check(e.got, p[:n]); wrong != nil {
		w.fail("wrong byte", "%s: %v", e.name, wrong)
	}
	e.got += int64(n)
	w.counts.Bytes += int64(n)
	e.returned(&e.readCall, "read", err)
	w.ring()
}

// returned takes the error of a Read or Write.
func (e *end) returned(c *call, op string, err error) {
	switch {
	case err == nil:
		return
	case errors.Is(err, os.ErrDeadlineExceeded):
		e.judgeTimeout(c, op, err)
		c.timedOut = true
	default:
		c.err, c.at = err, time.Now()
	}
	e.w.counts.Errors[string(e.side)+" "+op+" "+errorName(err)]++
}

// judgeTimeout holds a time-out to the very instant of its deadline.
func (e *end) judgeTimeout(c *call, op string, err error) {
	now := time.Now()
	due := func(d time.Time) bool {
		if d.IsZero() || d.After(now) {
			return false
		}
		return d.Equal(now) || c.setAt.Equal(now) || c.since.Equal(now)
	}
	if !due(c.deadline) && (!c.setAt.Equal(now) || !due(c.previous)) {
		e.w.fail("untimely deadline", "%s: %s returned %v with the deadline at %v, set at %v; the call began at %v",
			e.name, op, err, c.deadline.Sub(e.w.start), c.setAt.Sub(e.w.start), c.since.Sub(e.w.start))
	}
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		e.w.fail("forbidden error", "%s: %s: a time-out that is no net.Error: %v", e.name, op, err)
	}
}

// setDeadline sets deadlines, and lets what has timed out go on.
func (e *end) setDeadline(which string, in time.Duration) bool {
	if !e.open() {
		return false
	}
	var t time.Time
	if in != 0 {
		t = time.Now().Add(in)
	}
	set := func(c *call) {
		c.previous, c.deadline, c.setAt, c.timedOut = c.deadline, t, time.Now(), false
	}
	var err error
	switch which {
	case reads:
		err = e.conn.SetReadDeadline(t)
		set(&e.readCall)
	case writes:
		err = e.conn.SetWriteDeadline(t)
		set(&e.writeCall)
	default:
		err = e.conn.SetDeadline(t)
		set(&e.readCall)
		set(&e.writeCall)
	}
	if err != nil {
		e.w.fail("forbidden error", "%s: setting a deadline: %v", e.name, err)
	}
	e.orders.Broadcast()
	return true
}

// readOn orders n bytes more to be read, or all.
func (e *end) readOn(n, most int) {
	e.readMax = most
	if n < 0 {
		e.toRead = math.MaxInt64
	} else if e.toRead < math.MaxInt64 {
		e.toRead += int64(n)
	}
	e.orders.Broadcast()
}

// writeOn orders n bytes more to be written.
func (e *end) writeOn(n, most int) {
	e.toWrite += int64(n)
	e.writeMax = most
	e.orders.Broadcast()
}

// pause stops reading with the Read under way.
func (e *end) pause() {
	e.toRead = e.got
	if e.reading {
		e.toRead++
	}
	e.orders.Broadcast()
}

// closeWrite, close and abort are the application's. They report whether there
// was something to do.

func (e *end) closeWrite() bool {
	if !e.open() {
		return false
	}
	err := e.conn.CloseWrite()
	e.w.tell(e.name, "close write: %v", err)
	switch {
	case !e.w.wire.records:
		if !errors.Is(err, errors.ErrUnsupported) {
			e.w.fail("forbidden error", "%s: CloseWrite returned %v", e.name, err)
		}
	case err == nil:
		e.closeWriteAt = time.Now()
	case errors.Is(err, net.ErrClosed):
		if e.closeWriteAt.IsZero() {
			e.w.fail("forbidden error", "%s: CloseWrite returned %v", e.name, err)
		}
	default:
		// The session has ended: what Writes return is judged.
		if e.writeCall.err == nil {
			e.writeCall.err, e.writeCall.at = err, time.Now()
			e.orders.Broadcast()
		}
	}
	return true
}

func (e *end) close() bool {
	if !e.open() {
		return false
	}
	err := e.conn.Close()
	e.w.tell(e.name, "close: %v", err)
	if err != nil {
		e.w.fail("forbidden error", "%s: Close returned %v", e.name, err)
	}
	e.closeAt = time.Now()
	e.release()
	return true
}

func (e *end) abort() bool {
	if e.conn == nil || !e.abortAt.IsZero() {
		return false
	}
	err := e.conn.Abort()
	e.w.tell(e.name, "abort: %v", err)
	if err != nil && (e.closeAt.IsZero() || !errors.Is(err, net.ErrClosed)) {
		e.w.fail("forbidden error", "%s: Abort returned %v", e.name, err)
	}
	e.abortAt = time.Now()
	e.release()
	return true
}

// release lets an application that waits for another deadline make the call
// that finds the Conn closed.
func (e *end) release() {
	e.readCall.timedOut, e.writeCall.timedOut = false, false
	e.orders.Broadcast()
}

// waitAcked waits until the peer's application has what was written so far.
func (e *end) waitAcked() bool {
	if !e.open() {
		return false
	}
	w := e.w
	e.waits++
	offset := e.written
	w.wg.Go(func() {
		err := e.conn.WaitAcked(context.Background(), offset)
		time.Sleep(time.Nanosecond) // by then the peer's application knows what it was given
		w.mu.Lock()
		defer w.mu.Unlock()
		defer w.ring()
		e.waits--
		w.tell(e.name, "wait for %d: %v", offset, err)
		switch {
		case !w.wire.records:
			if !errors.Is(err, errors.ErrUnsupported) {
				w.fail("forbidden error", "%s: WaitAcked returned %v", e.name, err)
			}
		case err == nil:
			w.counts.Errors[string(e.side)+" waitacked nil"]++
			if e.peer.got < offset {
				w.fail("acknowledged ahead", "%s: WaitAcked returned for offset %d, and the peer's application has read %d", e.name, offset, e.peer.got)
			}
		case e.writeCall.err == nil && e.open():
			// A Write that follows must find the same.
			e.writeCall.err, e.writeCall.at = err, time.Now()
			e.orders.Broadcast()
		}
	})
	return true
}

// errorName names an error's kind for the counts.
func errorName(err error) string {
	for _, k := range []struct {
		name string
		err  error
	}{
		{"EOF", io.EOF},
		{"ErrReplayGap", relink.ErrReplayGap},
		{"ErrCounters", relink.ErrCounters},
		{"ErrSessionLost", relink.ErrSessionLost},
		{"ErrExpired", relink.ErrExpired},
		{"ErrPeerClosed", relink.ErrPeerClosed},
		{"ErrProtocol", relink.ErrProtocol},
		{"ErrBusy", relink.ErrBusy},
		{"ErrHandshakeTimeout", relink.ErrHandshakeTimeout},
		{"ErrUnknownSession", relink.ErrUnknownSession},
		{"ErrDeadlineExceeded", os.ErrDeadlineExceeded},
		{"ErrClosed", net.ErrClosed},
		{"ErrUnsupported", errors.ErrUnsupported},
	} {
		if errors.Is(err, k.err) {
			return k.name
		}
	}
	return "another error"
}
