package relink

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/relink-go/relink/internal/clock"
	"github.com/relink-go/relink/internal/suite"
)

// Close ends the session. It returns at once; what was written lingers in the
// background until it is delivered, over a new transport if need be, or until
// CloseTimeout has passed: [Conn.Done] tells. Read and Write return
// net.ErrClosed from now on. On a classic suite over a transport without
// CloseWrite, or whose CloseWrite returns errors.ErrUnsupported, a client counts
// as delivered what that has taken.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.unlock()
	if c.s.closed {
		return c.opError("close", net.ErrClosed)
	}
	c.s.closed = true
	c.s.send.Fin.Queue()
	c.s.readers.wake()
	c.s.writers.wake()
	c.s.ackers.wake()
	c.s.recv.Close()
	if c.s.done {
		return nil
	}
	if c.s.leaving {
		return nil // nothing is left to deliver
	}
	c.s.ending().timer = time.AfterFunc(c.set.CloseTimeout, c.closeTimedOut)
	// The end goes out once more, together with the news that nobody reads here
	// any more: that it is acknowledged shows that the peer has heard both. A client
	// whose stream has ended, and that has this one's end, need not hear the news, and may
	// be gone by now.
	if c.s.client || !c.s.send.Fin.Acked() || !c.s.recv.FinReceived() {
		c.s.send.Fin.Repeat()
	}
	return nil
}

// CloseWrite ends this side's stream: the peer reads everything that was
// written and then io.EOF. The other direction goes on. On a suite whose wire
// cannot say it (DH64RC4, SCP) it does nothing and returns errors.ErrUnsupported.
func (c *Conn) CloseWrite() error {
	if !c.s.send.Traits.HalfClose {
		return c.opError("close", fmt.Errorf("%w: the suite cannot close one direction", errors.ErrUnsupported))
	}
	c.mu.Lock()
	defer c.unlock()
	if c.s.closed || c.s.send.Fin.Queued() {
		return c.opError("close", net.ErrClosed)
	}
	if err := c.s.send.Err(); err != nil {
		return c.opError("close", err)
	}
	c.s.send.Fin.Queue()
	return nil
}

// Abort ends the session at once and gives up what is not delivered. The peer
// gets an error instead of the end of the stream, where the wire or the
// transport can tell the two apart. What was written may have arrived, or arrive yet: see
// Delivery in the package documentation.
func (c *Conn) Abort() error {
	c.mu.Lock()
	defer c.unlock()
	if c.s.done {
		wasClosed := c.s.closed
		c.s.closed = true
		c.s.recv.Close()
		if wasClosed {
			return c.opError("close", net.ErrClosed)
		}
		return nil
	}
	c.s.closed = true
	c.finishLocked(end{cause: errAborted, reset: suite.ResetAborted})
	return nil
}

// An end is how a session ends.
type end struct {
	read  error           // what Read returns after the data that has arrived, if nothing was said before
	write error           // what Write returns, likewise
	cause error           // why; nil if one of the applications meant it
	reset suite.ResetCode // what the peer is told if the wire has a word for it, in place of a clean end
}

// peerClosed is the end that the peer's application meant.
var peerClosed = end{read: io.EOF, write: ErrPeerClosed}

// failure is the end of a session with a typed error.
func failure(err error) end { return end{read: err, write: err, cause: err} }

// cleanEnd is that of a session which is over.
func (s *session) cleanEnd() end {
	if s.closed {
		return end{}
	}
	return peerClosed
}

// endBy is the end of a session for what the peer has sent: that it is over, that it
// is reset, or what breaks the protocol, which the peer is told.
func (s *session) endBy(err error) end {
	e := failure(err)
	switch {
	case errors.Is(err, errKnowsEnd):
		e = s.cleanEnd()
		e.reset = suite.ResetClosed
	case errors.Is(err, errSaidClosed) && (s.recv.FinReceived() || s.closed && s.send.Fin.Finished()):
		e = s.cleanEnd()
	case errors.Is(err, errSaidClosed): // it cannot have had everything
		e = failure(fmt.Errorf("%w: %w", ErrSessionLost, &suite.EndedError{Received: s.send.Acked()}))
	case errors.Is(err, suite.ErrProtocol):
		e.reset = suite.ResetProtocol
	}
	return e
}

