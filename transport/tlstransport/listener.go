package tlstransport

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	"github.com/relink-go/relink/internal/transport"
)

// The defaults of [Config].
const (
	defaultHandshakeTimeout = 10 * time.Second
	defaultMaxHandshakes    = 1024
)

// The errors of connections that took too long. Their Read and Write return them
// in a *net.OpError that names the peer.
var (
	// ErrHandshakeTimeout is the error of connections whose handshake was not
	// over in time.
	ErrHandshakeTimeout = errors.New("tlstransport: no complete TLS handshake within the time limit")

	// ErrTooManyHandshakes is the error of connections that gave way to newer
	// ones in the middle of their handshake.
	ErrTooManyHandshakes = errors.New("tlstransport: too many TLS handshakes at a time")
)

// A Config is what a listener needs.
type Config struct {
	// TLS has the server's certificate. It is used as it is, so that
	// SetSessionTicketKeys and GetConfigForClient do what they say, and must
	// not be changed otherwise. Servers that share clients should share ticket
	// keys.
	TLS *tls.Config

	// HandshakeTimeout bounds a handshake. Default 10 seconds.
	HandshakeTimeout time.Duration

	// MaxHandshakes bounds the handshakes under way, the oldest of which gives
	// way to a new one, and the connections that wait for Accept. Default 1024.
	MaxHandshakes int
}

// NewListener returns a listener that takes its connections from inner. It
// accepts from inner at once, and closes it when it is closed. Its methods may be
// called from any goroutine.
//
// Accept waits for a connection whose handshake is complete, and returns it as a
// *[Conn]. One whose handshake failed is returned as well, closed, so that
// whoever serves it hears why: its Read and Write return the error.
func NewListener(inner net.Listener, cfg Config) (net.Listener, error) {
	if inner == nil {
		return nil, errors.New("tlstransport: NewListener needs an inner listener")
	}
	if t := cfg.TLS; t == nil || len(t.Certificates) == 0 && t.GetCertificate == nil && t.GetConfigForClient == nil {
		return nil, errors.New("tlstransport: Config.TLS has no certificate: set Certificates, GetCertificate or GetConfigForClient")
	}
	if cfg.HandshakeTimeout < 0 || cfg.MaxHandshakes < 0 {
		return nil, errors.New("tlstransport: HandshakeTimeout and MaxHandshakes are positive, or 0 for their defaults")
	}
	if cfg.HandshakeTimeout == 0 {
		cfg.HandshakeTimeout = defaultHandshakeTimeout
	}
	if cfg.MaxHandshakes == 0 {
		cfg.MaxHandshakes = defaultMaxHandshakes
	}
	return transport.NewListener(inner, transport.Settings{
		Name:    "tls",
		Timeout: cfg.HandshakeTimeout,
		Limit:   cfg.MaxHandshakes,
		Prepare: func(ctx context.Context, t net.Conn) (net.Conn, error) {
			c := newConn(t, cfg.TLS, tls.Server)
			return c, c.HandshakeContext(ctx)
		},
		Expired:   ErrHandshakeTimeout,
		PushedOut: ErrTooManyHandshakes,
	}), nil
}
