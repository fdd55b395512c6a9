// Package wan simulates a long path between two ends on this machine: bytes pass
// through a relay that lets them out at a rate, holds them for half a round
// trip, and queues no more than a bound.
//
// It is a model with simplifications that matter to whoever compares subjects
// on it. A TCP connection ends at the relay on either side, so the kernel's own
// congestion control sees loopback and not the path: a full queue holds the
// sender back, and nothing is ever lost. Datagrams are dropped when the queue is
// full, as on a real path, so a QUIC stream has to find the rate by itself.
package wan

import (
	"sync"
	"time"
)

// Params describe a path. Both directions are alike.
type Params struct {
	RoundTrip time.Duration // of which each direction takes half
	Rate      int           // bits a second, headers included
	Queue     int           // bytes that may wait for their turn on the line
}

// Default is the path of the benchmarks: 50 ms, 20 Mbit/s, and a queue of about
// one bandwidth-delay product.
var Default = Params{RoundTrip: 50 * time.Millisecond, Rate: 20_000_000, Queue: 128 << 10}

// Headers are what a packet carries beside its data: IPv4 and TCP with time
// stamps, or UDP. A packet has at most 1500 bytes.
const (
	tcpHeaders = 52
	udpHeaders = 28
	tcpData    = 1500 - tcpHeaders
)

// A line is one direction. It knows only times and sizes: whoever owns the bytes
// asks when they may leave.
type line struct {
	params Params

	mu   sync.Mutex // guards free
	free time.Time  // when everything that was admitted has left
}

// admit gives n bytes a place on the line and returns when they arrive. Where the
// queue has no room for them it returns how long until it has, and admits
// nothing.
func (l *line) admit(n int, now time.Time) (arrives time.Time, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.free.Before(now) {
		l.free = now
	}
	if wait = l.free.Sub(now) - l.params.duration(l.params.Queue); wait > 0 {
		return time.Time{}, wait
	}
	l.free = l.free.Add(l.params.duration(n))
	return l.free.Add(l.params.RoundTrip / 2), 0
}

// duration is how long n bytes occupy the line.
func (p Params) duration(n int) time.Duration {
	return time.Duration(int64(n) * 8 * int64(time.Second) / int64(p.Rate))
}

// A parcel is on its way.
type parcel struct {
	arrives time.Time
	data    []byte // nil is the end of the stream
}

// underWay bounds the parcels of one direction, beside their bytes.
const underWay = 8192

// until sleeps until t, or ends early when quit does.
func until(t time.Time, quit <-chan struct{}) bool {
	pause := time.Until(t)
	if pause <= 0 {
		return true
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-quit:
		return false
	}
}
