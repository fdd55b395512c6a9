package relink

import (
	"container/list"
	"fmt"
	"net"
	"time"

	"github.com/relink-go/relink/internal/clock"
)

// A stage says what a transport has shown of itself during its handshake. Those
// with the lower one give way first.
type stage int

const (
	silent stage = iota // nothing has arrived
	heard               // something has, which anybody can send
	proven              // a resume that knows its session's secret
	stages
)

// patience is how long a handshake is left alone, however many wait for its place.
// It is what an honest client needs until its first bytes are here, and the next.
const patience = time.Second

// resumeShare is the part of MaxHandshakes that proven resumes have for themselves,
// in addition to it.
const resumeShare = 4

// The pendingHandshakes are those under way, by their stage. They are
// guarded by the listener's lock.
type pendingHandshakes struct {
	waiting [stages]list.List // of *handshake, the oldest first
}

// len returns how many there are.
func (a *pendingHandshakes) len() int { return a.unproven() + a.waiting[proven].Len() }

// unproven returns how many count against MaxHandshakes.
func (a *pendingHandshakes) unproven() int { return a.waiting[silent].Len() + a.waiting[heard].Len() }

// all returns all of them.
func (a *pendingHandshakes) all() []*handshake {
	var all []*handshake
	for i := range a.waiting {
		for e := a.waiting[i].Front(); e != nil; e = e.Next() {
			all = append(all, e.Value.(*handshake))
		}
	}
	return all
}

func (a *pendingHandshakes) add(h *handshake) { h.elem = a.waiting[h.stage].PushBack(h) }

func (a *pendingHandshakes) remove(h *handshake) { a.waiting[h.stage].Remove(h.elem) }

// next returns the one that gives way next to a newcomer, which has shown nothing,
// and in how long: the oldest of the silent, if it has been there for long enough.
// Otherwise it is the oldest of those that were heard where these hold more than half
// of the room, lest they stop everybody for as long as they like. Nobody
// who has proven something gives way.
func (a *pendingHandshakes) next() (*handshake, time.Duration) {
	quiet, talking := a.oldest(silent), a.oldest(heard)
	switch {
	case talking == nil, quiet != nil && (quiet.patience() <= 0 || a.waiting[silent].Len() >= a.waiting[heard].Len()):
		return quiet, quiet.patience()
	default:
		return talking, talking.patience()
	}
}

func (a *pendingHandshakes) oldest(s stage) *handshake {
	if e := a.waiting[s].Front(); e != nil {
		return e.Value.(*handshake)
	}
	return nil
}

// patience returns how long the handshake is to be left alone.
func (h *handshake) patience() time.Duration { return h.began.Add(patience).Until() }

// begin starts a handshake. It may wait for room, and with it all that have not been
// accepted from that inner listener; what they say meanwhile waits with them.
func (l *Listener) begin(t net.Conn, s *source) {
	remote := t.RemoteAddr()
	if err := l.askAdmit(remote); err != nil {
		l.turnAway(t, s, remote, fmt.Errorf("%w: %w", ErrDenied, err))
		return
	}
	h := &handshake{l: l, stream: newStream(t), origin: originOf(remote)}
	h.stream.source = s
	h.stream.onFirst = func() { h.advance(heard) }
	for asked := false; ; asked = true {
		l.mu.Lock()
		if l.closed {
			l.mu.Unlock()
			closeTransport(t)
			return
		}
		if !l.origins.mayEnter(h.origin) {
			l.mu.Unlock()
			l.turnAway(t, s, remote, ErrTooManyHandshakes)
			return
		}
		if !asked && !l.rates.take(h.origin) {
			l.mu.Unlock()
			l.turnAway(t, s, remote, ErrHandshakeRate)
			return
		}
		var oldest *handshake
		var wait time.Duration
		if l.handshakes.unproven() >= l.set.MaxHandshakes {
			oldest, wait = l.handshakes.next()
		}
		if wait <= 0 {
			h.began = clock.Now()
			h.deadline = time.Now().Add(l.set.HandshakeTimeout)
			h.timer = time.AfterFunc(l.set.HandshakeTimeout, h.expire)
			l.origins.enter(h.origin)
			l.budget.charged.Add(handshakeCost)
			l.handshakes.add(h)
			l.mu.Unlock()
			if oldest != nil {
				oldest.expire()
			}
			go h.run()
			return
		}
		l.mu.Unlock()
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-l.left:
		case <-l.quit:
		}
		timer.Stop()
	}
}

