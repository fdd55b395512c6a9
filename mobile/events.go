package relink

import (
	"sync"

	core "github.com/relink-go/relink"
)

// The kinds of events. For each session they come in this order: opened, then any number
// of suspended, resuming, suspected and resumed, then closed.
const (
	EventOpened    = "opened"
	EventSuspended = "suspended" // the network is gone; Reason says how
	EventResuming  = "resuming"  // an attempt begins; Reason is what the last one failed with
	EventSuspected = "suspected" // the network is silent, and a second connection begins beside it; Reason says why
	EventResumed   = "resumed"   // the stream goes on; GapMillis and Replayed are set
	EventClosed    = "closed"    // nothing is left; Reason is empty if that was meant
)

// An Event tells what happened to a session.
type Event struct {
	Kind       string // one of the constants that begin with Event
	Session    string // names the session, here and in the server's log
	Reason     string // the text of the error, with its code, or ""
	TimeMillis int64  // when it happened, since 1970
	GapMillis  int64  // how long the session was without a network
	Replayed   int64  // how many bytes this side sends again
	Dropped    int64  // how many events before this one were dropped, as the listener did not keep up
}

// An EventListener is told of events, in order, by one thread at a time, which is never
// the thread that draws. What it throws is counted in [Stats.ListenerErrors], and
// harms nothing.
type EventListener interface {
	OnEvent(event *Event) error
}

// maxEvents bounds the events that wait for a listener.
const maxEvents = 256

// events is the queue between the library and a listener. Its goroutine is there only
// while there is something to deliver.
type events struct {
	mu         sync.Mutex // guards what follows
	listener   EventListener
	queue      []*Event
	dropped    int64
	failures   int64
	delivering bool
}

func newEvents() *events { return &events{} }

// push queues what the library tells.
func (q *events) push(e core.Event) {
	event := &Event{
		Kind:       e.Kind.String(),
		Session:    e.Conn.ID(),
		TimeMillis: e.Time.UnixMilli(),
		GapMillis:  e.Gap.Milliseconds(),
		Replayed:   e.Replayed,
	}
	if e.Err != nil {
		event.Reason = coded(e.Err).Error()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.dropped += int64(e.Dropped)
	if len(q.queue) == maxEvents { // the oldest gives way: the state now is what counts
		q.dropped++
		q.dropped += q.queue[0].Dropped
		q.queue = q.queue[1:]
	}
	q.queue = append(q.queue, event)
	q.wakeLocked()
}

// set sets the listener; nil stops the delivery.
func (q *events) set(l EventListener) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.listener = l
	q.wakeLocked()
}

func (q *events) wakeLocked() {
	if q.delivering || q.listener == nil || len(q.queue) == 0 {
		return
	}
	q.delivering = true
	go q.deliver()
}

// deliver calls the listener until there is nothing to tell.
func (q *events) deliver() {
	for {
		q.mu.Lock()
		if q.listener == nil || len(q.queue) == 0 {
			q.delivering = false
			q.mu.Unlock()
			return
		}
		event, listener := q.queue[0], q.listener
		q.queue = q.queue[1:]
		event.Dropped, q.dropped = event.Dropped+q.dropped, 0
		q.mu.Unlock()

		if err := tell(listener, event); err != nil {
			q.mu.Lock()
			q.failures++
			q.mu.Unlock()
		}
	}
}

func (q *events) listenerErrors() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.failures
}

func tell(l EventListener, e *Event) (err error) {
	defer guard("OnEvent", &err)
	return l.OnEvent(e)
}
