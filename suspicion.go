package relink

import (
	"errors"
	"fmt"
	"time"

	"github.com/relink-go/relink/internal/clock"
	"github.com/relink-go/relink/internal/socket"
)

// A client suspects a link that shows no sign of life long before it counts as dead: it
// dials a second transport beside the first, and whichever is proven alive carries
// on. See docs/adr/0053-suspicion.md.
//
// On a wire with pings silence is suspicious after a question. Where something was to
// come, because data waits for its acknowledgement or because the peer has been sending
// until now, a ping asks; when that has no answer for longer than a round trip of this
// path explains, the link is suspected. Only the answer counts: what comes without having
// been asked for says nothing of the way there. On the others there is only what
// the kernel knows: a segment that it has sent again, and nobody has acknowledged.
//
// A suspicion never detaches a link that has spoken since. On a wire with records the
// first link serves until the second is confirmed. A classic wire gives the session away
// with the resume's first message: there the first is given up when the second is
// connected, which shows that the path is there, and not before.

const (
	// leastPatience is how long an answer is awaited at least. Ticks make it two tenths
	// of a second.
	leastPatience = 150 * time.Millisecond

	// ackDelay is how long a peer may hold an acknowledgement back.
	ackDelay = 2 * tickEvery

	// readDelay is how long a peer may not read because its application has just been in
	// Read: who asks may have asked at once. A silence that is asked about is longer.
	readDelay = 2 * tickEvery

	// halfPatience is how often the patience doubles where something is alive: the next
	// hop has acknowledged the question, or the peer goes on sending. A hop may hang
	// then and one way be lost, but the answer may also be in a queue.
	halfPatience = 3

	// backgroundPatience is how often it doubles in the background.
	backgroundPatience = 3

	// mostPatience is how often it doubles for alarms, once each, until there was none for
	// calmAfter.
	mostPatience = 6
	calmAfter    = time.Minute

	// spareEvery is the least time between two transports that are connected beside a
	// link, unless the first has become the link and brought something forward.
	// Each that became it and did not doubles the time, up to mostTaken times: the
	// server is there, and does not want more.
	spareEvery = 10 * time.Second
	mostTaken  = 4
)

var (
	// errSuspected is why a classic link was given up for a transport that was connected.
	errSuspected = errors.New("relink: the link showed no sign of life, and another transport was to be had")

	// errSpoke ends an attempt beside a link that is alive after all.
	errSpoke = errors.New("relink: the link has shown a sign of life")
)

// A suspicion is what a client holds against its link. Its lock is the session's.
type suspicion struct {
	ticked   clock.Time    // when the link was last looked at
	heard    clock.Time    // the last look before which something had arrived
	gap      time.Duration // from one of these to the next, smoothed
	received int64         // of the peer's stream, when a silence was last asked about
	due      clock.Time    // since when an acknowledgement is awaited, or zero
	handed   int64         // up to where
	asked    clock.Time    // since when a ping is without an answer, or zero
	since    clock.Time    // the link has been suspected; or zero
	tries    int           // attempts beside it
}

// alarms are what a client has learnt from suspicions.
type alarms struct {
	level uint8      // how often the patience doubles
	taken uint8      // how many transports beside a link became the link, and brought nothing forward
	last  clock.Time // when that was last raised
	spare clock.Time // when a transport was last connected beside a link, or zero
}

// trust begins to look at a new link of a client, on a wire with pings or without. received is how
// much of the peer's stream there is.
func (l *link) trust(pings bool, received int64) {
	if pings || l.probe.tcp != nil {
		l.suspicion = &suspicion{ticked: clock.Now(), heard: clock.Now(), received: received}
	}
}

// silenceMatters reports whether the link is to be looked at because it may fall
// silent.
func (l *link) silenceMatters(pings bool, received int64) bool {
	p := l.suspicion
	return p != nil && (p.asked != 0 || p.since != 0 || pings && received > p.received)
}

