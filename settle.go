package relink

// What the library does by itself follows from the state that a session is in when
// its lock is given up, and is decided here and nowhere else: whoever changes the
// state unlocks, also in the middle of an operation, and what is to be done about it
// is begun. Only the fast path (see fastpath.go) gives the lock up without: it
// changes nothing from which anything would follow.

// unlock settles the session and gives up its lock.
func (c *Conn) unlock() {
	c.settleLocked()
	c.assertLocked()
	c.mu.Unlock()
}

// settleLocked begins what the state of the session calls for: a goroutine that sends
// or reads, ticks, the end of one that was closed; and lets those go on whom it lets.
func (c *Conn) settleLocked() {
	if c.link == nil {
		c.reportLocked() // no tick does
	}
	if c.done {
		c.fastRead, c.fastWrite = false, false
		return // whoever waited was woken
	}
	if l := c.link; l != nil {
		if c.sender == roleFree && c.mustSendLocked() && !c.writeSendsLocked(l) {
			c.startFlusher()
		}
		if c.receiver == roleFree && c.standbyWantedLocked(l) {
			c.receiver = roleBackground
			go c.standby()
		}
		if c.receiver != roleFree && c.readIsOverLocked(l) {
			l.setReadDeadlineLocked(longAgo) // who reads next sets its own
		}
		if !c.ticking && c.ticksWantedLocked(l) {
			c.startTicks()
		}
	} else if c.receiver == roleFree {
		c.lost.link = nil // nobody has anything of it in hand
	}
	c.wakeLocked()
	c.lingerLocked()
	c.fastRead, c.fastWrite = c.readsFastLocked(), c.writesFastLocked()
}

// wakeLocked wakes those who can go on.
func (c *Conn) wakeLocked() {
	if c.readers.waited() && (c.readableLocked() || c.receiver == roleFree && c.link != nil && c.link.interruptible) {
		c.readers.wake()
	}
	if c.writers.waited() && c.writableLocked() {
		c.writers.wake()
	}
	if c.ackers.waited() {
		if p := (progress{c.epoch, c.send.Acked(), c.send.Consumed(), c.send.HandedTo(), c.link != nil, c.send.Stopped()}); p != c.ackers.seen {
			c.ackers.seen = p
			c.ackers.wake()
		}
	}
}

// A progress is what those who wait for delivery wait for a change of.
type progress struct {
	epoch                   uint32
	acked, consumed, handed int64
	linked, stopped         bool
}

// writableLocked reports whether a Write that waits, for room or for its turn, can go
// on. One that was woken for nothing would ask the peer for an acknowledgement again.
func (c *Conn) writableLocked() bool {
	return c.closed || c.send.FinQueued() || c.send.Err() != nil || !c.send.Appending() || c.wantsRoom && c.send.Room() > 0
}

// readableLocked reports whether a Read can return without the transport.
func (c *Conn) readableLocked() bool { return c.closed || !c.recv.Waiting() }

// readIsOverLocked reports whether whoever reads the transport is to come back from
// there: a Read that need not wait any more, a standby that is not wanted, and either
// of them where it holds a long buffer that is to be given back.
func (c *Conn) readIsOverLocked(l *link) bool {
	switch {
	case l.framing != nil && l.inputUse == inputUnwanted:
		return true
	case c.receiver == roleInline:
		return c.readableLocked()
	default:
		return !c.standbyWantedLocked(l)
	}
}

// standbyWantedLocked says whether the link is to be read although no Read
// waits: always where Read cannot do it itself, to drain a replay, to drain
// what a peer still sends to a closed session, and when the application has
// been away for a while.
func (c *Conn) standbyWantedLocked(l *link) bool {
	if l.interruptible && c.readers.waited() && !c.closed {
		return false
	}
	if !c.closed && c.recv.Buffered() >= c.recv.Limit() {
		return false
	}
	if c.unaccepted && c.recv.Buffered() >= unacceptedBound {
		return false // it is to hold little before somebody wants it
	}
	return !l.interruptible || c.closed || c.backgroundRead || c.recv.Draining()
}

// mustSendLocked says whether the sender has anything to do.
func (c *Conn) mustSendLocked() bool {
	l := c.link
	return l != nil && (l.sealed() || c.send.Due() || c.controlDueLocked(l) || c.halfCloseDueLocked(l))
}

// writeSendsLocked says whether a Write is appending that will send what is due itself:
// where there is nothing to seal, and until it waits for room.
func (c *Conn) writeSendsLocked(l *link) bool {
	return c.send.Appending() && !c.wantsRoom && l.framing == nil && l.writer != nil
}

// controlDueLocked says whether there is control that does not wait for data.
func (c *Conn) controlDueLocked(l *link) bool {
	return l.framing != nil && (c.recv.AckUrgent() || c.pongDue || c.pingDue || c.closed && !l.stopSent)
}

// halfCloseDueLocked says whether the transport's own end is all that is left
// to send, on a wire that has no other.
func (c *Conn) halfCloseDueLocked(l *link) bool {
	return c.closed && !c.traits().HalfClose && !l.halfClosed && c.send.AllSent()
}

// ticksWantedLocked says whether there is anything that time will decide.
func (c *Conn) ticksWantedLocked(l *link) bool {
	return l.outstanding || c.recv.AckPending() || c.recv.ReplayUnknown() && c.recv.Draining() ||
		c.absenceMattersLocked() || l.framing != nil && l.inputUse == inputLong ||
		c.traits().Pings && c.set.LivenessTimeout > 0 && c.answerDueLocked(l) || c.reportDueLocked()
}

// absenceMattersLocked says whether somebody must read if the application stays away:
// to notice a loss, or what the peer says beside its stream; on a server also what is
// to leave the backlog.
func (c *Conn) absenceMattersLocked() bool {
	return c.receiver == roleFree && !c.readers.waited() && !c.backgroundRead &&
		(c.server == nil || c.traits().Acks || c.traits().Pings || c.unaccepted)
}

// lingerLocked ends a closed session once there is nothing left to deliver.
func (c *Conn) lingerLocked() {
	if !c.closed || c.send.Appending() || c.sender != roleFree {
		return
	}
	if c.traits().HalfClose {
		if c.send.Finished() {
			c.finishLocked(nil)
		}
		return
	}
	// Without acknowledgements only a resume tells what has arrived, unless
	// nothing was ever on its way.
	if c.link == nil && c.send.NothingUnderWay() {
		c.finishLocked(nil)
	}
}
