package relink

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/relink-go/relink/internal/admission"
	"github.com/relink-go/relink/internal/socket"
)

// A source is one of a listener's inner listeners. It never changes.
type source struct {
	net.Listener
	label        string
	keepAliveSet bool // its transports come with our keep-alive
}

// AddListener makes l take transports from inner too, beside those that it has: another
// port, a Unix socket, a WebSocket. A session may come back over any of them, whichever it
// was opened over. The label names inner in [Event.Label] and [Conn.Label]; it need not be
// unique. It may be called at any time, also in place of an inner listener that has failed.
//
// An inner listener that fails for good, or is closed by its owner, is closed and left
// behind with an [EventListenerFailed]. The others go on, and so do all sessions; Accept
// returns the failure only if none is left. Close of l closes all.
//
// After Close of l it returns an error that is net.ErrClosed, and leaves inner as it is.
func (l *Listener) AddListener(inner net.Listener, label string) error {
	if isNilListener(inner) {
		return errors.New("relink: AddListener needs an inner listener")
	}
	s := &source{Listener: inner, label: label}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return l.opError(net.ErrClosed)
	}
	l.addLocked(s)
	return nil
}

// addLocked begins to accept from an inner listener.
func (l *Listener) addLocked(s *source) {
	l.sources = append(l.sources, s)
	l.failure = nil
	go l.acceptLoop(s)
}

// sourceFailed leaves an inner listener behind.
func (l *Listener) sourceFailed(s *source, err error) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return // Close has closed it
	}
	for i, other := range l.sources {
		if other == s {
			l.sources = append(l.sources[:i], l.sources[i+1:]...)
			break
		}
	}
	if len(l.sources) == 0 {
		l.failure = err
		l.acceptable.Broadcast()
	}
	l.mu.Unlock()
	_ = closeRecover(s) // what it says is no news
	l.notify.post(Event{Kind: EventListenerFailed, Label: s.label, Err: err})
}

// closeSources closes the inner listeners, which Close has taken.
func closeSources(sources []*source) error {
	var errs []error
	for _, s := range sources {
		if err := closeRecover(s); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

// The pauses after temporary errors of an inner listener.
const (
	minAcceptPause = 5 * time.Millisecond
	maxAcceptPause = time.Second
)

// acceptLoop takes transports from an inner listener and gives each its
// handshake's goroutine.
func (l *Listener) acceptLoop(s *source) {
	pause := time.Duration(0)
	for {
		t, err := acceptRecover(s)
		if err == nil {
			pause = 0
			l.begin(contain(t), s, nil)
			continue
		}
		if !socket.Temporary(err) {
			l.sourceFailed(s, err)
			return
		}
		pause = min(max(2*pause, minAcceptPause), maxAcceptPause)
		l.notify.post(Event{Kind: eventAcceptFailed, Label: s.label, Err: err})
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-l.quit:
			timer.Stop()
			return // an inner listener may call its end temporary, again and again
		}
	}
}

// acceptRecover keeps an inner listener's mistakes from doing harm.
func acceptRecover(inner net.Listener) (t net.Conn, err error) {
	defer func() {
		if p := recover(); p != nil {
			t, err = nil, fmt.Errorf("relink: the inner listener panicked: %v", p)
		}
	}()
	t, err = inner.Accept()
	if err == nil && isNil(t) {
		err = errors.New("relink: the inner listener returned neither a transport nor an error")
	}
	return t, err
}

// closeRecover is acceptRecover for Close.
func closeRecover(inner net.Listener) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("relink: the inner listener panicked in Close: %v", p)
		}
	}()
	return inner.Close()
}

// resumeShare is the part of MaxHandshakes that proven resumes have for themselves,
// in addition to it.
const resumeShare = 4

