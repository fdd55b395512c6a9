package relink

import "container/list"

// A backlog holds the sessions that are established and that nobody has accepted
// yet. It is guarded by the listener's lock. A session that ends leaves it at once.
type backlog struct {
	untold list.List // of *Conn: OnEvent has not returned from their opened event
	ready  list.List // of *Conn: the next to be accepted first

	at map[*Conn]*list.Element // where each one is
}

func (b *backlog) len() int { return b.untold.Len() + b.ready.Len() }

// add takes a session in. Where OnEvent is there to be told of it first it is not
// ready before tell.
func (b *backlog) add(c *Conn, toBeTold bool) {
	if b.at == nil {
		b.at = make(map[*Conn]*list.Element)
	}
	if toBeTold {
		b.at[c] = b.untold.PushBack(c)
	} else {
		b.at[c] = b.ready.PushBack(c)
	}
}

// tell notes that OnEvent has been told of the session, and reports whether it is
// now ready. It may have ended, then or before.
func (b *backlog) tell(c *Conn) bool {
	e := b.at[c]
	if e == nil {
		return false
	}
	b.untold.Remove(e)
	b.at[c] = b.ready.PushBack(c)
	return true
}

// next takes the next session that is ready, if there is one.
func (b *backlog) next() *Conn {
	first := b.ready.Front()
	if first == nil {
		return nil
	}
	c := first.Value.(*Conn)
	b.remove(c)
	return c
}

// remove takes a session out, if it is in.
func (b *backlog) remove(c *Conn) {
	if e := b.at[c]; e != nil {
		b.untold.Remove(e) // each list takes only its own
		b.ready.Remove(e)
		delete(b.at, c)
	}
	if len(b.at) == 0 {
		b.at = nil // one that was long keeps its room
	}
}

// clear takes all out and returns them.
func (b *backlog) clear() []*Conn {
	var all []*Conn
	for _, l := range []*list.List{&b.ready, &b.untold} {
		for e := l.Front(); e != nil; e = l.Front() {
			c := e.Value.(*Conn)
			all = append(all, c)
			b.remove(c)
		}
	}
	return all
}

// unacceptedBound is how much a session takes from its peer while it waits for
// Accept, in bytes. The rest stays in the transport.
const unacceptedBound = 16 << 10

// told is called when OnEvent has returned from a session's opened event.
func (l *Listener) told(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.backlog.tell(c) {
		l.acceptable.Signal()
	}
}
