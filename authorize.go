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

// An Identity says how a session was opened: with which suite, who has proven to
// be there, and what the client has asked for. Both sides of a session have the
// same one. It does not change.
type Identity struct {
	// Suite is what the suite's String method returns.
	Suite string

	// ClientKey is the key that the client has proven to have, or zero if it has
	// none: see [NoiseClient.Key]. In an [Attempt] for a new session the client
	// has claimed it and not yet proven it.
	ClientKey PublicKey

	// ServerKey is the key that the server has proven to have, of several perhaps,
	// or zero on a suite without.
	ServerKey PublicKey

	// PresharedKey is the key that the client was invited with, or zero.
	PresharedKey PresharedKey

	// Target is what the client would like to reach behind the server, which is
	// its word alone: see [NoiseClient.Target] and [SCPClient.TargetServer].
	Target string

	// PostQuantum says that a recording of the session cannot be decrypted by breaking
	// X25519 alone: see [NoiseClient.Classical]. Both sides are authenticated by X25519 in any case.
	PostQuantum bool
}

// Identity says how the session was opened.
func (c *Conn) Identity() Identity { return newIdentity(c.s.send.Session.Peer()) }

// PeerKey returns the key of the peer, and whether it has one: on a server that of
// the client, on a client the one of the server's keys that the session uses.
func (c *Conn) PeerKey() (k PublicKey, ok bool) {
	id := c.Identity()
	if k = id.ServerKey; c.server != nil {
		k = id.ClientKey
	}
	return k, k != PublicKey{}
}

// ChannelBinding returns a value that both sides of this session have and no
// other session has, for as long as it lives, and whether the suite has such a
// value. A login inside the stream signs it, or mixes it in, so that nobody in
// the middle can pass the login on to a session of its own (RFC 9266 does the
// same for TLS). It is not secret enough to be a key.
func (c *Conn) ChannelBinding() (value [32]byte, ok bool) {
	value = c.s.send.Session.Peer().ChannelBinding
	return value, value != [32]byte{}
}

func newIdentity(p suite.Peer) Identity {
	return Identity{
		Suite: p.Suite, ClientKey: p.ClientKey, ServerKey: p.ServerKey, PresharedKey: newPresharedKey(p.PresharedKey),
		Target: p.Target, PostQuantum: p.Hybrid,
	}
}
