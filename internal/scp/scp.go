package scp

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"

	"github.com/relink-go/relink/dh64"
	"github.com/relink-go/relink/internal/suite"
)

// FlagForbidForwardIP is the bit of a flag that forbids passing the client's
// address on to the back end.
const FlagForbidForwardIP = 1

// Options choose a variant of the protocol, and what a client tells the server when
// it opens a session.
type Options struct {
	// Cleartext leaves the stream unencrypted. The handshakes stay as they are.
	// Both sides must choose alike: the wire does not say which variant it carries.
	Cleartext bool

	// TargetServer names the back end that the client prefers. It consists of
	// ASCII letters, digits and underscores; empty means no preference. A server
	// ignores its own, as the Flag.
	TargetServer string

	// Flag is a set of 32 bits, hence from 0 to 2^32-1; see
	// [FlagForbidForwardIP]. It is an int64 for the sake of bindings that know
	// no unsigned numbers.
	Flag int64
}

// Protocol is the stable connection protocol with its options. It is safe for
// concurrent use.
type Protocol struct {
	wish      wish // what a client sends
	cleartext bool

	// Where the random choices come from, for tests to replace.
	newKey func() (privateKey, error)
	newID  func() uint32
}

// A privateKey is a [dh64.PrivateKey], or what a test has in its place.
type privateKey interface {
	PublicKey() uint64
	SharedSecret(peer uint64) (uint64, error)
}

var _ suite.Spaced = (*Protocol)(nil)

// New returns the protocol with the options, or an error that says which of
// them is out of range.
func New(o Options) (*Protocol, error) {
	if !sendableTarget(o.TargetServer) {
		return nil, fmt.Errorf("relink: SCPClient.TargetServer %.40q has other characters than a-z, A-Z, 0-9 and _", o.TargetServer)
	}
	if len(o.TargetServer) > maxTarget {
		return nil, fmt.Errorf("relink: SCPClient.TargetServer has %d bytes, more than %d", len(o.TargetServer), maxTarget)
	}
	if o.Flag < 0 || o.Flag > maxFlag {
		return nil, fmt.Errorf("relink: SCPClient.Flag %d is not from 0 to 2^32-1", o.Flag)
	}
	return &Protocol{
		// Old servers know neither line, so a client sends no more than it has to
		// say. The flag's line cannot stand without the target's.
		wish: wish{
			target:    o.TargetServer,
			flag:      o.Flag,
			hasTarget: o.TargetServer != "" || o.Flag != 0,
			hasFlag:   o.Flag != 0,
		},
		cleartext: o.Cleartext,
		newKey:    func() (privateKey, error) { return dh64.GenerateKey() },
		newID:     randomID,
	}, nil
}

// randomID returns a number from [1, 2^32) that nobody can guess.
func randomID() uint32 {
	for {
		var b [4]byte
		_, _ = rand.Read(b[:]) // never fails: it ends the process instead
		if id := binary.BigEndian.Uint32(b[:]); id != 0 {
			return id
		}
	}
}

// String implements [suite.Protocol].
func (p *Protocol) String() string { return Name(p.cleartext) }

// Name returns "SCP", and says so where the stream is not encrypted.
func Name(cleartext bool) string {
	if cleartext {
		return "SCP (stream not encrypted)"
	}
	return "SCP"
}

// Traits returns the zero Traits: the wire carries cipher text and nothing
// else.
func (p *Protocol) Traits() suite.Traits { return suite.Traits{} }

// minInterval is how long servers that are in use are known to need, with a margin for
// one under load (section 4).
const minInterval = 10 // milliseconds

// MinInterval implements [suite.Spaced].
func (p *Protocol) MinInterval() (milliseconds int) { return minInterval }

// matchContent is how much of a packet's content [Protocol.Match] judges, in
// bytes. With the header it makes 9 bytes, which is all that an snet client
// sends before it waits: to want more would leave such a client waiting for
// ever.
const matchContent = 7

// Match tells the beginning of a client's packet from those of the other
// protocols. It asks for 9 bytes: the length of a packet, and 7 bytes that begin
// either of the two requests.
//
// Of the other protocols only snet's new session can look like that, a zero and
// 8 bytes of a random public key. It does so with a probability of 1.4·10⁻⁸,
// once in 70 million, and is then lost for that attempt. The first two bytes of
// an SCP packet always look like snet's, so it is for snet to leave to SCP what
// can be either.
func (p *Protocol) Match(first []byte) suite.Match {
	if first[0] > maxPacket>>8 {
		return suite.MatchNo
	}
	if len(first) < headerSize {
		return suite.MatchMore
	}
	if n := int(binary.BigEndian.Uint16(first)); n < minRequest || n > maxPacket {
		return suite.MatchNo
	}
	content := first[headerSize:]
	content = content[:min(len(content), matchContent)]
	numbers := 3 // the lines before the base64
	line, start := 0, 0
	for i, c := range content {
		if i == 0 && c == '0' {
			numbers = 1
		}
		switch {
		case line == numbers:
			if !isAlphanumeric(c) && c != '+' && c != '/' {
				return suite.MatchNo
			}
		case c == '\n' && i > start:
			line, start = line+1, i+1
		case !isDigit(c), i > start && content[start] == '0':
			return suite.MatchNo
		}
	}
	if len(content) < matchContent {
		return suite.MatchMore
	}
	return suite.MatchYes
}
