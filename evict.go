package relink

import "container/list"

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
