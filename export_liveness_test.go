package relink

import "time"

// NextLook says whether a silence has lasted for a time-out, and when to look
// again.
func NextLook(silence, timeout time.Duration) (pause time.Duration, due bool) {
	return nextLook(silence, timeout)
}

// TickEvery is the time between ticks.
const TickEvery = tickEvery

// Started is what the clock of sessions counts from.
func Started() time.Time { return started }

// IsNoDeadline reports whether the time counts as the absence of a deadline.
func IsNoDeadline(t time.Time) bool { return deadlineAt(t) == noDeadline }

// Retrying says whether a kernel that has so much under way repeats itself without an
// answer.
func Retrying(unacked uint32, retransmits, probes uint8, silentFor, sentFor time.Duration) bool {
	return tcpInfo{unacked: unacked, retransmits: retransmits, probes: probes, silentFor: silentFor, sentFor: sentFor}.retrying()
}

// RoundTrip returns the smoothed round trip and its variation, as the link knows them.
func RoundTrip(c *Conn) (smoothed, variation time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.link.trips.Smoothed(), c.link.trips.Variation()
}
