package websocket

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Network is what the addresses of this package return for Network.
const Network = "websocket"

// An Addr is the address of a [Listener], and of a peer of which nothing else is
// known: a URL, as a [Dialer] takes it.
type Addr string

// Network returns [Network].
func (Addr) Network() string { return Network }

// String returns the URL.
func (a Addr) String() string { return string(a) }

// clientAddr returns the address of the client whose request came over conn.
// Through trusted proxies it is the last one in their header that is none of
// theirs. Whoever is before that has told it himself.
func (cfg *Config) clientAddr(conn net.Addr, h http.Header) (net.Addr, error) {
	peer, ok := addrPort(conn)
	if !ok || !cfg.trusts(peer.Addr()) {
		return conn, nil
	}
	hops := strings.Split(strings.Join(h.Values(cfg.ClientAddrHeader), ","), ",")
	client := conn
	for i := len(hops) - 1; i >= 0; i-- {
		hop := strings.TrimSpace(hops[i])
		if hop == "" {
			continue
		}
		at, err := parseHop(hop)
		if err != nil {
			return nil, fmt.Errorf("the header %s of the proxy at %v has %.64q where an address belongs", cfg.ClientAddrHeader, conn, hop)
		}
		client = net.TCPAddrFromAddrPort(at)
		if !cfg.trusts(at.Addr()) {
			break
		}
	}
	return client, nil
}

func (cfg *Config) trusts(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	for _, prefix := range cfg.TrustedProxies {
		if prefix.Contains(ip) {
			return true
		}
	}
	return false
}

// parseHop parses an address with or without a port.
func parseHop(s string) (netip.AddrPort, error) {
	if at, err := netip.ParseAddrPort(s); err == nil {
		return netip.AddrPortFrom(at.Addr().Unmap(), at.Port()), nil
	}
	ip, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	return netip.AddrPortFrom(ip.Unmap(), 0), err
}

func addrPort(a net.Addr) (netip.AddrPort, bool) {
	if a, ok := a.(*net.TCPAddr); ok && a != nil {
		return a.AddrPort(), true
	}
	if a == nil {
		return netip.AddrPort{}, false
	}
	at, err := netip.ParseAddrPort(a.String())
	return at, err == nil
}
