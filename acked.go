package relink

import (
	"context"
	"errors"
	"fmt"
)

// A dueness says whether an acknowledgement waits to be carried, and how
// urgently: any record takes a pending one along, an urgent one is worth a
// record of its own.
type dueness struct {
	pending, urgent bool
	late            bool  // pending for a whole tick: nothing has gone out since
	last            int64 // the offset last told
}

// maxAckEvery bounds how many bytes may arrive before their acknowledgement is
// urgent. Ticks make a pending one urgent before long, and a sender that
// waits for room asks.
const maxAckEvery = 256 << 10

// ackEvery is how many bytes may arrive before their acknowledgement is urgent:
// few enough that the peer does not run out of room.
func (c *Conn) ackEvery() int64 { return int64(min(maxAckEvery, c.set.ReplayLimit/4)) }

func (d *dueness) data(received, every int64) {
	d.pending = true
	d.urgent = d.urgent || received-d.last >= every
}

// tick lets what has been pending since the tick before become urgent. One tick
// is not enough: where messages go both ways, most are answered within it.
func (d *dueness) tick() {
	d.urgent = d.urgent || d.late
	d.late = d.pending
}

func (d *dueness) now() { d.pending, d.urgent = true, true }

func (d *dueness) told(received int64) { *d = dueness{last: received} }

// consumedMoreLocked asks for a new limit to be told once the application has
// taken enough for it to matter to the peer.
func (c *Conn) consumedMoreLocked() {
	limit := c.consumedLocked() + int64(c.set.ReplayLimit)
	if limit-c.toldLimit >= c.ackEvery() {
		c.ackDue.now()
		c.startFlusherLocked()
	} else if limit > c.toldLimit {
		c.ackDue.pending = true
		c.watchLocked()
	}
}

// Acked returns the offset up to which the peer's application is known to have
// taken this side's stream: the count of bytes from its beginning. On a suite
// without acknowledgements it is 0.
func (c *Conn) Acked() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peerConsumed
}

// WaitAcked waits until the peer's application has taken this side's stream up
// to the offset, as [Conn.Acked] reports it. It returns ctx.Err when ctx ends
// first, and the session's error when that does. On a suite without
// acknowledgements it returns errors.ErrUnsupported.
func (c *Conn) WaitAcked(ctx context.Context, offset int64) error {
	if !c.traits.Acks {
		return c.opError("wait", fmt.Errorf("%w: the suite has no acknowledgements", errors.ErrUnsupported))
	}
	stop := context.AfterFunc(ctx, func() {
		c.mu.Lock()
		c.ackers.wake()
		c.mu.Unlock()
	})
	defer stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	if offset < 0 || offset > c.out.End() {
		return c.opError("wait", fmt.Errorf("relink: offset %d was never written: %d bytes were", offset, c.out.End()))
	}
	asked := false
	for {
		switch {
		case c.peerConsumed >= offset:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case c.closed || c.writeErr != nil:
			return c.opError("wait", c.writeEndLocked())
		}
		if !asked {
			asked = true
			c.askForAckLocked()
		}
		c.hearAcksLocked()
		c.waitLocked(&c.ackers, noDeadline)
	}
}
