package noise

import (
	"errors"
	"io"

	"github.com/cloudflare/circl/dh/x25519"
	"github.com/flynn/noise"
)

// dh is X25519. A handshake is little else, and package circl's takes
// three quarters of the time of package crypto/ecdh's: see docs/performance.md.
type dh struct{}

var _ noise.DHFunc = dh{}

var errLowOrder = errors.New("the peer's public key is a point of low order")

// GenerateKeypair makes an ephemeral key.
func (dh) GenerateKeypair(random io.Reader) (noise.DHKey, error) {
	var k PrivateKey
	if _, err := io.ReadFull(random, k[:]); err != nil {
		return noise.DHKey{}, err
	}
	p := k.public()
	return noise.DHKey{Private: k[:], Public: p[:]}, nil
}

// DH fails where the result is zero, as RFC 7748, section 6.1, advises.
func (dh) DH(private, public []byte) ([]byte, error) {
	var shared x25519.Key
	if !x25519.Shared(&shared, (*x25519.Key)(private), (*x25519.Key)(public)) {
		return nil, errLowOrder
	}
	return shared[:], nil
}

// DHLen returns the length of a key.
func (dh) DHLen() int { return KeySize }

// DHName returns Noise's name of the curve.
func (dh) DHName() string { return "25519" }

// public derives the public key of any private one.
func (k *PrivateKey) public() (p PublicKey) {
	x25519.KeyGen((*x25519.Key)(&p), (*x25519.Key)(k))
	return p
}
