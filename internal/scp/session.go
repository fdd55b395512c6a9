package scp

import (
	"encoding/binary"
	"strconv"
	"sync/atomic"

	"github.com/relink-go/relink/internal/rc4pair"
	"github.com/relink-go/relink/internal/suite"
)

// Session is one side's secrets and ciphers of one session.
type Session struct {
	// Constant once the session is offered or opened.
	id     uint32
	secret uint64
	wish   *wish // nil if the client has said nothing of the kind

	// index is the highest resume index that a client has used or a server has
	// accepted.
	index atomic.Int64

	ciphers rc4pair.Pair
}

// A clearSession is a session whose stream is not encrypted. It is a type and not a
// flag because the flag would cost each session the next larger size of memory.
type clearSession struct{ *Session }

var (
	_ suite.Session = (*Session)(nil)
	_ suite.Session = clearSession{}
)

// variant returns the session as it encrypts or does not.
func (p *Protocol) variant(s *Session) suite.Session {
	if p.cleartext {
		return clearSession{s}
	}
	return s
}

// SessionOf returns a session of this protocol for what it tells beyond
// [suite.Session], and false for one of another.
func SessionOf(s suite.Session) (*Session, bool) {
	switch s := s.(type) {
	case *Session:
		return s, true
	case clearSession:
		return s.Session, true
	default:
		return nil, false
	}
}

// Peer implements [suite.Session]. All that the wire says is what the client
// would like.
func (s *Session) Peer() suite.Peer { return s.peer(false) }

// Peer implements [suite.Session].
func (s clearSession) Peer() suite.Peer { return s.peer(true) }

func (s *Session) peer(cleartext bool) suite.Peer {
	target, _ := s.Target()
	return suite.Peer{Suite: Name(cleartext), Target: target}
}

// newSession returns a session with both ciphers at the beginning.
func newSession(id uint32, secret uint64, w wish) *Session {
	s := &Session{id: id, secret: secret}
	if w.hasTarget {
		s.wish = &w
	}
	key := streamKey(secret)
	if err := s.ciphers.Init(key[:]); err != nil {
		panic("relink: internal error: " + err.Error())
	}
	return s
}

// ID returns the decimal number by which both sides call the session.
func (s *Session) ID() string { return strconv.FormatUint(uint64(s.id), 10) }

// Target returns the back end that the client prefers, which may be empty, and
// whether the client sent that line at all.
func (s *Session) Target() (name string, sent bool) {
	if s.wish == nil {
		return "", false
	}
	return s.wish.target, s.wish.hasTarget
}

// Flag returns the client's set of bits, 0 to 2^32-1, and whether the client
// sent one.
func (s *Session) Flag() (bits int64, sent bool) {
	if s.wish == nil {
		return 0, false
	}
	return s.wish.flag, s.wish.hasFlag
}

// Encrypt implements [suite.Session]. The cipher runs on across resumes, so
// that the replay buffer holds what was on the wire the first time.
func (s *Session) Encrypt(dst, src []byte) { s.ciphers.Encrypt(dst, src) }

// Decrypt implements [suite.Session].
func (s *Session) Decrypt(dst, src []byte) { s.ciphers.Decrypt(dst, src) }

// Encrypt implements [suite.Session].
func (clearSession) Encrypt(dst, src []byte) { copy(dst, src) }

// Decrypt implements [suite.Session].
func (clearSession) Decrypt(dst, src []byte) { copy(dst, src) }

// useIndex marks an index as used and reports whether it was not: only an index
// above all that were accepted before is good, whatever became of those.
func (s *Session) useIndex(index int64) bool {
	for {
		used := s.index.Load()
		if index <= used {
			return false
		}
		if s.index.CompareAndSwap(used, index) {
			return true
		}
	}
}

// sessionKey is what a listener finds a session by.
func sessionKey(id uint32) (k suite.Key) {
	binary.BigEndian.PutUint32(k[:], id)
	return k
}

// peerOffsets makes a peer's counts of the one that it has told, mod 2^32, and of
// how much was sent here: the peer has received at most that, so its count is
// the greatest number not above it with the same low 32 bits. Whether it lies
// in the replay buffer is for Check to say. It reports false where there is no
// such number, because less was sent here than the peer claims to have.
func peerOffsets(sent int64, received uint32) (suite.Offsets, bool) {
	missing := uint32(sent) - received
	peer := suite.Offsets{Sent: suite.Unknown, Received: sent - int64(missing)}
	return peer, peer.Received >= 0
}
