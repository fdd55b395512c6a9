package noise

import (
	"errors"

	"github.com/cloudflare/circl/dh/x25519"
)

// A handshake is little else than X25519, and package circl's takes three
// quarters of the time of package crypto/ecdh's: see docs/performance.md.

var errLowOrder = errors.New("the peer's public key is a point of low order")

// agree is X25519. It fails where the result is zero, as RFC 7748, section 6.1,
// advises.
func agree(private *PrivateKey, public *PublicKey) (shared secret, err error) {
	if !x25519.Shared((*x25519.Key)(&shared), (*x25519.Key)(private), (*x25519.Key)(public)) {
		return secret{}, errLowOrder
	}
	return shared, nil
}

// public derives the public key of any private one.
func (k *PrivateKey) public() (p PublicKey) {
	x25519.KeyGen((*x25519.Key)(&p), (*x25519.Key)(k))
	return p
}
