package kcp

import (
	"sync"
	"time"
)

// A track is what the datagrams of a connection say of it.
type track struct {
	mu     sync.Mutex // guards everything below
	conv   uint32
	heard  time.Time // something came from the peer, or the beginning
	asked  time.Time // the first time since that it owes an answer, or zero
	next   uint32    // number of the next segment that has not been sent
	bytes  int64     // in the segments before
	una    uint32    // what was last said to the peer, like the next
	window uint16
	acked  uint32 // the peer has every segment before this
	arrive func() // called without the lock when acked grows, or nil
}

func newTrack(conv uint32) *track { return &track{conv: conv, heard: time.Now()} }

// sent looks at an outgoing datagram.
func (t *track) sent(b []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	segments(b, func(s segment) {
		t.una, t.window = s.una, s.window
		switch s.cmd {
		case cmdPush:
			if s.sn == t.next {
				t.next++
				t.bytes += int64(s.length)
			}
			t.oweLocked()
		case cmdAsk:
			t.oweLocked()
		}
	})
}

func (t *track) oweLocked() {
	if t.asked.IsZero() {
		t.asked = time.Now()
	}
}

// received looks at a datagram of the peer.
func (t *track) received(b []byte) {
	t.mu.Lock()
	before, known := t.acked, isParity(b)
	segments(b, func(s segment) {
		if s.conv != t.conv {
			return
		}
		known = true
		if int32(s.una-t.acked) > 0 { // numbers wrap around
			t.acked = s.una
		}
	})
	if known {
		t.heard, t.asked = time.Now(), time.Time{}
	}
	arrive := t.arrive
	grown := t.acked != before
	t.mu.Unlock()
	if grown && arrive != nil {
		arrive()
	}
}

// delivered reports whether the peer has all of so many bytes.
func (t *track) delivered(written int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.bytes >= written && int32(t.acked-t.next) >= 0
}

// silence returns for how long the peer has owed an answer, and for how long
// nothing was heard.
func (t *track) silence() (owed, silent time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if !t.asked.IsZero() {
		owed = now.Sub(t.asked)
	}
	return owed, now.Sub(t.heard)
}

// question returns a datagram that the peer answers. It says once more what was
// said last, so that the peer learns nothing wrong.
func (t *track) question(window int) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.oweLocked()
	if t.window == 0 && t.una == 0 {
		t.window = uint16(window) // nothing was said yet
	}
	return ask(t.conv, t.una, t.window)
}

// notify sets what is called when the peer says that something has arrived.
func (t *track) notify(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.arrive = f
}
