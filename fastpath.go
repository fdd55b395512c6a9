package relink

import (
	"github.com/relink-go/relink/internal/asserts"
	"github.com/relink-go/relink/internal/clock"
	"github.com/relink-go/relink/internal/stream"
	"github.com/relink-go/relink/internal/suite"
	"github.com/relink-go/relink/replay"
)

// A request and its answer take the fast path: a short Write that finds nothing out
// of the ordinary sends its own bytes, and a Read takes what the transport brings. Both
// give the lock up without settling, since nothing follows from what they have done.
// Whether anything is out of the ordinary is one bit for each direction, which
// settleLocked keeps; whoever changes the state without settling clears it. Then all
// goes the general way, which does the same and everything else.

// writesFast reports whether nothing is in the way of a short Write that finds
// the sender role free: it can send its bytes at once, and has then nothing to do but to
// account for them.
func (s *session) writesFast() bool {
	l := s.link
	return l != nil && l.writer != nil && s.send.Quiet() && s.ticking && !s.closed && s.writeDeadline == clock.None &&
		!s.writers.waited() && !s.controlDue(l) &&
		(l.framing == nil || s.send.Traits.Copies && l.recordCap == 0 && (s.sender != roleFree || !l.sealed())) // the records are the sender's
}

// readsFast reports whether nothing is in the way of a Read that finds the
// receiver role free and no input left: it can only wait for the transport.
func (s *session) readsFast() bool {
	l := s.link
	return l != nil && l.fastReads && l.readDeadline == clock.None && s.recv.Waiting() && s.ticking && !s.closed &&
		s.readDeadline == clock.None && !s.readers.waited() && (s.receiver == roleFree || !s.backgroundRead)
}

// beginFastWrite takes p into the buffer and the sender role, and returns what is to
// be handed to the transport. The loan is empty, and nothing has changed, if there is no
// room for p in one piece or the peer does not take it.
func (s *session) beginFastWrite(l *link, p []byte) (loan replay.Loan, control suite.Control) {
	if l.framing != nil && int64(len(p)) > s.send.Allowed() {
		return loan, control
	}
	if loan = s.send.Extend(p); len(loan.Bytes()) == 0 {
		return loan, control
	}
	s.burst.n = 1
	s.sender = roleInline
	if l.framing != nil {
		l.writing, l.writingTicks = true, 0
		s.send.Advance(len(p)) // and nothing of it again
		control = s.collectControl(l)
	}
	return loan, control
}

// endFastWrite accounts for what beginFastWrite has returned, of which the
// transport has taken all.
func (s *session) endFastWrite(l *link, loan replay.Loan) {
	if l.framing == nil {
		s.send.Sent(loan)
	} else {
		s.send.Return(loan)
		l.releaseWire()
		l.writing = false
	}
	l.outstanding = true
	s.sender = roleFree
}

// arrivedFast reports whether the transport's Read into size bytes has
// brought some, and there is nothing to do but to account for them, to decrypt
// them and to give the receiver role back.
func (s *session) arrivedFast(l *link, size, n int, err error) bool {
	return err == nil && n > 0 && n <= min(size, stream.EncryptShort) && s.fastRead && s.link == l && s.recv.Continues(n)
}

// writeBeside takes a short p into the buffer beside somebody who is
// sending and will send this too, if nothing else is to be done. Otherwise it
// changes nothing and returns false.
func (s *session) writeBeside(p []byte) bool {
	if s.link == nil || s.send.Appending() || s.send.Fin.Queued() || s.closed || s.send.Err() != nil || s.writeDeadline != clock.None ||
		len(p) == 0 || len(p) > stream.EncryptShort || len(p) > s.send.Room() {
		return false
	}
	if s.send.Defers(len(p), true) {
		s.send.Append(p)
	} else {
		loan := s.send.Extend(p)
		if len(loan.Bytes()) == 0 { // the chunk is full
			return false
		}
		s.send.Return(loan)
	}
	s.fastWrite = false // the sender has something to do
	return true
}

// unlockFast gives the lock up where nothing follows from what was done.
func (c *Conn) unlockFast() {
	asserts.Check(&c.s)
	c.mu.Unlock()
}

// Contradiction implements [asserts.Invariant]: a bit says that nothing is out of the
// ordinary, and something is; or nobody does what is to be done.
func (s *session) Contradiction() string {
	switch {
	case s.fastWrite && s.sender == roleFree && (!s.writesFast() || s.mustSend()):
		return "not everything is ordinary for a Write"
	case s.fastRead && s.receiver == roleFree && (!s.readsFast() || s.standbyWanted(s.link)):
		return "not everything is ordinary for a Read"
	case s.link != nil && !s.done && !s.ticking && s.ticksWanted(s.link):
		return "ticks are wanted, and there are none"
	default:
		return ""
	}
}
