package proxyproto

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/relink-go/relink/internal/transport"
)

// DefaultMaxHeader is the default of [Config.MaxHeader], for callers of [ReadHeader].
const DefaultMaxHeader = 4 << 10

const (
	defaultHeaderTimeout = 5 * time.Second
	defaultMaxPending    = 1024
)

// A Policy says what becomes of connections from addresses that are not
// trusted. No header is read from them.
type Policy int

// The policies.
const (
	// Refuse closes them. Their Read and Write return [ErrStranger].
	Refuse Policy = iota
	// PassThrough takes them as direct connections: all that they send belongs
	// to the stream, a header too.
	PassThrough
)

// A Config says whose headers are believed.
type Config struct {
	// Trusted are the addresses of the proxies. A trusted peer must send a
	// header. There is no default: whoever is trusted can claim any address.
	Trusted []netip.Prefix

	// TrustUnix makes peers trusted that come over a Unix socket, whose file's
	// permissions say who may. Then Trusted may be empty.
	TrustUnix bool

	// Strangers says what becomes of connections from everybody else. Default
	// [Refuse].
	Strangers Policy

	// HeaderTimeout bounds the time from Accept of the inner listener to the
	// last byte of the header. Default 5 seconds.
	HeaderTimeout time.Duration

	// MaxHeader bounds the length of a header in bytes. Default 4 KiB, which
	// is room for a client's certificate.
	MaxHeader int

	// MaxPending bounds the connections whose header is not complete, the
	// oldest of which gives way to a new one, and those that wait for Accept.
	// Default 1024.
	MaxPending int

	// Check may look at a header and refuse the connection with an error, for
	// instance for what a TLV says. proxy is the address of the peer. It is
	// called from several goroutines, and may block for as long as
	// HeaderTimeout allows. Nil accepts all.
	Check func(ctx context.Context, proxy net.Addr, h *Header) error
}

// NewListener returns a listener that takes its connections from inner. It
// accepts from inner at once, and closes it when it is closed. Its methods may be
// called from any goroutine.
//
// Accept waits for a connection whose header is complete, while any number of
// others are silent. A connection without a right to be here is returned as
// well, closed, so that whoever serves it hears why: its Read and Write return
// the error.
//
// RemoteAddr and LocalAddr are those of the header, and those of the connection
// where the header has none. Deadlines, CloseWrite and SetLinger go to the
// connection below, which NetConn returns.
func NewListener(inner net.Listener, cfg Config) (net.Listener, error) {
	if inner == nil {
		return nil, errors.New("proxyproto: NewListener needs an inner listener")
	}
	if len(cfg.Trusted) == 0 && !cfg.TrustUnix {
		return nil, errors.New("proxyproto: Config.Trusted is empty: name the addresses of the proxies whose headers are believed")
	}
	for i, p := range cfg.Trusted {
		if !p.IsValid() {
			return nil, fmt.Errorf("proxyproto: Config.Trusted[%d] is not a valid prefix", i)
		}
	}
	if cfg.Strangers != Refuse && cfg.Strangers != PassThrough {
		return nil, fmt.Errorf("proxyproto: Config.Strangers is %d: use Refuse or PassThrough", cfg.Strangers)
	}
	if cfg.HeaderTimeout < 0 || cfg.MaxHeader < 0 || cfg.MaxPending < 0 {
		return nil, errors.New("proxyproto: HeaderTimeout, MaxHeader and MaxPending are positive, or 0 for their defaults")
	}
	if cfg.HeaderTimeout == 0 {
		cfg.HeaderTimeout = defaultHeaderTimeout
	}
	if cfg.MaxHeader == 0 {
		cfg.MaxHeader = DefaultMaxHeader
	}
	if cfg.MaxPending == 0 {
		cfg.MaxPending = defaultMaxPending
	}
	cfg.Trusted = append([]netip.Prefix(nil), cfg.Trusted...)
	return transport.NewListener(inner, transport.Settings{
		Name:      "proxyproto",
		Timeout:   cfg.HeaderTimeout,
		Limit:     cfg.MaxPending,
		Prepare:   cfg.prepare,
		Expired:   ErrHeaderTimeout,
		PushedOut: ErrTooManyPending,
	}), nil
}

// prepare reads the header of a connection.
func (cfg *Config) prepare(ctx context.Context, t net.Conn) (net.Conn, error) {
	if !cfg.trusts(t.RemoteAddr()) {
		if cfg.Strangers == PassThrough {
			return t, nil
		}
		return nil, ErrStranger
	}
	h, err := ReadHeader(t, cfg.MaxHeader)
	if err != nil {
		return nil, err
	}
	if cfg.Check != nil {
		if err := cfg.Check(ctx, t.RemoteAddr(), h); err != nil {
			return nil, err
		}
	}
	return &conn{transport.Conn{Conn: t}, h}, nil
}

// trusts reports whether the headers of a peer are believed.
func (cfg *Config) trusts(a net.Addr) bool {
	var ip netip.Addr
	switch a := a.(type) {
	case nil:
		return false
	case *net.UnixAddr:
		return cfg.TrustUnix
	case *net.TCPAddr:
		ip = a.AddrPort().Addr()
	default:
		ap, err := netip.ParseAddrPort(a.String())
		if err != nil {
			return false
		}
		ip = ap.Addr()
	}
	ip = ip.Unmap().WithZone("") // a prefix contains no address with a zone
	for _, p := range cfg.Trusted {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// A conn is a connection whose header has been read, and nothing else.
type conn struct {
	transport.Conn
	header *Header
}

// RemoteAddr returns the client's address.
func (c *conn) RemoteAddr() net.Addr {
	if c.header.hasAddresses() {
		return c.header.Source
	}
	return c.Conn.RemoteAddr()
}

// LocalAddr returns the address that the client connected to.
func (c *conn) LocalAddr() net.Addr {
	if c.header.hasAddresses() {
		return c.header.Destination
	}
	return c.Conn.LocalAddr()
}

// HeaderOf returns the header that came with a connection of [NewListener], also
// if the connection is below others that have a NetConn method, as those of
// crypto/tls do. It is not to be changed. It returns false for connections that
// were passed through.
func HeaderOf(c net.Conn) (*Header, bool) {
	for range 8 { // wrappers do not nest deeper; a cycle must not hang us
		switch t := c.(type) {
		case *conn:
			return t.header, true
		case interface{ NetConn() net.Conn }:
			c = t.NetConn()
		default:
			return nil, false
		}
	}
	return nil, false
}
