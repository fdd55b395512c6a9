package relink

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/relink-go/relink/internal/clock"
	"github.com/relink-go/relink/internal/hedge"
	"github.com/relink-go/relink/internal/socket"
	"github.com/relink-go/relink/internal/suite"
)

// check says whether the stream can go on from the peer's counts.
func (s *session) check(peer suite.Offsets) error {
	if err := s.recv.Check(peer.Sent); err != nil {
		return err
	}
	return s.send.Check(peer.Received)
}

// attachLocked makes the stream's transport the session's link. told is the count of
// received bytes that the peer was told and sends from: what has arrived
// since then, over the old link, comes again and is skipped.
func (c *Conn) attachLocked(s *handshakeStream, told int64, sl suite.Link) {
	t := s.conn
	if old := c.s.link; old != nil {
		if c.s.receiver != roleFree {
			old.setReadDeadline(clock.LongAgo) // a Close that takes its time, as that of TLS, must not hold a Read up
		}
		old.close() // proven to be superseded, whether or not it seems alive
		c.s.lost.at = 0
		c.s.slowNetwork = c.s.client && old.framing != nil && c.s.send.Highest() > c.s.send.Acked() && c.s.send.Acked() == old.base
	}
	l := newLink(t, s.rest(), sl)
	l.trips.begin(s.roundTrip)
	if c.redial != nil {
		c.redial.trip = s.roundTrip
	}
	c.s.link, c.s.lost.link = l, nil
	c.s.epoch++
	c.s.earlyGiven = false
	c.addrs.Store(s.addresses())
	limit := sl.Limit
	if limit == 0 && sl.First.Ack { // a resume completes a session whose first record was lost
		limit = sl.First.Limit
	}
	replayed := c.s.send.Attach(sl.Peer.Received, limit, c.s.epoch == 1)
	c.s.recv.Attach(told, sl.Peer.Sent)
	if c.s.epoch > 1 {
		c.s.ending().headway.Begin(c.s.exchanged(), c.s.send.Acked(), batchSize)
	}
	if l.framing != nil {
		l.session = c
		l.startPace(c.s.send.HandedTo(), c.s.send.Acked(), c.s.slowNetwork)
	}
	if tcp := tcpConn(t); tcp != nil && !c.s.send.Traits.Acks {
		socket.BoundUnderWay(tcp, c.set.ReplayLimit/2) // as much as history is kept
	}
	if c.set.LivenessTimeout > 0 {
		keepAliveSet := s.source != nil && s.source.keepAliveSet || c.redial != nil && c.redial.keepAliveSet
		l.probe.start(t, c.set.LivenessTimeout, keepAliveSet)
		if c.s.client {
			l.trust(c.s.send.Traits.Pings, c.s.recv.Received())
		}
	}
	c.server.provenAliveLocked(c)
	if c.s.leaving {
		c.s.pingDue = true
		c.s.hearAcks()
	}
	if c.s.epoch == 1 {
		c.s.opened = clock.CoarseNow()
		c.s.active = c.s.opened
		c.notify.post(Event{Kind: EventOpened, Conn: c, Remote: c.RemoteAddr(), Handshake: s.begun.Since()})
	} else {
		e := Event{Kind: EventResumed, Conn: c, Remote: c.RemoteAddr(), Replayed: replayed}
		if c.s.lost.at != 0 {
			e.Gap = c.s.lost.at.Since()
		}
		if c.server != nil {
			c.server.totals.resumes.Add(1)
		}
		if e.Gap > 0 {
			c.s.ending().longestGap = max(c.s.ending().longestGap, e.Gap)
		}
		c.notify.post(e)
	}
	c.server.sharedBudget().account(&c.s) // it is not suspended
	c.s.readers.wake()                    // whose transport it may be now
	if r := sl.First; len(r.Data) > 0 || !r.Empty() {
		if _, err := c.s.takeRecord(l, r, nil); err != nil {
			c.finishLocked(c.s.endBy(err))
		}
	}
	if t, ok := t.(*contained); ok {
		if err := t.failed(); err != nil {
			c.linkLostLocked(l, err)
		}
	}
}

// mayGiveEarly says whether a handshake may carry data: only in the first
// attempt after a link. On a slow network it may be the data that makes an
// attempt take longer than it may.
func (s *session) mayGiveEarly() bool {
	first := !s.earlyGiven
	s.earlyGiven = true
	return first
}

// A clientView is the Conn of a client as its protocol sees it.
type clientView struct{ c *Conn }

