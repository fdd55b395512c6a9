package relink

import "time"

// A moment is a point in time that a session remembers, in a third of the room
// of a time.Time: the nanoseconds since started, on the monotonic clock. Zero
// is no moment.
type moment int64

// started is what moments count from.
var started = time.Now()

func now() moment { return moment(time.Since(started)) }

// since is the time that has passed since m.
func (m moment) since() time.Duration { return time.Duration(now() - m) }

// until is the time left until m, or less than nothing.
func (m moment) until() time.Duration { return time.Duration(m - now()) }

func (m moment) add(d time.Duration) moment { return m + moment(d) }
