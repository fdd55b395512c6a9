package relink

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/relink-go/relink/internal/admission"
	"github.com/relink-go/relink/internal/clock"
	"github.com/relink-go/relink/internal/roster"
	"github.com/relink-go/relink/internal/socket"
	"github.com/relink-go/relink/internal/suite"
)

// A handshakeStream is a transport during its handshake, with a buffer: see
// [suite.Stream].
type handshakeStream struct {
	conn   net.Conn
	source *source // on a listener: where it came from
	begun  clock.Time
	buf    []byte // what has arrived and was not taken: buf[pos:]
	pos    int

	asked     clock.Time    // when something was sent that was not answered, or zero
	roundTrip time.Duration // the shortest time that an answer has taken, or zero

	heard   bool   // something has arrived
	onFirst func() // called when it does; nil on a client

	keeps bool   // there may be somebody to pass the transport on to
	said  []byte // then: what was taken since the last Write
}

// streamBuffer is the first size of a handshakeStream's buffer: enough for every
// message of the classic suites. A longer message takes streamStep next, if it is
// as long as that, and then four times as much as has arrived.
const (
	streamBuffer = 256
	streamStep   = 4 << 10
)

func newStream(t net.Conn) *handshakeStream {
	return &handshakeStream{conn: t, begun: clock.Now(), buf: make([]byte, 0, streamBuffer)}
}

// Write sends all of p.
func (s *handshakeStream) Write(p []byte) (int, error) {
	sent := 0
	for sent < len(p) {
		n, err := writeTransport(s.conn, p[sent:])
		sent += n
		if err != nil {
			return sent, err
		}
	}
	s.asked = clock.Now()
	s.said = s.said[:0]
	return sent, nil
}

// Next returns the next n bytes.
func (s *handshakeStream) Next(n int) ([]byte, error) {
	if n < 0 || n > suite.MaxMessage {
		return nil, suite.Malformed("a message of %d bytes", n)
	}
	for len(s.buf)-s.pos < n {
		if err := s.fill(n); err != nil {
			if errors.Is(err, io.EOF) && len(s.buf) > s.pos {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	b := s.buf[s.pos : s.pos+n]
	s.pos += n
	if s.keeps {
		s.said = append(s.said, b...)
	}
	return b, nil
}

// fill reads once, where n bytes are wanted in all. Memory follows what has
// arrived and not what a length says, which anybody can send.
func (s *handshakeStream) fill(n int) error {
	rest := s.buf[s.pos:]
	if len(rest) == cap(s.buf) {
		s.buf = append(make([]byte, 0, min(n, max(streamStep, 4*len(rest)))), rest...)
	} else {
		s.buf = s.buf[:copy(s.buf[:cap(s.buf)], rest)]
	}
	s.pos = 0
	k, err := readTransport(s.conn, s.buf[len(s.buf):cap(s.buf)])
	s.buf = s.buf[:len(s.buf)+k]
	if k > 0 {
		s.answered()
		if !s.heard {
			s.heard = true
			if s.onFirst != nil {
				s.onFirst()
			}
		}
		return nil // an error comes again
	}
	return err
}

// addresses are those of the transport.
func (s *handshakeStream) addresses() *addresses {
	a := &addresses{local: s.conn.LocalAddr(), remote: s.conn.RemoteAddr()}
	if s.source != nil {
		a.label = s.source.label
	}
	return a
}

// rest returns what has arrived beyond the handshake.
func (s *handshakeStream) rest() []byte { return s.buf[s.pos:] }

// choose returns the protocol that the client's first bytes belong to. A
// listener with one protocol leaves the judgement to it.
func (s *handshakeStream) choose(protocols []suite.Protocol) (int, error) {
	if len(protocols) == 1 {
		return 0, nil
	}
	for {
		undecided := false
		if len(s.buf) > 0 {
			for i, p := range protocols {
				switch p.Match(s.buf) {
				case suite.MatchYes:
					return i, nil
				case suite.MatchMore:
					undecided = true
				case suite.MatchNo:
				}
			}
			if !undecided || len(s.buf) == cap(s.buf) {
				return 0, fmt.Errorf("%w: it begins with % x", ErrNoSuite, s.buf[:min(8, len(s.buf))])
			}
		}
		if err := s.fill(0); err != nil {
			return 0, err
		}
	}
}

// A handshake is one transport on the listener that has not proven anything
// yet. It outlives the transport where it has offered a session that a resume
// may still complete.
type handshake struct {
	// Constant after creation.
	l      *Listener
	stream *handshakeStream
	index  int // of the protocol, once it is known

	deadline time.Time // when it is over
	origin   admission.Origin

	// What was asked about the client, of the one handshake's goroutine.
	asked       bool // Authorize, or nobody because there is none
	revocations int  // of the listener, before it was asked

	passedOn bool // the transport belongs to ListenConfig.PassOn

	// promised says that the client takes the transport for its session's: it
	// was told so, and has begun to send.
	promised bool

	// Guarded by the listener's lock.
	over     bool // established, taken over, failed, or timed out
	timedOut bool
	timer    *time.Timer
	place    admission.Place[*handshake]
	offered  *Conn // the provisional session
}

// run is the handshake's goroutine.
func (h *handshake) run() {
	remote := h.stream.conn.RemoteAddr()
	err := h.serve()
	if err == nil || h.passedOn {
		return
	}
	h.l.mu.Lock()
	timedOut := h.timedOut
	offered := h.offered != nil && !h.over
	h.l.mu.Unlock()
	if timedOut && !errors.Is(err, ErrHandshakeTimeout) {
		err = fmt.Errorf("%w: %w", ErrHandshakeTimeout, err)
	}
	if !h.stream.heard && refusalOf(err) == refusedTransport && endedWithoutReason(err) {
		err = fmt.Errorf("%w: %w", ErrProbe, err)
	}
	h.l.refused(h.stream.source, remote, err)
	if h.promised && !errors.Is(err, suite.ErrFinished) {
		// Nothing was said that must arrive. Whatever is read here the client
		// believes delivered, and a clean end would look like the session's.
		resetTransport(h.stream.conn)
	} else {
		h.sayGoodbye()
	}
	if !offered {
		h.conclude() // else the offer stands until the time is up
	}
}

// endedWithoutReason says that a transport just ended, cleanly or by a reset. One that has
// a reason of its own, a wrong certificate or PROXY header for instance, is no probe.
func endedWithoutReason(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) || socket.OfSystem(err)
}

// serve finds the protocol and lets it speak. A panic of a transport or a
// protocol ends this handshake and nothing else.
func (h *handshake) serve() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: a handshake panicked: %v", errInternal, p)
		}
	}()
	i, err := h.stream.choose(h.l.set.protocols)
	if err != nil {
		return err
	}
	h.index = i
	return h.l.set.protocols[i].Serve(h.stream, h)
}

