package debug

import (
	"sync"
	"time"

	"github.com/relink-go/relink"
)

// What a History remembers.
const (
	slots     = 120 // of the last hour
	slotTime  = 30 * time.Second
	maxEvents = 4096
)

// A History remembers what happened to the sessions of a listener in the last hour: how
// many opened, were suspended and came back, how long they were gone, and the last 4096
// events themselves. It holds about 1 MB at most. All methods may be called from any goroutine.
type History struct {
	mu     sync.Mutex // guards what follows
	slots  [slots]slot
	events []event // a ring
	next   int     // where the next event goes
}

// A slot counts what happened in a part of the hour.
type slot struct {
	number                                      int64 // since 1970
	opened, closed, suspended, resumed, refused int64
	gap                                         time.Duration // the longest
	replayed                                    int64
}

// An event is what the page shows of one.
type event struct {
	Time     time.Time     `json:"time"`
	Kind     string        `json:"kind"`
	ID       string        `json:"session,omitempty"`
	Remote   string        `json:"remote,omitempty"`
	Label    string        `json:"listener,omitempty"`
	Err      string        `json:"error,omitempty"`
	Gap      time.Duration `json:"gap_ns,omitempty"`
	Replayed int64         `json:"replayed,omitempty"`
}

// NewHistory returns an empty history.
func NewHistory() *History { return new(History) }

// Observe is for [relink.Config].OnEvent, or is called from there. It does not block.
func (h *History) Observe(e relink.Event) {
	seen := event{Time: e.Time, Kind: e.Kind.String(), Label: e.Label, Gap: e.Gap, Replayed: e.Replayed}
	if e.Conn != nil {
		seen.ID = e.Conn.ID()
	}
	if e.Remote != nil {
		seen.Remote = e.Remote.String()
	}
	if e.Err != nil {
		seen.Err = e.Err.Error()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.events) < maxEvents {
		h.events = append(h.events, seen)
	} else {
		h.events[h.next] = seen
	}
	h.next = (h.next + 1) % maxEvents

	number := e.Time.Unix() / int64(slotTime/time.Second)
	s := &h.slots[((number%slots)+slots)%slots]
	if s.number > number {
		return // the clock was set back, or the event is an hour late
	}
	if s.number != number {
		*s = slot{number: number}
	}
	switch e.Kind {
	case relink.EventOpened:
		s.opened++
	case relink.EventClosed:
		s.closed++
	case relink.EventSuspended:
		s.suspended++
	case relink.EventResumed:
		s.resumed++
		s.gap = max(s.gap, e.Gap)
		s.replayed += e.Replayed
	case relink.EventRefused:
		s.refused++
		if e.Refusals != nil {
			s.refused += e.Refusals.Total() - 1
		}
	case relink.EventResuming, relink.EventSuspected, relink.EventHistoryCut, relink.EventListenerFailed:
	}
}

// hour returns the slots of the last hour, the oldest first.
func (h *History) hour(now time.Time) []slot {
	h.mu.Lock()
	defer h.mu.Unlock()
	last := now.Unix() / int64(slotTime/time.Second)
	all := make([]slot, slots)
	for i := range all {
		n := last - slots + 1 + int64(i)
		all[i].number = n
		if s := h.slots[((n%slots)+slots)%slots]; s.number == n {
			all[i] = s
		}
	}
	return all
}

// latest returns up to n events that want says yes to, the newest first.
func (h *History) latest(n int, want func(*event) bool) []event {
	h.mu.Lock()
	defer h.mu.Unlock()
	var found []event
	for i := 1; i <= len(h.events) && len(found) < n; i++ {
		e := &h.events[(h.next-i+len(h.events))%len(h.events)]
		if want(e) {
			found = append(found, *e)
		}
	}
	return found
}
