package relink

import "github.com/relink-go/relink/replay"

// Who enciphers: usually the Write, straight into the replay buffer. But while
// somebody else is sending, a short Write only copies, and the sender enciphers
// what has gathered, many Writes at once and in place. What the buffer holds
// from ciphered on is then the application's.
//
// The cipher belongs to the one Write that appends as long as ciphered is the
// end of the buffer, and otherwise to the holder of the sender role. Nothing
// from ciphered on may reach a transport; whoever has a link and the sender role
// free has nothing from there on.
//
// Where a suite's session only copies (suite.Traits.Copies) there is no cipher to
// belong to anybody, and ciphered says nothing.

const (
	// leftCipher is the longest Write that leaves its cipher to the sender. One
	// that is longer saves less than the second pass over its bytes costs.
	leftCipher = 512

	// leftStep is how much the sender enciphers at a time: it is in the
	// processor's first cache when the kernel copies it.
	leftStep = 32 << 10
)

// leavesCipherLocked says whether a Write of n bytes leaves them as they are.
// Where something is left already, it must: the cipher goes through the stream
// in order.
func (c *Conn) leavesCipherLocked(n int) bool {
	if c.traits.Copies {
		return n <= cipherInLock // there is no cipher, and nothing to do out of the lock
	}
	if c.ciphered < c.out.End() {
		return true
	}
	return n <= leftCipher && c.sender != roleFree && c.link != nil && c.link.framing == nil
}

// fitLocked is the offset up to which the buffer holds what may be sent.
func (c *Conn) fitLocked() int64 {
	if c.traits.Copies {
		return c.out.End()
	}
	return c.ciphered
}

// encipherLocked enciphers some of what Writes have left. The caller holds the
// sender role; the lock is released meanwhile.
func (c *Conn) encipherLocked() {
	loan := c.out.Lend(c.ciphered, leftStep)
	b := loan.Bytes()
	c.mu.Unlock()
	c.session.Encrypt(b, b)
	c.mu.Lock()
	c.out.Return(loan)
	c.ciphered += int64(len(b))
}

// spanLocked lends what lies in one piece in the buffer for a link without a
// codec to send next. There must be something: see ciphered.
func (c *Conn) spanLocked(l *link) replay.Loan {
	return c.out.Lend(l.sent, int(min(c.ciphered-l.sent, gather)))
}