// goodbyeTime and goodbyeBytes bound how long a refused client is listened to,
// so that its unread bytes do not turn the refusal into a reset.
const (
	goodbyeTime  = time.Second
	goodbyeBytes = 64 << 10
)

// sayGoodbye closes the transport so that what was said last arrives.
func (h *handshake) sayGoodbye() {
	t := h.stream.conn
	timer := time.AfterFunc(goodbyeTime, func() { _ = t.Close() })
	defer timer.Stop()
	if w, ok := t.(interface{ CloseWrite() error }); ok && w.CloseWrite() == nil {
		_, _ = io.CopyN(io.Discard, t, goodbyeBytes)
	}
	_ = t.Close()
}

// conclude ends the handshake, whatever it came to, and reports whether it was
// still under way.
func (h *handshake) conclude() bool {
	h.l.mu.Lock()
	defer h.l.mu.Unlock()
	return h.concludeLocked()
}

func (h *handshake) concludeLocked() bool {
	if h.over {
		return false
	}
	h.over = true
	h.timer.Stop()
	h.leaveLocked()
	return true
}

// expire ends the handshake because its time is up or because newer ones need
// its place.
func (h *handshake) expire() {
	h.l.mu.Lock()
	first := h.concludeLocked()
	h.timedOut = h.timedOut || first
	offered := h.offered
	h.l.mu.Unlock()
	if !first {
		return
	}
	closeTransport(h.stream.conn)
	if offered != nil {
		offered.mu.Lock()
		if offered.s.provisional {
			offered.finishLocked(end{cause: ErrHandshakeTimeout})
		}
		offered.unlock()
	}
}

// MayOpen implements [suite.Host].
func (h *handshake) MayOpen() error {
	h.l.mu.Lock()
	defer h.l.mu.Unlock()
	return h.l.mayOpenLocked()
}

// Offer implements [suite.Host].
func (h *handshake) Offer(s suite.Session, k suite.Key) error {
	c := newConn(h.l.set.each[h.index], h.l.set.protocols[h.index], s, h.l.notify)
	c.server, c.s.provisional = h.l, true
	c.registration = new(registration)
	c.s.send.Buffer.SetLimit(c.s.send.Buffer.First(c.s.send.Traits.Acks)) // and more if the budget has it
	c.s.recv.SetWindow(firstBuffer)
	c.addrs.Store(h.stream.addresses())
	c.registration.offer = h
	return h.l.offer(h, c, k)
}

// Establish implements [suite.Host].
func (h *handshake) Establish(sl suite.Link) error {
	h.promised = true
	c := h.offered
	if !h.asked { // a wire that could not have said no before
		if err := h.ask(c.s.send.Session.Peer(), nil); err != nil {
			h.l.deny(c, err)
			return err
		}
	}
	c.mu.Lock()
	defer c.unlock()
	if !c.s.provisional || c.s.done {
		return ErrSuperseded
	}
	if !h.conclude() {
		return ErrHandshakeTimeout
	}
	return h.admitLocked(c, 0, sl)
}

