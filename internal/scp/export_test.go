package scp

import (
	"github.com/relink-go/relink/dh64"
	"github.com/relink-go/relink/internal/suite"
)

// The constants that docs/spec/scp.md states.
const (
	MaxPacket   = maxPacket
	MaxTarget   = maxTarget
	MaxFlag     = maxFlag
	MinRequest  = minRequest
	MatchSize   = headerSize + matchContent
	DJBStart    = djbStart
	JSStart     = jsStart
	MACBlocks   = macBlocks
	KeySize     = keySize
	MaxIDs      = maxIDs
	MinInterval = minInterval
)

var (
	Hash        = hash
	MAC         = mac
	StreamKey   = streamKey
	Little      = little
	SessionKey  = sessionKey
	PeerOffsets = peerOffsets
	NewSession  = func(id uint32, secret uint64) *Session { return newSession(id, secret, wish{}) }
)

// A FixedKey is a private key that a vector gives.
type FixedKey uint64

func (k FixedKey) PublicKey() uint64 { return dh64.Public(uint64(k)) }

func (k FixedKey) SharedSecret(peer uint64) (uint64, error) {
	return dh64.Shared(uint64(k), peer), dh64.CheckPublic(peer)
}

// SetKey makes p use the private key from now on.
func (p *Protocol) SetKey(k FixedKey) {
	p.newKey = func() (privateKey, error) { return k, nil }
}

// SetKeyError makes p fail to make a key.
func (p *Protocol) SetKeyError(err error) {
	p.newKey = func() (privateKey, error) { return nil, err }
}

// SetIDs makes p choose the ids in turn, and the last one for ever.
func (p *Protocol) SetIDs(ids ...uint32) {
	p.newID = func() uint32 {
		id := ids[0]
		if len(ids) > 1 {
			ids = ids[1:]
		}
		return id
	}
}

// SendAllLines makes a client send target and flag though they say nothing, as
// some existing clients do.
func (p *Protocol) SendAllLines() { p.wish.hasTarget, p.wish.hasFlag = true, true }

// Secret returns the secret of a session.
func (s *Session) Secret() uint64 { return s.secret }

// Index returns the highest resume index so far.
func (s *Session) Index() int64 { return s.index.Load() }

// SessionKeyOf returns what a listener finds a session by.
func SessionKeyOf(s *Session) suite.Key { return sessionKey(s.id) }

// SetIndex presets it.
func (s *Session) SetIndex(index int64) { s.index.Store(index) }

// A Request is what parseRequest found, in a form that can be compared.
type Request struct {
	New                bool
	Key                uint64
	Target             string
	HasTarget, HasFlag bool
	Flag               int64
	ID, Received       uint32
	Index              int64
	MAC                [8]byte
	Packet             []byte // encoded anew
}

// ParseRequest decodes a client's packet.
func ParseRequest(content []byte) (Request, error) {
	n, r, err := parseRequest(content)
	switch {
	case err != nil:
		return Request{}, err
	case n != nil:
		return Request{
			New: true, Key: n.key, Target: n.target, HasTarget: n.hasTarget,
			HasFlag: n.hasFlag, Flag: n.flag, Packet: n.packet(),
		}, nil
	default:
		return Request{
			ID: r.id, Index: r.index, Received: r.received, MAC: r.mac,
			Packet: r.packet(),
		}, nil
	}
}

// ParseNewAnswer decodes the answer to a new session.
func ParseNewAnswer(content []byte) (id uint32, key uint64, again []byte, err error) {
	m, err := parseNewAnswer(content)
	return m.id, m.key, m.packet(), err
}

// ParseResumeAnswer decodes the answer to a resume.
func ParseResumeAnswer(content []byte) (received uint32, code int, again []byte, err error) {
	m, err := parseResumeAnswer(content)
	return m.received, m.code, m.packet(), err
}

// SignResume returns the packet of a resume request with its code.
func SignResume(id uint32, index int64, received uint32, secret uint64) []byte {
	m := resumeRequest{id: id, index: index, received: received}
	m.mac = m.sign(secret)
	return m.packet()
}
