package relink

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/relink-go/relink/internal/clock"
	"github.com/relink-go/relink/internal/roster"
	"github.com/relink-go/relink/internal/suite"
)

// A Conn is one session: a net.Conn that outlives the transports below it.
// [Dialer.DialConn] and [Listener.AcceptConn] return one. All methods may be called
// from any goroutine at any time.
type Conn struct {
	// Constant after creation.

	set    *settings
	notify *notifier
	server *Listener // nil on a client
	redial *redialer // nil on a server

	addrs atomic.Pointer[addresses] // of the newest transport

	mu sync.Mutex // guards everything below; never held across blocking I/O

	s            session
	registration *registration // server: where the listener keeps it
	flusher      func()        // flush; nil until it is needed
	timer        *time.Timer   // client: calls tick
}

// addresses are those of one transport.
type addresses struct {
	local, remote net.Addr
	label         string // of the inner listener that it came from
}

// newConn returns a Conn without a link.
func newConn(set *settings, p suite.Protocol, s suite.Session, n *notifier) *Conn {
	c := &Conn{set: set, notify: n}
	c.s.init(s, p.Traits(), set.ReplayLimit)
	return c
}

// ID names the session for people and logs. Both sides have the same one. On
// the suites without an authenticated server it must not be taken for a secret.
func (c *Conn) ID() string { return c.s.send.Session.ID() }

// Suite names the suite that the session speaks, as its String does: "Noise", for
// instance. On a listener of several suites it tells which one the client chose.
func (c *Conn) Suite() string { return c.set.name }

// String describes the connection for logs.
func (c *Conn) String() string {
	return fmt.Sprintf("relink session %s with %v (%v)", c.ID(), c.RemoteAddr(), c.State())
}

// LocalAddr returns the local address of the newest transport. It never waits.
func (c *Conn) LocalAddr() net.Addr { return c.addrs.Load().local }

// RemoteAddr returns the peer's address on the newest transport, which changes
// when the peer comes back from elsewhere. It never waits.
func (c *Conn) RemoteAddr() net.Addr { return c.addrs.Load().remote }

// Label returns the label of the inner listener that the newest transport came from: see
// [ListenConfig.Label] and [Listener.AddListener]. On a client it is empty. It never waits.
func (c *Conn) Label() string { return c.addrs.Load().label }

// SetDeadline sets the deadlines of Read and Write, as net.Conn has it. They
// belong to the session: they hold while it is connected, suspended or
// resuming, and a resume does not change them. An expired deadline is not the
// loss of a link, and the Read or Write may be repeated.
func (c *Conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// SetReadDeadline sets the deadline of Read; see [Conn.SetDeadline].
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.unlock()
	if c.s.closed {
		return c.opError("set", net.ErrClosed)
	}
	c.s.readDeadline = clock.Deadline(t)
	if c.s.receiver == roleInline && c.s.link != nil {
		c.s.link.setReadDeadline(c.s.readDeadline)
	}
	c.s.readers.wake()
	return nil
}

// SetWriteDeadline sets the deadline of Write; see [Conn.SetDeadline]. Bytes
// that a Write has put into the buffer count as written, and are sent even if
// the deadline passes.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.unlock()
	if c.s.closed {
		return c.opError("set", net.ErrClosed)
	}
	c.s.writeDeadline = clock.Deadline(t)
	c.s.writers.wake()
	return nil
}

// A State is the condition of a session.
type State int

// The states of a session.
const (
	// StateConnected: a transport is there.
	StateConnected State = iota + 1
	// StateSuspended: the transport is lost. A client pauses between two
	// attempts to resume; a server waits for the client.
	StateSuspended
	// StateResuming: the transport is lost, and this client has an attempt to
	// resume under way.
	StateResuming
	// StateClosing: Close was called, and what was written is being delivered.
	StateClosing
	// StateClosed: the session has ended.
	StateClosed
)

// String names the state in lower case.
func (s State) String() string {
	switch s {
	case StateConnected:
		return "connected"
	case StateSuspended:
		return "suspended"
	case StateResuming:
		return "resuming"
	case StateClosing:
		return "closing"
	case StateClosed:
		return "closed"
	default:
		return fmt.Sprintf("State(%d)", int(s))
	}
}

// State returns the condition of the session at this moment.
func (c *Conn) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.s.done:
		return StateClosed
	case c.s.closed:
		return StateClosing
	case c.s.link == nil && c.redial != nil && c.redial.cancel != nil:
		return StateResuming
	case c.s.link == nil:
		return StateSuspended
	default:
		return StateConnected
	}
}

// Stats are the counts of one session since it was opened.
type Stats struct {
	BytesRead    int64         // taken by this side's application
	BytesWritten int64         // taken from it into the buffer
	BytesPending int64         // of these, not yet handed to a transport
	Resumes      int64         // how often the session went on over a new transport
	Replayed     int64         // bytes handed to a transport again
	LongestGap   time.Duration // the longest time without a transport that ended in a resume
	Memory       int64         // bytes of buffers held now: both directions, and on a wire with records up to 192 KiB of these

	// Age is the time since the session was opened, and Idle the time since this side's
	// application has last read or written anything, both to about a tenth of a second. On
	// the classic suites a client's reads may count as late as they are looked at, by
	// Stats or when something else happens.
	Age, Idle time.Duration

	// RoundTrip is the smoothed time that an answer of the peer's takes on the present
	// transport: of its handshake and, on Noise, of pings. The classic suites know
	// nothing newer than the handshake, and SCP's server does not know that. It is zero where
	// nothing is known, and without a transport.
	RoundTrip time.Duration
}

