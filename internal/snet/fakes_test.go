package snet_test

import (
	"slices"

	"github.com/relink-go/relink/internal/suite"
)

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
	passOn   error             // of a resume that nobody here can answer
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

// PassOn implements [suite.Host].
func (h *host) PassOn() error { return h.passOn }

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