// lookLocked looks at the link at a tick. heard says that something has arrived since the
// last time.
func (r *redialer) lookLocked(c *Conn, l *link, heard bool) {
	s := l.suspicion
	if s == nil || c.s.link != l {
		return
	}
	last := s.ticked
	s.ticked = clock.Now()
	late := time.Duration(s.ticked-last) > 2*tickEvery
	if !c.s.send.Traits.Pings {
		r.lookAtKernelLocked(c, l, heard, late)
		return
	}
	s.noteDue(last, c.s.send.Acked(), c.s.send.Highest())
	if heard {
		s.noteHeard()
		if c.s.exchanged() > c.s.ending().headway.Exchanged() {
			r.alarms.forgive()
		}
	}
	if s.asked != 0 && l.answered(c.s.pingDue) {
		r.spokeLocked(&c.s, l)
	}
	if !late { // else this process was kept waiting, and not the answer
		r.lookAtSilenceLocked(c, l)
	}
}

// noteDue notes since when, at least, an acknowledgement is awaited, and up to where.
func (s *suspicion) noteDue(last clock.Time, acked, highest int64) {
	if acked >= s.handed {
		s.due = 0
	}
	if s.due == 0 && highest > acked {
		s.due, s.handed = last, highest
	}
}

// noteHeard notes that something has arrived before this look.
func (s *suspicion) noteHeard() {
	s.gap += (time.Duration(s.ticked-s.heard) - s.gap) / 4
	s.heard = s.ticked
}

// forgive forgets the transports that became the link and brought nothing forward: this one has.
func (a *alarms) forgive() {
	if a.taken > 0 {
		a.spare, a.taken = 0, 0
	}
}

// answered reports whether the peer has answered the ping that asked for it. pingDue says that
// one has still to go out.
func (l *link) answered(pingDue bool) bool { return !pingDue && l.trips.asked == 0 }

// lookAtSilenceLocked asks the peer of a link that is silent, and suspects the link if
// nothing comes.
func (r *redialer) lookAtSilenceLocked(c *Conn, l *link) {
	s := l.suspicion
	switch {
	case s.since != 0:
	case s.asked == 0 && l.trips.asked != 0: // somebody has asked for something else
		s.asked = l.trips.asked.Add(readDelay)
	case s.asked == 0:
		if s.due != 0 && s.due.Since() >= r.stretch(l.trips.Bound())+ackDelay || l.silentUnexpectedly(c.s.recv.Received(), r.vigilance) {
			c.s.askForLife(l)
		}
	case r.vigilance == VigilanceOff:
	case s.asked.Since() >= r.patience(l):
		r.suspectLocked(c, l, fmt.Errorf("relink: no answer within %v, where a round trip takes %v",
			s.asked.Since().Round(time.Millisecond), l.trips.Smoothed().Round(time.Millisecond)))
	}
}

// silentUnexpectedly reports whether something was to come by now, as it has been
// coming. After the question about it a silence is expected, until something comes.
func (l *link) silentUnexpectedly(received int64, v Vigilance) bool {
	s := l.suspicion
	patience := l.probe.timeout / 2
	if v == VigilanceForeground {
		patience = min(patience, l.rhythm())
	}
	return received > s.received && s.heard.Since() >= patience
}

// rhythm is the time within which something is to come from a peer that is sending.
func (l *link) rhythm() time.Duration { return max(2*l.suspicion.gap, l.trips.Bound()) }

// askForLife sends a ping. The link is dead if it stays silent for LivenessTimeout
// in all.
func (s *session) askForLife(l *link) {
	p := l.suspicion
	p.asked, p.received = p.ticked, s.recv.Received()
	if l.probe.quiet == 0 {
		l.probe.quiet = p.heard
	}
	s.pingDue = true
	s.hearAcks()
}

