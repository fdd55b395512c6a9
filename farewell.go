package relink

import (
	"errors"
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

// endCleanlyLocked ends a session that is over.
func (c *Conn) endCleanlyLocked() {
	if c.s.closed {
		c.finishLocked(nil)
		return
	}
	c.finalLocked(io.EOF, ErrPeerClosed, nil)
}
