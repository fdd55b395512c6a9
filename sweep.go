package relink

import (
	"time"

	"github.com/relink-go/relink/internal/clock"
)

// Sessions that nobody waits for are looked after by ticks: a session gets them as
// long as it has a reason (session.ticksWanted). On a client a timer of its own ticks. On a
// server the listener's sweeper ticks for all that want it, and expires suspended
// sessions; it never walks sessions that have nothing to be done. An idle session,
// whose application waits in Read, has no timer and no goroutine.

// tickEvery is the time between ticks.
const tickEvery = 100 * time.Millisecond

// tick does what is due and reports whether there is a reason for another, which a
// client's timer has then been set for.
func (c *Conn) tick() bool {
	c.mu.Lock()
	defer c.unlock()
	s := &c.s
	s.ticking = false
	c.server.report(&c.s)
	l := s.link
	if l == nil || s.done {
		return false
	}
	heard := l.heard
	l.heard = false
	l.probe.lately = l.probe.lately || heard
	s.recv.Tick(heard)
	s.tickAbsence()
	if c.server.sharedBudget().tick(s) {
		c.notify.historyCut(c)
	}
	owes := false // acknowledgements
	if l.framing != nil {
		l.tickInput(heard)
		l.tickWriting()
		owes = l.tickAcks(s.send.Acked(), s.send.Unacknowledged(), heard)
		l.tickPace(s.send.Acked())
	}
	if owes {
		c.finishLocked(c.s.endBy(ErrUnacknowledged))
	} else if silent, ping := l.tickLiveness(s.send.Traits.Pings, s.send.Unacknowledged(), heard); silent {
		c.linkLostLocked(l, errSilent)
	} else if ping {
		s.pingDue = true
	}
	if s.link == l && s.send.Traits.Pings && l.probe.timeout > 0 && heard && l.trips.tick(s.recv.Received()+s.send.Highest()) {
		s.pingDue = true
	}
	if c.redial != nil {
		c.redial.lookLocked(c, l, heard)
	}
	if s.ticking = s.link != nil && !s.done && s.ticksWanted(s.link); s.ticking && c.timer != nil {
		c.timer.Reset(tickEvery)
	}
	return s.ticking
}

// tickAbsence has a standby read where the application has not been in Read
// for a whole tick.
func (s *session) tickAbsence() {
	switch {
	case !s.absenceMatters():
	case s.readSinceTick:
		s.readSinceTick = false
	default:
		s.backgroundRead = true
	}
}

// tickInput takes the long record buffer away from a link on which nothing
// has arrived for a whole tick: a session that waits after a large transfer
// is to hold as little as any other. Whoever waits with it in the transport's Read
// is sent back there, where that can be done.
func (f *framing) tickInput(heard bool) {
	if f.inputUse == inputLong && !heard {
		f.inputUse = inputUnwanted
	}
}

// watchSession puts a session on the list of those that get ticks.
func (l *Listener) watchSession(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watch = append(l.watch, c)
	if len(l.watch) == 1 {
		l.sweepLocked()
	}
}

// sweepLocked starts the sweeper, or wakes it.
func (l *Listener) sweepLocked() {
	if !l.sweeping {
		l.sweeping = true
		go l.sweep()
		return
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// sweep is the sweeper's goroutine. It exists only while a session wants ticks, or
// something on the agenda is due; a timer waits for the next.
func (l *Listener) sweep() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var batch []*Conn
	ticked := clock.Now()
	for {
		pause, ok := l.nextSweep(ticked)
		if !ok {
			return
		}
		timer.Reset(pause)
		select {
		case <-timer.C:
		case <-l.wake:
			continue
		}
		ticked = clock.Now()
		l.mu.Lock()
		batch, l.watch = l.watch, batch[:0]
		l.mu.Unlock()
		for i, c := range batch {
			if !c.tick() {
				batch[i] = nil
			}
		}
		l.mu.Lock()
		for i, c := range batch {
			if c != nil && c.registration.Live() { // it may have ended since
				l.watch = append(l.watch, c)
			}
			batch[i] = nil
		}
		l.mu.Unlock()
		for c := l.nextDue(); c != nil; c = l.nextDue() {
			c.mu.Lock()
			switch {
			case c.s.link != nil:
				l.proveAliveLocked(c)
			case c.s.lost.at.Since() >= c.s.ended.resumeTimeoutOr(c.set.ResumeTimeout): // else it was resumed, and lost its link once more
				c.expireLocked(ErrExpired)
			}
			c.unlock()
		}
	}
}

// nextSweep returns the time until there is something to do, or false when
// there is nothing, or not soon, and the sweeper ends. Ticks go by the time of the last one,
// so that being woken again and again does not put them off.
func (l *Listener) nextSweep(ticked clock.Time) (time.Duration, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, due, ok := l.roster.Next()
	switch {
	case len(l.watch) > 0:
		return tickEvery - ticked.Since(), true
	case !ok:
		l.sweeping = false
		return 0, false
	}
	left := due.Until()
	if left <= 0 {
		return 0, true
	}
	l.sweeping = false // until then there is no goroutine
	if l.alarm == nil {
		l.alarm = time.AfterFunc(left, l.alarmed)
	} else {
		l.alarm.Reset(left)
	}
	return 0, false
}

// alarmed is called when the first on the agenda is due.
func (l *Listener) alarmed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, _, ok := l.roster.Next(); ok {
		l.sweepLocked()
	}
}

// nextDue takes the next session whose time has come off the agenda.
func (l *Listener) nextDue() *Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, due, ok := l.roster.Next()
	if !ok || due.Until() > 0 {
		return nil
	}
	l.unscheduleLocked(c)
	return c
}

// schedule puts a connected session down for the time after d, and wakes the sweeper if
// that is earlier than what it waits for.
func (l *Listener) schedule(c *Conn, d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !c.registration.Live() {
		return // it has ended
	}
	if l.roster.Schedule(c, &c.registration.Entry, clock.In(d)) {
		l.sweepLocked()
	}
}

// reschedule puts a session down for another time, when its ResumeTimeout has changed. The caller
// holds the session's lock.
func (l *Listener) reschedule(c *Conn) {
	if c.s.link != nil {
		l.provenAliveLocked(c)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.roster.Reschedule(c, &c.registration.Entry, c.s.lost.expires(c.s.ended.resumeTimeoutOr(c.set.ResumeTimeout))) {
		l.sweepLocked()
	}
}
