// Package rtt estimates how long a path takes for a round trip, from samples, in the way
// of RFC 6298, and for how long an answer may be awaited before its absence says
// something.
//
// It has no clock: whoever measures gives it durations. An [Estimator] is a value of two
// words, so that each session can have one.
package rtt

import "time"

// granularity is the least that is allowed for a variation: timers and schedulers are not
// more exact.
const granularity = 10 * time.Millisecond

// longest bounds a sample. What takes longer was not a round trip of a path but a
// machine that slept.
const longest = time.Minute

// An Estimator smooths the samples of one path. The zero value knows nothing. Its owner
// calls one method at a time.
type Estimator struct {
	smoothed  time.Duration // zero if there was no sample
	variation time.Duration
}

// Add takes a sample. One of an answer that may belong to an earlier question
// must not be given (Karn's algorithm).
func (e *Estimator) Add(sample time.Duration) {
	sample = min(max(sample, 1), longest)
	if e.smoothed == 0 {
		e.smoothed, e.variation = sample, sample/2
		return
	}
	off := e.smoothed - sample
	if off < 0 {
		off = -off
	}
	e.variation += (off - e.variation) / 4
	e.smoothed = max(1, e.smoothed+(sample-e.smoothed)/8)
}

// Known reports whether there was a sample.
func (e *Estimator) Known() bool { return e.smoothed != 0 }

// Smoothed is the smoothed round trip, and zero if there was no sample.
func (e *Estimator) Smoothed() time.Duration { return e.smoothed }

// Variation is the smoothed difference of a sample from that.
func (e *Estimator) Variation() time.Duration { return e.variation }

// Bound is the time within which an answer is to be expected: the smoothed round trip and
// four variations, as RFC 6298 has it without its least of a second. It is zero if
// there was no sample.
func (e *Estimator) Bound() time.Duration {
	if e.smoothed == 0 {
		return 0
	}
	return e.smoothed + max(granularity, 4*e.variation)
}
