package proxyproto_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"
	"strings"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/transport/proxyproto"
)

// A server behind a load balancer.
func ExampleNewListener() {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	behind, err := proxyproto.NewListener(inner, proxyproto.Config{
		Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")},
	})
	if err != nil {
		log.Fatal(err)
	}
	l, err := relink.NewListener(behind, relink.ListenConfig{Suites: []relink.ServerSuite{relink.InsecureNoiseServer{}}})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()

	// What the balancer would do for a client.
	balancer := proxyproto.Dialer{Header: func(context.Context, net.Conn) (*proxyproto.Header, error) {
		return &proxyproto.Header{
			Source:      &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 56324},
			Destination: &net.TCPAddr{IP: net.IPv4(198, 51, 100, 1), Port: 443},
		}, nil
	}}
	d := relink.Dialer{
		Suite:         relink.InsecureNoiseClient{},
		DialTransport: balancer.DialContext,
	}
	client, err := d.DialConn(context.Background(), "tcp", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer client.Abort()
	server, err := l.AcceptConn()
	if err != nil {
		log.Fatal(err)
	}
	defer server.Abort()
	fmt.Println(server.RemoteAddr())
	// Output: 192.0.2.1:56324
}

// TLVs carry what else the proxy knows.
func ExampleHeaderOf() {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	l, err := proxyproto.NewListener(inner, proxyproto.Config{
		Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")},
		Check: func(_ context.Context, _ net.Addr, h *proxyproto.Header) error {
			if h.Local {
				return errors.New("a health check")
			}
			return nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	d := proxyproto.Dialer{Header: func(_ context.Context, c net.Conn) (*proxyproto.Header, error) {
		return &proxyproto.Header{
			Source: c.LocalAddr(), Destination: c.RemoteAddr(),
			TLVs: []proxyproto.TLV{{Type: proxyproto.TypeAuthority, Value: []byte("play.example.org")}},
		}, nil
	}}
	client, err := d.DialContext(context.Background(), "tcp", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	if h, ok := proxyproto.HeaderOf(server); ok {
		name, _ := h.TLV(proxyproto.TypeAuthority)
		fmt.Printf("%s\n", name)
	}
	// Output: play.example.org
}

func ExampleReadHeader() {
	r := strings.NewReader("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\nhello")
	h, err := proxyproto.ReadHeader(r, proxyproto.DefaultMaxHeader)
	if err != nil {
		log.Fatal(err)
	}
	rest, _ := io.ReadAll(r)
	fmt.Println(h.Source, h.Destination, string(rest))
	// Output: 192.0.2.1:56324 198.51.100.1:443 hello
}

func ExampleHeader_AppendBinary() {
	h := proxyproto.Header{Version: 1, Source: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}, Destination: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 2}}
	wire, err := h.AppendBinary(nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%q\n", wire)
	// Output: "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"
}

// Direct clients beside those of the balancer.
func ExamplePolicy() {
	cfg := proxyproto.Config{
		Trusted:   []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		Strangers: proxyproto.PassThrough,
	}
	_, err := proxyproto.NewListener(nil, cfg)
	fmt.Println(err)
	// Output: proxyproto: NewListener needs an inner listener
}
