package snet

import (
	"fmt"
	"sync/atomic"

	"github.com/relink-go/relink/internal/rc4pair"
	"github.com/relink-go/relink/internal/suite"
)

// A session is one side's ids, keys and ciphers. The ciphers run over the
// stream, not over a link: what is sent again is the cipher text of the first
// time (Resume).
type session struct {
	id      uint64 // constant, like the next
	key     secret
	ciphers rc4pair.Pair
	past    atomic.Pointer[pastRequest] // the last resume request; server
}

// A clearSession is a session whose stream is not encrypted (The clear variant).
// It is a type and not a flag because the flag would cost each session the next
// larger size of memory.
type clearSession struct{ *session }

var (
	_ suite.Session = (*session)(nil)
	_ suite.Session = clearSession{}
)

// Peer implements [suite.Session]. The wire says nothing of who is there.
func (*session) Peer() suite.Peer { return suite.Peer{Suite: name} }

// Peer implements [suite.Session].
func (clearSession) Peer() suite.Peer { return suite.Peer{Suite: clearName} }

// newSession returns the session of an agreed secret. Its id is not yet known.
// Both ciphers have the same key (Primitives).
func (p *Protocol) newSession(agreed uint64) *session {
	s := &session{key: newSecret(agreed)}
	if err := s.ciphers.Init(s.key[:]); err != nil {
		panic("relink: internal error: " + err.Error())
	}
	return s
}

// variant returns the session as it encrypts or does not.
func (p *Protocol) variant(s *session) suite.Session {
	if p.Cleartext {
		return clearSession{s}
	}
	return s
}

// ownSession returns what variant has made.
func ownSession(s suite.Session) *session {
	switch s := s.(type) {
	case *session:
		return s
	case clearSession:
		return s.session
	default:
		panic(fmt.Sprintf("relink: internal error: an snet id leads to a %T", s))
	}
}

// idMask returns the first 8 bytes of the key stream from the server to the
// client, which hide the id. It moves the cipher of that direction to its
// position 8, while the count of the direction is still zero (New session).
func idMask(direction func(dst, src []byte)) uint64 {
	var mask [8]byte
	direction(mask[:], mask[:])
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
func (s *session) Encrypt(dst, src []byte) { s.ciphers.Encrypt(dst, src) }

// Decrypt implements [suite.Session].
func (s *session) Decrypt(dst, src []byte) { s.ciphers.Decrypt(dst, src) }

// Encrypt implements [suite.Session].
func (clearSession) Encrypt(dst, src []byte) { copy(dst, src) }

// Decrypt implements [suite.Session].
func (clearSession) Decrypt(dst, src []byte) { copy(dst, src) }
