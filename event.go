package relink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"
)

// An EventKind says what an [Event] tells.
type EventKind int

// The kinds of events. For each session they come in this order: opened, then
// any number of suspected, suspended, resuming and resumed, then closed.
const (
	// EventOpened: a new session is established.
	EventOpened EventKind = iota + 1
	// EventSuspended: the session has lost its transport. Err says how.
	EventSuspended
	// EventResuming: the client begins an attempt to redial and resume. Err is
	// what the attempt before it failed with, if there was one. Attempt and NextAttempt
	// are set.
	EventResuming
	// EventResumed: the session goes on over a new transport. Replayed and Gap
	// are set.
	EventResumed
	// EventRefused: a handshake failed on the listener, and its transport was
	// closed. Conn is nil, Err says why. One event may stand for many: see
	// [Event.Refusals].
	EventRefused
	// EventClosed: the session has ended and nothing of it is left. Err is nil
	// after an end that was meant, otherwise the reason.
	EventClosed
	// EventListenerFailed: an inner listener has failed for good, or its owner has
	// closed it. Label names it, Err says how, Conn is nil. The sessions and the other
	// inner listeners go on: see [Listener.AddListener].
	EventListenerFailed
	// EventSuspected: the link of a client has shown no sign of life for longer than its
	// round trips explain. Err says what was awaited. A second transport is dialled beside
	// it: if that is proven alive first, EventResumed follows, with a Gap of zero. If
	// the link speaks first, nothing does; if it is lost, EventSuspended.
	EventSuspected
	// EventHistoryCut: the listener has no memory left ([ListenConfig.MaxMemory]), and the
	// session, on a wire without acknowledgements, keeps less of what it has sent than
	// ReplayLimit says, though 64 KiB at least: a cut may end it with [ErrReplayGap].
	EventHistoryCut
)

// eventAcceptFailed goes to the Logger alone: the inner listener returned a
// temporary error, and is tried again.
const eventAcceptFailed EventKind = 0

// String names the kind in lower case.
func (k EventKind) String() string {
	switch k {
	case EventOpened:
		return "opened"
	case EventSuspended:
		return "suspended"
	case EventResuming:
		return "resuming"
	case EventResumed:
		return "resumed"
	case EventSuspected:
		return "suspected"
	case EventRefused:
		return "refused"
	case EventClosed:
		return "closed"
	case EventListenerFailed:
		return "listener failed"
	case EventHistoryCut:
		return "history cut"
	default:
		return fmt.Sprintf("EventKind(%d)", int(k))
	}
}

// An Event tells what happened to a session, or that a handshake was refused.
type Event struct {
	Kind   EventKind // what happened
	Conn   *Conn     // nil where a handshake was refused
	Remote net.Addr  // the peer's address, nil if unknown
	Label  string    // of the inner listener concerned: see [Conn.Label]
	Time   time.Time // when it happened, which is before it is delivered

	// Handshake is how long the handshake took, from the transport that Accept or the
	// dial returned. Set for EventOpened.
	Handshake time.Duration
	// Replayed is the number of bytes that this side has to send again. Set for
	// EventResumed.
	Replayed int64
	// Gap is how long the session was without a transport. Set for
	// EventResumed. Zero where the new transport came before the old one was
	// seen to be lost.
	Gap time.Duration
	// Attempt counts the attempts since the transport was lost, from 1, and NextAttempt
	// says when the next one begins at the latest, should this one fail: after
	// AttemptTimeout and a pause; it begins sooner if this one fails sooner, or at a
	// [Conn.NetworkChanged]. It is zero where this attempt is the last. Set for
	// EventResuming.
	Attempt     int
	NextAttempt time.Time
	// Fruitless counts the transports in a row, this one the last, over which a handshake went
	// well and which were lost soon and had carried nothing: sooner than MaxBackoff, on a
	// server than 3 seconds. From the second on a client pauses before it dials again, longer each
	// time. Where it grows the path is there and something on it is wrong: a transport
	// tied to the ctx of its dial, a hop that refuses long messages, a server that drops
	// what it has taken. The first transport of a session and one given up for
	// [Conn.NetworkChanged] never count. Set for EventSuspended.
	Fruitless int
	// Err is the reason, where there is one.
	Err error
	// Refusals is set for an EventRefused that stands for all the handshakes which
	// failed since its Time, because OnEvent or the Logger did not keep up with one
	// event for each. It says how many and why; so does Err, in words.
	Refusals *RefusalStats
	// Dropped counts the events that were dropped before this one because
	// OnEvent or the Logger did not keep up. Opened and closed are never dropped, and
	// refused are summed up in place of that.
	Dropped int
}

