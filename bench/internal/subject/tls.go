package subject

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	_ "unsafe" // for go:linkname
)

// tlsOverTCP is crypto/tls, version 1.3, with an ECDSA P-256 certificate that the
// client verifies. Tickets are as by default: sent by the server, not used here.
type tlsOverTCP struct {
	credentials Credentials
	x25519Only  bool
	aes256      bool
}

// suites is the order of preference of crypto/tls, which no configuration
// changes.
//
//go:linkname suites crypto/tls.defaultCipherSuitesTLS13
var suites []uint16

// choosing is held by a handshake that changes suites.
var choosing sync.Mutex

// handshake runs the client's side. The server takes what the client offers.
func (s tlsOverTCP) handshake(ctx context.Context, c *tls.Conn) error {
	if s.aes256 {
		choosing.Lock()
		defer choosing.Unlock()
		before := suites
		suites = []uint16{tls.TLS_AES_256_GCM_SHA384}
		defer func() { suites = before }()
	}
	return c.HandshakeContext(ctx)
}

func (s tlsOverTCP) Name() string {
	switch {
	case s.x25519Only:
		return TLSX25519
	case s.aes256:
		return TLSAES256
	default:
		return TLS
	}
}

func (s tlsOverTCP) About() string {
	switch {
	case s.x25519Only:
		return "The same with the key exchange X25519 alone. Only its handshake differs."
	case s.aes256:
		return "The same with the cipher suite TLS_AES_256_GCM_SHA384, as strong as that of relink Noise. Go offers no setting for it; the benchmark reaches into crypto/tls. " +
			"Only its data differs."
	}
	return "crypto/tls as it comes, TLS 1.3 only, with an ECDSA P-256 certificate that the client verifies. Encrypts and authenticates; " +
		"ends with its TCP connection."
}

func (tlsOverTCP) ConcurrentWrites() bool { return true }

func (s tlsOverTCP) Listen() (net.Listener, error) {
	t, err := s.credentials.tls(s.x25519Only, "")
	if err != nil {
		return nil, err
	}
	return newUpgrader(func(c net.Conn) (net.Conn, error) {
		conn := tls.Server(c, t.server)
		return conn, conn.Handshake()
	})
}

func (s tlsOverTCP) Dial(ctx context.Context, n Network, address string) (net.Conn, error) {
	configs, err := s.credentials.tls(s.x25519Only, "")
	if err != nil {
		return nil, err
	}
	t, err := n.DialTCP(ctx, address)
	if err != nil {
		return nil, err
	}
	c := tls.Client(t, configs.client)
	if err := s.handshake(ctx, c); err != nil {
		_ = t.Close()
		return nil, err
	}
	return c, nil
}

// NegotiatedTLS opens a connection of each subject that is TLS, and says what
// they agreed on.
func NegotiatedTLS(ctx context.Context, c Credentials) (string, error) {
	var said []string
	for _, s := range []tlsOverTCP{{credentials: c}, {credentials: c, x25519Only: true}, {credentials: c, aes256: true}} {
		p, err := Open(ctx, s, Loopback{})
		if err != nil {
			return "", err
		}
		state := p.Client.(*tls.Conn).ConnectionState()
		said = append(said, fmt.Sprintf("%s: %s, key exchange %v", s.Name(), tls.CipherSuiteName(state.CipherSuite), state.CurveID))
		p.Close()
	}
	return strings.Join(said, "; "), nil
}
