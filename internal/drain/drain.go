// Package drain judges where a client may be sent by its server.
package drain

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// Target returns the address that a client which has dialled one is to dial for
// another, as a server has named it: ":port" is another port of the same host.
func Target(dialled, named string) (string, error) {
	host, port, err := net.SplitHostPort(named)
	if err != nil || port == "" {
		return "", fmt.Errorf("%q is not host:port", named)
	}
	if host != "" {
		return named, nil
	}
	if host, _, err = net.SplitHostPort(dialled); err != nil {
		return "", fmt.Errorf("%q is a port of the host that was dialled, and %q has none", named, dialled)
	}
	return net.JoinHostPort(host, port), nil
}

// SameHost returns an error unless both addresses name one host.
func SameHost(dialled, target string) error {
	a, _, errA := net.SplitHostPort(dialled)
	b, _, errB := net.SplitHostPort(target)
	if errA != nil || errB != nil || !strings.EqualFold(a, b) {
		return fmt.Errorf("%q is not the host that was dialled (%q)", target, dialled)
	}
	return nil
}

// A Reach says how far inside an address leads: the smaller, the farther out.
type Reach int

// The kinds of addresses.
const (
	Public  Reach = iota
	Private       // of a site's network, shared with its carrier, or of none
	Link          // of one link, or a group
	Host          // of this machine
)

// String names the kind.
func (r Reach) String() string { return [...]string{"public", "private", "link-local", "loopback"}[r] }

// carriers is what RFC 6598 has set aside for carriers' own networks.
var carriers = netip.MustParsePrefix("100.64.0.0/10")

// ReachOf returns the kind of an address. ok is false where it is none of IP.
func ReachOf(address string) (r Reach, ok bool) {
	if ap, err := netip.ParseAddrPort(address); err == nil {
		address = ap.Addr().String()
	}
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return Public, false
	}
	ip = ip.Unmap()
	switch {
	case ip.IsLoopback(), ip.IsUnspecified():
		return Host, true
	case ip.IsLinkLocalUnicast(), ip.IsMulticast():
		return Link, true
	case ip.IsPrivate(), carriers.Contains(ip):
		return Private, true
	default:
		return Public, true
	}
}

// Check returns an error if an address leads farther inside than most. One that is none
// of IP does not.
func Check(address string, most Reach) error {
	if r, _ := ReachOf(address); r > most {
		return fmt.Errorf("%s is a %v address, and what was dialled first is a %v one", address, r, most)
	}
	return nil
}
