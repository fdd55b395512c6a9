package relink

import (
	"math"
	"time"
)

// A monoTime is a point in time that a session remembers, in a third of the room
// of a time.Time: the nanoseconds since started, on the monotonic clock. Zero
// is none.
type monoTime int64

// started is what a monoTime counts from.
var started = time.Now()

func now() monoTime { return monoTime(time.Since(started)) }

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
