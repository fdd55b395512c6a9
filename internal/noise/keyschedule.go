package noise

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"

	"github.com/relink-go/relink/internal/suite"
)

// secretSize is the length of every key and secret.
const secretSize = 32

// A secret is a resumption secret or a traffic key.
type secret [secretSize]byte

// keys are what a completed handshake yields (Key schedule).
type keys struct {
	resumption secret    // the PSK of the next resume
	id         suite.Key // names the resumption secret, in clear
	toServer   secret    // of the records
	toClient   secret
	session    [16]byte // Conn.ID, of a new session
	binding    secret   // of a new session
}

// erase forgets what whoever needs it has taken.
func (k *keys) erase() { *k = keys{} }

// deriveKeys derives everything from the two keys of Split, which encrypt
// nothing themselves, and the handshake hash.
func deriveKeys(h []byte, k1, k2 secret) *keys {
	var ikm [2 * secretSize]byte
	copy(ikm[:], k1[:])
	copy(ikm[secretSize:], k2[:])
	prk, err := hkdf.Extract(sha256.New, ikm[:], h)
	clear(ikm[:])
	if err != nil {
		panic("relink: internal error: " + err.Error())
	}
	// HKDF-Expand of at most one block each (RFC 5869, section 2.3), with one HMAC
	// for all: making one costs more than using it.
	mac := hmac.New(sha256.New, prk)
	block := make([]byte, 0, sha256.Size)
	expand := func(dst []byte, info string) {
		mac.Reset()
		mac.Write([]byte(info))
		mac.Write([]byte{1})
		block = mac.Sum(block[:0])
		copy(dst, block)
	}
	k := new(keys)
	expand(k.resumption[:], "relink 1 resumption secret")
	expand(k.id[:], "relink 1 resume id")
	expand(k.toServer[:], "relink 1 client to server")
	expand(k.toClient[:], "relink 1 server to client")
	expand(k.session[:], "relink 1 session id")
	expand(k.binding[:], "relink 1 channel binding")
	clear(prk)
	clear(block)
	eraseMAC(mac)
	return k
}
