package snet

import (
	"math"

	"github.com/relink-go/relink/internal/suite"
)

// The labels of what a server tells relink's clients aside (Asides).
const (
	labelID      = "id"
	labelMissing = "missing"
)

// asideSize is the length of the random half of an id or a challenge that has an
// aside in its other half.
const asideSize = 4

// mask is what the other half of a number is combined with whose random half is
// r.
func (k secret) mask(label string, r []byte) uint32 {
	mac := k.mac(append([]byte(label), r...))
	return order.Uint32(mac[:])
}

// newID draws an id, which is not zero.
func (p *Protocol) newID(k secret) (id uint64) {
	for id == 0 {
		if id = p.newNumber(); p.asides {
			id = k.id(uint32(id))
		}
	}
	return id
}

// id returns the id with the random half r that tells relink's clients that its
// server is relink.
func (k secret) id(r uint32) uint64 {
	random := order.AppendUint32(nil, r)
	return uint64(r) | uint64(k.mask(labelID, random))<<32
}

// made reports whether an id is one that newID has made. Of the ids of other
// servers it says so once in 2^32 times.
func (k secret) made(id uint64) bool { return id == k.id(uint32(id)) }

// newChallenge draws a challenge, which is not zero, and tells relink's clients in
// it how many bytes they miss.
func (p *Protocol) newChallenge(k secret, missing int64) (c challenge) {
	for c == (challenge{}) {
		if order.PutUint64(c[:], p.newNumber()); p.asides {
			told := uint32(max(0, min(missing, math.MaxUint32)))
			order.PutUint32(c[asideSize:], told^k.mask(labelMissing, c[:asideSize]))
		}
	}
	return c
}

// sent returns how much the server has sent that has made the challenge for a
// client with that much received.
func (k secret) sent(received int64, c challenge) int64 {
	missing := order.Uint32(c[asideSize:]) ^ k.mask(labelMissing, c[:asideSize])
	return received + min(int64(missing), math.MaxInt64-received)
}

// A pastRequest is what a server keeps of the last resume request of a session,
// because there are clients that send it again with the last proof in place of
// its first 16 bytes (Overwritten requests).
type pastRequest struct {
	sent   uint64
	proofs []suite.Key // what may stand in that place
}

// overwritten is the key by which a session is found whose request has been
// overwritten.
func overwritten(body []byte) suite.Key { return suite.Key(body[:proofSize]) }

// restore undoes what the client has done to the body of its request.
func (s *session) restore(body []byte) bool {
	past := s.past.Load()
	if past == nil {
		return false // it was opened just now, and its id looks like a proof
	}
	order.PutUint64(body, s.id)
	order.PutUint64(body[8:], past.sent)
	return true
}

// remember keeps what is needed to recognise the next request, should it be
// overwritten: with the proof of the answer that is about to leave, or, where that
// is lost, as this one was.
func (s *session) remember(t suite.Target, past pastRequest, c challenge) {
	past.proofs = append(past.proofs, suite.Key(s.key.mac(c[:])))
	s.past.Store(&past)
	// Where that fails, the session has ended or the request will be refused, as it
	// is by other servers.
	_ = t.SetKeys(append([]suite.Key{lookup(s.id)}, past.proofs...)...)
}
