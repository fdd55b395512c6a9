package simulation

import (
	"fmt"
	"time"
)

// A Failure is what was found wrong.
type Failure struct {
	// Class is the rule that was broken, and the same for all schedules that
	// break it: the shrinker goes by it.
	Class  string
	Detail string
	At     time.Duration // since the beginning
}

// String says all of it.
func (f *Failure) String() string {
	return fmt.Sprintf("%s, at %v: %s", f.Class, f.At, f.Detail)
}

// A Result is what came of one schedule.
type Result struct {
	Failure *Failure // nil if all was well
	Counts  Counts
	Trace   []string // what happened, if it was asked for
}

// Counts say what has happened, so that one can see what a run has tried.
type Counts struct {
	Schedules int64
	Sessions  int64            // that were opened
	Resumes   int64            // as the clients count them
	Bytes     int64            // that applications have read
	Replayed  int64            // bytes sent again
	Paths     int64            // transports dialled
	Virtual   time.Duration    // time that has passed in the bubbles
	Steps     map[string]int64 // steps that had something to act on, by verb
	Cuts      map[string]int64 // cuts of every kind
	Events    map[string]int64 // by side and kind
	Errors    map[string]int64 // how Reads, Writes and Dials ended, by side and error
	Suites    map[string]int64 // schedules by suite
}

func newCounts() Counts {
	return Counts{
		Steps: map[string]int64{}, Cuts: map[string]int64{}, Events: map[string]int64{},
		Errors: map[string]int64{}, Suites: map[string]int64{},
	}
}

// add adds d to c.
func (c *Counts) add(d Counts) {
	if c.Steps == nil {
		*c = newCounts()
	}
	c.Schedules += d.Schedules
	c.Sessions += d.Sessions
	c.Resumes += d.Resumes
	c.Bytes += d.Bytes
	c.Replayed += d.Replayed
	c.Paths += d.Paths
	c.Virtual += d.Virtual
	for _, m := range []struct{ to, from map[string]int64 }{
		{c.Steps, d.Steps}, {c.Cuts, d.Cuts}, {c.Events, d.Events}, {c.Errors, d.Errors}, {c.Suites, d.Suites},
	} {
		for k, n := range m.from {
			m.to[k] += n
		}
	}
}