// patience is how long an answer is awaited.
func (r *redialer) patience(l *link) time.Duration {
	s := l.suspicion
	d := r.stretch(max(l.trips.Bound(), leastPatience))
	if s.asked.Since() < d {
		return d
	}
	hop := l.kernelHeard(s.asked)
	switch {
	case hop && l.queued():
		return l.probe.timeout // the question may be on this machine yet
	case hop, s.heard > s.asked && s.heard.Since() < l.rhythm():
		return d << halfPatience
	default:
		return d
	}
}

// queued reports whether the kernel has bytes that it has not sent yet.
func (l *link) queued() bool {
	info, ok := socket.ReadInfo(l.probe.tcp)
	return ok && info.Unsent > 0
}

// stretch returns d as false alarms have taught it, and as the vigilance has it.
func (r *redialer) stretch(d time.Duration) time.Duration {
	if r.alarms.level > 0 && r.alarms.last.Since() >= calmAfter {
		r.alarms.level = 0
	}
	if r.vigilance == VigilanceBackground {
		d <<= backgroundPatience
	}
	return d << r.alarms.level
}

// kernelHeard reports whether the kernel knows of a sign of life since m: of the next
// hop that answers TCP.
func (l *link) kernelHeard(m clock.Time) bool {
	if l.probe.tcp == nil {
		return false
	}
	info, ok := socket.ReadInfo(l.probe.tcp)
	return ok && min(info.SilentFor, info.ReceivedFor) < m.Since()
}

// lookAtKernelLocked is lookLocked for a wire without pings.
func (r *redialer) lookAtKernelLocked(c *Conn, l *link, heard, late bool) {
	s := l.suspicion
	if heard || s.since != 0 && l.kernelHeard(s.since) {
		r.spokeLocked(&c.s, l)
		return
	}
	if !l.outstanding || late || s.since != 0 || r.vigilance == VigilanceOff {
		return
	}
	if info, ok := socket.ReadInfo(l.probe.tcp); ok && info.Unacked > 0 && info.Retrying() &&
		info.SilentFor >= r.stretch(max(info.Bound(), leastPatience)) {
		r.suspectLocked(c, l, fmt.Errorf("relink: the kernel has sent data again that was not acknowledged for %v", info.SentFor))
	}
}

// suspectLocked has a transport dialled beside the link, unless one was in vain a moment
// ago.
func (r *redialer) suspectLocked(c *Conn, l *link, why error) {
	if r.alarms.spareLeft() > 0 {
		return // and again at the next look
	}
	l.suspicion.since = clock.Now()
	c.notify.post(Event{Kind: EventSuspected, Conn: c, Remote: c.RemoteAddr(), Err: why})
	r.startLocked(c)
}

// raise doubles the patience.
func (a *alarms) raise() { a.level, a.last = min(a.level+1, mostPatience), clock.Now() }

// spareLeft is how long no further transport is to be connected beside a link.
func (a *alarms) spareLeft() time.Duration {
	if a.spare == 0 {
		return 0
	}
	return a.spare.Add(spareEvery << a.taken).Until()
}

// spokeLocked notes a sign of life of the link.
func (r *redialer) spokeLocked(s *session, l *link) {
	if l.suspicion.since != 0 {
		r.alarms.raise()
	}
	r.withdrawLocked(s, l)
}

// withdrawLocked withdraws what is held against the link. What was begun beside it is
// dropped.
func (r *redialer) withdrawLocked(s *session, l *link) {
	p := l.suspicion
	p.asked = 0
	if p.since == 0 {
		return
	}
	p.since, p.tries = 0, 0
	s.earlyGiven = false // what the attempt carried has arrived by now, or will over this link
	if r.cancel != nil {
		r.cancel()
	}
	r.wakeLocked()
}

// suspected reports whether the link is suspected, and has shown no sign of life since, on a
// wire with pings or without.
func (l *link) suspected(pings, pingDue bool) bool {
	p := l.suspicion
	switch {
	case p == nil || p.since == 0:
		return false
	case pings:
		return !l.answered(pingDue)
	default:
		return !l.heard && !l.kernelHeard(p.since)
	}
}

