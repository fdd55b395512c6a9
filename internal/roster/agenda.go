package roster

import "github.com/relink-go/relink/internal/clock"

// An agenda says when to look at which session: a suspended one when it expires, and a
// connected one when it is to be known that its link lives. It is a heap, because sessions may
// differ in their time. Each Entry knows where it lies, and so container/heap, which would box
// every slot, is no help.
type agenda[T comparable] struct {
	slots     []slot[T] // Entry.at of each is where it lies, counted from 1
	suspended int       // of these
}

type slot[T comparable] struct {
	of    T
	entry *Entry
}

// set puts a session down for a time, instead of what was.
func (a *agenda[T]) set(of T, e *Entry, due clock.Time, suspended bool) {
	a.remove(e)
	e.due, e.suspended = due, suspended
	if suspended {
		a.suspended++
	}
	a.slots = append(a.slots, slot[T]{of, e})
	e.at = uint32(len(a.slots))
	a.rise(len(a.slots) - 1)
}

// remove takes a session off, if it is on.
func (a *agenda[T]) remove(e *Entry) {
	if e.at == 0 {
		return
	}
	i, last := int(e.at)-1, len(a.slots)-1
	a.swap(i, last)
	a.slots[last] = slot[T]{}
	if a.slots = a.slots[:last]; last == 0 {
		a.slots = nil // lest it keep the room of the longest that it was
	} else if i < last {
		a.rise(i)
		a.sink(i)
	}
	e.at = 0
	if e.suspended {
		e.suspended = false
		a.suspended--
	}
}

func (a *agenda[T]) swap(i, j int) {
	s := a.slots
	s[i], s[j] = s[j], s[i]
	s[i].entry.at, s[j].entry.at = uint32(i)+1, uint32(j)+1
}

// rise moves what lies at i to before all that is due later on its way to the front.
func (a *agenda[T]) rise(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if a.slots[i].entry.due >= a.slots[parent].entry.due {
			return
		}
		a.swap(i, parent)
		i = parent
	}
}

// sink moves what lies at i to behind what is due earlier.
func (a *agenda[T]) sink(i int) {
	for {
		first := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(a.slots); child++ {
			if a.slots[child].entry.due < a.slots[first].entry.due {
				first = child
			}
		}
		if first == i {
			return
		}
		a.swap(i, first)
		i = first
	}
}
