package relink

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"

	"github.com/relink-go/relink/internal/noise"
)

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
