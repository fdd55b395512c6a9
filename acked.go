package relink

import (
	"context"
	"errors"
	"fmt"
)

// Acked returns the offset up to which the peer's application is known to have
// taken this side's stream: the count of bytes from its beginning. On a suite
// without acknowledgements it is 0.
func (c *Conn) Acked() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.s.send.Consumed()
}

// WaitAcked waits until the peer's application has taken this side's stream up
// to the offset, as [Conn.Acked] reports it. It returns ctx.Err when ctx ends
// first, and the session's error when that does. On a suite without
// acknowledgements it returns errors.ErrUnsupported.
func (c *Conn) WaitAcked(ctx context.Context, offset int64) error {
	if !c.s.send.Traits.Acks {
		return c.opError("wait", fmt.Errorf("%w: the suite has no acknowledgements", errors.ErrUnsupported))
	}
	stop := context.AfterFunc(ctx, func() {
		c.mu.Lock()
		c.s.ackers.wake()
		c.mu.Unlock()
	})
	defer stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	if offset < 0 || offset > c.s.send.End() {
		return c.opError("wait", fmt.Errorf("relink: offset %d was never written: %d bytes were", offset, c.s.send.End()))
	}
	asked := false
	for {
		switch {
		case c.s.send.Consumed() >= offset:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case c.s.closed || c.s.send.Err() != nil:
			return c.opError("wait", c.s.writeEnd())
		}
		if !asked {
			asked = true
			c.s.pingDue = true // it is answered at once, with an acknowledgement
		}
		c.s.hearAcks()
		c.waitLocked(&c.s.ackers, noDeadline)
	}
}
