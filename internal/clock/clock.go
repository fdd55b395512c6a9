// Package clock has points in time as sessions remember them: on the monotonic clock, and in a
// third or a sixth of the room of a time.Time.
package clock

import (
	"math"
	"time"
)

// A Time is a point in time: the nanoseconds since Started, on the monotonic clock. None
// is none.
type Time int64

// started is what a Time counts from.
var started = time.Now()

// Started is what a Time counts from.
func Started() time.Time { return started }

const (
	// None is the absence of a time, or of a deadline.
	None Time = 0

	// LongAgo is a deadline that has passed: it interrupts what is under way.
	LongAgo Time = -1 << 62
)

// Now is the present.
func Now() Time { return Time(time.Since(started)) }

// In is the time after d, which may be the greatest there is.
func In(d time.Duration) Time { return Now().Add(min(d, 1<<61)) }

// Deadline returns that of a time as net.Conn takes it: None for the zero time, and for no
// other.
func Deadline(t time.Time) Time {
	if t.IsZero() {
		return None
	}
	start, left := Now(), Time(time.Until(t))
	if start > 0 && left > math.MaxInt64-start {
		return math.MaxInt64
	}
	if m := max(start+left, LongAgo+1); m != None {
		return m
	}
	return 1
}

// Since is the time that has passed since t.
func (t Time) Since() time.Duration { return time.Duration(Now() - t) }

// Until is the time left until t, or less than nothing.
func (t Time) Until() time.Duration { return time.Duration(t - Now()) }

// Add returns the time after d.
func (t Time) Add(d time.Duration) Time { return t + Time(d) }

// Expired reports whether a deadline has passed.
func (t Time) Expired() bool { return t != None && t.Until() <= 0 }

// Std returns a deadline as package net wants it.
func (t Time) Std() time.Time {
	switch t {
	case None:
		return time.Time{}
	case LongAgo:
		return time.Unix(1, 0)
	default:
		return time.Now().Add(t.Until())
	}
}

// A Coarse is a Time in four bytes instead of eight: in units of about a fifteenth of a second, which go
// around in nine years.
type Coarse uint32

const coarseShift = 26

// CoarseNow returns the present.
func CoarseNow() Coarse { return Coarse(Now() >> coarseShift) }

// Since is the time that has passed since m.
func (m Coarse) Since() time.Duration { return time.Duration(CoarseNow()-m) << coarseShift }
