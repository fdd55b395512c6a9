package relink

import "time"

// NextLook says whether a silence has lasted for a time-out, and when to look
// again.
func NextLook(silence, timeout time.Duration) (pause time.Duration, due bool) {
	return nextLook(silence, timeout)
}

// TickEvery is the time between ticks.
const TickEvery = tickEvery
