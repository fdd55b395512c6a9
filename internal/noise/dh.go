package noise

import (
	"crypto/ecdh"
	"crypto/rand"
	"crypto/subtle"
	"io"

	"github.com/flynn/noise"
)

// A dh is X25519 for one side of one handshake. It remembers the keys that it
// has seen: making a private key of package ecdh out of bytes costs as much as
// the agreement itself.
type dh struct {
	static, ephemeral *ecdh.PrivateKey
}

var _ noise.DHFunc = (*dh)(nil)

// GenerateKeypair makes the ephemeral key.
func (d *dh) GenerateKeypair(random io.Reader) (noise.DHKey, error) {
	if random == nil {
		random = rand.Reader
	}
	b := make([]byte, KeySize)
	if _, err := io.ReadFull(random, b); err != nil {
		return noise.DHKey{}, err
	}
	k, err := ecdh.X25519().NewPrivateKey(b)
	if err != nil {
		return noise.DHKey{}, err
	}
	d.ephemeral = k
	return noise.DHKey{Private: b, Public: k.PublicKey().Bytes()}, nil
}

// DH fails where the result is zero.
func (d *dh) DH(private, public []byte) ([]byte, error) {
	peer, err := ecdh.X25519().NewPublicKey(public)
	if err != nil {
		return nil, err
	}
	for _, k := range []*ecdh.PrivateKey{d.ephemeral, d.static} {
		if k != nil && subtle.ConstantTimeCompare(k.Bytes(), private) == 1 {
			return k.ECDH(peer)
		}
	}
	panic("relink: internal error: a handshake with a key of another")
}

// DHLen returns the length of a key.
func (*dh) DHLen() int { return KeySize }

// DHName returns Noise's name of the curve.
func (*dh) DHName() string { return "25519" }
