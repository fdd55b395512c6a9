// Package noise implements the suite Noise, as docs/spec/noise.md specifies it.
// The sections that the comments name are that document's.
//
// The handshakes, of a new session, of a resume and of a query, are those of
// the Noise Protocol Framework (handshake.go) with clear bytes around them
// (messages.go); each has a client's side (client.go) and a server's side
// (server.go). What they agree on is derived in keyschedule.go, kept in
// session.go, and used in codec.go, which seals the records of one link.
//
// Implemented are the patterns in which the client has no key of its own and
// the server admits everybody: NK, and NN without a server's key.
package noise

import (
	"errors"
	"fmt"
	"io"
	"math"

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

	// Node is the number of this server in a fleet, and 0 outside of one
	// (Request).
	Node int64
}

// A Protocol is the Noise suite, both sides of it. Use [New].
type Protocol struct {
	servers  []serverKey
	pins     []PublicKey
	insecure bool
	node     uint32
	window   int64
	cipher   cipherID // that a client chooses

	// Where ephemeral keys come from: nil is crypto/rand. Tests replace it to
	// run the golden vectors.
	random io.Reader
}

// A serverKey is a private key of the server with what clients call it.
type serverKey struct {
	private PrivateKey
	public  PublicKey
	hint    [hintSize]byte
}

var _ suite.Configurable = (*Protocol)(nil)

// New returns the protocol with the options, or what is wrong with them.
func New(opts Options) (*Protocol, error) {
	if opts.Node < 0 || opts.Node > math.MaxUint32 {
		server := "NoiseServer"
		if opts.Insecure {
			server = "InsecureNoiseServer"
		}
		return nil, fmt.Errorf("relink: %s.Node is %d: nodes are numbered from 1 to 2^32-1", server, opts.Node)
	}
	p := &Protocol{insecure: opts.Insecure, node: uint32(opts.Node), window: maxWindow, cipher: preferredCipher()}
	if opts.Insecure && len(opts.ServerKeys)+len(opts.PinnedKeys) > 0 {
		return nil, errors.New("relink: the insecure suite uses no keys")
	}
	if n := len(opts.ServerKeys); n > maxKeys {
		return nil, fmt.Errorf("relink: NoiseServer.Keys has %d keys: use at most %d", n, maxKeys)
	}
	if n := len(opts.PinnedKeys); n > maxKeys {
		return nil, fmt.Errorf("relink: NoiseClient.ServerKeys has %d keys: use at most %d", n, maxKeys)
	}
	hints := make(map[[hintSize]byte]bool)
	for i, private := range opts.ServerKeys {
		public, err := private.PublicKey()
		if err != nil {
			return nil, fmt.Errorf("relink: NoiseServer.Keys[%d] is zero: use GenerateKey or ParsePrivateKey", i)
		}
		k := serverKey{private, public, keyHint(public)}
		if hints[k.hint] {
			return nil, fmt.Errorf("relink: NoiseServer.Keys[%d] has the same key hint as one before it: generate another", i)
		}
		hints[k.hint] = true
		p.servers = append(p.servers, k)
	}
	for i, k := range opts.PinnedKeys {
		if k == (PublicKey{}) {
			return nil, fmt.Errorf("relink: NoiseClient.ServerKeys[%d] is zero: use PrivateKey.PublicKey or ParsePublicKey", i)
		}
		p.pins = append(p.pins, k)
	}
	return p, nil
}

// Configure implements [suite.Configurable].
func (p *Protocol) Configure(server bool, window int64) (suite.Protocol, error) {
	switch {
	case p.insecure:
	case server && len(p.servers) == 0:
		return nil, errors.New("relink: NoiseServer.Keys is empty: a server needs a private key")
	case !server && len(p.pins) == 0:
		return nil, errors.New("relink: NoiseClient.ServerKeys is empty: a client needs the server's public key")
	}
	if window < 1 || window > maxWindow {
		return nil, fmt.Errorf("relink: the suite Noise cannot tell a window of %d bytes", window)
	}
	q := *p
	q.window = window
	return &q, nil
}

// String names the suite, and says so where nobody proves who they are.
func (p *Protocol) String() string {
	if p.insecure {
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