// Offsets returns counts that stand still until there is a new link: what the
// lost one may still bring is not counted any more.
func (v clientView) Offsets() suite.Offsets {
	v.c.mu.Lock()
	defer v.c.mu.Unlock()
	v.c.s.lost.link = nil
	return suite.Offsets{Sent: v.c.s.send.End(), Received: v.c.s.recv.Received()}
}

func (v clientView) Check(peer suite.Offsets) error {
	v.c.mu.Lock()
	defer v.c.mu.Unlock()
	return v.c.s.check(peer)
}

func (v clientView) Pending(p []byte) (int64, int) {
	v.c.mu.Lock()
	defer v.c.mu.Unlock()
	offset := v.c.s.send.Acked()
	if v.c.s.done || v.c.set.NoEarlyData || !v.c.s.mayGiveEarly() {
		return offset, 0 // Abort has given the buffer up, or the attempt must be short
	}
	n := v.c.s.send.Early(p, offset)
	v.c.s.send.EarlySent(offset + int64(n)) // a late attempt may yet deliver it
	return offset, n
}

// A redialer brings a client's session back to life. Its goroutine exists while
// the session is suspended, or suspects its link.
type redialer struct {
	// Constant after creation.
	dial         func(ctx context.Context) (net.Conn, error)
	keepAliveSet bool          // dial sets the transports' keep-alive itself
	minInterval  time.Duration // between two handshakes: see suite.Spaced
	wake         chan struct{} // ends a pause

	// Guarded by the session's lock.
	running bool
	cancel  context.CancelFunc // ends the attempt under way
	retry   bool               // the attempt was ended for a new one
	touched clock.Time         // when the server was last given something to settle
	beside  bool               // it pauses while there is a link
	alarms  alarms             // see suspicion.go

	vigilance Vigilance
	trip      time.Duration // a round trip of the last link, as far as known
	began     clock.Time    // the newest attempt
}

// startLocked begins to redial for a session that has lost its link.
func (r *redialer) startLocked(c *Conn) {
	if !r.running {
		r.running = true
		go r.run(c)
	} else if r.beside {
		r.wakeLocked()
	}
}

// wakeLocked ends a pause.
func (r *redialer) wakeLocked() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// retryNowLocked gives up the attempt or the pause under way, for a new attempt
// at once.
func (r *redialer) retryNowLocked() {
	if r.cancel != nil {
		r.retry = true
		r.cancel()
	}
	r.wakeLocked()
}

// exchanged is what has been exchanged for certain, in both directions.
func (s *session) exchanged() int64 { return s.recv.Received() + s.send.Acked() }

// redialDelay returns the pause that the loss of a link calls for: none, but where one
// link after the other dies soon and brings nothing forward.
func (e *ending) redialDelay(set *settings) time.Duration {
	if e == nil || e.headway.Fruitless() < 2 {
		return 0
	}
	return max(0, set.backoff(e.headway.Fruitless()-2)-e.headway.Lived())
}

// intervalLeftLocked returns how long it is until the server may be tried again. Nothing
// shortens it: a resume that comes too early can cost the session.
func (r *redialer) intervalLeftLocked() time.Duration {
	return r.touched.Add(r.minInterval).Until()
}

// pauseLocked waits without the lock, and reports whether it was woken.
func (r *redialer) pauseLocked(c *Conn, d time.Duration) (woken bool) {
	c.unlock()
	defer c.mu.Lock()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return false
	case <-r.wake:
		return true
	}
}

// NetworkChanged tells a client that its network has changed or that the device
// has woken: the transport is replaced now, without waiting until its loss is
// noticed. On a server, and on a session that has ended, it does nothing.
func (c *Conn) NetworkChanged() {
	c.mu.Lock()
	defer c.unlock()
	if c.redial == nil || c.s.done {
		return
	}
	if l := c.s.link; l != nil {
		c.linkLostLocked(l, errNetworkChanged)
		if c.redial.cancel == nil { // else an attempt beside it is of the old network too
			return
		}
	}
	c.redial.retryNowLocked()
}

