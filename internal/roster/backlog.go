package roster

import "container/list"

// A line has values in the order in which they came, each once.
type line[T comparable] struct {
	order list.List // of T
	at    map[T]*list.Element
}

func (l *line[T]) add(of T) {
	if l.at == nil {
		l.at = make(map[T]*list.Element)
	}
	l.at[of] = l.order.PushBack(of)
}

// remove takes a value out, and reports whether it was in.
func (l *line[T]) remove(of T) bool {
	e := l.at[of]
	if e == nil {
		return false
	}
	l.order.Remove(e)
	if delete(l.at, of); len(l.at) == 0 {
		l.at = nil // one that was long keeps its room
	}
	return true
}

// first returns the one that came first.
func (l *line[T]) first() (of T, ok bool) {
	if e := l.order.Front(); e != nil {
		return e.Value.(T), true
	}
	return of, false
}

// A Backlog holds the sessions that are established and that nobody has accepted yet. A
// session that ends leaves it at once. The zero Backlog is empty.
type Backlog[T comparable] struct {
	untold line[T] // OnEvent has not returned from their opened event
	ready  line[T] // the next to be accepted first
}

// Len is how many there are.
func (b *Backlog[T]) Len() int { return len(b.untold.at) + len(b.ready.at) }

// Add takes a session in. Where OnEvent is there to be told of it first it is not
// ready before Tell.
func (b *Backlog[T]) Add(of T, toBeTold bool) {
	if toBeTold {
		b.untold.add(of)
	} else {
		b.ready.add(of)
	}
}

// Tell notes that OnEvent has been told of the session, and reports whether it is
// now ready. It may have ended, then or before.
func (b *Backlog[T]) Tell(of T) bool {
	if !b.untold.remove(of) {
		return false
	}
	b.ready.add(of)
	return true
}

// Next takes the next session that is ready, if there is one.
func (b *Backlog[T]) Next() (of T, ok bool) {
	if of, ok = b.ready.first(); ok {
		b.ready.remove(of)
	}
	return of, ok
}

// Remove takes a session out, if it is in.
func (b *Backlog[T]) Remove(of T) {
	if !b.untold.remove(of) {
		b.ready.remove(of)
	}
}

// Clear takes all out and returns them.
func (b *Backlog[T]) Clear() (all []T) {
	for _, l := range []*line[T]{&b.ready, &b.untold} {
		for of, ok := l.first(); ok; of, ok = l.first() {
			all = append(all, of)
			l.remove(of)
		}
	}
	return all
}
