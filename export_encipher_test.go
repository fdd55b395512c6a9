package relink

import "github.com/relink-go/relink/internal/suite"

// LeftOf returns how many bytes of the session's buffer are still to be
// enciphered.
func LeftOf(c *Conn) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.End() - c.ciphered
}

// CheckOf judges a peer that says it has received so much.
func CheckOf(c *Conn, received int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.checkLocked(suite.Offsets{Sent: suite.Unknown, Received: received})
}
