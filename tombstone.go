package relink

import (
	"container/list"
	"errors"
	"time"

	"github.com/relink-go/relink/internal/suite"
)

// maxTombstones bounds how many ended sessions a listener remembers.
const maxTombstones = 4096

// A tombstone is what a listener remembers for a while of a session that has
// ended, so that a client which has not heard of it learns how. It is a
// [suite.Target] of which nothing can be had but that.
type tombstone struct {
	session suite.Session
	end     *suite.EndedError
	keys    []tableKey
	expires time.Time
}

// Session implements [suite.Target].
func (t *tombstone) Session() suite.Session { return t.session }

// Claim implements [suite.Target].
func (t *tombstone) Claim() suite.Claim {
	return suite.Claim{Offsets: suite.Offsets{Received: t.end.Received}}
}

// Check implements [suite.Target].
func (t *tombstone) Check(suite.Offsets) error { return t.end }

// Early implements [suite.Target].
func (*tombstone) Early(int64, []byte) {}

// Pending implements [suite.Target].
func (*tombstone) Pending(int64, []byte) int { return 0 }

// SetKeys implements [suite.Target]. A tombstone keeps those that the session
// had.
func (*tombstone) SetKeys(...suite.Key) error { return nil }

// TakeOver implements [suite.Target].
func (t *tombstone) TakeOver(suite.Claim, suite.Link) error { return t.end }

// A graveyard holds the tombstones of a listener and is guarded by its lock.
type graveyard struct {
	table map[tableKey]*tombstone
	order list.List // of *tombstone, the first to expire first
}

// bury puts a tombstone up.
func (g *graveyard) bury(t *tombstone) {
	for now := time.Now(); g.order.Len() >= maxTombstones || g.expired(now); {
		g.dropOldest()
	}
	if g.table == nil {
		g.table = make(map[tableKey]*tombstone)
	}
	for _, k := range t.keys {
		g.table[k] = t
	}
	g.order.PushBack(t)
}

// expired reports whether the oldest tombstone's time is up.
func (g *graveyard) expired(now time.Time) bool {
	first := g.order.Front()
	return first != nil && now.After(first.Value.(*tombstone).expires)
}

func (g *graveyard) dropOldest() {
	t := g.order.Remove(g.order.Front()).(*tombstone)
	for _, k := range t.keys {
		delete(g.table, k)
	}
}

// find returns the tombstone with the key.
func (g *graveyard) find(k tableKey) (*tombstone, bool) {
	t, ok := g.table[k]
	return t, ok && time.Now().Before(t.expires)
}

// epitaphLocked returns how the session has ended, for its tombstone, or nil
// where there is to be none: on a wire that could not tell, for a session that
// nobody came back to, and for one that the application has never seen.
func (c *Conn) epitaphLocked(cause error) *suite.EndedError {
	if !c.traits.HalfClose || c.provisional || !c.closed && errors.Is(cause, ErrExpired) {
		return nil
	}
	e := &suite.EndedError{Received: c.received}
	switch {
	case cause == nil && (c.finAcked || c.peerStopped):
	case errors.Is(cause, ErrProtocol):
		e.Code = suite.ResetProtocol
	case errors.Is(cause, ErrExpired):
		e.Code = suite.ResetLinger
	default:
		e.Code = suite.ResetAborted
	}
	return e
}
