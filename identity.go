package relink

import "github.com/relink-go/relink/internal/suite"

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
