package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/relink-go/relink/transport/kcp"
	"github.com/relink-go/relink/transport/proxyproto"
	"github.com/relink-go/relink/transport/quic"
	"github.com/relink-go/relink/transport/tlstransport"
	"github.com/relink-go/relink/transport/websocket"
)

// An endpoint is an address where serve takes sessions, and how.
type endpoint struct {
	carrier

	certificate, certificateKey string // files; empty is a certificate that serve makes

	balancers  []netip.Prefix // whose PROXY header is believed, and required
	unixTrust  bool           // so is that of whoever reaches the Unix socket
	forwarders []netip.Prefix // whose X-Forwarded-For is believed
	origins    []string       // of web pages that may connect, beside the server's own
	shards     shards         // of KCP
	socket     string         // the name of systemd's for it, or empty

	shown *tls.Certificate // of the files, by check
}

// check completes the endpoint with what it names, and returns what is wrong with it.
// proven says that the suites prove who the server is, without a certificate.
func (e *endpoint) check(proven bool) (err error) {
	switch {
	case (e.certificate == "") != (e.certificateKey == ""):
		return fmt.Errorf("%v: a certificate and its key belong together", e.carrier)
	case e.certificate != "" && !e.secure():
		return fmt.Errorf("%v has no use for a certificate: tls://, wss:// and quic:// have", e.carrier)
	case e.secure() && e.certificate == "" && !proven:
		return fmt.Errorf("%v needs a certificate: the suite noise alone proves who the server is, and makes do with one that nobody vouches for", e.carrier)
	case (len(e.balancers) > 0 || e.unixTrust) && e.packets():
		return fmt.Errorf("%v: the PROXY protocol is for TCP and Unix sockets", e.carrier)
	case e.unixTrust && e.scheme != overUnix:
		return fmt.Errorf("%v is no Unix socket: name the addresses of the proxies", e.carrier)
	case len(e.balancers) > 0 && e.scheme == overUnix:
		return fmt.Errorf("%v: who may use a Unix socket its permissions say: let the prefix be unix", e.carrier)
	case (len(e.forwarders) > 0 || len(e.origins) > 0) && !e.web():
		return fmt.Errorf("%v is no WebSocket: it has neither origins nor X-Forwarded-For", e.carrier)
	case e.shards != shards{} && e.scheme != overKCP:
		return fmt.Errorf("%v: shards are for kcp://", e.carrier)
	}
	if e.socket != "" && e.packets() {
		return fmt.Errorf("%v opens its own socket: systemd gives those of streams", e.carrier)
	}
	if e.secure() {
		e.shown, err = readCertificate(e.certificate, e.certificateKey)
	}
	return err
}

// same says whether two endpoints are the same but for the contents of their
// certificate.
func (e *endpoint) same(o *endpoint) bool {
	return e.carrier == o.carrier && e.certificate == o.certificate && e.certificateKey == o.certificateKey &&
		slices.Equal(e.balancers, o.balancers) && e.unixTrust == o.unixTrust &&
		slices.Equal(e.forwarders, o.forwarders) && slices.Equal(e.origins, o.origins) && e.shards == o.shards && e.socket == o.socket
}

// An opened endpoint is one that listens.
type opened struct {
	net.Listener
	carrier     carrier // with the address that it has got
	certificate certificate
}

// open listens.
func (e *endpoint) open(s *sockets) (*opened, error) {
	o := new(opened)
	o.certificate.current.Store(e.shown)
	var err error
	if e.packets() {
		o.Listener, err = e.openPackets(&o.certificate)
	} else {
		o.Listener, err = e.openStreams(o, s)
	}
	if err != nil {
		return nil, inUse(err)
	}
	if e.packets() {
		o.carrier = e.carrier.at(o.Listener.Addr())
	}
	return o, nil
}

func (e *endpoint) openPackets(c *certificate) (net.Listener, error) {
	if e.scheme == overKCP {
		return kcp.Listen(e.address, e.shards.config())
	}
	return quic.Listen("udp", e.address, quic.Config{TLSConfig: c.config()})
}

// openStreams opens a socket, and what is on top of it.
func (e *endpoint) openStreams(o *opened, s *sockets) (l net.Listener, err error) {
	g, err := s.listen(e.carrier, e.socket)
	if err != nil {
		return nil, err
	}
	l = g
	defer func() {
		if err != nil {
			_ = g.Close()
		}
	}()
	o.carrier = e.carrier.at(l.Addr())
	if len(e.balancers) > 0 || e.unixTrust {
		if l, err = proxyproto.NewListener(l, proxyproto.Config{Trusted: e.balancers, TrustUnix: e.unixTrust}); err != nil {
			return nil, err
		}
	}
	switch {
	case e.scheme == overTLS:
		return tlstransport.NewListener(l, tlstransport.Config{TLS: o.certificate.config()})
	case e.web():
		cfg := websocket.Config{Path: e.path, Origins: e.origins, TrustedProxies: e.forwarders}
		if e.scheme == overWSS {
			cfg.TLSConfig = o.certificate.config()
		}
		return websocket.Serve(l, cfg)
	default:
		return l, nil
	}
}

// openAll opens all of the endpoints, or none.
func openAll(endpoints []*endpoint, s *sockets) (_ []*opened, err error) {
	var all []*opened
	defer func() {
		if err != nil {
			for _, o := range all {
				_ = o.Close()
			}
		}
	}()
	for _, e := range endpoints {
		o, err := e.open(s)
		if err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	return all, nil
}

// shards are how many packets KCP's error correction puts together, and how many it
// adds.
type shards struct{ data, parity int }

func (s shards) config() kcp.Config {
	return kcp.Config{DataShards: s.data, ParityShards: s.parity}
}

// String is the form that Set takes.
func (s *shards) String() string {
	if *s == (shards{}) {
		return ""
	}
	return fmt.Sprintf("%d,%d", s.data, s.parity)
}

// Set reads two numbers with a comma between.
func (s *shards) Set(text string) error {
	data, parity, ok := strings.Cut(text, ",")
	d, err1 := strconv.Atoi(strings.TrimSpace(data))
	p, err2 := strconv.Atoi(strings.TrimSpace(parity))
	const most = 128 // of both together 256
	if !ok || err1 != nil || err2 != nil || d < 1 || p < 1 || d > most || p > most {
		return fmt.Errorf("%q is not two numbers from 1 to %d: 10,3 for instance", text, most)
	}
	s.data, s.parity = d, p
	return nil
}

// parsePrefix reads a network, or a single address.
func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, errors.New(strconv.Quote(s) + " is neither an address nor a network: 10.0.0.0/8, for instance")
	}
	return p, nil
}

// trust adds whose PROXY header is believed.
func (e *endpoint) trust(s string) error {
	if s == overUnix {
		e.unixTrust = true
		return nil
	}
	p, err := parsePrefix(s)
	e.balancers = append(e.balancers, p)
	return err
}
