package noise

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
)

// errFIPS is the error of every listener and dialer in such a process.
var errFIPS = errors.New("relink: this process allows only cryptography that FIPS 140 approves (GODEBUG=fips140=only), " +
	"and the suite Noise needs X25519, ChaCha20-Poly1305, and AES-GCM with nonces of its own: " +
	"run it with fips140=on, or use TLS in its place")

// checkFIPS returns an error in a process in which the suite cannot work. The
// cipher that it would use is asked, because that is what would fail later.
func checkFIPS() error {
	b, err := aes.NewCipher(make([]byte, secretSize))
	if err == nil {
		_, err = cipher.NewGCM(b)
	}
	if err != nil {
		return errFIPS
	}
	return nil
}
