package noise

import (
	"encoding/hex"
	"sync"

	"github.com/relink-go/relink/internal/suite"
)

// A base is what both sides of a session know from its beginning and never
// change. The replay buffer holds plain text, so there is no session cipher.
type base struct {
	id         [16]byte // of Conn.ID, never sent
	binding    secret   // of Conn.ChannelBinding, never sent
	peerWindow int64
	guest      *guest // nil where the client is anybody and wants nothing
	version    byte
	kind       kind // of the request that opened it
}

// A guest is what a client has told of itself.
type guest struct {
	key    PublicKey     // zero without
	psk    *PresharedKey // nil without
	target string
}

// newGuest returns what there is to know, if anything.
func newGuest(k kind, key PublicKey, psk *PresharedKey, target string) *guest {
	if !k.clientKeyed() {
		key = PublicKey{}
	}
	if g := (guest{key, psk, target}); g != (guest{}) {
		return &g
	}
	return nil
}

// ID returns 32 hexadecimal digits.
func (b *base) ID() string { return hex.EncodeToString(b.id[:]) }

// peer returns what Peer does, of a session with a server's key.
func (b *base) peer(server PublicKey) suite.Peer {
	p := suite.Peer{
		Suite: Name, ServerKey: server, ChannelBinding: b.binding,
		Hybrid: b.kind.isHybrid(), Version: int(b.version),
	}
	if !b.kind.keyed() {
		p.Suite = InsecureName
	}
	if g := b.guest; g != nil {
		p.ClientKey, p.Target = g.key, g.target
		if g.psk != nil {
			p.PresharedKey = *g.psk
		}
	}
	return p
}

// Encrypt implements [suite.Session].
func (*base) Encrypt(dst, src []byte) { copy(dst, src) }

// Decrypt implements [suite.Session].
func (*base) Decrypt(dst, src []byte) {
	if len(src) > 0 && &dst[0] != &src[0] { // else it was opened there
		copy(dst, src)
	}
}

// A clientSession is a session on the client, which keeps exactly one secret:
// that of the last answer it has taken (Who keeps which secret).
type clientSession struct {
	base
	p      *Protocol
	pinned PublicKey // the server's, for as long as the session lives

	// instance is the server that has made the session, as it has called itself.
	instance uint32

	mu         sync.Mutex // guards everything below
	resumption secret
	name       suite.Key // the resume id of the secret
	attempt    uint32    // the last one that was used under the secret
	node       uint32
	erased     bool // the secret was
}

var (
	_ suite.Session = (*clientSession)(nil)
	_ suite.Eraser  = (*clientSession)(nil)
)

// Erase implements [suite.Eraser]. An attempt that is under way goes on without it.
func (s *clientSession) Erase() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resumption, s.erased = secret{}, true
}

// Peer implements [suite.Session].
func (s *clientSession) Peer() suite.Peer { return s.peer(s.pinned) }

// A kept is a secret that a server keeps, with what it knows about its use.
type kept struct {
	resumption secret
	id         suite.Key
	highest    uint32 // attempt seen under the id
	pending    bool   // its own link is not confirmed, and still may be
}

// erase forgets a secret that is not kept any more.
func (k *kept) erase() { k.resumption = secret{} }

// maxUnconfirmed is how many answers to the current secret a server remembers.
const maxUnconfirmed = 2

// A serverSession is a session on the server.
type serverSession struct {
	base
	key *serverKey // nil if insecure; the session's for as long as it lives

	mu sync.Mutex // held by whoever is served; taken around the core's locks

	// What is below is changed by who holds both locks, and read by who holds either. The
	// secrets themselves, and erased, are guarded by keeping, within which no other lock is
	// taken.
	keeping     sync.Mutex
	erased      bool // the secrets were
	current     *kept
	unconfirmed []*kept // answers to current, the oldest first
}

var _ suite.Eraser = (*serverSession)(nil)

// Erase implements [suite.Eraser]. Nobody resumes the session any more, nor is told how it
// has ended.
func (s *serverSession) Erase() {
	s.keeping.Lock()
	defer s.keeping.Unlock()
	s.erased = true
	s.current.erase()
	for _, k := range s.unconfirmed {
		k.erase()
	}
}