// run redials until the session has a link, ends, or expires. It expires
// only after an attempt that began after the time was up: a device may have
// slept through all of it.
func (r *redialer) run(c *Conn) {
	var lastErr error
	var latest clock.Time // if not zero: the session expires then, whatever its ResumeTimeout
	var ended *suite.EndedError
	attempt, pauses := 0, 0
	c.mu.Lock()
	defer c.unlock()
	for fresh := true; !c.s.done && (c.s.link == nil || c.s.link.doubtful()); {
		if c.s.link != nil {
			r.attemptBesideLocked(c)
			fresh = true
			continue
		}
		if fresh {
			latest, lastErr, attempt, pauses, fresh = 0, nil, 0, 0, false
			if pause := c.s.ended.redialDelay(c.set); pause > 0 {
				r.pauseLocked(c, pause)
				continue
			}
		}
		if pause := r.intervalLeftLocked(); pause > 0 {
			r.pauseLocked(c, pause)
			continue
		}
		last := r.expires(c, latest).Until() <= 0
		pause := c.set.backoff(pauses)
		attempt++
		resuming := Event{Kind: EventResuming, Conn: c, Remote: c.RemoteAddr(), Err: lastErr, Attempt: attempt}
		if !last {
			resuming.NextAttempt = time.Now().Add(c.set.AttemptTimeout).Add(pause)
		}
		err := r.attemptLocked(c, resuming)
		switch {
		case err == nil:
			fresh = true // the new link may have been lost already
			continue
		case c.s.done:
			continue
		case c.s.leaving && finalAnswer(err):
			c.finishLocked(c.s.cleanEnd())
			continue
		case errors.Is(err, suite.ErrReplayGap), errors.Is(err, suite.ErrCounters):
			c.finishLocked(failure(err))
			continue
		case errors.Is(err, suite.ErrRefused):
			r.refusedLocked(c, err)
			continue
		case errors.As(err, &ended):
			r.endedLocked(c, ended)
			continue
		case last && !r.retry:
			c.finishLocked(failure(timeIsUp(err)))
			continue
		case errors.Is(err, suite.ErrOtherInstance):
			if latest == 0 {
				latest = clock.Now().Add(otherInstanceTime)
			}
		}
		lastErr = err
		pauses++
		pause = r.pauseAfterLocked(c, pause)
		if r.pauseLocked(c, min(pause, max(0, r.expires(c, latest).Until()))) {
			pauses = 0
		}
	}
	r.running = false
}

// expires returns when a client without a link is to make its last attempt, which may
// be changed meanwhile.
func (r *redialer) expires(c *Conn, latest clock.Time) clock.Time {
	at := c.s.lost.expires(c.s.ended.resumeTimeoutOr(c.set.ResumeTimeout))
	if latest != 0 {
		at = min(at, latest)
	}
	return at
}

// finalAnswer reports whether an attempt's error is the server's last word.
func finalAnswer(err error) bool {
	var ended *suite.EndedError
	return errors.As(err, &ended) || errors.Is(err, suite.ErrRefused) ||
		errors.Is(err, suite.ErrReplayGap) || errors.Is(err, suite.ErrCounters)
}

// otherInstanceTime is what is left of ResumeTimeout when another instance of the server
// says that it does not know the session: enough for a balancer to find the right one.
const otherInstanceTime = 10 * time.Second

// timeIsUp returns why a session ends whose last attempt has failed.
func timeIsUp(err error) error {
	if errors.Is(err, suite.ErrOtherInstance) {
		return fmt.Errorf("%w: %w", ErrSessionLost, err)
	}
	return fmt.Errorf("%w (the last attempt failed with: %w)", ErrExpired, hideSentinel(err))
}

// backoff returns the pause after a number of pauses: exponential, with full
// jitter, so that the clients of a server that comes back do not come at once.
func (s *settings) backoff(n int) time.Duration {
	most := s.MaxBackoff
	if n < 32 && s.MinBackoff <= most>>n {
		most = s.MinBackoff << n
	}
	return 1 + random(most) // which may be the greatest number
}

// random returns a time from 0 up to below most. It comes from where keys come
// from, so that a test which seeds that source (testing/cryptotest) sees the
// same times again.
func random(most time.Duration) time.Duration {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	return time.Duration(binary.LittleEndian.Uint64(b[:]) % uint64(most))
}

// refusedLocked ends the session on the server's word. On a wire without a
// close message, the clean end of the last transport and a refusal are how the
// server says that it has closed the session.
func (r *redialer) refusedLocked(c *Conn, err error) {
	if c.s.streamEnded() && !errors.Is(err, ErrAuthentication) {
		c.finishLocked(peerClosed)
		return
	}
	c.finishLocked(failure(fmt.Errorf("%w: %w (the last transport ended with: %w)", ErrSessionLost, hideSentinel(err), hideSentinel(c.s.lost.err))))
}

// endedLocked ends the session as the server has ended it.
func (r *redialer) endedLocked(c *Conn, e *suite.EndedError) {
	c.s.send.Received(min(e.Received, c.s.send.Highest()))
	switch {
	case e.Code == 0 && c.s.closed && e.Received >= c.s.send.End():
		c.finishLocked(end{})
	case e.Code == 0 && c.s.recv.FinReceived() && !c.s.closed: // nobody reads what this side has written
		c.finishLocked(peerClosed)
	default:
		c.finishLocked(failure(fmt.Errorf("%w: %w", ErrSessionLost, e)))
	}
}