// closeTimedOut ends the lingering.
func (c *Conn) closeTimedOut() {
	c.mu.Lock()
	defer c.unlock()
	if c.s.leaving || c.s.send.Traits.HalfClose && c.s.send.Fin.Finished() {
		c.finishLocked(c.s.cleanEnd())
		return
	}
	var e end
	// Without acknowledgements the best that can be told is that the last transport has taken
	// everything, and showed no sign of having lost it.
	handedAll := !c.s.send.Traits.Acks && c.s.send.Pending() == 0 && (c.s.link != nil || c.s.lost.clean)
	if !c.s.send.Delivered() && !handedAll {
		e.cause = fmt.Errorf("%w: closed with up to %d bytes undelivered after CloseTimeout", ErrExpired, c.s.send.End()-c.s.send.Acked())
	}
	if c.s.send.Traits.HalfClose || e.cause != nil {
		e.reset = suite.ResetLinger // a clean end would say that all has arrived
	}
	c.finishLocked(e)
}

// linkLostLocked suspends the session, or ends it where there is nothing to
// resume for. Without an error nothing is lost.
func (c *Conn) linkLostLocked(l *link, err error) {
	if err == nil || c.s.link != l || c.s.done {
		return
	}
	c.s.detach()
	c.s.lost = loss{at: clock.Now(), err: err, clean: err == io.EOF} //nolint:errorlint // a wrapped io.EOF is not the clean end of a transport
	c.s.lost.short = c.s.recv.Draining() && !c.s.recv.ReplayUnknown()
	if c.s.receiver != roleFree && l.framing == nil {
		c.s.lost.link = l
	}
	if c.s.lost.clean {
		l.close()
	} else {
		l.abort(nil) // a clean end could be taken for that of the stream
	}
	c.s.slowNetwork = l.framing != nil && c.s.send.Highest() > c.s.send.Acked() && (c.s.send.Acked() == l.base || err == errSilent) //nolint:errorlint // it is never wrapped
	worthwhile := c.set.MaxBackoff
	if !c.s.client {
		worthwhile = defaultMaxBackoff
	}
	headway := &c.s.ending().headway
	headway.End(c.s.exchanged(), c.s.send.End() > c.s.send.Acked(), worthwhile, err == errNetworkChanged) //nolint:errorlint // it is never wrapped
	c.s.burst.reset()
	switch {
	case c.s.provisional:
		return // its handshake's time limit decides
	case !c.s.client && c.s.send.Traits.HalfClose && c.s.send.Fin.Finished() && (c.s.closed || c.s.recv.FinReceived()):
		c.finishLocked(c.s.cleanEnd())
		return
	case c.s.closed && c.s.send.Traits.HalfClose && c.s.mayPart():
		c.finishLocked(end{})
		return
	case c.s.closed && !c.s.send.Traits.HalfClose && c.redial != nil && l.halfClosed && c.s.lost.clean && c.s.serverConfirmedEnd():
		c.finishLocked(end{}) // the server has read to our end
		return
	case c.s.closed && !c.s.send.Traits.HalfClose && c.server != nil && c.s.send.Delivered():
		c.finishLocked(end{}) // a client that was refused for it has said that it has everything
		return
	}
	c.server.report(&c.s) // no tick does meanwhile
	c.notify.post(Event{Kind: EventSuspended, Conn: c, Remote: c.RemoteAddr(), Err: err, Fruitless: headway.Fruitless()})
	if c.redial != nil && c.s.recv.FinReceived() && c.s.send.Fin.Finished() {
		c.redial.tellEndLocked(c)
	} else if c.redial != nil {
		c.redial.startLocked(c)
	} else if !c.server.suspend(c, c.s.evictable()) {
		c.expireLocked(ErrSessionLost)
	}
}

