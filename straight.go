package relink

import "github.com/relink-go/relink/internal/stream"

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
	return l != nil && l.writesStraight && c.send.Quiet() && c.run.n == 0 &&
		!c.closed && c.writeDeadline == noDeadline && len(p) <= stream.EncryptShort
}

// sentStraightLocked reports whether the transport's Write has taken all of the
// size bytes, and there is nothing to do but to account for them and to give the
// sender role back.
func (c *Conn) sentStraightLocked(l *link, size, n int, err error) bool {
	return err == nil && n == size && c.send.Pending() == int64(n) && c.link == l &&
		!c.closed && c.watched && !c.writers.waited()
}

// writeRecordLocked takes a short p into the buffer, if nothing is in the way of
// sending it at once as one record, and returns what is to be handed to the transport
// of which link. The caller then has the sender role. Otherwise it changes nothing.
func (c *Conn) writeRecordLocked(p []byte) (*link, outgoing) {
	l := c.link
	if c.sender != roleFree || l == nil || l.framing == nil || l.writer == nil || !c.traits().Copies || l.wire != nil || l.most != 0 ||
		!c.send.Quiet() || c.run.n != 0 || !c.watched ||
		c.closed || c.writeDeadline != noDeadline ||
		len(p) > stream.EncryptShort || int64(len(p)) > c.send.Allowed() {
		return nil, outgoing{}
	}
	loan := c.send.Extend(p)
	if len(loan.Bytes()) == 0 {
		return nil, outgoing{}
	}
	c.run.n = 1
	c.sender = roleInline
	l.writing = true
	c.send.Advance(len(p)) // and nothing of it again
	return l, outgoing{loan, c.takeControlLocked(l)}
}

// sentRecordsLocked is sentStraightLocked for size bytes of records, which have been
// accounted for before.
func (c *Conn) sentRecordsLocked(l *link, size, n int, err error) bool {
	return err == nil && n == size && l.framing != nil && c.link == l && c.send.Quiet() &&
		!c.closed && c.watched && !c.recv.AckUrgent() && !c.pongDue && !c.pingDue
}

// readsStraightLocked reports whether a Read into p can only wait for the
// transport of the link, and the receiver role is free.
func (c *Conn) readsStraightLocked(l *link, p []byte) bool {
	return l != nil && l.readsStraight && l.readDeadline == 0 && c.recv.Waiting() && !c.closed &&
		c.readDeadline == noDeadline && len(p) > 0 &&
		c.receiver == roleFree && l.inPos == len(l.input) // in this order: the input is the receiver's
}

// arrivedStraightLocked reports whether the transport's Read into size bytes has
// brought some, and there is nothing to do but to account for them, to decrypt
// them and to give the receiver role back.
func (c *Conn) arrivedStraightLocked(l *link, size, n int, err error) bool {
	return err == nil && n > 0 && n <= min(size, stream.EncryptShort) && c.link == l && c.recv.Continues(n) &&
		c.watched && !c.backgroundRead && !c.closed && !c.readers.waited()
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
		return true
	}
	loan := c.send.Extend(p)
	if len(loan.Bytes()) == 0 { // the chunk is full
		return false
	}
	c.send.Return(loan)
	return true
}
