package relink

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/relink-go/relink/internal/suite"
)

// An Attempt is a client that asks [ListenConfig.Authorize] to be let in, with a
// new session or back into one.
type Attempt struct {
	Identity

	// Remote is where the attempt comes from.
	Remote net.Addr

	// Resumes is the session that the client comes back to, and nil for a new one.
	// Whoever attempts it has proven to have the session's secret.
	Resumes *Conn
}

// errTooManyAsked means that more attempts wait for Authorize than there may be.
var errTooManyAsked = errors.New("relink: too many attempts wait for ListenConfig.Authorize")

// ask asks the application about the client of the handshake.
func (h *handshake) ask(p suite.Peer, resumes *Conn) error {
	h.asked = true
	l := h.l
	l.mu.Lock()
	h.revocations = l.revocations
	l.mu.Unlock()
	if l.set.Authorize == nil {
		return nil
	}
	select {
	case l.asking <- struct{}{}:
	default:
		return errTooManyAsked
	}
	a := Attempt{Identity: newIdentity(p), Remote: h.stream.conn.RemoteAddr(), Resumes: resumes}
	ctx, cancel := context.WithDeadline(context.Background(), h.deadline)
	defer cancel()
	verdict := make(chan error, 1)
	go func() {
		err := fmt.Errorf("%w: ListenConfig.Authorize called runtime.Goexit", errInternal) // stays if it does
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("%w: ListenConfig.Authorize panicked: %v", errInternal, p)
			}
			<-l.asking
			verdict <- err
		}()
		if err = l.set.Authorize(ctx, a); err != nil && ctx.Err() == nil && !errors.Is(err, ErrBusy) {
			err = fmt.Errorf("%w: %w", ErrDenied, err)
		}
	}()
	select {
	case err := <-verdict:
		return err
	case <-ctx.Done():
		return fmt.Errorf("%w: ListenConfig.Authorize took too long", ErrHandshakeTimeout)
	case <-l.quit:
		return errDraining
	}
}

// Authorize implements [suite.Host].
func (h *handshake) Authorize(p suite.Peer) error { return h.ask(p, nil) }

// Authorize implements [suite.Target].
func (t target) Authorize(p suite.Peer) error {
	t.h.advance(proven)
	err := t.h.ask(p, t.c)
	if errors.Is(err, ErrDenied) {
		t.h.l.deny(t.c, err)
	}
	return err
}

// Authorize implements [suite.Target]. Nobody is asked about a session that has
// ended.
func (*tombstone) Authorize(suite.Peer) error { return nil }

// deny ends a session because its client is not admitted any more.
func (*Listener) deny(c *Conn, reason error) {
	c.mu.Lock()
	defer c.unlock()
	if !c.s.done {
		c.resetLocked(suite.ResetDenied)
		c.failLocked(reason)
	}
}
