package relink

import (
	"errors"
	"fmt"
	"time"

	"github.com/relink-go/relink/internal/noise"
)

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
	all := make(map[*Conn]bool, len(l.table))
	for _, c := range l.table {
		all[c] = true
	}
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
	p, err := l.noise()
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
	p, err := l.noise()
	if err != nil {
		return err
	}
	return p.SetPresharedKeys(rawPresharedKeys(keys))
}

// noise returns the listener's protocol of that suite.
func (l *Listener) noise() (*noise.Protocol, error) {
	for _, p := range l.set.protocols {
		if p, ok := p.(*noise.Protocol); ok {
			return p, nil
		}
	}
	return nil, errors.New("relink: the listener does not serve the suite Noise, and has no keys")
}

// ageLocked bounds the life of a session that was admitted.
func (l *Listener) ageLocked(c *Conn) {
	if l.set.MaxAge == 0 {
		return
	}
	if l.ages == nil {
		l.ages = make(map[*Conn]*time.Timer)
	}
	l.ages[c] = time.AfterFunc(l.set.MaxAge, func() { l.deny(c, fmt.Errorf("%w: %w", ErrDenied, errTooOld)) })
}

// agelessLocked is its inverse.
func (l *Listener) agelessLocked(c *Conn) {
	if t := l.ages[c]; t != nil {
		t.Stop()
		delete(l.ages, c)
	}
}
