package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/relink-go/relink/transport/kcp"
	"github.com/relink-go/relink/transport/quic"
	"github.com/relink-go/relink/transport/tlstransport"
	"github.com/relink-go/relink/transport/websocket"
)

// A transport is what the session goes over.
type transport struct {
	name    string
	packets bool // it goes over UDP

	// listen returns a listener and the address, host:port, for the other half.
	listen func(address string) (l net.Listener, at string, err error)

	// dial returns the client's relink.Dialer.DialTransport, which is given that
	// address.
	dial func(below below) dialFunc
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// below is what a client's transport goes over. A field that is nil leaves it to
// the transport.
type below struct {
	dial         dialFunc // TCP
	listenPacket func(context.Context) (net.PacketConn, error)
}

// dialPacket makes of listenPacket what opens a socket for one peer.
func (b below) dialPacket() dialFunc {
	if b.listenPacket == nil {
		return nil
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		remote, err := net.ResolveUDPAddr(network, address)
		if err != nil {
			return nil, err
		}
		c, err := b.listenPacket(ctx)
		if err != nil {
			return nil, err
		}
		return &connected{c, remote}, nil
	}
}

// A connected socket has one peer.
type connected struct {
	net.PacketConn
	remote net.Addr
}

func (c *connected) Read(b []byte) (int, error) {
	n, _, err := c.ReadFrom(b)
	return n, err
}

func (c *connected) Write(b []byte) (int, error) { return c.WriteTo(b, c.remote) }
func (c *connected) RemoteAddr() net.Addr        { return c.remote }

// transports are the values of -transport, the default first.
var transports = []transport{
	{
		name: "tcp",
		listen: func(address string) (net.Listener, string, error) {
			l, err := net.Listen("tcp", address)
			return l, hostOf(l, err), err
		},
		dial: func(b below) dialFunc { return b.dial },
	},
	{
		name: "tls",
		listen: func(address string) (net.Listener, string, error) {
			config, err := selfSigned()
			if err != nil {
				return nil, "", err
			}
			inner, err := net.Listen("tcp", address)
			if err != nil {
				return nil, "", err
			}
			l, err := tlstransport.NewListener(inner, tlstransport.Config{TLS: config})
			return l, hostOf(l, err), err
		},
		dial: func(b below) dialFunc {
			d := &tlstransport.Dialer{TLS: &tls.Config{InsecureSkipVerify: true}, DialTransport: b.dial} // the suite knows the server
			return d.DialContext
		},
	},
	{
		name: "websocket",
		listen: func(address string) (net.Listener, string, error) {
			l, err := websocket.Listen("tcp", address, websocket.Config{})
			return l, hostOf(l, err), err
		},
		dial: func(b below) dialFunc {
			d := &websocket.Dialer{URL: "ws:///", DialContext: b.dial}
			return d.DialTransport
		},
	},
	{
		name:    "quic",
		packets: true,
		listen: func(address string) (net.Listener, string, error) {
			config, err := selfSigned()
			if err != nil {
				return nil, "", err
			}
			l, err := quic.Listen("udp", address, quic.Config{TLSConfig: config})
			return l, hostOf(l, err), err
		},
		dial: func(b below) dialFunc {
			d := &quic.Dialer{
				// The suite is what knows the server, by its key.
				TLSConfig:    &tls.Config{InsecureSkipVerify: true},
				ListenPacket: b.listenPacket,
				IdleTimeout:  2 * time.Second, // as short as LivenessTimeout, for suites without pings
			}
			return d.DialTransport
		},
	},
	{
		name:    "kcp",
		packets: true,
		listen: func(address string) (net.Listener, string, error) {
			l, err := kcp.Listen(address, kcp.Config{Timeout: kcpSilence})
			return l, hostOf(l, err), err
		},
		dial: func(b below) dialFunc {
			d := &kcp.Dialer{Config: kcp.Config{Timeout: kcpSilence}, DialSocket: b.dialPacket()}
			return d.DialContext
		},
	},
}

// kcpSilence is how long a peer of KCP may be silent, as short as LivenessTimeout.
const kcpSilence = 2 * time.Second

// hostOf returns a listener's host:port, if there is one.
func hostOf(l net.Listener, err error) string {
	if err != nil {
		return ""
	}
	at := l.Addr().String()
	if u, err := url.Parse(at); err == nil && u.Host != "" { // a WebSocket's address is a URL
		return u.Host
	}
	return at
}

// selfSigned returns the configuration of a server with a certificate of its own.
func selfSigned() (*tls.Config, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().AddDate(0, 0, 1)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{certificate}, PrivateKey: private}}}, nil
}

// String implements flag.Value.
func (t *transport) String() string { return t.name }

// Set implements flag.Value.
func (t *transport) Set(name string) error {
	for _, other := range transports {
		if other.name == name {
			*t = other
			return nil
		}
	}
	return fmt.Errorf("there is no such transport: -transport takes one of %s", strings.Join(transportNames(), ", "))
}

func transportNames() (names []string) {
	for _, t := range transports {
		names = append(names, t.name)
	}
	return names
}
