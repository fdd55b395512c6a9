package relink

import (
	"math"
	"sync"
	"time"
)

// A waitQueue is a condition that goroutines wait for until a deadline which
// they share. Its methods need the lock of the condition held. A nil waitQueue
// is one at which nobody has waited yet: most sessions never need theirs.
type waitQueue struct {
	cond  sync.Cond
	n     int // goroutines that wait
	timer *time.Timer
	seen  progress // when those who wait for delivery were last woken
}

// waitLocked settles the session and waits at one of its queues, which the first makes.
// It returns after a wake, or once the deadline has passed; the caller looks for
// itself.
func (c *Conn) waitLocked(q **waitQueue, deadline monoTime) {
	if *q == nil {
		*q = new(waitQueue)
		(*q).cond.L = &c.mu
	}
	(*q).n++ // what the session does by itself depends on who waits
	if c.settleLocked(); !c.s.done {
		c.s.fastRead, c.s.fastWrite = false, false // until whoever holds a role has seen to it that this one is woken
		(*q).wait(deadline)
	}
	if (*q).n--; (*q).n == 0 && (*q).timer != nil {
		(*q).timer.Stop()
	}
}

func (q *waitQueue) wait(deadline monoTime) {
	if deadline != noDeadline {
		d := deadline.until()
		if q.timer == nil {
			q.timer = time.AfterFunc(d, q.expire)
		} else {
			q.timer.Reset(d)
		}
	}
	q.cond.Wait()
}

func (q *waitQueue) expire() {
	q.cond.L.Lock()
	q.cond.Broadcast()
	q.cond.L.Unlock()
}

// waited reports whether anybody waits.
func (q *waitQueue) waited() bool { return q != nil && q.n > 0 }

// wake lets all that wait look again.
func (q *waitQueue) wake() {
	if q.waited() {
		q.cond.Broadcast()
	}
}

// A monoTime is a point in time that a session remembers, in a third of the room
// of a time.Time: the nanoseconds since started, on the monotonic clock. Zero
// is none.
type monoTime int64

// started is what a monoTime counts from.
var started = time.Now()

func now() monoTime { return monoTime(time.Since(started)) }

// A moment is a monoTime in half of its room: in units of about a fifteenth of a second,
// which go around in nine years.
type moment uint32

const momentShift = 26

func thisMoment() moment { return moment(now() >> momentShift) }

// since is the time that has passed since m.
func (m moment) since() time.Duration {
	return time.Duration(thisMoment()-m) << momentShift
}

// deadlineAt returns a deadline, and noDeadline for the zero time.
func deadlineAt(t time.Time) monoTime {
	if t.IsZero() {
		return noDeadline
	}
	start, left := now(), monoTime(time.Until(t))
	if start > 0 && left > math.MaxInt64-start {
		return math.MaxInt64
	}
	if m := max(start+left, longAgo+1); m != noDeadline {
		return m
	}
	return 1
}

const (
	// noDeadline is the absence of a deadline.
	noDeadline monoTime = 0

	// longAgo is a deadline that has passed: it interrupts what is under way.
	longAgo monoTime = -1 << 62
)

// since is the time that has passed since m.
func (m monoTime) since() time.Duration { return time.Duration(now() - m) }

// until is the time left until m, or less than nothing.
func (m monoTime) until() time.Duration { return time.Duration(m - now()) }

func (m monoTime) add(d time.Duration) monoTime { return m + monoTime(d) }

// expired reports whether a deadline has passed.
func (m monoTime) expired() bool { return m != noDeadline && m.until() <= 0 }

// time returns a deadline as package net wants it.
func (m monoTime) time() time.Time {
	switch m {
	case noDeadline:
		return time.Time{}
	case longAgo:
		return time.Unix(1, 0)
	default:
		return time.Now().Add(m.until())
	}
}
