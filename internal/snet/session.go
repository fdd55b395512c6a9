package snet

import (
	"fmt"

	"github.com/relink-go/relink/internal/suite"
	"github.com/relink-go/relink/rc4stream"
)

// A session is one side's ids, keys and ciphers. The ciphers run over the
// stream, not over a link: what is sent again is the cipher text of the first
// time (Resume).
type session struct {
	id    uint64 // constant, like the next two
	key   secret
	clear bool

	out rc4stream.Cipher // of Encrypt
	in  rc4stream.Cipher // of Decrypt
}

var _ suite.Session = (*session)(nil)

// newSession returns the session of an agreed secret. Its id is not yet known.
// Both ciphers have the same key (Primitives).
func (p *Protocol) newSession(agreed uint64) *session {
	s := &session{key: newSecret(agreed), clear: p.Cleartext}
	for _, c := range []*rc4stream.Cipher{&s.out, &s.in} {
		if err := c.Init(s.key[:]); err != nil {
			panic("relink: internal error: " + err.Error())
		}
	}
	return s
}

// idMask returns the first 8 bytes of the key stream from the server to the
// client, which hide the id. It moves the cipher of that direction to its
// position 8, while the count of the direction is still zero (New session).
func idMask(c *rc4stream.Cipher) uint64 {
	var mask [8]byte
	c.XORKeyStream(mask[:], mask[:])
	return order.Uint64(mask[:])
}

// lookup returns the key by which a resume finds the session of an id: the 8
// bytes of the wire, and zeros.
func lookup(id uint64) (k suite.Key) {
	order.PutUint64(k[:], id)
	return k
}

// ID returns the session's id as 16 hexadecimal digits.
func (s *session) ID() string { return fmt.Sprintf("%016x", s.id) }

// Encrypt implements [suite.Session].
func (s *session) Encrypt(dst, src []byte) {
	if s.clear {
		copy(dst, src)
		return
	}
	s.out.XORKeyStream(dst, src)
}

// Decrypt implements [suite.Session].
func (s *session) Decrypt(dst, src []byte) {
	if s.clear {
		copy(dst, src)
		return
	}
	s.in.XORKeyStream(dst, src)
}
