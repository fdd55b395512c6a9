package socket

import (
	"net"
	"time"
)

// KeepAlive lets the kernel find a peer dead within the time-out. Without one
// it is what package net does by itself.
func KeepAlive(timeout time.Duration) net.KeepAliveConfig {
	if timeout < 0 {
		return net.KeepAliveConfig{}
	}
	return net.KeepAliveConfig{
		Enable:   true,
		Idle:     roundUp(timeout / 2),
		Interval: roundUp(timeout / 6),
		Count:    3,
	}
}

// roundUp returns d in whole seconds, which is what the kernel counts in.
func roundUp(d time.Duration) time.Duration {
	return max(time.Second, (d + time.Second - 1).Truncate(time.Second))
}

// An Info is what the kernel knows of a connection's outgoing data.
type Info struct {
	Unacked     uint32        // segments under way
	Unsent      uint32        // bytes that wait, for instance for the peer's window
	Retransmits uint8         // of the oldest segment, unanswered so far
	Probes      uint8         // of a closed window, unanswered so far
	SilentFor   time.Duration // since the last acknowledgement
	SentFor     time.Duration // since data was last sent, or sent again
	ReceivedFor time.Duration // since data was last received
	RoundTrip   time.Duration // smoothed
	Variation   time.Duration // of that
}

// Bound is the time within which an acknowledgement is to be expected, as the kernel
// measures it.
func (i Info) Bound() time.Duration { return i.RoundTrip + 4*i.Variation }

// minProbes is how many probes of a closed window must be unanswered: a living
// peer answers each, however long it does not read.
const minProbes = 2

// Retrying reports whether the kernel repeats itself without an answer. A peer whose
// kernel has no room drops what comes and says so each time: it is alive as long as
// the last word is its own, however often the segment was sent.
func (i Info) Retrying() bool {
	return i.Unacked > 0 && i.Retransmits > 0 && i.SilentFor > i.SentFor || i.Probes >= minProbes
}
