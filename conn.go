package relink

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/relink-go/relink/internal/suite"
	"github.com/relink-go/relink/replay"
)

// A Conn is one session: a net.Conn that outlives the transports below it.
// [Dialer.DialConn] and [Listener.AcceptConn] return one. All methods may be called
// from any goroutine at any time.
type Conn struct {
	// The order of the fields is for the processor: what a request and its answer
	// touch lies together, in lines of 64 bytes with the word that the runtime puts
	// before the first, because a server has more sessions than its cache holds.
	// TestLinesOfConn counts them, and TestSizeOfConn that nothing is wasted.

	notify *notifier // constant after creation, like the next two
	server *Listener // nil on a client
	redial *redialer // nil on a server

	// addrs holds the addresses of the newest transport.
	addrs atomic.Pointer[addresses]

	ended      *ending // how it has ended, once somebody asks or there is something to say
	epoch      uint32  // links so far
	earlyEpoch uint32  // the epoch in which early data was last given
	acked      int64   // the peer has received up to here

	// What every Read and Write touches.

	mu          sync.Mutex    // guards everything but constants; never held across blocking I/O
	link        *link         // nil while there is none
	session     suite.Session // constant after creation
	run         streak        // Writes without a Read between
	receiver    role          // an application's Read, or the standby goroutine
	sender      role          // a Write, or the flusher goroutine
	traits      suite.Traits  // constant after creation
	watched     bool          // ticks look at it: see tick
	closed      bool          // Close or Abort was called
	done        bool          // nothing is left but what Read may still take
	standing    bool          // the application has been away: a standby reads
	finReceived bool          // the peer's stream ends at received
	writing     bool          // a Write is appending
	finQueued   bool          // CloseWrite or Close: the stream ends at out.End
	peerStopped bool          // the peer's application reads no more
	pongDue     bool
	pingDue     bool

	// Reading. The receiver role belongs to one goroutine at a time.

	readers      *waitQueue // Reads that wait for data or for the role
	readDeadline time.Time
	readErr      error         // what Read returns once in is empty
	received     int64         // offset up to which the peer's stream has arrived
	drainTo      int64         // the peer replays up to here after a resume
	readSeq      uint32        // Reads that have held the role
	tickSeq      uint32        // readSeq at the last tick
	discarded    int64         // bytes that have arrived and nobody will read, after Close
	in           replay.Buffer // decrypted, not yet taken by the application

	closeTimer  *time.Timer // bounds the time after Close
	timer       *time.Timer // client: calls tick
	flusher     func()      // flush; nil until it is needed
	finSent     bool        // a link was given the end
	finAcked    bool        // the peer has received everything and the end
	provisional bool        // server: the handshake is not complete
	slow        bool        // the last link carried too little

	// Writing. One Write at a time appends to out; the sender role belongs to one
	// goroutine at a time.

	writers       *waitQueue // Writes that wait for room or for their turn
	writeDeadline time.Time
	writeErr      error         // what Write returns
	ciphered      int64         // what out holds from here on is still to be enciphered, where there is a cipher
	maxSent       int64         // highest offset handed to any link
	out           replay.Buffer // what the wire carries, sent or not
	set           *settings     // constant after creation

	// Acknowledgements, where the suite has them.

	ackDue       dueness    // an acknowledgement waits to be carried
	peerLimit    int64      // data must not pass this offset
	toldLimit    int64      // the limit that the peer was last told
	peerConsumed int64      // the peer's application has taken up to here
	ackers       *waitQueue // WaitAcked

	stats counts
	lost  loss  // how the last link ended
	place place // server: where the listener keeps it
}

// addresses are those of one transport.
type addresses struct{ local, remote net.Addr }

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
	at    moment
	err   error
	link  *link // what somebody is still reading of it counts; or nil
	clean bool  // by the end of the transport's stream, not by an error
	short bool  // before all had arrived that the peer had said it would replay
}

// newConn returns a Conn without a link.
func newConn(set *settings, p suite.Protocol, s suite.Session, n *notifier) *Conn {
	c := &Conn{set: set, session: s, traits: p.Traits(), notify: n}
	c.in.Reset(set.ReplayLimit, 0)
	c.out.Reset(set.ReplayLimit, 0)
	c.toldLimit = int64(set.ReplayLimit)
	c.peerLimit = int64(initialWindow)
	return c
}

// initialWindow is how much either side may send before it knows the other's
// limit. It is within every ReplayLimit.
const initialWindow = MinReplayLimit

// ID names the session for people and logs. Both sides have the same one. On
// the suites without an authenticated server it must not be taken for a secret.
func (c *Conn) ID() string { return c.session.ID() }

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
	defer c.mu.Unlock()
	if c.closed {
		return c.opError("set", net.ErrClosed)
	}
	if read {
		c.readDeadline = t
		if c.receiver == roleInline && c.link != nil {
			c.link.setReadDeadlineLocked(t)
		}
		c.readers.wake()
	}
	if write {
		c.writeDeadline = t
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

// counts are those of Stats that are not to be had from elsewhere.
type counts struct {
	replayed   int64
	longestGap time.Duration
	reported   reported
}

// Stats returns the counts at this moment.
func (c *Conn) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Stats{Resumes: max(0, int64(c.epoch)-1), Replayed: c.stats.replayed, LongestGap: c.stats.longestGap}
	s.BytesRead = c.consumedLocked()
	s.BytesWritten = c.out.End()
	s.BytesPending = c.out.End() - c.maxSent
	if c.link != nil {
		s.BytesPending = c.out.End() - c.link.sent
	}
	s.Memory = int64(c.in.Memory() + c.out.Memory())
	return s
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
func (c *Conn) openedLocked(t net.Conn) {
	c.addrs.Store(&addresses{t.LocalAddr(), t.RemoteAddr()})
	c.notify.post(Event{Kind: EventOpened, Conn: c, Remote: t.RemoteAddr()})
}

// finalLocked ends the session for a reason that this side's application did
// not choose. Read returns readErr after the data that has arrived.
func (c *Conn) finalLocked(readErr, writeErr, cause error) {
	if c.readErr == nil {
		c.readErr = readErr
	}
	if c.writeErr == nil {
		c.writeErr = writeErr
	}
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
		c.link = nil
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
		c.reportLocked()
		c.server.forget(c, c.epitaphLocked(cause))
	}
	if !c.writing { // else the Write that is encrypting into it returns it
		c.releaseOutLocked()
	}
	if c.closed {
		c.discardLocked(0)
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

// releaseOutLocked gives the send buffer's memory back.
func (c *Conn) releaseOutLocked() {
	end := c.out.End()
	c.out.Reset(0, end)
}

var errInternal = errors.New("relink: internal error")
