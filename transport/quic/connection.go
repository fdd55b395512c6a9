package quic

import (
	"sync"
	"time"

	"github.com/quic-go/quic-go"
)

// A connection counts its streams, and ends some time after the last of them.
type connection struct {
	conn     *quic.Conn // constant after creation, like the next
	rejected func()     // client: told that the server does not take 0-RTT

	mu      sync.Mutex // guards the rest
	streams int
	keep    time.Duration // how long it stays without streams
	retired bool          // it takes no more streams
	timer   *time.Timer   // runs while there are no streams
}

// newConnection returns a connection that ends after a first time, unless it gets
// a stream.
func newConnection(conn *quic.Conn, first, keep time.Duration) *connection {
	s := &connection{conn: conn, keep: keep}
	s.timer = time.AfterFunc(first, s.expire)
	return s
}

// alive reports whether the connection is not known to have ended.
func (s *connection) alive() bool { return s.conn.Context().Err() == nil }

// acquire counts a stream that is about to be there, and returns false if the
// connection takes no more.
func (s *connection) acquire() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.retired || !s.alive() {
		return false
	}
	s.timer.Stop()
	s.streams++
	return true
}

// release is called once for each stream.
func (s *connection) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams--; s.streams > 0 {
		return
	}
	stay := s.keep
	if s.retired {
		stay = min(stay, lingerTime)
	}
	s.timer.Reset(stay)
}

// reject is called when the server has not taken what was sent by 0-RTT.
func (s *connection) reject() {
	s.rejected()
	s.retire()
}

// expire ends a connection that has no streams.
func (s *connection) expire() {
	s.mu.Lock()
	if s.streams > 0 {
		s.mu.Unlock()
		return // it has got one in the last moment
	}
	s.retired = true
	s.mu.Unlock()
	_ = s.conn.CloseWithError(codeNone, "")
}

// retire lets a connection take no more streams. It ends with the last one.
func (s *connection) retire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.retired {
		return
	}
	s.retired = true
	if s.streams == 0 {
		s.timer.Reset(0)
	}
}
