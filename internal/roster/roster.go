// Package roster has what a listener knows of its sessions: under which keys they are found, which
// of them are away and for how long, when to look at which, who waits to be accepted, who gives way
// to others, and what is remembered of those that have ended. It does nothing to a session,
// whose type it does not know.
package roster

import (
	"container/list"

	"github.com/relink-go/relink/internal/clock"
	"github.com/relink-go/relink/internal/suite"
)

// A Key finds a session of one of the listener's protocols.
type Key struct {
	Protocol int
	Key      suite.Key
}

// An Entry is where a Roster keeps a session. The zero Entry is that of one which it does not
// have.
type Entry struct {
	keys      []Key
	due       clock.Time // see agenda, like at and suspended
	slot      uint32     // in Roster.sessions, counted from 1; 0 for none
	at        uint32     // in the agenda, counted from 1; 0 for none
	suspended bool
	away      *list.Element
}

// Known reports whether the session can be found.
func (e *Entry) Known() bool { return len(e.keys) > 0 }

// Keys are those under which the session is found.
func (e *Entry) Keys() []Key { return e.keys }

// Live reports whether the session is established and has not ended.
func (e *Entry) Live() bool { return e.slot != 0 }

// Suspended reports whether the session is without a transport.
func (e *Entry) Suspended() bool { return e.suspended }

// A Roster has the sessions of a listener, which names each together with its Entry. The zero
// Roster has none.
type Roster[T comparable] struct {
	table map[Key]T

	live        int      // sessions that are established and not ended
	sessions    []T      // these, in their slots, with the zero value between
	freeSlots   []uint32 // of sessions, counted from 1
	provisional int      // sessions that are not established yet

	agenda    agenda[T]
	evictable line[T]   // of those that are away
	away      list.List // of T: all that are, the longest first
}

// Live is how many sessions are established and have not ended.
func (r *Roster[T]) Live() int { return r.live }

// Provisional is how many are not established yet.
func (r *Roster[T]) Provisional() int { return r.provisional }

// Suspended is how many are without a transport.
func (r *Roster[T]) Suspended() int { return r.agenda.suspended }

// Keys is how many keys sessions are found under.
func (r *Roster[T]) Keys() int { return len(r.table) }

// Find returns the session with the key.
func (r *Roster[T]) Find(k Key) (T, bool) {
	of, ok := r.table[k]
	return of, ok
}

// Offer takes in a provisional session, unless the key is taken.
func (r *Roster[T]) Offer(of T, e *Entry, k Key) error {
	if _, taken := r.table[k]; taken {
		return suite.ErrKeyTaken
	}
	if r.table == nil {
		r.table = make(map[Key]T)
	}
	r.table[k] = of
	e.keys = []Key{k}
	r.provisional++
	return nil
}

// Admit makes a provisional session one of the live ones. It gets a slot, which it keeps
// until it ends.
func (r *Roster[T]) Admit(of T, e *Entry) {
	r.provisional--
	r.live++
	if n := len(r.freeSlots); n > 0 {
		e.slot = r.freeSlots[n-1]
		r.freeSlots = r.freeSlots[:n-1]
		r.sessions[e.slot-1] = of
		return
	}
	r.sessions = append(r.sessions, of)
	e.slot = uint32(len(r.sessions))
}

// SetKeys replaces the keys of a session that is known. Where one is another's it changes
// nothing.
func (r *Roster[T]) SetKeys(of T, e *Entry, keys []Key) error {
	for _, k := range keys {
		if other, taken := r.table[k]; taken && other != of {
			return suite.ErrKeyTaken
		}
	}
	r.dropKeys(e)
	for _, k := range keys {
		r.table[k] = of
	}
	e.keys = keys
	return nil
}

func (r *Roster[T]) dropKeys(e *Entry) {
	for _, k := range e.keys {
		delete(r.table, k)
	}
	e.keys = nil
}

// Drop takes a session out, and reports whether it was live.
func (r *Roster[T]) Drop(of T, e *Entry) (live bool) {
	if e.Known() && !e.Live() {
		r.provisional--
	}
	r.dropKeys(e)
	r.Unschedule(of, e)
	if !e.Live() {
		return false
	}
	var none T
	r.live--
	r.sessions[e.slot-1] = none
	r.freeSlots = append(r.freeSlots, e.slot)
	e.slot = 0
	if r.live == 0 {
		r.sessions, r.freeSlots = nil, nil
	}
	return true
}

// Schedule puts a connected session down for a time, and reports whether it is the next
// then.
func (r *Roster[T]) Schedule(of T, e *Entry, due clock.Time) (first bool) {
	r.agenda.set(of, e, due, false)
	return e.at == 1
}

// Suspend notes that a session is without a transport until a time at which it expires. An
// evictable one is the first to give way. It reports whether the session is the next on the agenda.
func (r *Roster[T]) Suspend(of T, e *Entry, due clock.Time, evictable bool) (first bool) {
	r.agenda.set(of, e, due, true)
	e.away = r.away.PushBack(of)
	if evictable {
		r.evictable.add(of)
	}
	return e.at == 1
}

// Reschedule puts a suspended session down for another time, and reports whether it is the
// next then.
func (r *Roster[T]) Reschedule(of T, e *Entry, due clock.Time) (first bool) {
	if !e.suspended {
		return false
	}
	r.agenda.set(of, e, due, true)
	return e.at == 1
}

// Unschedule takes a session off the agenda, and from among those that are away.
func (r *Roster[T]) Unschedule(of T, e *Entry) {
	r.evictable.remove(of)
	r.agenda.remove(e)
	if e.away != nil {
		r.away.Remove(e.away)
		e.away = nil
	}
}

// Next returns the session whose turn is next, and when that is.
func (r *Roster[T]) Next() (of T, due clock.Time, ok bool) {
	if len(r.agenda.slots) == 0 {
		return of, 0, false
	}
	first := r.agenda.slots[0]
	return first.of, first.entry.due, true
}

// Evictable returns the session that gives way first to a new one, if any does.
func (r *Roster[T]) Evictable() (T, bool) { return r.evictable.first() }

// Reclaimable returns the session whose memory is taken first: one that may be evicted, and
// if there is none, the one that has been away for the longest time. evictable says which.
func (r *Roster[T]) Reclaimable() (of T, evictable, ok bool) {
	if of, ok = r.evictable.first(); ok {
		return of, true, true
	}
	if first := r.away.Front(); first != nil {
		return first.Value.(T), false, true
	}
	return of, false, false
}

// Away returns all sessions that are without a transport.
func (r *Roster[T]) Away() []T {
	all := make([]T, 0, r.away.Len())
	for e := r.away.Front(); e != nil; e = e.Next() {
		all = append(all, e.Value.(T))
	}
	return all
}

// Found returns all sessions that can be found, each once.
func (r *Roster[T]) Found() map[T]bool {
	all := make(map[T]bool, len(r.table))
	for _, of := range r.table {
		all[of] = true
	}
	return all
}

// Batch appends the live sessions of up to n slots, beginning with the slot at. It returns false
// if there are no such slots.
func (r *Roster[T]) Batch(batch []T, at, n int) ([]T, bool) {
	if at >= len(r.sessions) {
		return batch, false
	}
	var none T
	for _, of := range r.sessions[at:min(at+n, len(r.sessions))] {
		if of != none {
			batch = append(batch, of)
		}
	}
	return batch, true
}
