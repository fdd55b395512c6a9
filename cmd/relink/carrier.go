package main

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/relink-go/relink/proxy"
)

// A carrier is what carries sessions, and where: an address as flags and files have
// it.
type carrier struct {
	scheme  string // one of schemes
	address string // host:port, or the path of a Unix socket
	path    string // of a WebSocket
}

// The schemes of carriers. The first two are written without one, and as unix:path.
const (
	overTCP  = "tcp"
	overUnix = "unix"
	overTLS  = "tls"
	overWS   = "ws"
	overWSS  = "wss"
	overQUIC = "quic"
	overKCP  = "kcp"
)

var schemes = []string{overTCP, overTLS, overWS, overWSS, overQUIC, overKCP}

func parseCarrier(s string) (carrier, error) {
	if !strings.Contains(s, "://") {
		network, address, err := proxy.SplitAddress(s)
		if err != nil {
			return carrier{}, fmt.Errorf("%q is neither host:port nor unix:/a/path, nor one of these with tls://, ws://, wss://, quic:// or kcp:// before it", s)
		}
		return carrier{scheme: network, address: address}, nil
	}
	u, err := url.Parse(s)
	if err != nil {
		return carrier{}, err
	}
	c := carrier{scheme: u.Scheme, address: u.Host, path: u.Path}
	switch {
	case !slices.Contains(schemes, c.scheme):
		return carrier{}, fmt.Errorf("%q: sessions are carried by %s, or a Unix socket", s, strings.Join(schemes, ", "))
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return carrier{}, fmt.Errorf("%q: only host, port and, for a WebSocket, a path belong there", s)
	case c.web() && c.path == "":
		c.path = "/"
	case !c.web() && c.path != "":
		return carrier{}, fmt.Errorf("%q: only a WebSocket has a path", s)
	}
	if _, _, err := proxy.SplitAddress(c.address); err != nil {
		return carrier{}, fmt.Errorf("%q has no host:port behind the slashes", s)
	}
	return c, nil
}

// String is the address as it is written.
func (c carrier) String() string {
	switch c.scheme {
	case overTCP:
		return c.address
	case overUnix:
		return "unix:" + c.address
	default:
		return c.scheme + "://" + c.address + c.path
	}
}

// at is the carrier with the address that it has got.
func (c carrier) at(a net.Addr) carrier {
	c.address = a.String()
	return c
}

func (c carrier) web() bool     { return c.scheme == overWS || c.scheme == overWSS }
func (c carrier) packets() bool { return c.scheme == overQUIC || c.scheme == overKCP }

// secure says whether a certificate is a part of it.
func (c carrier) secure() bool {
	return c.scheme == overTLS || c.scheme == overWSS || c.scheme == overQUIC
}
