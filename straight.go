package relink

import (
	"math"

	"github.com/relink-go/relink/replay"
)

// A request and its answer go the straight way: a short Write that finds nothing
// out of the ordinary sends its own bytes, and a Read takes what the transport
// brings. After a system call the processor has little of the program at hand, so
// that each line of code that an echo passes costs. And in a row of short Writes,
// one that finds somebody sending has nothing to decide but whether there is room.
// Whatever is not ordinary goes the general way, which does the same and
// everything else.

// writeStraightLocked takes a short p into the buffer, if nothing is in the way
// of sending it at once, and returns the link and what to hand over: the caller,
// who has found the sender role free, then has it. Otherwise it changes nothing
// and returns nil.
func (c *Conn) writeStraightLocked(p []byte) (*link, replay.Loan) {
	l := c.link
	if l == nil || l.framing != nil || !l.interruptible || l.sent != c.out.End() || l.writeDeadline != 0 ||
		c.run.n > 0 || c.writing || c.finQueued || c.closed || c.writeErr != nil ||
		!c.writeDeadline.IsZero() || len(p) > cipherInLock {
		return nil, replay.Loan{}
	}
	loan := c.out.Extend(len(p))
	b := loan.Bytes()
	if len(b) == 0 { // the chunk or the buffer is full
		return nil, loan
	}
	c.run.n = 1
	c.sender = roleInline
	c.session.Encrypt(b, p)
	c.ciphered = c.out.End()
	return l, loan
}

// writeBesideLocked takes a short p into the buffer beside somebody who is
// sending and will send this too, if nothing else is to be done. Otherwise it
// changes nothing and returns false.
func (c *Conn) writeBesideLocked(p []byte) bool {
	if c.link == nil || c.writing || c.finQueued || c.closed || c.writeErr != nil || !c.writeDeadline.IsZero() ||
		len(p) == 0 || len(p) > cipherInLock || len(p) > c.roomLocked() {
		return false
	}
	if c.leavesCipherLocked(len(p)) {
		c.out.Append(p)
		return true
	}
	loan := c.out.Extend(len(p))
	b := loan.Bytes()
	if len(b) == 0 { // the chunk is full
		return false
	}
	c.session.Encrypt(b, p)
	c.out.Return(loan)
	c.ciphered = c.out.End()
	return true
}

// takenStraightLocked accounts for what the transport's Write of a loan has
// returned and gives the sender role back, if it has taken everything and that is
// all there was to do. Otherwise it changes nothing and returns false.
func (c *Conn) takenStraightLocked(l *link, loan replay.Loan, n int, err error) bool {
	sent := l.sent + int64(n)
	if err != nil || n != len(loan.Bytes()) || sent != c.out.End() || c.link != l || c.maxSent != l.sent ||
		c.closed || !c.watched || c.writers.waited() {
		return false
	}
	c.out.Return(loan)
	l.sent, c.maxSent = sent, sent
	l.asked = true
	c.trimLocked()
	c.sender = roleFree
	return true
}

// readStraightLocked takes the receiver role for a Read into p that can only
// wait for the transport, and returns the link to read. Otherwise it changes
// nothing and returns nil.
func (c *Conn) readStraightLocked(p []byte) *link {
	l := c.link
	if l == nil || l.framing != nil || !l.interruptible || l.readDeadline != 0 || c.in.Len() > 0 || c.finReceived ||
		c.closed || c.readErr != nil || !c.readDeadline.IsZero() || len(p) == 0 ||
		c.receiver != roleFree || l.inPos < len(l.input) { // in this order: the input is the receiver's
		return nil
	}
	c.receiver = roleInline
	c.standing = false
	c.readSeq++
	return l
}

// arrivedStraightLocked takes what the transport has put into p and gives the
// receiver role back, if that is all there is to do. Otherwise it changes
// nothing and returns false.
func (c *Conn) arrivedStraightLocked(l *link, p []byte, n int, err error) bool {
	if err != nil || n <= 0 || n > min(len(p), cipherInLock) || c.link != l || l.pos != c.received ||
		int64(n) > math.MaxInt64-l.pos || !c.watched || c.standing || c.closed || c.readers.waited() || c.drainTo > c.received {
		return false
	}
	l.pos += int64(n)
	c.received = l.pos
	l.heard = true
	c.session.Decrypt(p[:n], p[:n])
	c.run.reset()
	c.receiver = roleFree
	return true
}
