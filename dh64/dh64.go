// Package dh64 implements the 64-bit Diffie-Hellman key agreement of the snet
// protocol: exponentiation of 5 modulo the prime 2^64 - 59.
//
// # Security
//
// The group is broken, and no care in using it mends that. The order of the
// group is p - 1 = 4·11·137·547·5594472617641, so the algorithm of Pohlig and
// Hellman finds a private key from its public key in well under a second of
// plain Go. Nothing authenticates the peer either. The package exists because
// deployed peers speak this protocol; for anything new use [crypto/ecdh].
//
// Constant time is not claimed. It would be pointless: whoever can time an
// exchange can also see it, and reads the private key from the public one
// faster than from any timing.
//
// # Use
//
// [GenerateKey], [PrivateKey.PublicKey] and [PrivateKey.SharedSecret] are what
// a protocol needs. [Public], [Shared] and [CheckPublic] are the arithmetic on
// its own, for test vectors and for keys that come from elsewhere.
//
// All functions may be called from several goroutines at once.
package dh64

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Prime is the modulus p, the largest prime below 2^64.
const Prime uint64 = 1<<64 - 59

// Generator is the base g. It generates the whole group: its order is p - 1.
const Generator uint64 = 5

// ErrDegenerateKey reports a public key whose shared secret would be known to
// everyone, or that is no element of the group. Errors that wrap it say which
// key it was.
var ErrDegenerateKey = errors.New("dh64: degenerate public key")

// A PrivateKey is a private key made by [GenerateKey]. It may be copied. The
// zero value holds no key, and its methods panic.
type PrivateKey struct {
	k uint64
}

// GenerateKey returns a key from [crypto/rand.Reader], and an error only if
// reading from it fails. The key is uniform among the numbers from 1 to p - 2
// except (p - 1)/2; these are all exponents below p - 1 whose public key
// [CheckPublic] accepts.
func GenerateKey() (PrivateKey, error) {
	var b [8]byte
	for {
		if _, err := io.ReadFull(rand.Reader, b[:]); err != nil {
			return PrivateKey{}, fmt.Errorf("dh64: generate key: %w", err)
		}
		// Rejecting, rather than reducing, keeps the distribution uniform. All
		// but 62 of the 2^64 numbers pass.
		if k := binary.LittleEndian.Uint64(b[:]); validPrivate(k) {
			return PrivateKey{k}, nil
		}
	}
}

// validPrivate reports whether k lies in the range that GenerateKey documents.
func validPrivate(k uint64) bool {
	// The generator's order is p - 1, so exactly the exponents 0 and (p - 1)/2
	// lead to the public keys 1 and p - 1.
	return k != 0 && k < Prime-1 && k != (Prime-1)/2
}

// PublicKey returns the public key that belongs to k. It is never degenerate.
func (k PrivateKey) PublicKey() uint64 {
	k.mustBeKey()
	return Public(k.k)
}

// SharedSecret returns the secret that k shares with the owner of the public
// key peer. A degenerate peer key is refused with an error that wraps
// [ErrDegenerateKey].
func (k PrivateKey) SharedSecret(peer uint64) (uint64, error) {
	k.mustBeKey()
	if err := CheckPublic(peer); err != nil {
		return 0, err
	}
	return Shared(k.k, peer), nil
}

// mustBeKey panics on the zero value, with which every secret would be 1.
func (k PrivateKey) mustBeKey() {
	if k.k == 0 {
		panic("dh64: use of a zero PrivateKey")
	}
}

// CheckPublic returns an error that wraps [ErrDegenerateKey] if peer is 0, 1,
// p - 1, or not below p. It does not look for other elements of small order:
// the protocol accepts them.
func CheckPublic(peer uint64) error {
	if peer <= 1 || peer >= Prime-1 {
		return fmt.Errorf("%w %#x", ErrDegenerateKey, peer)
	}
	return nil
}

// Public returns g^private mod p. It takes any exponent, those that lead to a
// degenerate key included.
func Public(private uint64) uint64 {
	// Two products that do not wait for each other keep the multiplier busy.
	even, odd := uint64(1), uint64(1)
	for i := 0; i < len(generatorPowers); i += 2 {
		even = mulMod(even, generatorPowers[i][private&15])
		odd = mulMod(odd, generatorPowers[i+1][private>>4&15])
		private >>= 8
	}
	return reduce(mulMod(even, odd))
}

// Shared returns peer^private mod p, and 1 if both are 0. It takes any
// numbers: call [CheckPublic] first for a key that came over a network.
func Shared(private, peer uint64) uint64 {
	// Yao's method, two bits at a time: products[d] collects the powers of peer
	// whose digit is d. Unlike in a fixed window, a multiplication does not
	// wait for the squarings but runs beside them.
	products := [4]uint64{1, 1, 1, 1}
	for power := peer; private != 0; private >>= 2 {
		digit := private & 3
		products[digit] = mulMod(products[digit], power)
		power = mulMod(power, power)
		power = mulMod(power, power)
	}
	// The result is products[1] · products[2]² · products[3]³.
	p32 := mulMod(products[3], products[2])
	p321 := mulMod(p32, products[1])
	return reduce(mulMod(mulMod(products[3], p32), p321))
}
