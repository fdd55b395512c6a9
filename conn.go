package relink

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/relink-go/relink/internal/stream"
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

	// The stream and its link.

	send stream.Send
	recv stream.Receive
	link *link // nil while there is none

	// Who uses it. Each role belongs to one goroutine at a time.

	flusher       func()        // flush; nil until it is needed
	burst         burstDetector // Writes without a Read between
	readers       *waitQueue    // Reads that wait for data or for the role
	writers       *waitQueue    // Writes that wait for room or for their turn
	ackers        *waitQueue    // WaitAcked
	readDeadline  monoTime
	writeDeadline monoTime

	receiver       role // an application's Read, or the standby goroutine
	sender         role // a Write, or the flusher goroutine
	backgroundRead bool // the application has been away: a standby reads
	readSinceTick  bool // a Read has held the receiver role
	ticking        bool // ticks look at it: see tick
	pongDue        bool
	pingDue        bool
	wantsRoom      bool // a Write waits for it
	fastRead       bool // nothing is out of the ordinary: see fastpath.go
	fastWrite      bool

	// Its life.

	closed       bool         // Close or Abort was called
	done         bool         // nothing is left but what Read may still take
	provisional  bool         // server: the handshake is not complete
	unaccepted   bool         // server: the application does not have it yet
	slowNetwork  bool         // the last link carried too little
	earlyGiven   bool         // early data was given since the last link
	epoch        uint32       // links so far
	lost         loss         // how the last link ended
	registration registration // server: where the listener keeps it
	ended        *ending      // how it has ended, once somebody asks or there is something to say
	timer        *time.Timer  // client: calls tick
	closeTimer   *time.Timer  // bounds the time after Close
	longestGap   time.Duration
	reported     reported // server: what is in its totals
}

// addresses are those of one transport.
type addresses struct {
	local, remote net.Addr
	label         string // of the inner listener that it came from
}

// A role is held by nobody, by a goroutine of the application, or by one of
// ours.
type role uint8

const (
	roleFree role = iota
	roleInline
	roleBackground
)

// A loss says how a link ended.
type loss struct {
	at    monoTime
	err   error
	link  *link // what somebody is still reading of it counts; or nil
	clean bool  // by the end of the transport's stream, not by an error
	short bool  // before all had arrived that the peer had said it would replay
}

// newConn returns a Conn without a link.
func newConn(set *settings, p suite.Protocol, s suite.Session, n *notifier) *Conn {
	c := &Conn{set: set, notify: n}
	c.send.Init(s, p.Traits(), set.ReplayLimit, 0)
	c.recv.Init(s, p.Traits(), set.ReplayLimit, 0)
	return c
}

// session is what the suite knows of it, and does not change. Nor do the traits.
func (c *Conn) session() suite.Session { return c.send.Session }

func (c *Conn) traits() *suite.Traits { return &c.send.Traits }

// ID names the session for people and logs. Both sides have the same one. On
// the suites without an authenticated server it must not be taken for a secret.
func (c *Conn) ID() string { return c.session().ID() }

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
func (c *Conn) SetDeadline(t time.Time) error { return c.setDeadlines(t, true, true) }

// SetReadDeadline sets the deadline of Read; see [Conn.SetDeadline].
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadlines(t, true, false) }

// SetWriteDeadline sets the deadline of Write; see [Conn.SetDeadline]. Bytes
// that a Write has put into the buffer count as written, and are sent even if
// the deadline passes.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(t, false, true) }

func (c *Conn) setDeadlines(t time.Time, read, write bool) error {
	c.mu.Lock()
	defer c.unlock()
	if c.closed {
		return c.opError("set", net.ErrClosed)
	}
	if read {
		c.readDeadline = deadlineAt(t)
		if c.receiver == roleInline && c.link != nil {
			c.link.setReadDeadlineLocked(c.readDeadline)
		}
		c.readers.wake()
	}
	if write {
		c.writeDeadline = deadlineAt(t)
		c.writers.wake()
	}
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
	case c.done:
		return StateClosed
	case c.closed:
		return StateClosing
	case c.link == nil && c.redial != nil && c.redial.cancel != nil:
		return StateResuming
	case c.link == nil:
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
	Memory       int64         // bytes of buffer memory held now, both directions
}

// Stats returns the counts at this moment.
func (c *Conn) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Stats{
		BytesRead:    c.recv.Consumed(),
		BytesWritten: c.send.End(),
		BytesPending: c.send.Pending(),
		Resumes:      max(0, int64(c.epoch)-1),
		Replayed:     c.send.Replayed(),
		LongestGap:   c.longestGap,
		Memory:       int64(c.send.Memory() + c.recv.Memory()),
	}
}

// Done returns a channel that is closed when the session has ended: after Close,
// when everything is delivered or CloseTimeout has passed. [Conn.Err] says then how it
// ended; [Conn.CloseContext] waits for it. The transport is closed then, or in the course of it.
func (c *Conn) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.endingLocked()
	if e.done == nil {
		e.done = make(chan struct{})
		if c.done {
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
	if c.ended == nil || c.ended.err == errAborted { //nolint:errorlint // it is never wrapped
		return nil
	}
	return c.ended.err
}

// An ending says how a session has ended.
type ending struct {
	done chan struct{} // made by Done
	err  error
}

func (c *Conn) endingLocked() *ending {
	if c.ended == nil {
		c.ended = new(ending)
	}
	return c.ended
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

// openedLocked announces the new session.
func (c *Conn) openedLocked(s *handshakeStream) {
	c.addrs.Store(s.addresses())
	c.notify.post(Event{Kind: EventOpened, Conn: c, Remote: c.RemoteAddr()})
}

// finalLocked ends the session for a reason that this side's application did
// not choose. Read returns readErr after the data that has arrived.
func (c *Conn) finalLocked(readErr, writeErr, cause error) {
	c.recv.Fail(readErr)
	c.send.Fail(writeErr)
	c.finishLocked(cause)
}

// failLocked ends the session with a typed error.
func (c *Conn) failLocked(err error) { c.finalLocked(err, err, err) }

// finishLocked gives up everything that the session holds, except data that
// Read may still take. The goroutines that hold a role see it and end.
func (c *Conn) finishLocked(cause error) {
	if c.done {
		return
	}
	c.done = true
	if l := c.link; l != nil {
		c.detachLocked()
		l.close()
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	if c.closeTimer != nil {
		c.closeTimer.Stop()
	}
	if c.redial != nil {
		c.redial.stopLocked()
	}
	if c.server != nil {
		c.server.forget(c, c.endStatusLocked(cause))
	}
	if !c.send.Appending() { // else the Write that is encrypting into it returns it
		c.send.Release()
	}
	if c.closed {
		c.recv.Close()
	}
	c.readers.wake()
	c.writers.wake()
	c.ackers.wake()
	if cause != nil {
		c.endingLocked().err = cause
	}
	if c.ended != nil && c.ended.done != nil {
		close(c.ended.done)
	}
	if c.provisional {
		return // the application has never seen it
	}
	if cause == errAborted { //nolint:errorlint // it is never wrapped
		cause = nil // to this side's application it is no failure
	}
	c.notify.post(Event{Kind: EventClosed, Conn: c, Remote: c.RemoteAddr(), Err: cause})
}

// detachLocked leaves the session without a link.
func (c *Conn) detachLocked() {
	c.link = nil
	c.send.Detach()
}

var errInternal = errors.New("relink: internal error")
