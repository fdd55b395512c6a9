package relink

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/relink-go/relink/internal/clock"
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
		c.waitLocked(&c.s.ackers, clock.None)
	}
}

// An UndeliveredError is what [Conn.Flush] and [Conn.CloseContext] return where
// something is not known to have arrived.
type UndeliveredError struct {
	// Bytes is how many at the end of what was written, at most. A wire without
	// acknowledgements tells only at a resume, so that some of them may have
	// arrived.
	Bytes int64
	// Err is why: the error of the ctx, that of the session, or net.ErrClosed.
	Err error
}

// Error implements the error interface.
func (e *UndeliveredError) Error() string {
	return fmt.Sprintf("relink: up to %d bytes are not known to have arrived: %v", e.Bytes, e.Err)
}

// Unwrap returns Err.
func (e *UndeliveredError) Unwrap() error { return e.Err }

// Timeout reports whether a time limit has passed, and not something else gone
// wrong.
func (e *UndeliveredError) Timeout() bool { return isTimeout(e.Err) }

// Flush waits until everything that was written before is delivered: on Noise
// when the peer's side of the session has it, whether or not its application has
// read it (see [Conn.WaitAcked] for that), and over a new transport if need be. On
// a wire without acknowledgements it waits until the transport has taken it,
// which is all that can be known there.
//
// Otherwise it returns an [UndeliveredError]: when ctx ends first, or the session.
// Writes meanwhile are not waited for.
func (c *Conn) Flush(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		c.mu.Lock()
		c.s.ackers.wake()
		c.mu.Unlock()
	})
	defer stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	until := c.s.send.End()
	var asked *link
	for {
		left := c.s.undelivered(until)
		switch {
		case left == 0:
			return nil
		case ctx.Err() != nil:
			return c.opError("flush", &UndeliveredError{left, ctxError(ctx)})
		case c.s.done || c.s.send.Fin.Stopped():
			return c.opError("flush", &UndeliveredError{left, c.s.writeEnd()})
		}
		if !c.s.send.Traits.Acks {
			c.waitLocked(&c.s.ackers, clock.None)
			continue
		}
		// Records arrive in order: the answer to a ping behind the last of them
		// acknowledges all.
		if l := c.s.link; l != nil && l != asked && c.s.send.HandedTo() >= until {
			asked = l
			c.s.pingDue = true // it is answered at once, with an acknowledgement
		}
		c.s.hearAcks()
		c.waitLocked(&c.s.ackers, clock.None)
	}
}

// undelivered returns how much of the stream up to the offset is not
// delivered, as far as the wire can tell.
func (s *session) undelivered(until int64) int64 {
	have := s.send.Acked()
	switch {
	case s.send.Traits.Acks:
	case s.link != nil:
		have = s.send.HandedTo()
	case s.done && (s.ended == nil || s.ended.err == nil):
		have = s.send.Highest() // it ended as it was meant to, as far as its wire can tell
	}
	return max(0, until-have)
}

// hearAcks sees to it that somebody reads acknowledgements.
func (s *session) hearAcks() {
	if s.link != nil && !s.readers.waited() {
		s.backgroundRead = true
	}
}

// CloseContext is [Conn.Close], and waits until the session has ended: a program
// that is about to exit calls it, so that nothing is lost of what it wrote. If the
// Conn was closed before, it only waits.
//
// It returns nil when everything is delivered: on Noise when the peer's side of the
// session has it, and the end. On a wire without acknowledgements it is when the
// peer has shown that it has read to the end, or after CloseTimeout when the last
// transport had taken all and showed no sign of losing it, which is all that can be
// known there.
//
// Otherwise it returns an [UndeliveredError], at the latest when ctx ends or after
// CloseTimeout, within which a session has to deliver what is left; or the error
// with which the session has ended, if nothing was left. When ctx ends, the session
// goes on lingering for CloseTimeout; [Conn.Abort] ends it.
func (c *Conn) CloseContext(ctx context.Context) error {
	_ = c.Close() // which may have been called before
	var err error
	select {
	case <-c.Done():
	case <-ctx.Done():
		err = ctxError(ctx)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.s.done {
		err = c.s.ended.err
	}
	left := c.s.undelivered(c.s.send.End())
	switch {
	case left == 0 && err == errAborted: //nolint:errorlint // it is never wrapped
		return nil
	case left == 0 && err != nil:
		return c.opError("close", err)
	case left == 0:
		return nil
	case err == nil:
		err = ErrPeerClosed // before it had read everything
	case err == errAborted: //nolint:errorlint // it is never wrapped
		err = net.ErrClosed
	}
	return c.opError("close", &UndeliveredError{left, err})
}
