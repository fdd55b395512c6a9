package kcp_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/transport/kcp"
)

// goscon's stable connection protocol over KCP, as its clients speak it.
func Example() {
	inner, err := kcp.Listen("127.0.0.1:0", kcp.Config{})
	if err != nil {
		log.Fatal(err)
	}
	l, err := relink.NewListener(inner, relink.ListenConfig{Suites: []relink.ServerSuite{relink.SCPServer{}}})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go io.Copy(conn, conn)
		}
	}()

	d := relink.Dialer{Suite: relink.SCPClient{}, DialTransport: new(kcp.Dialer).DialContext}
	conn, err := d.DialConn(context.Background(), "udp", inner.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Abort()
	fmt.Fprint(conn, "hello")
	echo := make([]byte, 5)
	if _, err := io.ReadFull(conn, echo); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", echo)
	// Output: hello
}

// A socket of one's own, for instance with SO_REUSEPORT or a filter.
func ExampleNewListener() {
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	l, err := kcp.NewListener(socket, kcp.Config{DataShards: 10, ParityShards: 3})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	fmt.Println(l.Addr().Network())
	// Output: udp
}
