package proxy

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/transport/proxyproto"
	"github.com/relink-go/relink/transport/tlstransport"
)

// defaultDialTimeout is the default of [Upstream.DialTimeout].
const defaultDialTimeout = 5 * time.Second

// deadFor is how long an address that did not answer is tried last.
const deadFor = 10 * time.Second

// An Upstream is a server behind a proxy. It may be used by any number of
// goroutines; its exported fields must not be changed while it is.
type Upstream struct {
	// Addresses are where it is: host:port, or the path of a Unix socket behind
	// "unix:". Of a host all addresses are tried that the name service gives, which
	// is asked for each connection. Connections take turns among all; an address
	// that has failed is tried last for ten seconds.
	Addresses []string

	// DialTimeout bounds one attempt with one address, with all that is on top of the
	// connection. Default 5 seconds.
	DialTimeout time.Duration

	// ProxyProtocol is the version of the PROXY protocol, 1 or 2, in whose header
	// the server is told the client's address, and in version 2 the session's
	// ID as the unique ID. Zero means none. A client of the suite SCP that forbids it
	// by its flag stays unnamed.
	ProxyProtocol int

	// TLS makes the connections ones of TLS, and says whom to believe. Where ServerName is
	// empty it is the host of the address. The PROXY header comes before TLS, as
	// HAProxy has it.
	TLS *tls.Config

	// Relink makes the connections sessions of relink: the suite, limits and observers
	// are those of this dialer; what opens its transports is set here. With TLS it
	// is below them. The PROXY header comes before the handshake on each transport.
	Relink *relink.Dialer

	// Resolver looks hosts up. Nil means [net.DefaultResolver].
	Resolver interface {
		LookupHost(ctx context.Context, host string) ([]string, error)
	}

	tickets tls.ClientSessionCache // of TLS, made by once
	once    sync.Once

	mu   sync.Mutex           // guards what follows
	turn int                  // counts connections
	dead map[string]time.Time // when an address failed last
}

// Check returns what is wrong with the settings: addresses that cannot be dialled,
// for instance. It dials nothing.
func (u *Upstream) Check() error {
	if len(u.Addresses) == 0 {
		return errors.New("proxy: an upstream without an address")
	}
	for _, a := range u.Addresses {
		if _, _, err := SplitAddress(a); err != nil {
			return err
		}
	}
	switch {
	case u.DialTimeout < 0:
		return fmt.Errorf("proxy: DialTimeout is %v, less than zero", u.DialTimeout)
	case u.ProxyProtocol < 0 || u.ProxyProtocol > 2:
		return fmt.Errorf("proxy: there is no version %d of the PROXY protocol, only 1 and 2", u.ProxyProtocol)
	case u.Relink != nil && u.Relink.Suite == nil:
		return errors.New("proxy: Relink is a dialer without a suite")
	case u.Relink != nil && u.Relink.DialTransport != nil:
		return errors.New("proxy: Relink is a dialer with a DialTransport, which is for the upstream to set")
	}
	return nil
}

// SplitAddress returns what [net.Dial] and [net.Listen] take for an address of
// this package: host:port, or the path of a Unix socket behind "unix:".
func SplitAddress(s string) (network, address string, err error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if path == "" {
			return "", "", errors.New("proxy: unix: without a path")
		}
		return "unix", path, nil
	}
	_, port, err := net.SplitHostPort(s)
	if err == nil && port == "" {
		err = errors.New("no port")
	}
	if err != nil {
		return "", "", fmt.Errorf("proxy: %q is neither host:port nor unix:/a/path: %w", s, err)
	}
	return "tcp", s, nil
}

