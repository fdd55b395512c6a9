package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"time"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/transport/kcp"
	"github.com/relink-go/relink/transport/quic"
	"github.com/relink-go/relink/transport/tlstransport"
	"github.com/relink-go/relink/transport/websocket"
)

// A target is the server that a client connects to.
type target struct {
	to    string
	suite clientSuite

	authorities, serverName string
	unverified              bool
	shards                  shards

	resumeTimeout    time.Duration
	handshakeTimeout time.Duration
}

func (t *target) register(flags *flag.FlagSet) {
	flags.StringVar(&t.to, "to", "", "the relink server: an `address`, host:port or unix:/a/path, or with tls://, ws://, wss://, quic:// or kcp:// before it")
	flags.Var((*list)(&t.suite.serverKeys), "server-key", "the server's public `key`; again for a second one while keys change")
	flags.StringVar(&t.suite.keyFile, "key", "", "a `file` with this client's own private key, where the server asks for one")
	flags.StringVar(&t.suite.preshared, "preshared-key", "", "a `file` with the pre-shared key, where the server asks for one")
	flags.StringVar(&t.suite.name, "suite", "noise", "the suite to speak, by `name`: noise, insecure-noise, dh64rc4, dh64rc4-clear, scp, scp-clear")
	flags.StringVar(&t.suite.target, "target", "", "the `name` of the server behind, for the suites noise and scp")
	flags.StringVar(&t.authorities, "ca", "", "for tls, wss and quic: believe the authorities in this `file`, in place of the system's")
	flags.StringVar(&t.serverName, "server-name", "", "for tls and quic: the `name` in the server's certificate (default the host)")
	flags.BoolVar(&t.unverified, "unverified", false, "for tls, wss and quic: take every certificate; the suite noise proves who the server is")
	flags.Var(&t.shards, "kcp-shards", "for kcp: `n,m`, as the server has it: m packets for error correction after each n")
	flags.DurationVar(&t.resumeTimeout, "resume-timeout", 0, "how long a session may be without a transport (default 2m)")
	flags.DurationVar(&t.handshakeTimeout, "handshake-timeout", 0, "limit for opening a session (default 10s)")
}

// A route is a dialer and what it dials.
type route struct {
	*relink.Dialer
	network, address string
}

func (r *route) dial(ctx context.Context) (*relink.Conn, error) {
	return r.DialConn(ctx, r.network, r.address)
}

// dialer returns how to dial the target.
func (t *target) dialer() (*route, error) {
	if t.to == "" {
		return nil, errors.New("-to is missing: the address of the relink server")
	}
	c, err := parseCarrier(t.to)
	if err != nil {
		return nil, err
	}
	suite, err := t.suite.suite()
	if err != nil {
		return nil, err
	}
	switch {
	case !c.secure() && (t.authorities != "" || t.serverName != "" || t.unverified):
		return nil, errors.New("-ca, -server-name and -unverified are for tls://, wss:// and quic://")
	case c.scheme == overWSS && t.serverName != "":
		return nil, errors.New("-server-name is not for wss://: its URL says the name")
	case t.unverified && t.suite.name != "noise":
		return nil, errors.New("-unverified is for the suite noise alone: with any other somebody on the path could be the server")
	case t.unverified && t.authorities != "":
		return nil, errors.New("-ca and -unverified contradict each other")
	case t.shards != shards{} && c.scheme != overKCP:
		return nil, errors.New("-kcp-shards is for kcp://")
	}
	r := &route{network: "tcp", address: c.address, Dialer: &relink.Dialer{
		Suite: suite, Config: relink.Config{ResumeTimeout: t.resumeTimeout, HandshakeTimeout: t.handshakeTimeout},
	}}
	var config *tls.Config
	if c.secure() {
		pool, err := readAuthorities(t.authorities)
		if err != nil {
			return nil, err
		}
		config = &tls.Config{RootCAs: pool, ServerName: t.serverName, InsecureSkipVerify: t.unverified} //nolint:gosec // see -unverified
	}
	switch c.scheme {
	case overUnix:
		r.network = "unix"
	case overTLS:
		r.DialTransport = (&tlstransport.Dialer{TLS: config}).DialContext
	case overWS, overWSS:
		r.network, r.address = websocket.Network, c.String()
		r.DialTransport = (&websocket.Dialer{TLSConfig: config}).DialTransport
	case overQUIC:
		r.network = "udp"
		r.DialTransport = (&quic.Dialer{TLSConfig: config}).DialTransport
	case overKCP:
		r.network = "udp"
		r.DialTransport = (&kcp.Dialer{Config: t.shards.config()}).DialContext
	}
	return r, nil
}
