package relink

// While all processors have something to do, a goroutine that was started begins
// when the one that started it waits for something, and what the network brings is
// noticed when a processor finds nothing else to do (in package runtime: findRunnable,
// and sysmon after 10 ms). A stream that keeps the processors busy would so go in
// bursts, with all of them waiting in between. Here are the three places where the
// goroutine that has a processor sees to it that what others wait for is done:
// docs/performance.md has what each of them brings.

// sendForFlusherLocked sends what a Write has appended, with a call of the
// transport's worth of it ready. The flusher was called for and has not begun. It
// would begin when the Write waits for room: the peer gets all of that at once, and
// is idle before. Where the sender also seals (a link with a codec), bursts cost less
// than that takes.
func (c *Conn) sendForFlusherLocked() {
	if l := c.link; l != nil && l.framing == nil && l.interruptible && c.ciphered-l.sent >= gather {
		c.sender = roleInline
		c.pumpLocked(l, c.ciphered)
	}
}

// callsForAckLocked reports whether a flusher was called for that has not begun
// and is to send an acknowledgement. A Read that has just called for it then has to
// let it run: it might go on for as long as the peer has anything to send.
func (c *Conn) callsForAckLocked() bool { return c.sender == roleCalled && c.ackDue.urgent }

// lookForAcksLocked has whoever waits for the transport look at it, if a Write waits
// for acknowledgements to make room, and reports whether it has. The sender, who has
// taken the next data along, then has to let them run. For half of the buffer sent
// the peer has acknowledged something, if it is quick; were the Write to wait until the
// sender has nothing left, so would everybody.
func (c *Conn) lookForAcksLocked(l *link, p *pump) bool {
	if !c.traits.Acks || c.maxSent-p.looked < int64(c.set.ReplayLimit/2) {
		return false
	}
	p.looked = c.maxSent
	if c.receiver == roleFree || !c.writers.waited() || c.out.Room() > 0 {
		return false
	}
	l.setReadDeadlineLocked(longAgo) // a Read of the transport ends at once, and the next is without it
	return true
}
