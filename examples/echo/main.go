// Echo is the smallest use of relink: a server that wraps its listener, and a
// client that dials.
//
// The connections are net.Conns, so what works over TCP works over them. For
// gRPC, whose dialer is given an address only, one line fits the two together:
//
//	grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) { return dialer.DialContext(ctx, "tcp", addr) })
//
// and grpc.Server.Serve takes the listener as it is.
package main

import (
	"fmt"
	"io"
	"log"
	"net"

	"github.com/relink-go/relink"
)

func main() {
	if err := run("Hello, and hello again after every lost connection."); err != nil {
		log.Fatal("echo: ", err)
	}
}

func run(text string) error {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	l, err := relink.NewListener(tcp, relink.Config{Suites: []relink.Suite{relink.DH64RC4()}})
	if err != nil {
		return err
	}
	defer l.Close()
	go serve(l)

	conn, err := relink.Dial("tcp", l.Addr().String(), relink.DH64RC4())
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, text); err != nil {
		return err
	}
	answer := make([]byte, len(text))
	if _, err := io.ReadFull(conn, answer); err != nil {
		return err
	}
	fmt.Println(string(answer))
	return nil
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