// TakeTransport takes a transport that another listener's [ListenConfig.PassOn] was given,
// with what it has read of it, as if an inner listener had returned it. Its
// RemoteAddr is the client's. It may wait for room as accepting does, and returns when the
// handshake has begun. The label is that of [Listener.AddListener]. After Close the
// transport is closed.
func (l *Listener) TakeTransport(transport net.Conn, read []byte, label string) {
	l.begin(contain(transport), &source{label: label}, read)
}

// begin starts a handshake, of which something may have arrived. It may wait for room,
// and with it all that have not been accepted from that inner listener; what they say
// meanwhile waits with them.
func (l *Listener) begin(t net.Conn, s *source, read []byte) {
	remote := t.RemoteAddr()
	if err := l.set.askAdmit(remote); err != nil {
		l.turnAway(t, s, remote, fmt.Errorf("%w: %w", ErrDenied, err))
		return
	}
	h := &handshake{l: l, stream: newStream(t), origin: admission.OriginOf(remote)}
	h.stream.source, h.stream.keeps = s, l.set.PassOn != nil
	h.stream.buf = append(h.stream.buf, read...)
	h.stream.onFirst = func() { h.advance(admission.Heard) }
	for asked := false; ; asked = true {
		l.mu.Lock()
		if l.closed {
			l.mu.Unlock()
			closeTransport(t)
			return
		}
		if !l.origins.MayEnter(h.origin) {
			l.mu.Unlock()
			l.turnAway(t, s, remote, ErrTooManyHandshakes)
			return
		}
		if !asked && !l.rates.Take(h.origin) {
			l.mu.Unlock()
			l.turnAway(t, s, remote, ErrHandshakeRate)
			return
		}
		var oldest *handshake
		var wait time.Duration
		if l.handshakes.Unproven() >= l.set.MaxHandshakes {
			oldest, wait = l.handshakes.Next()
		}
		if wait <= 0 {
			h.deadline = time.Now().Add(l.set.HandshakeTimeout)
			h.timer = time.AfterFunc(l.set.HandshakeTimeout, h.expire)
			l.origins.Enter(h.origin)
			l.budget.charged.Add(handshakeCost)
			l.handshakes.Enter(h, &h.place)
			l.mu.Unlock()
			if oldest != nil {
				oldest.expire()
			}
			if len(read) > 0 {
				h.stream.heard = true
				h.advance(admission.Heard)
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
func (s *settings) askAdmit(remote net.Addr) (err error) {
	if s.Admit == nil {
		return nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: ListenConfig.Admit panicked: %v", errInternal, p)
		}
	}()
	return s.Admit(remote)
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
func (h *handshake) advance(to admission.Stage) {
	l := h.l
	var oldest *handshake
	l.mu.Lock()
	if !h.over {
		next, advanced, givesWay := l.handshakes.Advance(&h.place, to, max(1, l.set.MaxHandshakes/resumeShare))
		if givesWay {
			oldest = next
		}
		if advanced {
			l.leftLocked()
		}
	}
	l.mu.Unlock()
	if oldest != nil {
		oldest.expire()
	}
}

// leaveLocked takes a handshake that is over out. The caller holds the listener's lock.
func (h *handshake) leaveLocked() {
	h.l.handshakes.Leave(&h.place)
	h.l.origins.Leave(h.origin)
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

// evictable reports whether the session, which has just lost its link, was never resumed and
// has carried little: all that a client has which opens sessions only to drop them.
func (s *session) evictable() bool {
	return s.epoch == 1 && !s.closed && s.recv.Received()+s.send.End() <= littleCarried
}

// evictLocked makes room for a session where there is none. The caller knows that
// somebody can give way then. Who gives way is out of the listener at once and is ended soon. The
// caller holds the listener's lock.
func (l *Listener) evictLocked() {
	if l.roster.Live() < l.set.MaxSessions {
		return
	}
	c, _ := l.roster.Evictable()
	l.dropLocked(c)
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
	return c.registration.Known()
}

// told is called when OnEvent has returned from a session's opened event.
func (l *Listener) told(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.backlog.Tell(c) {
		l.acceptable.Signal()
	}
}