// askAdmit asks ListenConfig.Admit.
func (l *Listener) askAdmit(remote net.Addr) (err error) {
	if l.set.Admit == nil {
		return nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: ListenConfig.Admit panicked: %v", errInternal, p)
		}
	}()
	return l.set.Admit(remote)
}

// turnAway refuses a transport before anything is spent on it.
func (l *Listener) turnAway(t net.Conn, s *source, remote net.Addr, err error) {
	l.refused(s, remote, err)
	go resetTransport(t)
}

// refused counts and tells a refusal.
func (l *Listener) refused(s *source, remote net.Addr, err error) {
	l.totals.refused[refusalOf(err)].Add(1)
	l.notify.post(Event{Kind: EventRefused, Label: s.label, Remote: remote, Err: err})
}

// advance notes what a handshake has shown. A resume that is proven has a place of its
// own; the oldest of these gives way.
func (h *handshake) advance(to stage) {
	l := h.l
	var oldest *handshake
	l.mu.Lock()
	if !h.over && to > h.stage {
		l.handshakes.remove(h)
		h.stage = to
		if most := max(1, l.set.MaxHandshakes/resumeShare); to == proven && l.handshakes.waiting[proven].Len() >= most {
			oldest = l.handshakes.oldest(proven)
		}
		l.handshakes.add(h)
		l.leftLocked()
	}
	l.mu.Unlock()
	if oldest != nil {
		oldest.expire()
	}
}

// leaveLocked takes a handshake that is over out. The caller holds the listener's lock.
func (h *handshake) leaveLocked() {
	h.l.handshakes.remove(h)
	h.l.origins.leave(h.origin)
	h.l.budget.charged.Add(-handshakeCost)
	h.l.leftLocked()
}

// leftLocked wakes begin where it waits for room.
func (l *Listener) leftLocked() {
	select {
	case l.left <- struct{}{}:
	default:
	}
}

// littleCarried is what a session has carried at most, in both directions together,
// that may give way to a new one, in bytes.
const littleCarried = 4 << 10

// The evictable are suspended sessions that were never resumed and have carried
// little: all that a client has which opens sessions only to drop them. They
// are guarded by the listener's lock.
type evictable struct {
	order list.List // of *Conn, the longest suspended first
	at    map[*Conn]*list.Element
}

func (x *evictable) add(c *Conn) {
	if x.at == nil {
		x.at = make(map[*Conn]*list.Element)
	}
	x.at[c] = x.order.PushBack(c)
}

func (x *evictable) remove(c *Conn) {
	if e := x.at[c]; e != nil {
		x.order.Remove(e)
		delete(x.at, c)
	}
	if len(x.at) == 0 {
		x.at = nil // one that was long keeps its room
	}
}

// evictable reports whether the session, which has just lost its link, is one
// of those.
func (s *session) evictable() bool {
	return s.epoch == 1 && !s.closed && s.recv.Received()+s.send.End() <= littleCarried
}

// evictLocked makes room for a session where there is none. The caller knows that
// somebody can give way then. Who gives way is out of the listener at once and is ended soon. The
// caller holds the listener's lock.
func (l *Listener) evictLocked() {
	if l.live < l.set.MaxSessions {
		return
	}
	c := l.evictable.order.Front().Value.(*Conn)
	for _, k := range c.registration.keys {
		delete(l.table, k)
	}
	c.registration.keys = nil
	l.unscheduleLocked(c)
	l.backlog.remove(c)
	l.agelessLocked(c)
	l.removeSessionLocked(c)
	l.totals.displaced.Add(1)
	go func() { // its lock is taken before the listener's
		c.mu.Lock()
		defer c.unlock()
		c.expireLocked(ErrDisplaced)
	}()
}

// reclaim takes a session that is resumed off the list of those that wait for it,
// and reports whether it may be resumed. A session with a link always may.
func (l *Listener) reclaim(c *Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unscheduleLocked(c)
	return len(c.registration.keys) > 0
}
