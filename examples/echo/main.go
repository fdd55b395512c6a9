// Echo is the smallest use of relink: a server that wraps its listener, and a
// client that dials. The suite is Noise, unless -suite names another.
//
// The connections are net.Conns, so what works over TCP works over them. For
// gRPC, whose dialer is given an address only, one line fits the two together:
//
//	grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) { return dialer.DialContext(ctx, "tcp", addr) })
//
// and grpc.Server.Serve takes the listener's Acceptor: see docs/http-grpc.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"time"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/examples/internal/suiteflag"
)

func main() {
	suite := suiteflag.Register(flag.CommandLine)
	flag.Parse()
	if err := run(suite, "Hello, and hello again after every lost connection."); err != nil {
		log.Fatal("echo: ", err)
	}
}

func run(suite *suiteflag.Choice, text string) error {
	// With Noise the server has a private key, and the client knows the public one.
	server, client, err := suite.Both()
	if err != nil {
		return err
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	l, err := relink.NewListener(tcp, relink.ListenConfig{Suites: []relink.ServerSuite{server}})
	if err != nil {
		return err
	}
	defer l.Close()
	go serve(l)

	conn, err := relink.Dial("tcp", l.Addr().String(), client)
	if err != nil {
		return err
	}
	defer conn.Abort() // unless it was closed before
	if _, err := io.WriteString(conn, text); err != nil {
		return err
	}
	answer := make([]byte, len(text))
	if _, err := io.ReadFull(conn, answer); err != nil {
		return err
	}
	fmt.Println(string(answer))
	// The program ends here: what it wrote last must not end with it.
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return conn.CloseContext(ctx)
}

func serve(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			_, _ = io.Copy(conn, conn)
		}()
	}
}