// streamEnded reports whether the end of the last transport may have been
// that of the peer's stream, on a wire that has no message for it: whoever
// closes sends everything first. An application that has closed hears no more of
// the stream, complete or not.
func (s *session) streamEnded() bool {
	return s.lost.clean && !s.send.Traits.HalfClose && (s.closed || !s.lost.short)
}

// expireLocked ends a suspended session on the server. On a wire without a
// close message the clean end of the last transport was the client's Close.
func (c *Conn) expireLocked(reason error) {
	switch {
	case c.s.link != nil || c.s.done:
	case c.s.streamEnded():
		c.finishLocked(peerClosed)
	default:
		c.finishLocked(failure(fmt.Errorf("%w (the last transport ended with: %w)", reason, hideSentinel(c.s.lost.err))))
	}
}

// Cut closes the transport below the session without a word to the peer, as a network does
// that breaks, and reports whether there was one. The session goes on: the client
// comes back over a new transport, and what was on its way is sent again. It is for
// trying what a loss does to a program, from a test or an operator's page.
func (c *Conn) Cut() bool {
	c.mu.Lock()
	l := c.s.link
	c.mu.Unlock()
	if l == nil {
		return false
	}
	go resetTransport(l.conn) // some transports block in Close
	return true
}

// How two sides know of each other that a session is over, on a wire that can say it.
//
// A side that has closed ends when the peer wants nothing more of it, and says so in a
// last record (ResetClosed). A server ends with that. A client can do more, because it
// is the one that makes transports: if its link is lost before it knows that the server
// has heard its last word, that it holds the whole stream or has closed, it is leaving: it
// resumes once more, in the background and for CloseTimeout at most. The server's
// tombstone answers, or the server itself, which a client's silence would have made
// believe that its last bytes were lost.

// errSaidClosed and errKnowsEnd are what a record has said where it ends a session that
// is over: the peer has closed, and wants nothing more; or it has heard a leaving
// client's last word.
var (
	errSaidClosed = errors.New("relink: the peer has said that the session is closed")
	errKnowsEnd   = errors.New("relink: the peer knows that the session is over")
)

// saysClosed reports whether all that is left to do for a closed session is to say so.
func (s *session) saysClosed(l *link) bool {
	return s.closed && l.framing != nil && !l.closedSaid && s.send.Traits.HalfClose && s.mayPart() && !s.send.Appending()
}

// mayPart reports whether a closed session may end, as far as this side's stream goes. A
// client that knows only that the server reads no more cannot know whether the server
// has heard that nobody reads here either.
func (s *session) mayPart() bool { return s.send.Fin.Finished() && (!s.client || s.send.Fin.Acked()) }

// tellEndLocked has a client whose session is over, and has no link, see to it that the
// server learns it.
func (r *redialer) tellEndLocked(c *Conn) {
	if c.s.leaving {
		return
	}
	c.s.leaving = true
	if e := c.s.ending(); e.timer == nil {
		e.timer = time.AfterFunc(c.set.CloseTimeout, c.closeTimedOut)
	}
	r.startLocked(c)
}

// endStatus returns how the session has ended, for its tombstone, or nil
// where there is to be none: on a wire that could not tell, for a session that
// nobody came back to, and for one that the application has never seen.
func (s *session) endStatus(cause error) *suite.EndedError {
	if !s.send.Traits.HalfClose || s.provisional || !s.closed && errors.Is(cause, ErrExpired) {
		return nil
	}
	e := &suite.EndedError{Received: s.recv.Received()}
	switch {
	case cause == nil && s.send.Fin.Finished():
	case errors.Is(cause, ErrDenied):
		e.Code = suite.ResetDenied
	case errors.Is(cause, ErrProtocol):
		e.Code = suite.ResetProtocol
	case cause == nil, errors.Is(cause, ErrExpired): // CloseTimeout
		e.Code = suite.ResetLinger
	default:
		e.Code = suite.ResetAborted
	}
	return e
}
