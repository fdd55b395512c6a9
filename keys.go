package relink

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/relink-go/relink/internal/noise"
)

// A PrivateKey is the X25519 key of a server with the suite Noise, or of a client:
// see [NoiseServer] and [NoiseClient]. Whoever has it is that server or client.
//
// It keeps itself out of logs: printed, logged or encoded in any way it names
// its public key instead, also within another struct. [PrivateKey.EncodeSecret]
// alone gives the secret away. The zero value is no key. Keys are compared with
// [PrivateKey.Equal]; == does not compile, and reflect.DeepEqual calls any two
// different.
type PrivateKey struct {
	// A function, because no package that prints a struct by reflection looks
	// into one. Such a package may not call methods on a struct's unexported
	// fields, of which this may be one, so that methods do not suffice.
	secret func() noise.PrivateKey
}

// newPrivateKey wraps a key that is not zero.
func newPrivateKey(k noise.PrivateKey) PrivateKey {
	return PrivateKey{secret: func() noise.PrivateKey { return k }}
}

// GenerateKey returns a new random [PrivateKey].
func GenerateKey() PrivateKey {
	return newPrivateKey(noise.GenerateKey())
}

// ParsePrivateKey reads what [PrivateKey.EncodeSecret] has written. Line breaks
// do no harm, so that it takes the content of a file as it is. An error does not
// repeat what was given.
func ParsePrivateKey(s string) (PrivateKey, error) {
	k, err := noise.ParsePrivateKey(s)
	if err != nil {
		return PrivateKey{}, err
	}
	return newPrivateKey(k), nil
}

// EncodeSecret returns the key itself, in base64 as WireGuard shows keys, to be
// kept in a file that only the server's user can read. Of the zero value it is
// empty.
func (k PrivateKey) EncodeSecret() string {
	if k.IsZero() {
		return ""
	}
	return k.secret().Encode()
}

// PublicKey returns what clients know the server by: see [NoiseClient]. That of
// the zero value is zero.
func (k PrivateKey) PublicKey() PublicKey {
	if k.IsZero() {
		return PublicKey{}
	}
	public, err := k.secret().PublicKey()
	if err != nil {
		panic("relink: internal error: " + err.Error()) // no PrivateKey holds the zero key
	}
	return PublicKey(public)
}

// raw returns the key, which is zero for the zero value.
func (k PrivateKey) raw() (raw noise.PrivateKey) {
	if k.secret != nil {
		raw = k.secret()
	}
	return raw
}

// IsZero reports whether k is the zero value, which is no key.
func (k PrivateKey) IsZero() bool { return k.secret == nil }

// Equal reports whether both are the same key.
func (k PrivateKey) Equal(other PrivateKey) bool { return k.PublicKey() == other.PublicKey() }

// String names the key by its public key, and does not give it away.
func (k PrivateKey) String() string {
	if k.IsZero() {
		return "no private key"
	}
	return "private key of " + k.PublicKey().String()
}

// GoString is [PrivateKey.String], for %#v.
func (k PrivateKey) GoString() string { return k.String() }

