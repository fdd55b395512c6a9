package scp_test

import (
	"errors"
	"sync"

	"github.com/relink-go/relink/internal/suite"
)

// end is one side's core: counts and the beginning of its replay buffer.
type end struct {
	suite.Offsets
	start int64 // of the replay buffer
}

func (e *end) check(peer suite.Offsets) error {
	switch {
	case peer.Received > e.Sent:
		return suite.ErrCounters
	case peer.Received < e.start:
		return suite.ErrReplayGap
	default:
		return nil
	}
}

// clientCore implements suite.Client.
type clientCore struct{ end }

func (c *clientCore) Offsets() suite.Offsets               { return c.end.Offsets }
func (c *clientCore) Check(peer suite.Offsets) error       { return c.check(peer) }
func (c *clientCore) Pending([]byte) (offset int64, n int) { return c.Sent, 0 }

// target implements suite.Target.
type target struct {
	end
	session  suite.Session
	checkErr error

	mu    sync.Mutex // guards what follows
	epoch int64
	link  *suite.Link // of the last link, nil if there was none
	seen  int         // how often anything but Session was called
}

func (t *target) Session() suite.Session { return t.session }

func (t *target) Claim() suite.Claim {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seen++
	return suite.Claim{Offsets: t.Offsets, Epoch: t.epoch}
}

func (t *target) Check(peer suite.Offsets) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seen++
	if t.checkErr != nil {
		return t.checkErr
	}
	return t.check(peer)
}

func (t *target) TakeOver(c suite.Claim, l suite.Link) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seen++
	if c.Epoch != t.epoch {
		return suite.ErrSuperseded
	}
	if err := t.check(l.Peer); err != nil {
		return err
	}
	t.epoch++
	t.link = &l
	return nil
}

func (t *target) Early(int64, []byte)        { panic("the SCP wire has no early data") }
func (t *target) Pending(int64, []byte) int  { panic("the SCP wire has no early data") }
func (t *target) Authorize(suite.Peer) error { panic("the SCP wire asks nobody") }
func (t *target) SetKeys(...suite.Key) error { panic("the SCP wire has one key") }

// host implements suite.Host.
type host struct {
	offerErr error
	passOn   error // of a resume that nobody here can answer
	full     error

	mu          sync.Mutex // guards what follows
	targets     map[suite.Key]*target
	offered     *target
	offers      int
	established int
}

var errNothingOffered = errors.New("nothing was offered")

func (h *host) add(k suite.Key, t *target) {
	if h.targets == nil {
		h.targets = make(map[suite.Key]*target)
	}
	h.targets[k] = t
}

func (h *host) MayOpen() error { return h.full }

func (*host) Authorize(suite.Peer) error { panic("the SCP wire asks nobody") }

func (h *host) Offer(s suite.Session, k suite.Key) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.offers++
	if h.offerErr != nil {
		return h.offerErr
	}
	if h.targets[k] != nil {
		return suite.ErrKeyTaken
	}
	h.offered = &target{session: s}
	h.add(k, h.offered)
	return nil
}

func (h *host) Establish(l suite.Link) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.offered == nil {
		return errNothingOffered
	}
	h.established++
	h.offered.epoch, h.offered.link = 1, &l
	return nil
}

// PassOn implements [suite.Host].
func (h *host) PassOn() error { return h.passOn }

func (h *host) Find(k suite.Key) (suite.Target, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t, ok := h.targets[k]
	return t, ok
}
