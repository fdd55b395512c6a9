package snet_test

import (
	"io"
	"slices"
	"sync"

	"github.com/relink-go/relink/internal/suite"
)

// A script is a Stream whose input is known beforehand.
type script struct {
	in     []byte
	writes [][]byte
	// reply, if not nil, is called with each message and adds to the input.
	reply func(message int, b []byte) []byte

	last []byte
}

func (s *script) Next(n int) ([]byte, error) {
	if n < 0 || n > suite.MaxMessage {
		panic("Next out of bounds")
	}
	scribble(s.last)
	switch {
	case len(s.in) == 0:
		return nil, io.EOF
	case len(s.in) < n:
		return nil, io.ErrUnexpectedEOF
	}
	s.last = append([]byte(nil), s.in[:n]...)
	s.in = s.in[n:]
	return s.last, nil
}

func (s *script) Write(p []byte) (int, error) {
	s.writes = append(s.writes, append([]byte(nil), p...))
	if s.reply != nil {
		s.in = append(s.in, s.reply(len(s.writes)-1, p)...)
	}
	return len(p), nil
}

// scribble spoils what Next has returned once it is no longer valid.
func scribble(b []byte) {
	for i := range b {
		b[i] = 0xa5
	}
}

// A direction carries the bytes of a wire one way.
type direction struct {
	mu     sync.Mutex
	arrive *sync.Cond
	buf    []byte
	closed bool
}

func newDirection() *direction {
	d := &direction{}
	d.arrive = sync.NewCond(&d.mu)
	return d
}

func (d *direction) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	d.arrive.Broadcast()
}

// An end is a Stream over two directions in memory.
type end struct {
	in, out *direction
	writes  [][]byte
	// mangle, if not nil, changes the messages that this end sends. It says
	// whether the wire still carries anything after the message.
	mangle func(message int, b []byte) ([]byte, bool)

	last []byte
}

func newWire() (client, server *end) {
	a, b := newDirection(), newDirection()
	return &end{in: a, out: b}, &end{in: b, out: a}
}

func (e *end) Next(n int) ([]byte, error) {
	d := e.in
	d.mu.Lock()
	defer d.mu.Unlock()
	scribble(e.last)
	for len(d.buf) < n && !d.closed {
		d.arrive.Wait()
	}
	switch {
	case len(d.buf) == 0:
		return nil, io.EOF
	case len(d.buf) < n:
		return nil, io.ErrUnexpectedEOF
	}
	e.last = append([]byte(nil), d.buf[:n]...)
	d.buf = d.buf[n:]
	return e.last, nil
}

func (e *end) Write(p []byte) (int, error) {
	b, open := append([]byte(nil), p...), true
	if e.mangle != nil {
		b, open = e.mangle(len(e.writes), b)
	}
	e.writes = append(e.writes, b)
	d := e.out
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.buf = append(d.buf, b...)
	}
	d.closed = d.closed || !open
	d.arrive.Broadcast()
	return len(p), nil
}

// run runs both sides of a handshake. A side that returns closes its
// direction.
func run(client, server *end, c, s func(suite.Stream) error) (clientErr, serverErr error) {
	done := make(chan error)
	go func() {
		err := s(server)
		server.out.close()
		done <- err
	}()
	clientErr = c(client)
	client.out.close()
	return clientErr, <-done
}

// A side is the counts and the replay buffer of one side. It is a
// suite.Client.
type side struct {
	suite.Offsets
	start    int64 // of what the replay buffer holds
	finished bool
}

func (s *side) Check(peer suite.Offsets) error {
	switch {
	case peer.Sent < 0 || peer.Received < 0:
		panic("a negative count")
	case peer.Received > s.Sent || peer.Sent < s.Received:
		return suite.ErrCounters
	case peer.Received < s.start:
		return suite.ErrReplayGap
	case s.finished && peer.Received == s.Sent:
		return suite.ErrFinished
	}
	return nil
}

// A client is a side as a suite.Client.
type client struct{ side }

func (c *client) Offsets() suite.Offsets { return c.side.Offsets }

func (*client) Pending([]byte) (int64, int) { panic("this wire has no early data") }

// A target is a session of a host.
type target struct {
	side
	session  suite.Session
	epoch    int64
	links    []suite.Link
	live     bool // the application has it
	claims   int
	checks   int
	takeOver error
	claimed  suite.Offsets // if not zero, what Claim says
	keys     []suite.Key   // instead of the one that it was offered with
}

func (t *target) Session() suite.Session { return t.session }

func (t *target) Claim() suite.Claim {
	t.claims++
	if t.claimed != (suite.Offsets{}) {
		return suite.Claim{Offsets: t.claimed, Epoch: t.epoch}
	}
	return suite.Claim{Offsets: t.Offsets, Epoch: t.epoch}
}

func (t *target) Check(peer suite.Offsets) error {
	t.checks++
	return t.side.Check(peer)
}

func (*target) Early(int64, []byte)       { panic("this wire has no early data") }
func (*target) Pending(int64, []byte) int { panic("this wire has no early data") }

func (*target) Authorize(suite.Peer) error { panic("this protocol asks nobody") }

func (t *target) SetKeys(keys ...suite.Key) error {
	t.keys = keys
	return nil
}

func (t *target) TakeOver(c suite.Claim, l suite.Link) error {
	switch {
	case t.takeOver != nil:
		return t.takeOver
	case c.Epoch != t.epoch:
		return suite.ErrSuperseded
	}
	if err := t.side.Check(l.Peer); err != nil {
		return err
	}
	t.links = append(t.links, l)
	t.epoch++
	t.live = true
	return nil
}

// A host holds sessions, and what has been offered for good.
type host struct {
	sessions map[suite.Key]*target
	offers   int
	offered  *target
	offer    func(n int) error // judges the nth offer
	full     error
}

func newHost(targets ...*target) *host {
	h := &host{sessions: make(map[suite.Key]*target)}
	for _, t := range targets {
		h.add(t)
	}
	return h
}

func (h *host) add(t *target) {
	// A request names the key of a session.
	h.sessions[keyOf(t.session)] = t
}

func (h *host) MayOpen() error { return h.full }

func (*host) Authorize(suite.Peer) error { panic("this protocol asks nobody") }

func (h *host) Offer(s suite.Session, k suite.Key) error {
	h.offers++
	if h.offer != nil {
		if err := h.offer(h.offers); err != nil {
			return err
		}
	}
	if h.sessions[k] != nil {
		return suite.ErrKeyTaken
	}
	h.offered = &target{session: s}
	h.sessions[k] = h.offered
	return nil
}

func (h *host) Establish(l suite.Link) error {
	if h.offered.epoch != 0 {
		return suite.ErrSuperseded
	}
	h.offered.links = append(h.offered.links, l)
	h.offered.epoch++
	h.offered.live = true
	return nil
}

func (h *host) Find(k suite.Key) (suite.Target, bool) {
	if t, ok := h.sessions[k]; ok {
		return t, true
	}
	for _, t := range h.sessions {
		if slices.Contains(t.keys, k) {
			return t, true
		}
	}
	return nil, false
}
