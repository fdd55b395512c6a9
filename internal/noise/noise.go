// Package noise implements the suite Noise, as docs/spec/noise.md specifies it.
// The sections that the comments name are that document's.
//
// The handshakes, of a new session, of a resume and of a query, are those of
// the Noise Protocol Framework with its extension for hybrid secrecy
// (symmetric.go, handshake.go, kem.go; kind.go has the patterns), with clear
// bytes around them (messages.go); each has a client's side (client.go) and a
// server's side (server.go). Which keys a request wants is found in keyring.go
// by its hint (hint.go). What they agree on is derived in keyschedule.go, kept in
// session.go, and used in codec.go, which seals the records of one link.
package noise

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math"
	"unicode"
	"unicode/utf8"

	"github.com/relink-go/relink/internal/suite"
)

// The names of the suite, without a server's key the second.
const (
	Name         = "Noise"
	InsecureName = "Noise (insecure: the server is not authenticated)"
)

// Options say who is who. A protocol may have both sides' keys.
type Options struct {
	// ServerKeys are the private keys that a server answers with. It has
	// several while it rotates them.
	ServerKeys []PrivateKey

	// PinnedKeys are the server keys that a client trusts, in the order in
	// which it tries them.
	PinnedKeys []PublicKey

	// Insecure is the pattern NN on both sides: nobody proves who they are.
	Insecure bool

	// ClientKey is the client's own key, and zero if it has none (IK).
	ClientKey PrivateKey

	// RequireClientKey makes a server turn clients without a key away.
	RequireClientKey bool

	// PresharedKeys are those that a server takes, one of which every client has
	// to have; or the client's, one (PSK).
	PresharedKeys []PresharedKey

	// Classical makes a client leave ML-KEM out, and a server take such clients
	// beside the others (Hybrid).
	Classical bool

	// Target is what a client would like to reach behind the server.
	Target string

	// Node is the number of this server in a fleet, and 0 outside of one
	// (Request).
	Node int64
}

// side returns what a side's options are called where users set them.
func (o *Options) side(side string) string {
	if o.Insecure {
		return "InsecureNoise" + side
	}
	return "Noise" + side
}

// A Protocol is the Noise suite, both sides of it. Use [New].
type Protocol struct {
	opts   Options
	pins   []PublicKey
	node   uint32
	window int64
	cipher cipherID // that a client chooses

	ring *ring // a server's keys; each that is configured has its own

	clientPublic PublicKey // of Options.ClientKey

	// Whose word about a session is final: a random number of each server that is
	// configured (Query).
	instance uint32

	// The versions that this side speaks: version, but in tests.
	lowest, highest byte

	// Where ephemeral keys come from: nil is crypto/rand. Tests replace it to
	// run the golden vectors.
	random io.Reader
}

var _ suite.Configurable = (*Protocol)(nil)

// New returns the protocol with the options, or what is wrong with them.
func New(opts Options) (*Protocol, error) {
	if opts.Node < 0 || opts.Node > math.MaxUint32 {
		return nil, fmt.Errorf("relink: %s.Node is %d: nodes are numbered from 1 to 2^32-1", opts.side("Server"), opts.Node)
	}
	if opts.Insecure && (len(opts.ServerKeys)+len(opts.PinnedKeys) > 0 || opts.ClientKey != (PrivateKey{}) || opts.RequireClientKey) {
		return nil, errInsecureKeys
	}
	if len(opts.PinnedKeys) > maxKeys {
		return nil, fmt.Errorf("relink: NoiseClient.ServerKeys has %d keys: use at most %d", len(opts.PinnedKeys), maxKeys)
	}
	if err := checkTarget(opts.Target); err != nil {
		return nil, fmt.Errorf("relink: %s.Target: %w", opts.side("Client"), err)
	}
	ring, err := newKeyring(opts.side("Server"), opts.ServerKeys, opts.PresharedKeys)
	if err != nil {
		return nil, err
	}
	for i, k := range opts.PinnedKeys {
		if k == (PublicKey{}) {
			return nil, fmt.Errorf("relink: NoiseClient.ServerKeys[%d] is zero: use PrivateKey.PublicKey or ParsePublicKey", i)
		}
	}
	p := &Protocol{
		opts: opts, pins: append([]PublicKey(nil), opts.PinnedKeys...), node: uint32(opts.Node),
		window: maxWindow, cipher: preferredCipher(), lowest: version, highest: version,
	}
	p.opts.ServerKeys, p.opts.PinnedKeys, p.opts.PresharedKeys = nil, nil, nil // the ring and pins have them
	if opts.ClientKey != (PrivateKey{}) {
		p.clientPublic = p.opts.ClientKey.public()
	}
	p.setRing(ring)
	return p, nil
}