// Stats returns the counts at this moment.
func (c *Conn) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.server.report(&c.s)
	s := Stats{
		BytesRead:    c.s.recv.Consumed(),
		BytesWritten: c.s.send.End(),
		BytesPending: c.s.send.Pending(),
		Resumes:      max(0, int64(c.s.epoch)-1),
		Replayed:     c.s.send.Replayed(),
		Memory:       int64(c.s.memory()),
		Age:          c.s.opened.Since(),
		Idle:         c.s.active.Since(),
	}
	if c.s.ended != nil {
		s.LongestGap = c.s.ended.longestGap
	}
	if c.s.link != nil {
		s.RoundTrip = c.s.link.trips.Smoothed()
	}
	return s
}

// Done returns a channel that is closed when the session has ended: after Close,
// when everything is delivered or CloseTimeout has passed. [Conn.Err] says then how it
// ended; [Conn.CloseContext] waits for it. The transport is closed then, or in the course of it.
func (c *Conn) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.s.ending()
	if e.done == nil {
		e.done = make(chan struct{})
		if c.s.done {
			close(e.done)
		}
	}
	return e.done
}

// Err returns why the session has ended: nil if it ended as one of the
// applications meant it to, by Close, Abort or an end of the stream, and otherwise
// the reason, as [Event.Err] of its EventClosed. Before [Conn.Done] is closed it is
// nil.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.s.ended == nil || c.s.ended.err == errAborted { //nolint:errorlint // it is never wrapped
		return nil
	}
	return c.s.ended.err
}

// FromConn returns the Conn below conn: conn itself, or what its NetConn
// methods lead to (as that of *tls.Conn does).
func FromConn(conn net.Conn) (*Conn, bool) {
	for range 64 { // a wrapper that leads back to itself must not hang us
		if c, ok := conn.(*Conn); ok {
			return c, true
		}
		w, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			return nil, false
		}
		conn = w.NetConn()
	}
	return nil, false
}

// finishLocked ends the session: it gives up everything that the session holds, except data
// that Read may still take. The goroutines that hold a role see it and end.
func (c *Conn) finishLocked(e end) {
	c.s.recv.Fail(e.read)
	c.s.send.Fail(e.write)
	if c.s.done {
		return
	}
	c.s.done = true
	if l := c.s.link; l != nil {
		c.s.detach()
		if e.reset == 0 {
			l.close()
		} else {
			if c.s.receiver == roleInline {
				l.setReadDeadline(clock.LongAgo) // the Read must not wait until the last words are out
			}
			l.reset(e.reset)
		}
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	if e := c.s.ended; e != nil && e.timer != nil {
		e.timer.Stop()
	}
	if c.redial != nil {
		c.redial.retryNowLocked() // to see that it is over
	}
	if c.server != nil {
		c.server.forget(c, c.s.endStatus(e.cause))
	} else {
		roster.Erase(c.s.send.Session)
	}
	if !c.s.send.Appending() { // else the Write that is encrypting into it returns it
		c.s.send.Release()
	}
	if c.s.closed {
		c.s.recv.Close()
	}
	c.s.readers.wake()
	c.s.writers.wake()
	c.s.ackers.wake()
	if e.cause != nil {
		c.s.ending().err = e.cause
	}
	if c.s.ended != nil && c.s.ended.done != nil {
		close(c.s.ended.done)
	}
	if c.s.provisional {
		return // the application has never seen it
	}
	if e.cause == errAborted { //nolint:errorlint // it is never wrapped
		e.cause = nil // to this side's application it is no failure
	}
	c.notify.post(Event{Kind: EventClosed, Conn: c, Remote: c.RemoteAddr(), Err: e.cause})
}

var errInternal = errors.New("relink: internal error")

// SetValue keeps a value of the application's with the session, in place of a map from
// Conns to what belongs to them: a player, a log, a counter. Set it once, before others
// use the Conn: in OnEvent's opened event, which is over before Accept returns it, or
// before the first Read. Later calls replace it. It is kept as long as the Conn is.
func (c *Conn) SetValue(v any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.s.ending().value = v
}

// Value returns what SetValue was given last, or nil.
func (c *Conn) Value() any {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.s.ended == nil {
		return nil
	}
	return c.s.ended.value
}

// SetResumeTimeout changes [Config.ResumeTimeout] for this session and this side of it:
// longer for a client that has logged in, shorter for one that may leave. Zero is that of
// the settings again, and a negative time is an error. While the session is suspended it
// counts from the loss of the transport too, so that a shorter time may end the
// session. The peer has its own.
func (c *Conn) SetResumeTimeout(d time.Duration) error {
	if d < 0 {
		return c.opError("set", fmt.Errorf("relink: a ResumeTimeout of %v: use a positive time, or 0 for that of the settings", d))
	}
	c.mu.Lock()
	defer c.unlock()
	c.s.ending().resumeTimeout = d
	if c.server != nil && !c.s.done && !c.s.provisional {
		c.server.reschedule(c)
	}
	return nil // a client looks at it after each pause
}
