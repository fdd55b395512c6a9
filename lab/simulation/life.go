package simulation

import (
	"fmt"
	"slices"
	"time"

	"github.com/relink-go/relink"
)

// A life is what the events of one Conn have told. It is guarded by world.mu.
type life struct {
	name string
	side Side

	last        relink.EventKind // zero before the first
	at          time.Time        // of the last
	suspendedAt time.Time        // the last time
	lost        error            // the Err of that
	resumingAt  time.Time        // the last time
	resumes     int64
	longest     time.Duration
	closedAt    time.Time // zero until the session has ended
	closed      error     // the Err of that
}

// lifeOf returns the life of a Conn. Its first event can come before or after
// the application gets it. The lock is held.
func (w *world) lifeOf(side Side, c *relink.Conn) *life {
	l := w.lives[c]
	if l == nil {
		l = &life{side: side, name: fmt.Sprintf("%s event %d", side, len(w.lives))}
		w.lives[c] = l
	}
	return l
}

// before says which kinds of events may come right before each kind. A server's
// session can be resumed while it seems to be connected, and a client's while it
// suspects its link.
var before = map[Side]map[relink.EventKind][]relink.EventKind{
	Client: {
		relink.EventOpened:    {0},
		relink.EventSuspected: {relink.EventOpened, relink.EventResumed, relink.EventSuspected},
		relink.EventSuspended: {relink.EventOpened, relink.EventResumed, relink.EventSuspected},
		relink.EventResuming:  {relink.EventSuspended, relink.EventResuming},
		relink.EventResumed:   {relink.EventResuming, relink.EventSuspended, relink.EventSuspected},
		relink.EventClosed:    {relink.EventOpened, relink.EventSuspected, relink.EventSuspended, relink.EventResuming, relink.EventResumed},
	},
	Server: {
		relink.EventOpened:    {0},
		relink.EventSuspended: {relink.EventOpened, relink.EventResumed},
		relink.EventResumed:   {relink.EventOpened, relink.EventSuspended, relink.EventResumed},
		relink.EventClosed:    {relink.EventOpened, relink.EventSuspended, relink.EventResumed},
	},
}

// event is the OnEvent of the listener and of all dialers.
func (w *world) event(side Side, e relink.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.ring()
	w.counts.Events[fmt.Sprintf("%s %v", side, e.Kind)]++
	if e.Time.After(time.Now()) || e.Dropped != 0 {
		w.fail("events", "%v of the %s at %v, %d dropped", e.Kind, side, e.Time.Sub(w.start), e.Dropped)
	}
	if e.Kind == relink.EventRefused {
		w.tell("listener", "refused at %v: %v", e.Time.Sub(w.start), e.Err)
		if e.Conn != nil || e.Err == nil || side == Client {
			w.fail("events", "%s: refused with Conn %v, error %v", side, e.Conn, e.Err)
		}
		return
	}
	l := w.lifeOf(side, e.Conn)
	w.tell(l.name, "%v, replayed %d, gap %v: %v", e.Kind, e.Replayed, e.Gap, e.Err)
	if !slices.Contains(before[side][e.Kind], l.last) {
		w.fail("events", "%s: %v after %v", l.name, e.Kind, l.last)
	}
	if e.Time.Before(l.at) {
		w.fail("events", "%s: %v has a time before that of the event before", l.name, e.Kind)
	}
	switch e.Kind {
	case relink.EventSuspended:
		l.suspendedAt, l.lost = e.Time, e.Err
		if e.Err == nil {
			w.fail("events", "%s: suspended without a reason", l.name)
		}
	case relink.EventResuming:
		l.resumingAt = e.Time
	case relink.EventResumed:
		l.resumes++
		if side == Client {
			w.counts.Resumes++
		}
		gap := time.Duration(0)
		if l.last == relink.EventSuspended || l.last == relink.EventResuming {
			gap = e.Time.Sub(l.suspendedAt)
		}
		if e.Gap != gap {
			w.fail("events", "%s: resumed with a gap of %v, and it was %v", l.name, e.Gap, gap)
		}
		l.longest = max(l.longest, gap)
	case relink.EventClosed:
		l.closedAt, l.closed = e.Time, e.Err
	case relink.EventOpened, relink.EventSuspected, relink.EventRefused, relink.EventListenerFailed, relink.EventHistoryCut:
	}
	l.last, l.at = e.Kind, e.Time
}

// suspended reports whether the session has no transport.
func (l *life) suspended() bool {
	return l.last == relink.EventSuspended || l.last == relink.EventResuming
}

// over reports whether the session has ended.
func (l *life) over() bool { return !l.closedAt.IsZero() }
