package relink

import (
	"sync"
	"time"

	"github.com/relink-go/relink/internal/asserts"
	"github.com/relink-go/relink/internal/clock"
)

// What the library does by itself follows from the state that a session is in when
// its lock is given up, and is decided here and nowhere else: whoever changes the
// state unlocks, also in the middle of an operation, and what is to be done about it
// is begun. Only the fast path (see fastpath.go) gives the lock up without: it
// changes nothing from which anything would follow.

// unlock settles the session and gives up its lock.
func (c *Conn) unlock() {
	c.settleLocked()
	asserts.Check(&c.s)
	c.mu.Unlock()
}

// settleLocked begins what the state of the session calls for: a goroutine that sends
// or reads, ticks, the end of one that was closed; and lets those go on whom it lets.
func (c *Conn) settleLocked() {
	if c.s.link == nil {
		c.server.report(&c.s) // no tick does
	}
	if c.s.done {
		c.s.fastRead, c.s.fastWrite = false, false
		return // whoever waited was woken
	}
	if l := c.s.link; l != nil {
		if c.s.sender == roleFree && c.s.mustSend() && !c.s.writeSends(l) {
			c.s.sender = roleBackground
			if c.flusher == nil {
				c.flusher = c.flush // once: a go statement with a method allocates
			}
			go c.flusher()
		}
		if c.s.receiver == roleFree && c.s.standbyWanted(l) {
			c.s.receiver = roleBackground
			go c.standby()
		}
		if c.s.receiver != roleFree && c.s.readIsOver(l) {
			l.setReadDeadline(clock.LongAgo) // who reads next sets its own
		}
		if !c.s.ticking && c.s.ticksWanted(l) {
			c.s.ticking = true
			if l.suspicion != nil {
				l.suspicion.ticked = clock.Now()
			}
			switch {
			case c.server != nil:
				c.server.watchSession(c)
			case c.timer == nil:
				c.timer = time.AfterFunc(tickEvery, func() { c.tick() })
			default:
				c.timer.Reset(tickEvery)
			}
		}
	} else if c.s.receiver == roleFree {
		c.s.lost.link = nil // nobody has anything of it in hand
	}
	c.s.wake()
	if ends, leaves := c.s.lingered(); ends {
		c.finishLocked(end{})
	} else if leaves {
		c.redial.tellEndLocked(c)
	}
	c.s.fastRead, c.s.fastWrite = c.s.readsFast(), c.s.writesFast()
}

// wake wakes those who can go on.
func (s *session) wake() {
	if s.readers.waited() && (s.readable() || s.receiver == roleFree && s.link != nil && s.link.interruptible) {
		s.readers.wake()
	}
	if s.writers.waited() && s.writable() {
		s.writers.wake()
	}
	if s.ackers.waited() {
		if p := (progress{s.epoch, s.send.Acked(), s.send.Consumed(), s.send.HandedTo(), s.link != nil, s.send.Fin.Stopped()}); p != s.ackers.seen {
			s.ackers.seen = p
			s.ackers.wake()
		}
	}
}

// A progress is what those who wait for delivery wait for a change of.
type progress struct {
	epoch                   uint32
	acked, consumed, handed int64
	linked, stopped         bool
}

// writable reports whether a Write that waits, for room or for its turn, can go
// on. One that was woken for nothing would ask the peer for an acknowledgement again.
func (s *session) writable() bool {
	return s.closed || s.send.Fin.Queued() || s.send.Err() != nil || !s.send.Appending() || s.wantsRoom && s.send.Room() > 0
}

// readable reports whether a Read can return without the transport.
func (s *session) readable() bool { return s.closed || !s.recv.Waiting() }

// readIsOver reports whether whoever reads the transport is to come back from
// there: a Read that need not wait any more, a standby that is not wanted, and either
// of them where it holds a long buffer that is to be given back.
func (s *session) readIsOver(l *link) bool {
	switch {
	case l.framing != nil && l.inputUse == inputUnwanted:
		return true
	case s.receiver == roleInline:
		return s.readable()
	default:
		return !s.standbyWanted(l)
	}
}

// standbyWanted says whether the link is to be read although no Read
// waits: always where Read cannot do it itself, to drain a replay, to drain
// what a peer still sends to a closed session, and when the application has
// been away for a while.
func (s *session) standbyWanted(l *link) bool {
	if l.interruptible && s.readers.waited() && !s.closed {
		return false
	}
	if !s.closed && s.recv.Buffered() >= s.readAhead() {
		return false
	}
	if s.heldBack() {
		return false
	}
	return !l.interruptible || s.closed || s.backgroundRead || s.recv.Draining()
}

// unacceptedBound is how much a session takes from its peer while it waits for
// Accept, in bytes. The rest stays in the transport.
const unacceptedBound = 16 << 10