// Peer implements [suite.Session].
func (s *serverSession) Peer() suite.Peer {
	if s.key == nil {
		return s.peer(PublicKey{})
	}
	return s.peer(s.key.public)
}

// Resume is the client's alone.
func (*serverSession) Resume(suite.Stream, suite.Client) (suite.Link, error) {
	panic("relink: internal error: a server does not resume")
}

// find returns the kept secret with the id.
func (s *serverSession) findLocked(id suite.Key) *kept {
	if s.current.id == id {
		return s.current
	}
	for _, k := range s.unconfirmed {
		if k.id == id {
			return k
		}
	}
	return nil
}

// look returns the secret of a request that has not proven anything, or what to
// refuse it with.
func (s *serverSession) look(r request) (secret, hint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.findLocked(r.id)
	switch {
	case k == nil:
		return secret{}, hintUnknownSession
	case r.kind.keyed() != (s.key != nil), r.version != s.version, r.hint != s.hint():
		return secret{}, hintBadRequest
	case r.attempt <= k.highest:
		return secret{}, hintStale
	}
	s.keeping.Lock()
	defer s.keeping.Unlock()
	if s.erased {
		return secret{}, hintUnknownSession
	}
	return k.resumption, 0
}

// hint returns what a resume calls the session's key.
func (s *serverSession) hint() [hintSize]byte {
	if s.key == nil {
		return [hintSize]byte{}
	}
	return s.key.hint
}

// begin notes a message 1 that has opened. Its sender has taken the answer that
// the id belongs to, and never goes back to an older one.
func (s *serverSession) begin(r request, t suite.Target) hint {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.findLocked(r.id)
	switch {
	case k == nil:
		return hintUnknownSession
	case r.attempt <= k.highest:
		return hintStale
	}
	k.highest = r.attempt
	k.pending = false // who resumes under a secret has given its link up
	s.promoteLocked(k)
	if s.registerLocked(t) != nil {
		return hintUnknownSession
	}
	return 0
}

// answered registers the secret of an answer, before the answer leaves.
func (s *serverSession) answered(r request, k *kept, t suite.Target) hint {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current.id != r.id || s.current.highest != r.attempt {
		return hintStale
	}
	if !s.keepLocked(k) || s.registerLocked(t) != nil {
		return hintUnknownSession
	}
	return 0
}

// keepLocked adds the secret of an answer, unless the session has ended meanwhile.
func (s *serverSession) keepLocked(k *kept) bool {
	s.keeping.Lock()
	defer s.keeping.Unlock()
	if s.erased {
		k.erase()
		return false
	}
	if len(s.unconfirmed) == maxUnconfirmed {
		s.unconfirmed[0].erase()
		s.unconfirmed = append(s.unconfirmed[:0], s.unconfirmed[1:]...)
	}
	s.unconfirmed = append(s.unconfirmed, k)
	return true
}

// confirm notes the first record of a pending link, which proves that the
// client has taken the answer, and calls attach while no other resume can come
// between.
func (s *serverSession) confirm(k *kept, t suite.Target, attach func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !k.pending || s.findLocked(k.id) != k {
		return suite.ErrSuperseded
	}
	k.pending = false
	s.promoteLocked(k)
	if t != nil {
		if err := s.registerLocked(t); err != nil {
			return err
		}
	}
	return attach()
}

// promoteLocked makes a secret that the client is known to hold the current
// one. Whatever is not an answer to it is erased.
func (s *serverSession) promoteLocked(k *kept) {
	if k == s.current {
		return
	}
	s.keeping.Lock()
	defer s.keeping.Unlock()
	for _, other := range append(s.unconfirmed, s.current) {
		if other != k {
			other.erase()
		}
	}
	s.current, s.unconfirmed = k, nil
}

// registerLocked tells the listener under which ids the session is found.
func (s *serverSession) registerLocked(t suite.Target) error {
	ids := []suite.Key{s.current.id}
	for _, k := range s.unconfirmed {
		ids = append(ids, k.id)
	}
	return t.SetKeys(ids...)
}
