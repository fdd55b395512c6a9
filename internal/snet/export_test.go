package snet

import (
	"unsafe"

	"github.com/relink-go/relink/dh64"
	"github.com/relink-go/relink/internal/suite"
)

// SessionSize is the memory of a session.
const SessionSize = unsafe.Sizeof(session{})

// Numbers are those that docs/spec/snet.md tells, by the names that it uses.
var Numbers = map[string]uint64{
	"type of a new session": typeNew,
	"type of a resume":      typeResume,
	"client hello":          clientHelloSize,
	"server hello":          serverHelloSize,
	"resume request":        resumeRequestSize,
	"resume answer":         resumeAnswerSize,
	"refusal":               refusalSize,
	"proof":                 proofSize,
	"challenge":             challengeSize,
	"key":                   keySize,
	"MAC":                   macSize,
	"bytes under the MAC of a resume request":            claimSize,
	"random bytes of an id or a challenge with an aside": asideSize,
	"prime p":                dh64.Prime,
	"generator g":            dh64.Generator,
	"ids tried per session":  maxOffers,
	"shortest SCP packet":    minSCP,
	"largest count":          1<<63 - 1,
	"key-stream bytes of id": 8,
}

// FixedKey is a private key that a test has chosen.
type FixedKey uint64

func (k FixedKey) PublicKey() uint64 { return dh64.Public(uint64(k)) }

func (k FixedKey) SharedSecret(peer uint64) (uint64, error) {
	if err := dh64.CheckPublic(peer); err != nil {
		return 0, err
	}
	return dh64.Shared(uint64(k), peer), nil
}

// Fixed returns the protocol with a private key and, in the order in which
// they are drawn, numbers that are not random and have no asides.
func Fixed(opts Options, private uint64, numbers ...uint64) *Protocol {
	p := New(opts)
	p.newKey = func() (privateKey, error) { return FixedKey(private), nil }
	p.asides = false
	p.newNumber = func() uint64 {
		n := numbers[0]
		numbers = numbers[1:]
		return n
	}
	return p
}

// FailKeys makes the protocol's key generation fail.
func FailKeys(p *Protocol, err error) {
	p.newKey = func() (privateKey, error) { return nil, err }
}

// NewServerSession returns the session that a server has after step 3.
func NewServerSession(p *Protocol, id, agreed uint64) suite.Session {
	s := p.newSession(agreed)
	s.id = id
	idMask(s.ciphers.Encrypt)
	return p.variant(s)
}

// NewClientSession returns the session that a client has after step 4.
func NewClientSession(p *Protocol, id, agreed uint64) suite.Session {
	s := p.newSession(agreed)
	s.id = id
	idMask(s.ciphers.Decrypt)
	return p.variant(s)
}

// MAC returns the MAC of x under the session's key.
func MAC(s suite.Session, x []byte) []byte {
	mac := ownSession(s).key.mac(x)
	return mac[:]
}

// Lookup returns the key by which a session is found.
func Lookup(id uint64) suite.Key { return lookup(id) }

// Request returns a resume request of the session with any counts.
func Request(s suite.Session, sent, received uint64) []byte {
	own := ownSession(s)
	return resumeRequest{id: own.id, sent: sent, received: received}.encode(own.key)
}

// Answer returns an answer to a resume.
func Answer(sent, received, c uint64) []byte {
	m := resumeAnswer{sent: sent, received: received}
	order.PutUint64(m.challenge[:], c)
	return m.encode()
}

// Hello returns a client hello.
func Hello(public uint64) []byte { return clientHello{public}.encode() }

// ServerHello returns a server hello.
func ServerHello(public, sealedID, c uint64) []byte {
	m := serverHello{public: public}
	order.PutUint64(m.sealedID[:], sealedID)
	order.PutUint64(m.challenge[:], c)
	return m.encode()
}

// NewID draws an id for a session with that agreed secret.
func NewID(p *Protocol, agreed uint64) uint64 { return p.newID(newSecret(agreed)) }

// NewChallenge draws a challenge for a client that misses so much.
func NewChallenge(p *Protocol, agreed uint64, missing int64) uint64 {
	c := p.newChallenge(newSecret(agreed), missing)
	return order.Uint64(c[:])
}