// Dial connects to one of the addresses for a session, whose client the server
// is told of if ProxyProtocol says so. The error names each address that was tried.
func (u *Upstream) Dial(ctx context.Context, session *relink.Conn) (net.Conn, error) {
	if err := u.Check(); err != nil {
		return nil, err
	}
	targets, failures := u.targets(ctx)
	for _, t := range targets {
		c, err := u.dialOne(ctx, t, session)
		u.note(t, err)
		if err == nil {
			return c, nil
		}
		failures = append(failures, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(failures...)
}

// A target is an address without a name, and the host that it is one of.
type target struct{ network, address, host string }

// targets returns what to dial, the best first, and what could not be looked up.
func (u *Upstream) targets(ctx context.Context) (targets []target, failures []error) {
	for _, a := range u.Addresses {
		network, address, _ := SplitAddress(a) // Check has looked at it
		host, port, _ := net.SplitHostPort(address)
		if network == "unix" || host == "" || net.ParseIP(host) != nil {
			targets = append(targets, target{network, address, host})
			continue
		}
		lookup := u.Resolver
		if lookup == nil {
			lookup = net.DefaultResolver
		}
		within, cancel := context.WithTimeout(ctx, u.dialTimeout())
		ips, err := lookup.LookupHost(within, host)
		cancel()
		if err != nil {
			failures = append(failures, err)
		}
		for _, ip := range ips {
			targets = append(targets, target{network, net.JoinHostPort(ip, port), host})
		}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if n := len(targets); n > 0 {
		first := u.turn % n
		u.turn = (u.turn + 1) % (1 << 30)
		targets = slices.Concat(targets[first:], targets[:first])
	}
	now := time.Now()
	rank := func(t target) int {
		if failed, ok := u.dead[t.address]; ok && now.Sub(failed) < deadFor {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(targets, func(a, b target) int { return cmp.Compare(rank(a), rank(b)) })
	return targets, failures
}

func (u *Upstream) dialTimeout() time.Duration {
	if u.DialTimeout > 0 {
		return u.DialTimeout
	}
	return defaultDialTimeout
}

// dialOne connects to a target, through all the layers that are set.
func (u *Upstream) dialOne(ctx context.Context, t target, session *relink.Conn) (net.Conn, error) {
	dial := (&net.Dialer{Timeout: u.dialTimeout()}).DialContext
	if u.ProxyProtocol != 0 {
		h := u.header(session)
		introduced := proxyproto.Dialer{DialTransport: dial, Header: func(context.Context, net.Conn) (*proxyproto.Header, error) { return h, nil }}
		dial = introduced.DialContext
	}
	if u.TLS != nil {
		u.once.Do(func() { u.tickets = tls.NewLRUClientSessionCache(0) })
		cfg := u.TLS.Clone()
		if cfg.ServerName == "" {
			cfg.ServerName = t.host
		}
		if cfg.ClientSessionCache == nil {
			cfg.ClientSessionCache = u.tickets
		}
		secured := &tlstransport.Dialer{TLS: cfg, DialTransport: dial}
		dial = secured.DialContext
	}
	if u.Relink != nil {
		carried := *u.Relink
		carried.DialTransport = dial
		dial = carried.DialContext
	}
	ctx, cancel := context.WithTimeout(ctx, u.dialTimeout())
	defer cancel()
	return dial(ctx, t.network, t.address)
}

// note remembers how an attempt went.
func (u *Upstream) note(t target, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	for a, failed := range u.dead { // names change their addresses
		if now.Sub(failed) >= deadFor {
			delete(u.dead, a)
		}
	}
	switch {
	case err == nil:
		delete(u.dead, t.address)
	case u.dead == nil:
		u.dead = map[string]time.Time{t.address: now}
	default:
		u.dead[t.address] = now
	}
}

// header is that of the PROXY protocol for a session.
func (u *Upstream) header(session *relink.Conn) *proxyproto.Header {
	h := &proxyproto.Header{Version: u.ProxyProtocol}
	if r, ok := relink.SCPRequestOf(session); !ok || r.Flag&relink.SCPFlagForbidForwardIP == 0 {
		h.Source, h.Destination = nameable(u.ProxyProtocol, session.RemoteAddr(), session.LocalAddr())
	}
	if id := session.ID(); u.ProxyProtocol == 2 && len(id) <= 128 {
		h.TLVs = []proxyproto.TLV{{Type: proxyproto.TypeUniqueID, Value: []byte(id)}}
	}
	return h
}

// nameable returns the two addresses if a header of the version can say them.
func nameable(version int, source, destination net.Addr) (net.Addr, net.Addr) {
	switch source.(type) {
	case *net.TCPAddr:
		if _, ok := destination.(*net.TCPAddr); ok {
			return source, destination
		}
	case *net.UDPAddr:
		if _, ok := destination.(*net.UDPAddr); ok && version == 2 {
			return source, destination
		}
	}
	return nil, nil
}