var (
	errNoKeys       = errors.New("relink: NoiseServer.Keys is empty: a server needs a private key")
	errInsecureKeys = errors.New("relink: the insecure suite uses no keys of servers and clients")
	errOpened       = errors.New("relink: without a pre-shared key the server would be open to everybody: generate one to keep everybody out")
)

// setRing gives the protocol a ring of its own.
func (p *Protocol) setRing(r *keyring) {
	p.ring = new(ring)
	p.ring.Store(r)
}

// errTarget is the mistake of a name that cannot be sent, or that a peer has
// sent all the same.
var errTarget = fmt.Errorf("the name of a target is UTF-8 of at most %d bytes, without control characters", maxTarget)

func checkTarget(name string) error {
	if len(name) > maxTarget || !utf8.ValidString(name) {
		return errTarget
	}
	for _, r := range name {
		if unicode.IsControl(r) {
			return errTarget
		}
	}
	return nil
}

// Configure implements [suite.Configurable].
func (p *Protocol) Configure(server bool, window int64) (suite.Protocol, error) {
	if err := checkFIPS(); err != nil {
		return nil, err
	}
	ring := p.ring.Load()
	switch {
	case !server && len(ring.psks) > 1:
		return nil, fmt.Errorf("relink: a client takes one pre-shared key, and here are %d", len(ring.psks))
	case p.opts.Insecure:
	case server && len(ring.keys) == 0:
		return nil, errNoKeys
	case !server && len(p.pins) == 0:
		return nil, errors.New("relink: NoiseClient.ServerKeys is empty: a client needs the server's public key")
	}
	if window < 1 || window > maxWindow {
		return nil, fmt.Errorf("relink: the suite Noise cannot tell a window of %d bytes", window)
	}
	q := *p
	q.window = window
	if server {
		q.instance = newInstance()
	}
	q.setRing(ring)
	return &q, nil
}

func newInstance() uint32 {
	var b [4]byte
	rand.Read(b[:]) // it never fails
	return order.Uint32(b[:])
}

// SetServerKeys gives a server other keys for what begins from now on: new
// sessions, and queries. A session keeps the key that it began with.
func (p *Protocol) SetServerKeys(keys []PrivateKey) error {
	switch {
	case p.opts.Insecure:
		return errInsecureKeys
	case len(keys) == 0:
		return errNoKeys
	}
	return p.ring.change(func(r *keyring) (*keyring, error) { return newKeyring(p.opts.side("Server"), keys, r.presharedKeys()) })
}

// SetPresharedKeys does the same with the PSKs. A server that has asked for them
// goes on to do so.
func (p *Protocol) SetPresharedKeys(psks []PresharedKey) error {
	return p.ring.change(func(r *keyring) (*keyring, error) {
		if len(r.psks) > 0 && len(psks) == 0 {
			return nil, errOpened
		}
		return newKeyring(p.opts.side("Server"), r.privateKeys(), psks)
	})
}

// kind returns the kind of new session that a client asks for.
func (p *Protocol) kind() kind {
	k := patternNK
	switch {
	case p.opts.Insecure:
		k = patternNN
	case p.opts.ClientKey != (PrivateKey{}):
		k = patternIK
	}
	if len(p.ring.Load().psks) > 0 {
		k |= withPSK
	}
	if !p.opts.Classical {
		k |= hybrid
	}
	return k
}

// offers reports whether a server takes requests of the kind.
func (p *Protocol) offers(k kind, ring *keyring) bool {
	switch {
	case !k.known() || k.keyed() == p.opts.Insecure:
		return false
	case k.isNew():
		return k.psk() == (len(ring.psks) > 0) &&
			(k.isHybrid() || p.opts.Classical) &&
			(k.clientKeyed() || !p.opts.RequireClientKey)
	case k == queryNN, k == queryNNPSK:
		return k.psk() == (len(ring.psks) > 0)
	default:
		return true
	}
}

// String names the suite, and says so where nobody proves who they are.
func (p *Protocol) String() string {
	if p.opts.Insecure {
		return InsecureName
	}
	return Name
}

// Traits returns all.
func (p *Protocol) Traits() suite.Traits {
	return suite.Traits{Acks: true, HalfClose: true, Pings: true, Copies: true}
}

// Match tells a Noise client from the clients of the other protocols by its
// first byte, which no other sends (Several suites on one port).
func (p *Protocol) Match(first []byte) suite.Match {
	if first[0] == magic {
		return suite.MatchYes
	}
	return suite.MatchNo
}
