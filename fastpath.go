package relink

import (
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

// writesFastLocked reports whether nothing is in the way of a short Write that finds
// the sender role free: it can send its bytes at once, and has then nothing to do but to
// account for them.
func (c *Conn) writesFastLocked() bool {
	l := c.link
	return l != nil && l.writer != nil && c.send.Quiet() && c.ticking && !c.closed && c.writeDeadline == noDeadline &&
		!c.writers.waited() && !c.controlDueLocked(l) &&
		(l.framing == nil || c.traits().Copies && l.recordCap == 0 && (c.sender != roleFree || !l.sealed())) // the records are the sender's
}

// readsFastLocked reports whether nothing is in the way of a Read that finds the
// receiver role free and no input left: it can only wait for the transport.
func (c *Conn) readsFastLocked() bool {
	l := c.link
	return l != nil && l.fastReads && l.readDeadline == noDeadline && c.recv.Waiting() && c.ticking && !c.closed &&
		c.readDeadline == noDeadline && !c.readers.waited() && (c.receiver == roleFree || !c.backgroundRead)
}

// beginFastWriteLocked takes p into the buffer and the sender role, and returns what is to
// be handed to the transport. The loan is empty, and nothing has changed, if there is no
// room for p in one piece or the peer does not take it.
func (c *Conn) beginFastWriteLocked(l *link, p []byte) (loan replay.Loan, control suite.Control) {
	if l.framing != nil && int64(len(p)) > c.send.Allowed() {
		return loan, control
	}
	if loan = c.send.Extend(p); len(loan.Bytes()) == 0 {
		return loan, control
	}
	c.burst.n = 1
	c.sender = roleInline
	if l.framing != nil {
		l.writing = true
		c.send.Advance(len(p)) // and nothing of it again
		control = c.takeControlLocked(l)
	}
	return loan, control
}

// endFastWriteLocked accounts for what beginFastWriteLocked has returned, of which the
// transport has taken all.
func (c *Conn) endFastWriteLocked(l *link, loan replay.Loan) {
	if l.framing == nil {
		c.send.Sent(loan)
	} else {
		c.send.Return(loan)
		l.releaseWire()
		l.writing = false
	}
	l.outstanding = true
	c.sender = roleFree
}

// arrivedFastLocked reports whether the transport's Read into size bytes has
// brought some, and there is nothing to do but to account for them, to decrypt
// them and to give the receiver role back.
func (c *Conn) arrivedFastLocked(l *link, size, n int, err error) bool {
	return err == nil && n > 0 && n <= min(size, stream.EncryptShort) && c.fastRead && c.link == l && c.recv.Continues(n)
}

// writeBesideLocked takes a short p into the buffer beside somebody who is
// sending and will send this too, if nothing else is to be done. Otherwise it
// changes nothing and returns false.
func (c *Conn) writeBesideLocked(p []byte) bool {
	if c.link == nil || c.send.Appending() || c.send.FinQueued() || c.closed || c.send.Err() != nil || c.writeDeadline != noDeadline ||
		len(p) == 0 || len(p) > stream.EncryptShort || len(p) > c.send.Room() {
		return false
	}
	if c.send.Defers(len(p), true) {
		c.send.Append(p)
	} else {
		loan := c.send.Extend(p)
		if len(loan.Bytes()) == 0 { // the chunk is full
			return false
		}
		c.send.Return(loan)
	}
	c.fastWrite = false // the sender has something to do
	return true
}

// unlockFast gives the lock up where nothing follows from what was done.
func (c *Conn) unlockFast() {
	c.assertLocked()
	c.mu.Unlock()
}