// These bound the events that wait for a slow receiver, beside those of the kinds
// opened and closed, whose number is bounded by that of the sessions. Refusals have
// a bound of their own, because anybody can cause them.
const (
	maxQueuedEvents   = 1024
	maxQueuedRefusals = 1024
)

// warnFruitless is how many transports in a row that carried nothing are no chance any more.
const warnFruitless = 3

// A notifier hands events to the application in order. Its goroutine exists
// only while there is something to deliver.
type notifier struct {
	onEvent func(Event)
	logger  *slog.Logger

	mu      sync.Mutex // guards the fields below
	queue   []Event
	running bool
	opened  int        // in the queue, or being delivered
	refused int        // in the queue, each for itself
	others  int        // in the queue, neither of these nor closed
	summing *refusings // the one in the queue that stands for many, or nil
	dropped int        // since the last event that was queued
	total   int64      // dropped ever
}

// refusings count refusals that one event stands for.
type refusings [refusals]int64

// stats returns the counts as an event has them, and in words.
func (r *refusings) stats() (*RefusalStats, error) {
	s := refusalStats(func(i refusal) int64 { return r[i] })
	text := ""
	for i, n := range r {
		if n > 0 {
			text += fmt.Sprintf(", %d %s", n, refusal(i))
		}
	}
	return &s, fmt.Errorf("relink: %d handshakes failed: %s", s.Total(), text[2:])
}

func newNotifier(s *settings) *notifier {
	if s.OnEvent == nil && s.Logger == nil {
		return nil
	}
	return &notifier{onEvent: s.OnEvent, logger: s.Logger}
}