// serverConfirmedEnd reports whether the end of a client's link without a codec is
// that of a link which the server has taken over. A resume that loses a race is
// dropped after the client's proof, which looks the same. So a resumed link that
// has brought nothing is no witness, unless its handshake has said already that
// the server has everything: the next attempt asks.
func (s *session) serverConfirmedEnd() bool {
	return s.epoch == 1 || s.send.Delivered() || s.exchanged() > s.ending().headway.Exchanged()
}

// attemptLocked dials once and resumes, beside the link that is there, if so. The lock is
// released meanwhile.
func (r *redialer) attemptLocked(c *Conn, resuming Event) error {
	old := c.s.link
	select { // what woke an attempt must not shorten the pause after it
	case <-r.wake:
	default:
	}
	r.began = clock.Now()
	ctx, cancel := context.WithTimeout(context.Background(), c.set.AttemptTimeout)
	defer cancel()
	r.cancel, r.retry = cancel, false
	if old == nil {
		c.notify.post(resuming)
	} else {
		c.s.send.Hold()
		r.trip = old.trips.Smoothed()
	}
	every := r.hedgeLocked(c)
	c.unlock()
	t, err := hedge.Dial(ctx, every, r.dial, resetTransport)
	if err == nil && old != nil {
		err = r.connectedBeside(c, old)
	}
	var sl suite.Link
	var s *handshakeStream
	if err == nil {
		s = newStream(t)
		err = within(ctx, t, func() (err error) {
			sl, err = c.s.send.Session.Resume(s, clientView{c})
			return publicError(err)
		})
	}
	c.mu.Lock()
	r.cancel = nil
	if s != nil {
		r.touched = clock.Now()
	}
	if err == nil && c.s.done {
		err = net.ErrClosed
	}
	if l := c.s.link; err == nil && l != nil && !l.suspected(c.s.send.Traits.Pings, c.s.pingDue) {
		err = errSpoke
	}
	if err == nil && r.retry {
		err = errNetworkChanged // in the last moment: this transport is of the old network
	}
	if err == nil {
		err = c.s.send.CheckFreed(sl.Peer.Received)
	}
	if err != nil {
		if t != nil {
			go resetTransport(t) // the server may have taken it over: it must not read a clean end
		}
		c.s.send.Unhold()
		return err
	}
	c.s.early(sl.Early.Offset, sl.Early.Data)
	c.attachLocked(s, c.s.recv.Received(), sl)
	return nil
}

// A dial that has fallen into a silence tries again after a second, three and seven, if it
// is TCP's. Where somebody waits, others begin beside it, so that a network that heals is
// found at once. See docs/adr/0056-dials-race.md.
const (
	// hedgeEvery is the least time from one of these to the next, and hedgeTrips how
	// many round trips it is at least, those of a transport that is encrypted included.
	hedgeEvery = 500 * time.Millisecond
	hedgeTrips = 4

	// hedgeShare is how small a part of the time without a link it is at least, so that
	// a server that was away for long is not met by all its clients within that time.
	hedgeShare = 128
)

// hedgeLocked returns the time from one dial to the next that begins beside it, or zero if
// none is to begin.
func (r *redialer) hedgeLocked(c *Conn) time.Duration {
	if r.vigilance == VigilanceOff {
		return 0
	}
	least := hedgeEvery
	if c.s.link == nil {
		least = max(least, min(c.s.lost.at.Since()/hedgeShare, c.set.MaxBackoff))
	}
	if r.vigilance == VigilanceBackground {
		least = max(least, c.set.MaxBackoff)
	}
	return max(least, hedgeTrips*r.trip)
}

// pauseAfterLocked shortens the pause after an attempt that had no answer in all its time: the
// next dial begins when it would have begun within the attempt, at the latest.
func (r *redialer) pauseAfterLocked(c *Conn, pause time.Duration) time.Duration {
	every := r.hedgeLocked(c)
	if every <= 0 || r.began.Since() < c.set.AttemptTimeout {
		return pause
	}
	return min(pause, (every-c.set.AttemptTimeout%every)%every)
}

// within runs a handshake on a transport, which is reset if ctx ends first.
func within(ctx context.Context, t net.Conn, handshake func() error) error {
	stop := context.AfterFunc(ctx, func() { resetTransport(t) })
	err := handshake()
	if stop() {
		return err
	} // else the transport is closed, or about to be
	if errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("relink: the handshake was given up: %w", ctxError(ctx))
	}
	return fmt.Errorf("%w: %w", ErrHandshakeTimeout, ctxError(ctx))
}

// ctxError returns ctx.Err with its cause, if it has another.
func ctxError(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}
