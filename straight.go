package relink

import "math"

// A request and its answer go the straight way: a short Write that finds nothing
// out of the ordinary sends its own bytes, and a Read takes what the transport
// brings. After a system call the processor has little of the program at hand, so
// that each line of code that an echo passes costs, and each call. Therefore what
// is done stands in Write and in Read themselves, and here are the conditions, which
// the compiler inlines there (TestStraightIsInlined). Where a record goes out, one
// call before the transport's does all there is to do. And in a row of short Writes,
// one that finds somebody sending has nothing to decide but whether there is room.
// Whatever is not ordinary goes the general way, which does the same and
// everything else.

// writesStraightLocked reports whether nothing is in the way of taking a short p
// into the buffer and sending it over the link at once. The caller has found the
// sender role free.
func (c *Conn) writesStraightLocked(l *link, p []byte) bool {
	return l != nil && l.writesStraight && l.sent == c.out.End() && c.run.n == 0 && !c.writing &&
		!c.finQueued && !c.closed && c.writeErr == nil && c.writeDeadline.IsZero() && len(p) <= cipherInLock
}

// takenStraightLocked reports whether the transport's Write has taken all of the
// size bytes, and there is nothing to do but to account for them and to give the
// sender role back.
func (c *Conn) takenStraightLocked(l *link, size, n int, err error) bool {
	return err == nil && n == size && l.sent+int64(n) == c.out.End() && c.link == l && c.maxSent == l.sent &&
		!c.closed && c.watched && !c.writers.waited()
}

// writeRecordLocked takes a short p into the buffer, if nothing is in the way of
// sending it at once as one record, and returns what is to be handed to the transport
// of which link. The caller then has the sender role. Otherwise it changes nothing.
func (c *Conn) writeRecordLocked(p []byte) (*link, outgoing) {
	l := c.link
	if c.sender != roleFree || l == nil || l.framing == nil || l.writer == nil || !c.traits.Copies || l.wire != nil || l.most != 0 ||
		l.sent != c.out.End() || l.sent != c.maxSent || c.run.n != 0 || !c.watched || c.writing ||
		c.finQueued || c.closed || c.writeErr != nil || !c.writeDeadline.IsZero() ||
		len(p) > cipherInLock || int64(len(p)) > c.peerLimit-l.sent {
		return nil, outgoing{}
	}
	loan := c.out.Extend(len(p))
	if len(loan.Bytes()) == 0 {
		return nil, outgoing{}
	}
	copy(loan.Bytes(), p)
	c.run.n = 1
	c.sender = roleInline
	l.sent = c.out.End()
	c.maxSent = l.sent
	return l, outgoing{loan, c.takeControlLocked(l)}
}

// takenRecordsLocked is takenStraightLocked for size bytes of records, which have been
// accounted for before.
func (c *Conn) takenRecordsLocked(l *link, size, n int, err error) bool {
	return err == nil && n == size && l.framing != nil && l.sent == c.out.End() && c.link == l && !c.finQueued &&
		!c.closed && c.watched && !c.ackDue.urgent && !c.pongDue && !c.pingDue
}

// readsStraightLocked reports whether a Read into p can only wait for the
// transport of the link, and the receiver role is free.
func (c *Conn) readsStraightLocked(l *link, p []byte) bool {
	return l != nil && l.readsStraight && l.readDeadline == 0 && c.in.Len() == 0 && !c.finReceived && !c.closed && c.readErr == nil &&
		c.readDeadline.IsZero() && len(p) > 0 &&
		c.receiver == roleFree && l.inPos == len(l.input) // in this order: the input is the receiver's
}

// arrivedStraightLocked reports whether the transport's Read into size bytes has
// brought some, and there is nothing to do but to account for them, to decrypt
// them and to give the receiver role back.
func (c *Conn) arrivedStraightLocked(l *link, size, n int, err error) bool {
	return err == nil && n > 0 && n <= min(size, cipherInLock) && c.link == l && l.pos == c.received && int64(n) <= math.MaxInt64-l.pos &&
		c.watched && !c.standing && !c.closed && !c.readers.waited() && c.drainTo <= c.received
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
