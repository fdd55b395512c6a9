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

// A endedSessions holds the tombstones of a listener and is guarded by its lock. A
// tombstone has the keys of its session, which are not to be kept any longer than
// they are of use.
type endedSessions struct {
	table map[tableKey]*tombstone
	order list.List   // of *tombstone, the first to expire first
	timer *time.Timer // runs while there are any
}

// add puts a tombstone up, of which tidy is to be called when its time is up.
func (g *endedSessions) add(t *tombstone, tidy func()) {
	if g.order.Len() >= maxTombstones {
		g.dropOldest()
	}
	if g.table == nil {
		g.table = make(map[tableKey]*tombstone)
	}
	for _, k := range t.keys {
		g.table[k] = t
	}
	g.order.PushBack(t)
	switch {
	case g.timer == nil:
		g.timer = time.AfterFunc(time.Until(t.expires), tidy)
	case g.order.Len() == 1:
		g.timer.Reset(time.Until(t.expires))
	}
}

// tidy drops the tombstones whose time is up.
func (g *endedSessions) tidy() {
	for g.order.Len() > 0 {
		if left := time.Until(g.order.Front().Value.(*tombstone).expires); left > 0 {
			g.timer.Reset(left)
			return
		}
		g.dropOldest()
	}
}

// clear drops all tombstones.
func (g *endedSessions) clear() {
	if g.timer != nil {
		g.timer.Stop()
	}
	g.table = nil
	g.order.Init()
}

func (g *endedSessions) dropOldest() {
	t := g.order.Remove(g.order.Front()).(*tombstone)
	for _, k := range t.keys {
		delete(g.table, k)
	}
}

// find returns the tombstone with the key.
func (g *endedSessions) find(k tableKey) (*tombstone, bool) {
	t, ok := g.table[k]
	return t, ok && time.Now().Before(t.expires)
}

// endStatus returns how the session has ended, for its tombstone, or nil
// where there is to be none: on a wire that could not tell, for a session that
// nobody came back to, and for one that the application has never seen.
func (s *session) endStatus(cause error) *suite.EndedError {
	if !s.send.Traits.HalfClose || s.provisional || !s.closed && errors.Is(cause, ErrExpired) {
		return nil
	}
	e := &suite.EndedError{Received: s.recv.Received()}
	switch {
	case cause == nil && s.send.Finished():
	case errors.Is(cause, ErrDenied):
		e.Code = suite.ResetDenied
	case errors.Is(cause, ErrProtocol):
		e.Code = suite.ResetProtocol
	case cause == nil, errors.Is(cause, ErrExpired): // CloseTimeout
		e.Code = suite.ResetLinger
	default:
		e.Code = suite.ResetAborted
	}
	return e
}
