package relink

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/relink-go/relink/internal/suite"
)

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
func (s *session) mayPart() bool { return s.send.Finished() && (!s.client || s.send.FinAcked()) }

// takeFarewell returns what a record's control, of which all else is taken, says of the
// end.
func (s *session) takeFarewell(k suite.Control) error {
	switch {
	case k.Reset == suite.ResetClosed:
		return errSaidClosed
	case k.Pong && s.leaving: // to the ping of this link's first record
		return errKnowsEnd
	default:
		return nil
	}
}

// lingerToPartLocked ends a closed session once there is nothing left to deliver, and nothing
// to say.
func (c *Conn) lingerToPartLocked() {
	switch l := c.s.link; {
	case !c.s.send.Finished():
	case l == nil && !c.s.mayPart():
		c.leaveLocked()
	case l == nil, l.closedSaid && !l.sealed():
		c.finishLocked(nil)
	}
}

// leaveLocked has a client whose session is over, and has no link, see to it that the
// server learns it.
func (c *Conn) leaveLocked() {
	if c.s.leaving {
		return
	}
	c.s.leaving = true
	if e := c.s.ending(); e.timer == nil {
		e.timer = time.AfterFunc(c.set.CloseTimeout, c.closeTimedOut)
	}
	c.redial.startLocked(c)
}

// leftLocked ends a session that is over.
func (c *Conn) leftLocked() {
	if c.s.closed {
		c.finishLocked(nil)
		return
	}
	c.finalLocked(io.EOF, ErrPeerClosed, nil)
}

// farewellLocked acts on what takeFarewell has returned, and reports whether that is
// what err is.
func (c *Conn) farewellLocked(err error) bool {
	switch {
	case errors.Is(err, errKnowsEnd):
		c.resetLocked(suite.ResetClosed)
		c.leftLocked()
	case !errors.Is(err, errSaidClosed):
		return false
	case c.s.recv.FinReceived(), c.s.closed && c.s.send.Finished():
		c.leftLocked()
	default: // it cannot have had everything
		c.failLocked(fmt.Errorf("%w: %w", ErrSessionLost, &suite.EndedError{Received: c.s.send.Acked()}))
	}
	return true
}
