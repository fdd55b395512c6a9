package noise

import (
	"crypto/hkdf"
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
}

// deriveKeys derives everything from the two keys of Split, which encrypt
// nothing themselves, and the handshake hash.
func deriveKeys(h []byte, k1, k2 [32]byte) *keys {
	prk, err := hkdf.Extract(sha256.New, append(k1[:], k2[:]...), h)
	if err != nil {
		panic("relink: internal error: " + err.Error())
	}
	expand := func(dst []byte, info string) {
		b, err := hkdf.Expand(sha256.New, prk, info, len(dst))
		if err != nil {
			panic("relink: internal error: " + err.Error())
		}
		copy(dst, b)
		clear(b)
	}
	k := new(keys)
	expand(k.resumption[:], "relink 1 resumption secret")
	expand(k.id[:], "relink 1 resume id")
	expand(k.toServer[:], "relink 1 client to server")
	expand(k.toClient[:], "relink 1 server to client")
	expand(k.session[:], "relink 1 session id")
	clear(prk)
	return k
}
