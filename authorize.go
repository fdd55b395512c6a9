package relink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/relink-go/relink/internal/admission"
	"github.com/relink-go/relink/internal/noise"
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
	t.h.advance(admission.Proven)
	err := t.h.ask(p, t.c)
	if errors.Is(err, ErrDenied) {
		t.h.l.deny(t.c, err)
	}
	return err
}

// deny ends a session because its client is not admitted any more.
func (*Listener) deny(c *Conn, reason error) {
	c.mu.Lock()
	defer c.unlock()
	if !c.s.done {
		e := failure(reason)
		e.reset = suite.ResetDenied
		c.finishLocked(e)
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

var (
	errRevoked = errors.New("its key was revoked")
	errTooOld  = errors.New("the session has reached ListenConfig.MaxAge")

	// errRevokedMeanwhile is for a client that may or may not be one of those.
	errRevokedMeanwhile = errors.New("relink: a key was revoked between the authorisation of a client and its session")
)

// Revoke ends all sessions that were opened with the key, now: those of the
// client whose key it is, or, if it is one of the server's own, those in which it
// was the server's key. It returns how many. On both sides they end with
// [ErrDenied]. Sessions that begin later are for [ListenConfig.Authorize] to
// refuse, which must do so from before the call on; a server key is taken out of
// service with [Listener.SetKeys].
func (l *Listener) Revoke(key PublicKey) int {
	if key == (PublicKey{}) {
		return 0
	}
	return l.revoke(func(id Identity) bool { return id.ClientKey == key || id.ServerKey == key })
}

// RevokePresharedKey is [Listener.Revoke] for the sessions that were opened with a
// pre-shared key. [Listener.SetPresharedKeys] without the key keeps new ones out.
func (l *Listener) RevokePresharedKey(key PresharedKey) int {
	if key.IsZero() {
		return 0
	}
	return l.revoke(func(id Identity) bool { return id.PresharedKey.Equal(key) })
}

// revoke ends the sessions whose identity is hit.
func (l *Listener) revoke(hit func(Identity) bool) int {
	l.mu.Lock()
	l.revocations++ // who was asked about before this, and is not in the table yet, has to come again
	all := l.roster.Found()
	l.mu.Unlock()
	n := 0
	for c := range all {
		if hit(c.Identity()) {
			l.deny(c, fmt.Errorf("%w: %w", ErrDenied, errRevoked))
			n++
		}
	}
	return n
}

// SetKeys gives a running server other private keys, up to four, for the sessions
// that begin from now on. Those that there are go on with the key that they began
// with, which stays in memory for as long as they live; [Listener.Revoke] ends them. To
// exchange a key without anybody noticing: let clients pin the new one beside the
// old one, then set both, and leave the old one out when no client needs it.
//
// It is an error on a listener without [NoiseServer], and a wrong key changes
// nothing.
func (l *Listener) SetKeys(keys ...PrivateKey) error {
	p, err := l.set.noise()
	if err != nil {
		return err
	}
	return p.SetServerKeys(rawKeys(keys))
}

// SetPresharedKeys gives a running server other pre-shared keys, up to 16, for the
// sessions that begin from now on. [Listener.RevokePresharedKey] ends those of a
// key that was withdrawn. A server that asks for pre-shared keys cannot be told to
// ask for none, so that no mistake opens it to everybody.
//
// It is an error on a listener without [NoiseServer] or [InsecureNoiseServer], and
// a wrong key changes nothing.
func (l *Listener) SetPresharedKeys(keys ...PresharedKey) error {
	p, err := l.set.noise()
	if err != nil {
		return err
	}
	return p.SetPresharedKeys(rawPresharedKeys(keys))
}

// noise returns a listener's protocol of that suite.
func (s *settings) noise() (*noise.Protocol, error) {
	for _, p := range s.protocols {
		if p, ok := p.(*noise.Protocol); ok {
			return p, nil
		}
	}
	return nil, errors.New("relink: the listener does not serve the suite Noise, and has no keys")
}

// ages bound the lives of sessions. They belong to the listener's lock.
type ages map[*Conn]*time.Timer

// begin has tooOld called when the session is as old as it may become.
func (a *ages) begin(c *Conn, most time.Duration, tooOld func()) {
	if *a == nil {
		*a = make(ages)
	}
	(*a)[c] = time.AfterFunc(most, tooOld)
}

// end forgets a session.
func (a ages) end(c *Conn) {
	if t := a[c]; t != nil {
		t.Stop()
		delete(a, c)
	}
}