// post queues the event and never blocks. It may be called under any lock.
func (n *notifier) post(e Event) {
	if n == nil {
		return
	}
	e.Time = time.Now()
	if e.Conn != nil {
		e.Label = e.Conn.Label()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	switch e.Kind {
	case EventOpened:
		n.opened++
	case EventClosed:
	case EventRefused:
		if n.summing != nil {
			n.summing[refusalOf(e.Err)]++
			return
		}
		if n.refused >= maxQueuedRefusals {
			n.summing = new(refusings)
			n.summing[refusalOf(e.Err)]++
			e = Event{Kind: EventRefused, Time: e.Time, Refusals: new(RefusalStats)} // filled in when it is delivered
			break
		}
		n.refused++
	default:
		if n.others >= maxQueuedEvents {
			n.dropped++
			n.total++
			return
		}
		n.others++
	}
	e.Dropped, n.dropped = n.dropped, 0
	n.queue = append(n.queue, e)
	if !n.running {
		n.running = true
		go n.deliver()
	}
}

// next takes an event off the queue. The caller holds the lock.
func (n *notifier) next() Event {
	e := n.queue[0]
	n.queue = n.queue[1:]
	switch {
	case e.Kind == EventOpened || e.Kind == EventClosed:
	case e.Refusals != nil:
		e.Refusals, e.Err = n.summing.stats()
		n.summing = nil
	case e.Kind == EventRefused:
		n.refused--
	default:
		n.others--
	}
	return e
}

// tells reports whether OnEvent is there to be told.
func (n *notifier) tells() bool { return n != nil && n.onEvent != nil }

// opening returns how many opened events have not been delivered.
func (n *notifier) opening() int {
	if n == nil {
		return 0
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.opened
}

// totalDropped returns how many events were dropped ever.
func (n *notifier) totalDropped() int64 {
	if n == nil {
		return 0
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.total
}

// deliver empties the queue and ends.
func (n *notifier) deliver() {
	emptied := false
	defer func() {
		if !emptied { // a handler has called runtime.Goexit
			go n.deliver()
		}
	}()
	for {
		n.mu.Lock()
		if emptied = len(n.queue) == 0; emptied {
			n.queue, n.running = nil, false
			n.mu.Unlock()
			return
		}
		e := n.next()
		n.mu.Unlock()
		n.hand(e)
	}
}

// hand delivers one event. A server's session may be accepted after its first.
func (n *notifier) hand(e Event) {
	if e.Kind == EventOpened {
		defer n.told(e.Conn) // also where the handler ends its goroutine
	}
	n.contain(e, n.log)
	n.contain(e, n.call)
}

// told notes that an opened event was delivered.
func (n *notifier) told(c *Conn) {
	n.mu.Lock()
	n.opened--
	n.mu.Unlock()
	if c.server != nil && n.tells() {
		c.server.told(c)
	}
}

func (n *notifier) call(e Event) {
	if n.onEvent != nil && e.Kind != eventAcceptFailed {
		n.onEvent(e)
	}
}

// contain calls f and keeps its panic from taking the process down: an
// observer's mistake must not end what it observes.
func (n *notifier) contain(e Event, f func(Event)) {
	defer func() {
		if r := recover(); r != nil && n.logger != nil {
			defer func() { _ = recover() }() // it may have been the logger
			n.logger.Error("relink: an event handler panicked", "event", e.Kind.String(), "panic", fmt.Sprint(r))
		}
	}()
	f(e)
}

// onlyProbes reports whether what was refused wanted nothing.
func (e *Event) onlyProbes() bool {
	if e.Refusals != nil {
		return e.Refusals.Probe == e.Refusals.Total()
	}
	return errors.Is(e.Err, ErrProbe)
}

func (n *notifier) log(e Event) {
	if n.logger == nil {
		return
	}
	level, message := slog.LevelInfo, "relink: "+e.Kind.String()
	switch e.Kind {
	case eventAcceptFailed:
		level, message = slog.LevelWarn, "relink: accept failed; trying again"
	case EventRefused:
		level = slog.LevelWarn
		if e.onlyProbes() {
			level = slog.LevelDebug
		}
	case EventListenerFailed:
		level = slog.LevelError
	case EventResuming:
		level = slog.LevelDebug
	case EventHistoryCut:
		level = slog.LevelWarn
	case EventSuspended:
		if e.Fruitless >= warnFruitless {
			level = slog.LevelWarn
		}
	case EventOpened, EventResumed, EventSuspected, EventClosed:
	}
	attrs := make([]slog.Attr, 0, 7)
	if e.Conn != nil {
		attrs = append(attrs, slog.String("session", e.Conn.ID()))
	}
	if e.Label != "" {
		attrs = append(attrs, slog.String("listener", e.Label))
	}
	if e.Remote != nil {
		attrs = append(attrs, slog.String("remote", e.Remote.String()))
	}
	if e.Kind == EventResuming {
		attrs = append(attrs, slog.Int("attempt", e.Attempt))
	}
	if e.Kind == EventResumed {
		attrs = append(attrs, slog.Int64("replayed", e.Replayed), slog.Duration("gap", e.Gap))
	}
	if e.Fruitless > 0 {
		attrs = append(attrs, slog.Int("fruitless", e.Fruitless))
	}
	if e.Err != nil {
		attrs = append(attrs, slog.String("error", e.Err.Error()))
	}
	var panicked *TransportPanicError
	if errors.As(e.Err, &panicked) {
		attrs = append(attrs, slog.String("stack", string(panicked.Stack)))
	}
	if e.Refusals != nil {
		attrs = append(attrs, slog.Int64("handshakes", e.Refusals.Total()))
	}
	if e.Dropped > 0 {
		attrs = append(attrs, slog.Int("dropped", e.Dropped))
	}
	n.logger.LogAttrs(context.Background(), level, message, attrs...)
}
