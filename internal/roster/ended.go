package roster

import (
	"container/list"
	"sync"
	"time"

	"github.com/relink-go/relink/internal/suite"
)

// MaxTombstones bounds how many ended sessions a listener remembers.
const MaxTombstones = 4096

// A tombstone is what a listener remembers for a while of a session that has
// ended, so that a client which has not heard of it learns how. It is a
// [suite.Target] of which nothing can be had but that.
type tombstone struct {
	session suite.Session
	end     *suite.EndedError
	keys    []Key
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

// Authorize implements [suite.Target]. Nobody is asked about a session that has
// ended.
func (*tombstone) Authorize(suite.Peer) error { return nil }

// TakeOver implements [suite.Target].
func (t *tombstone) TakeOver(suite.Claim, suite.Link) error { return t.end }

// An Ended holds the tombstones of a listener. The zero Ended has none. A
// tombstone has the keys of its session, which are not to be kept any longer than
// they are of use.
type Ended struct {
	table map[Key]*tombstone
	order list.List   // of *tombstone, the first to expire first
	timer *time.Timer // runs while there are any
}

// Len is how many sessions are remembered.
func (g *Ended) Len() int { return g.order.Len() }

// Add takes a session over, and remembers for a while how a session has ended. The lock, which the caller holds, is the
// listener's: when the time is up it is taken by the goroutine of a timer.
func (g *Ended) Add(of suite.Session, end *suite.EndedError, keys []Key, life time.Duration, lock sync.Locker) {
	t := &tombstone{of, end, keys, time.Now().Add(life)}
	if g.order.Len() >= MaxTombstones {
		g.dropOldest()
	}
	if g.table == nil {
		g.table = make(map[Key]*tombstone)
	}
	for _, k := range t.keys {
		g.table[k] = t
	}
	g.order.PushBack(t)
	switch {
	case g.timer == nil:
		g.timer = time.AfterFunc(time.Until(t.expires), func() {
			lock.Lock()
			defer lock.Unlock()
			g.tidy()
		})
	case g.order.Len() == 1:
		g.timer.Reset(time.Until(t.expires))
	}
}

// tidy drops the tombstones whose time is up.
func (g *Ended) tidy() {
	for g.order.Len() > 0 {
		if left := time.Until(g.order.Front().Value.(*tombstone).expires); left > 0 {
			g.timer.Reset(left)
			return
		}
		g.dropOldest()
	}
}

// Clear drops all tombstones.
func (g *Ended) Clear() {
	if g.timer != nil {
		g.timer.Stop()
	}
	for e := g.order.Front(); e != nil; e = e.Next() {
		Erase(e.Value.(*tombstone).session)
	}
	g.table = nil
	g.order.Init()
}

// Erase overwrites the secrets of a session to which nobody comes back.
func Erase(s suite.Session) {
	if e, ok := s.(suite.Eraser); ok {
		e.Erase()
	}
}

func (g *Ended) dropOldest() {
	t := g.order.Remove(g.order.Front()).(*tombstone)
	for _, k := range t.keys {
		delete(g.table, k)
	}
	Erase(t.session)
}

// Find returns the tombstone with the key.
func (g *Ended) Find(k Key) (suite.Target, bool) {
	if t, ok := g.table[k]; ok && time.Now().Before(t.expires) {
		return t, true
	}
	return nil, false
}