// doubtful reports whether there is a link and it is suspected. What was said over it
// last may not have arrived.
func (l *link) doubtful() bool { return l != nil && l.suspicion != nil && l.suspicion.since != 0 }

// attemptBesideLocked makes an attempt beside a suspected link, and pauses if it comes to
// nothing. None of its failures is final: the link is there.
func (r *redialer) attemptBesideLocked(c *Conn) {
	l := c.s.link
	if !l.suspected(c.s.send.Traits.Pings, c.s.pingDue) {
		r.spokeLocked(&c.s, l)
		return
	}
	pause := r.alarms.spareLeft()
	if pause <= 0 {
		if r.attemptLocked(c, Event{}) == nil {
			r.alarms.taken = min(r.alarms.taken+1, mostTaken)
			r.alarms.raise() // if the next is suspected soon, the path may only be slow
			return
		}
		pause = r.pauseAfterLocked(c, c.set.backoff(l.suspicion.tries))
		l.suspicion.tries++
	}
	if c.s.link == l && l.suspicion.since != 0 && !c.s.done {
		r.beside = true
		r.pauseLocked(c, pause)
		r.beside = false
	}
}

// connectedBeside decides what becomes of a transport that was connected beside a link.
func (r *redialer) connectedBeside(c *Conn, l *link) error {
	c.mu.Lock()
	defer c.unlock()
	r.alarms.spare = clock.Now()
	if c.s.link != l { // lost meanwhile: the transport has come in time
		return nil
	}
	if !l.suspected(c.s.send.Traits.Pings, c.s.pingDue) {
		return errSpoke
	}
	if l.framing == nil {
		c.linkLostLocked(l, errSuspected)
	}
	return nil
}

// Vigilance says how soon a client suspects a link that shows no sign of life. A
// suspicion costs a second transport beside the first, of which one is dropped; the link
// itself is given up as lost only after [Config.LivenessTimeout], whatever the vigilance.
type Vigilance int

const (
	// VigilanceForeground is for what somebody waits for, as in a game: a link is
	// suspected when a ping has had no answer for longer than a round trip explains, a few
	// tenths of a second on ordinary paths. When the peer, who has been sending, falls
	// silent, one ping asks at once.
	VigilanceForeground Vigilance = iota
	// VigilanceBackground is for what can wait a few seconds, as a chat that nobody looks
	// at: eight times as patient, and a silence is asked about after half of
	// LivenessTimeout.
	VigilanceBackground
	// VigilanceOff suspects nothing: a silent loss shows after LivenessTimeout.
	VigilanceOff
)

// String names the vigilance in lower case.
func (v Vigilance) String() string {
	switch v {
	case VigilanceForeground:
		return "foreground"
	case VigilanceBackground:
		return "background"
	case VigilanceOff:
		return "off"
	default:
		return fmt.Sprintf("Vigilance(%d)", int(v))
	}
}

// check returns what is wrong with a vigilance.
func (v Vigilance) check() error {
	if v < VigilanceForeground || v > VigilanceOff {
		return fmt.Errorf("is %d: use VigilanceForeground, VigilanceBackground or VigilanceOff", int(v))
	}
	return nil
}

// SetVigilance changes what [Dialer.Vigilance] has set, for this session and at once, as
// when an application moves to the background. It never waits. On a server and on a session
// that has ended it does nothing. The error is of a value that is none.
func (c *Conn) SetVigilance(v Vigilance) error {
	if err := v.check(); err != nil {
		return c.opError("set", fmt.Errorf("relink: the vigilance %w", err))
	}
	c.mu.Lock()
	defer c.unlock()
	if c.redial == nil || c.s.done {
		return nil
	}
	c.redial.vigilance = v
	if l := c.s.link; v == VigilanceOff && l != nil && l.suspicion != nil {
		c.redial.withdrawLocked(&c.s, l)
	}
	return nil
}
