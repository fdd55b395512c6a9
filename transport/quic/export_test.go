package quic

import (
	"io"
	"time"
)

// Cut ends the connection below the stream as an accident would.
func (c *Conn) Cut() { _ = c.shared.conn.CloseWithError(99, "cut") }

// Streams returns how many streams the connection counts.
func (c *Conn) Streams() int {
	c.shared.mu.Lock()
	defer c.shared.mu.Unlock()
	return c.shared.streams
}

// SameConnection reports whether two streams share one.
func SameConnection(a, b *Conn) bool { return a.shared == b.shared }

// Used0RTT reports whether the connection has used 0-RTT.
func (c *Conn) Used0RTT() bool { return c.shared.conn.ConnectionState().Used0RTT }

// Connections returns how many connections the listener has.
func (l *Listener) Connections() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.connections)
}

// Handshaking returns how many connections are in their handshake.
func (l *Listener) Handshaking() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.handshaking
}

// OpenRaw opens a stream beside c without a greeting.
func (c *Conn) OpenRaw(first []byte) (io.Reader, error) {
	s, err := c.shared.conn.OpenStream()
	if err == nil {
		_, err = s.Write(first)
	}
	return s, err
}

// Patient returns a Dialer that gives a kept connection all the time it wants,
// because the machine may be slow.
func Patient() *Dialer { return &Dialer{least: time.Hour} }

// Vanish ends the listener and all connections without a word.
func (l *Listener) Vanish() error {
	err := l.socket.Close()
	_ = l.transport.Close()
	return err
}

// Waiting returns how many streams wait for Accept.
func (l *Listener) Waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waiting
}