// Find implements [suite.Host].
func (h *handshake) Find(k suite.Key) (suite.Target, bool) {
	c, ended, ok := h.l.find(roster.Key{Protocol: h.index, Key: k})
	if c != nil {
		return target{c, h}, ok
	}
	return ended, ok
}

// PassOn implements [suite.Host].
func (h *handshake) PassOn() error {
	if h.l.set.PassOn == nil {
		return nil
	}
	t := h.stream.conn
	if c, ok := t.(*contained); ok {
		t = c.Conn
	}
	if !h.l.set.PassOn(t, slices.Concat(h.stream.said, h.stream.rest())) {
		return nil
	}
	h.passedOn = true
	h.conclude() // if its time was up, the transport is closed, and its new owner finds out
	return suite.ErrPassedOn
}

// admitLocked gives a session its first link and the application the session.
func (h *handshake) admitLocked(c *Conn, told int64, sl suite.Link) error {
	c.s.provisional = false
	offer := c.registration.offer
	c.registration.offer = nil
	if err := h.l.admit(c); err != nil {
		c.s.provisional = true // never seen
		c.finishLocked(end{cause: err})
		return err
	}
	if offer != h && offer.conclude() {
		closeTransport(offer.stream.conn)
	}
	c.s.unaccepted = true
	c.attachLocked(h.stream, told, sl)
	return nil
}

// A target is a session on the listener as one handshake's resume sees it.
type target struct {
	c *Conn
	h *handshake
}

// Session implements [suite.Target].
func (t target) Session() suite.Session { return t.c.s.send.Session }

// Claim implements [suite.Target].
func (t target) Claim() suite.Claim {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	return suite.Claim{
		Offsets: suite.Offsets{Sent: t.c.s.send.End(), Received: t.c.s.recv.Received()},
		Epoch:   int64(t.c.s.epoch),
	}
}

// Check implements [suite.Target].
func (t target) Check(peer suite.Offsets) error {
	t.c.mu.Lock()
	defer t.c.unlock()
	return t.checkLocked(peer)
}

// checkLocked is Check with the lock of the session held.
func (t target) checkLocked(peer suite.Offsets) error {
	c := t.c
	if c.s.done {
		return ErrUnknownSession
	}
	if err := c.s.check(peer); err != nil {
		return err
	}
	if c.s.closed && !c.s.send.Traits.HalfClose && peer.Received == c.s.send.End() {
		// The client has everything. A link that is still there ends as it would
		// without this: the request may be an old one that somebody repeats.
		c.s.send.Received(peer.Received)
		if c.s.link == nil {
			c.finishLocked(end{})
		}
		return suite.ErrFinished
	}
	return nil
}

// Early implements [suite.Target].
func (t target) Early(offset int64, data []byte) {
	t.c.mu.Lock()
	defer t.c.unlock()
	if !t.c.set.NoEarlyData {
		t.c.s.early(offset, data)
	}
}

// early takes data that came with a handshake.
func (s *session) early(offset int64, data []byte) {
	if !s.done && !s.provisional && !s.heldBack() {
		s.recv.Early(offset, data)
	}
}

// Pending implements [suite.Target].
func (t target) Pending(offset int64, p []byte) int {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	if t.c.s.provisional || !t.c.s.mayGiveEarly() {
		return 0
	}
	return t.c.s.send.Early(p, offset)
}

// SetKeys implements [suite.Target].
func (t target) SetKeys(keys ...suite.Key) error { return t.h.l.setKeys(t.c, t.h.index, keys) }

// TakeOver implements [suite.Target].
func (t target) TakeOver(claim suite.Claim, sl suite.Link) error {
	t.h.promised = true
	c := t.c
	if !t.h.asked {
		if err := t.Authorize(c.s.send.Session.Peer()); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.unlock()
	if err := t.checkLocked(sl.Peer); err != nil {
		return err
	}
	if int64(c.s.epoch) != claim.Epoch {
		return ErrSuperseded
	}
	if c.s.link == nil && !c.s.provisional && !t.h.l.resumes() {
		return ErrUnknownSession // the listener was closed meanwhile
	}
	if err := c.s.send.CheckFreed(sl.Peer.Received); err != nil {
		return err
	}
	if !t.h.conclude() {
		return ErrHandshakeTimeout
	}
	if c.s.provisional {
		return t.h.admitLocked(c, claim.Received, sl)
	}
	if !t.h.l.reclaim(c) {
		return ErrUnknownSession // it has given way meanwhile
	}
	c.attachLocked(t.h.stream, claim.Received, sl)
	return nil
}
