package noise

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
)

// KeySize is the length of a key, in bytes.
const KeySize = 32

// A PrivateKey is an X25519 private key. Use [GenerateKey] or
// [ParsePrivateKey]. Whoever has it is the server.
type PrivateKey [KeySize]byte

// A PublicKey is the X25519 public key that belongs to a [PrivateKey].
type PublicKey [KeySize]byte

// GenerateKey returns a new random private key.
func GenerateKey() PrivateKey {
	var k PrivateKey
	rand.Read(k[:]) // it never fails
	// Clamped, as WireGuard stores its keys, so that tools agree about it.
	k[0] &= 248
	k[31] = k[31]&127 | 64
	return k
}

// ParsePrivateKey reads what [PrivateKey.Encode] has written.
func ParsePrivateKey(s string) (PrivateKey, error) {
	b, err := parseKey(s)
	return PrivateKey(b), err
}

// ParsePublicKey reads what [PublicKey.String] has written.
func ParsePublicKey(s string) (PublicKey, error) {
	b, err := parseKey(s)
	return PublicKey(b), err
}

// parseKey never quotes what it was given: it may be a secret.
func parseKey(s string) (k [KeySize]byte, err error) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	switch {
	case err != nil:
		return k, errors.New("relink: a key must be 44 characters of base64")
	case len(b) != KeySize:
		return k, fmt.Errorf("relink: a key has %d bytes, and this one %d", KeySize, len(b))
	}
	copy(k[:], b)
	if k == ([KeySize]byte{}) {
		return k, errors.New("relink: the key is zero")
	}
	return k, nil
}

// PublicKey returns the public key that belongs to the private key. It fails
// only for the zero value.
func (k PrivateKey) PublicKey() (PublicKey, error) {
	if k == (PrivateKey{}) {
		return PublicKey{}, errors.New("relink: the private key is zero: use GenerateKey or ParsePrivateKey")
	}
	return k.public(), nil
}

// Encode returns the key in base64, as WireGuard shows keys. It is the secret
// itself.
func (k PrivateKey) Encode() string { return base64.StdEncoding.EncodeToString(k[:]) }

// String returns the key in base64, as WireGuard shows keys.
func (k PublicKey) String() string { return base64.StdEncoding.EncodeToString(k[:]) }

// A PresharedKey is a secret that a server and the clients whom it invites
// share: 32 random bytes. Use [GeneratePresharedKey] or [ParsePresharedKey]; a
// password is none, because anybody who sees a request could try passwords.
type PresharedKey [KeySize]byte

// GeneratePresharedKey returns a new random key.
func GeneratePresharedKey() PresharedKey {
	var k PresharedKey
	rand.Read(k[:]) // it never fails
	return k
}

// ParsePresharedKey reads what [PresharedKey.Encode] has written.
func ParsePresharedKey(s string) (PresharedKey, error) {
	b, err := parseKey(s)
	return PresharedKey(b), err
}

// Encode returns the key in base64. It is the secret itself.
func (k PresharedKey) Encode() string { return base64.StdEncoding.EncodeToString(k[:]) }