// Format prints [PrivateKey.String], whatever the verb.
func (k PrivateKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// LogValue is [PrivateKey.String], for log/slog.
func (k PrivateKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText writes [PrivateKey.String], for JSON, YAML and others, so that a
// configuration which is dumped does not give the key away. It cannot be read
// back: to store a key use [PrivateKey.EncodeSecret].
func (k PrivateKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText is [ParsePrivateKey], for a configuration that is read from
// JSON, YAML and others.
func (k *PrivateKey) UnmarshalText(text []byte) error {
	parsed, err := ParsePrivateKey(string(text))
	if err != nil {
		return err
	}
	*k = parsed
	return nil
}

// A PublicKey is what a client with the suite Noise knows its server by, and a
// server a client that has a key: the 32 bytes of an X25519 public key. It is no
// secret, and comparable.
type PublicKey [32]byte

// ParsePublicKey reads what [PublicKey.String] has written. Line breaks do no
// harm.
func ParsePublicKey(s string) (PublicKey, error) {
	k, err := noise.ParsePublicKey(s)
	return PublicKey(k), err
}

// String returns the key in base64, as WireGuard shows keys.
func (k PublicKey) String() string { return noise.PublicKey(k).String() }

// MarshalText writes [PublicKey.String]. A zero key is an error: it would not be
// read back.
func (k PublicKey) MarshalText() ([]byte, error) {
	if k == (PublicKey{}) {
		return nil, errors.New("relink: the public key is zero")
	}
	return []byte(k.String()), nil
}

// UnmarshalText is [ParsePublicKey].
func (k *PublicKey) UnmarshalText(text []byte) error {
	parsed, err := ParsePublicKey(string(text))
	if err != nil {
		return err
	}
	*k = parsed
	return nil
}

// A PresharedKey is a secret that a server with the suite Noise shares with the
// clients whom it invites: 32 random bytes. Make one with
// [GeneratePresharedKey]; a password will not do, because whoever sees a request
// could try passwords.
//
// It keeps itself out of logs as a [PrivateKey] does: printed, logged or encoded
// it is a name that says nothing about it. Keys are compared with
// [PresharedKey.Equal]. The zero value is no key.
type PresharedKey struct {
	secret func() noise.PresharedKey // a function for the reason that PrivateKey has
}

func newPresharedKey(k noise.PresharedKey) PresharedKey {
	if k == (noise.PresharedKey{}) {
		return PresharedKey{}
	}
	return PresharedKey{secret: func() noise.PresharedKey { return k }}
}

// raw returns the key, which is zero for the zero value.
func (k PresharedKey) raw() (raw noise.PresharedKey) {
	if k.secret != nil {
		raw = k.secret()
	}
	return raw
}

// GeneratePresharedKey returns a new random key.
func GeneratePresharedKey() PresharedKey { return newPresharedKey(noise.GeneratePresharedKey()) }

// ParsePresharedKey reads what [PresharedKey.EncodeSecret] has written. Line
// breaks do no harm. An error does not repeat what was given.
func ParsePresharedKey(s string) (PresharedKey, error) {
	k, err := noise.ParsePresharedKey(s)
	return newPresharedKey(k), err
}

// EncodeSecret returns the key itself, in base64, to be given to a client. Of the
// zero value it is empty.
func (k PresharedKey) EncodeSecret() string {
	if k.IsZero() {
		return ""
	}
	return k.raw().Encode()
}

// IsZero reports whether k is the zero value, which is no key.
func (k PresharedKey) IsZero() bool { return k.secret == nil }

// Equal reports whether both are the same key, in constant time.
func (k PresharedKey) Equal(other PresharedKey) bool {
	a, b := k.raw(), other.raw()
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// String names the key by a hash, always the same, and does not give it away.
func (k PresharedKey) String() string {
	if k.IsZero() {
		return "no pre-shared key"
	}
	raw := k.raw()
	sum := sha256.Sum256(append([]byte("relink pre-shared key's name"), raw[:]...))
	return "pre-shared key " + hex.EncodeToString(sum[:6])
}

// GoString is [PresharedKey.String], for %#v.
func (k PresharedKey) GoString() string { return k.String() }

// Format prints [PresharedKey.String], whatever the verb.
func (k PresharedKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) }

// LogValue is [PresharedKey.String], for log/slog.
func (k PresharedKey) LogValue() slog.Value { return slog.StringValue(k.String()) }

// MarshalText writes [PresharedKey.String], which cannot be read back: to store a
// key use [PresharedKey.EncodeSecret].
func (k PresharedKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText is [ParsePresharedKey], for a configuration that is read from
// JSON, YAML and others.
func (k *PresharedKey) UnmarshalText(text []byte) error {
	parsed, err := ParsePresharedKey(string(text))
	if err != nil {
		return err
	}
	*k = parsed
	return nil
}
