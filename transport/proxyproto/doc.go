// Package proxyproto speaks the PROXY protocol, versions 1 and 2, with which a
// load balancer tells a server whose connection it passes on
// (https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt).
//
// [NewListener] wraps a listener that stands behind such a balancer: its
// connections have the client's address as RemoteAddr. Whose headers are
// believed has to be said, because a header can claim any address:
//
//	inner, err := net.Listen("tcp", ":7000")
//	behind, err := proxyproto.NewListener(inner, proxyproto.Config{
//		Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
//	})
//	l, err := relink.NewListener(behind, cfg)
//
// A header is required from whoever is trusted; the protocol forbids guessing
// whether there is one. From others none is read: see [Config.Strangers].
//
// A [Dialer] is the other side, for a proxy: it writes a header before anything
// else.
package proxyproto