// heldBack says whether nothing more is to be taken for an application that does not
// have the session yet: it is to hold little before somebody wants it.
func (s *session) heldBack() bool {
	return s.unaccepted && s.recv.Buffered() >= unacceptedBound
}

// mustSend says whether the sender has anything to do.
func (s *session) mustSend() bool {
	l := s.link
	return l != nil && (l.sealed() || s.send.Due() || s.controlDue(l) || s.halfCloseDue(l))
}

// writeSends says whether a Write is appending that will send what is due itself:
// where there is nothing to seal, and until it waits for room.
func (s *session) writeSends(l *link) bool {
	return s.send.Appending() && !s.wantsRoom && l.framing == nil && l.writer != nil
}

// controlDue says whether there is control that does not wait for data.
func (s *session) controlDue(l *link) bool {
	return l.framing != nil && (s.recv.AckUrgent() || s.pongDue || s.pingDue || s.closed && !l.stopSent || s.saysClosed(l))
}

// halfCloseDue says whether the transport's own end is all that is left
// to send, on a wire that has no other.
func (s *session) halfCloseDue(l *link) bool {
	return s.closed && !s.send.Traits.HalfClose && !l.halfClosed && s.send.AllSent()
}

// ticksWanted says whether there is anything that time will decide.
func (s *session) ticksWanted(l *link) bool {
	return l.outstanding || s.recv.AckPending() || s.recv.ReplayUnknown() && s.recv.Draining() ||
		s.absenceMatters() || l.framing != nil && (l.inputUse == inputLong || l.writing && l.writingTicks < stuckTicks || s.send.Unacknowledged()) ||
		s.send.Traits.Pings && l.probe.timeout > 0 && l.answerDue(s.send.Unacknowledged()) || l.silenceMatters(s.send.Traits.Pings, s.recv.Received()) ||
		!s.client && (s.send.Buffer.Spare(s.send.Traits.Acks) || uint32(s.recv.Consumed()) != s.reported.read)
}

// absenceMatters says whether somebody must read if the application stays away:
// to notice a loss, or what the peer says beside its stream; on a server also what is
// to leave the backlog.
func (s *session) absenceMatters() bool {
	return s.receiver == roleFree && !s.readers.waited() && !s.backgroundRead &&
		(s.client || s.send.Traits.Acks || s.send.Traits.Pings || s.unaccepted)
}

// lingered reports whether a closed session has nothing left to deliver and to say, so
// that it ends; or has no link on which to say it.
func (s *session) lingered() (ends, leaves bool) {
	l := s.link
	switch {
	case !s.closed || s.send.Appending() || s.sender != roleFree:
		return false, false
	case !s.send.Traits.HalfClose:
		// Without acknowledgements only a resume tells what has arrived, unless
		// nothing was ever on its way.
		return l == nil && s.send.NothingUnderWay(), false
	case !s.send.Fin.Finished():
		return false, false
	case l == nil:
		return s.mayPart(), !s.mayPart()
	default:
		return l.closedSaid && !l.sealed() && !l.doubtful(), false
	}
}

// A waitQueue is a condition that goroutines wait for until a deadline which
// they share. Its methods need the lock of the condition held. A nil waitQueue
// is one at which nobody has waited yet: most sessions never need theirs.
type waitQueue struct {
	cond  sync.Cond
	n     int // goroutines that wait
	timer *time.Timer
	seen  progress // when those who wait for delivery were last woken
}

// waitLocked settles the session and waits at one of its queues, which the first makes.
// It returns after a wake, or once the deadline has passed; the caller looks for
// itself.
func (c *Conn) waitLocked(q **waitQueue, deadline clock.Time) {
	if *q == nil {
		*q = new(waitQueue)
		(*q).cond.L = &c.mu
	}
	(*q).n++ // what the session does by itself depends on who waits
	if c.settleLocked(); !c.s.done {
		c.s.fastRead, c.s.fastWrite = false, false // until whoever holds a role has seen to it that this one is woken
		(*q).wait(deadline)
	}
	if (*q).n--; (*q).n == 0 && (*q).timer != nil {
		(*q).timer.Stop()
	}
}

func (q *waitQueue) wait(deadline clock.Time) {
	if deadline != clock.None {
		d := deadline.Until()
		if q.timer == nil {
			q.timer = time.AfterFunc(d, q.expire)
		} else {
			q.timer.Reset(d)
		}
	}
	q.cond.Wait()
}

func (q *waitQueue) expire() {
	q.cond.L.Lock()
	q.cond.Broadcast()
	q.cond.L.Unlock()
}

// waited reports whether anybody waits.
func (q *waitQueue) waited() bool { return q != nil && q.n > 0 }

// wake lets all that wait look again.
func (q *waitQueue) wake() {
	if q.waited() {
		q.cond.Broadcast()
	}
}
