package relink

import (
	"container/heap"
	"time"

	"github.com/relink-go/relink/internal/clock"
)

// An agenda says when a listener has to look at which session: a suspended one when it
// expires, and a connected one when it is to be known that its link lives. It is a
// heap, because sessions may differ in their time, and is guarded by the listener's lock.
type agenda struct {
	sessions  []*Conn // registration.at of each is where it lies, counted from 1
	suspended int     // of these
}

// Len, Less, Swap, Push and Pop are the heap's.
func (a *agenda) Len() int { return len(a.sessions) }

func (a *agenda) Less(i, j int) bool {
	return a.sessions[i].registration.due < a.sessions[j].registration.due
}

func (a *agenda) Swap(i, j int) {
	s := a.sessions
	s[i], s[j] = s[j], s[i]
	s[i].registration.at, s[j].registration.at = uint32(i)+1, uint32(j)+1
}

func (a *agenda) Push(c any) {
	a.sessions = append(a.sessions, c.(*Conn))
	c.(*Conn).registration.at = uint32(len(a.sessions))
}

func (a *agenda) Pop() any {
	last := len(a.sessions) - 1
	c := a.sessions[last]
	a.sessions[last] = nil
	if a.sessions = a.sessions[:last]; last == 0 {
		a.sessions = nil // lest it keep the room of the longest that it was
	}
	c.registration.at = 0
	return c
}

// first returns the session whose turn is next, or nil.
func (a *agenda) first() *Conn {
	if len(a.sessions) == 0 {
		return nil
	}
	return a.sessions[0]
}

// set puts a session down for a moment, instead of what was.
func (a *agenda) set(c *Conn, due clock.Time, suspended bool) {
	a.remove(c)
	c.registration.due, c.registration.suspended = due, suspended
	if suspended {
		a.suspended++
	}
	heap.Push(a, c)
}

// remove takes a session off, if it is on.
func (a *agenda) remove(c *Conn) {
	if c.registration.at == 0 {
		return
	}
	heap.Remove(a, int(c.registration.at)-1)
	if c.registration.suspended {
		c.registration.suspended = false
		a.suspended--
	}
}

// schedule puts a connected session down for the time after d, and wakes the sweeper if
// that is earlier than what it waits for.
func (l *Listener) schedule(c *Conn, d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.registration.slot == 0 {
		return // it has ended
	}
	l.agenda.set(c, clock.In(d), false)
	if l.agenda.first() == c {
		l.sweepLocked()
	}
}

// reschedule puts a suspended session down for another time.
func (l *Listener) reschedule(c *Conn, due clock.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !c.registration.suspended {
		return
	}
	l.agenda.set(c, due, true)
	if l.agenda.first() == c {
		l.sweepLocked()
	}
}
