// Package snet implements the snet protocol, which is the suite DH64RC4, as
// docs/spec/snet.md specifies it. The sections that the comments name are that
// document's.
//
// The wire of a link is the cipher text of the stream and nothing else, so the
// package has no codec: it consists of two handshakes, for a new session and
// for a resume, each with a client's side (client.go) and a server's side
// (server.go), of their messages (messages.go), and of the ciphers that run on
// from link to link (session.go).
//
// None of it protects against an adversary (Security).
package snet

import (
	"crypto/rand"

	"github.com/relink-go/relink/dh64"
	"github.com/relink-go/relink/internal/suite"
)

// Options choose a variant of the protocol. Both sides must choose alike: the
// wire does not say which variant it carries.
type Options struct {
	// Cleartext leaves the stream unencrypted. The key exchange, the
	// encryption of the session's id and the MACs stay (The clear variant).
	Cleartext bool
}

// A Protocol is the snet protocol, both sides of it. Use [New].
type Protocol struct {
	Options

	// Where keys, ids and challenges come from, and whether the last two have
	// asides. Tests replace them to run the golden vectors.
	newKey    func() (privateKey, error)
	newNumber func() uint64
	asides    bool
}

// A privateKey is a [dh64.PrivateKey] except in tests.
type privateKey interface {
	PublicKey() uint64
	SharedSecret(peer uint64) (uint64, error)
}

var _ suite.Protocol = (*Protocol)(nil)

// New returns the protocol with the options.
func New(opts Options) *Protocol {
	return &Protocol{Options: opts, newKey: generateKey, newNumber: randomNumber, asides: true}
}

// String returns "DH64RC4", and says so where the stream is not encrypted.
func (p *Protocol) String() string {
	if p.Cleartext {
		return clearName
	}
	return name
}

const (
	name      = "DH64RC4"
	clearName = "DH64RC4 (stream not encrypted)"
)

// Traits returns none: the wire carries data and nothing else.
func (p *Protocol) Traits() suite.Traits { return suite.Traits{} }

func generateKey() (privateKey, error) { return dh64.GenerateKey() }

func randomNumber() uint64 {
	var b [8]byte
	rand.Read(b[:]) // it never fails
	return order.Uint64(b[:])
}
