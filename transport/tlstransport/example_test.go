package tlstransport_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/transport/tlstransport"
)

// A classic suite inside TLS.
func Example() {
	serverTLS, clientTLS := configs() // a certificate, and the roots that trust it

	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	secure, err := tlstransport.NewListener(inner, tlstransport.Config{TLS: serverTLS})
	if err != nil {
		log.Fatal(err)
	}
	l, err := relink.NewListener(secure, relink.ListenConfig{Suites: []relink.ServerSuite{relink.SCPServer{}}})
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

	clientTLS = clientTLS.Clone()
	clientTLS.ServerName = "server.test" // else it is the host of the address
	transports := tlstransport.Dialer{TLS: clientTLS}
	d := relink.Dialer{
		Suite:         relink.SCPClient{},
		DialTransport: transports.DialContext,
	}
	conn, err := d.DialConn(context.Background(), "tcp", l.Addr().String())
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

// A Conn tells what TLS has settled on.
func ExampleConn() {
	serverTLS, clientTLS := configs()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	l, err := tlstransport.NewListener(inner, tlstransport.Config{TLS: serverTLS})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	clientTLS = clientTLS.Clone()
	clientTLS.ServerName = "server.test"
	d := tlstransport.Dialer{TLS: clientTLS}
	for range 2 {
		c, err := d.DialContext(context.Background(), "tcp", l.Addr().String())
		if err != nil {
			log.Fatal(err)
		}
		conn := c.(*tlstransport.Conn)
		server, err := l.Accept()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Fprint(server, "hello")        // and a ticket
		io.ReadFull(conn, make([]byte, 5)) // which is read with it
		state := conn.ConnectionState()    // of crypto/tls
		_, below := conn.NetConn().(*net.TCPConn)
		fmt.Println(tls.VersionName(state.Version), "resumed:", state.DidResume, "over TCP:", below)
		conn.CloseWrite()
		io.ReadAll(server)
		conn.SetLinger(0) // no more words
		conn.Close()
		server.Close()
	}
	// Output:
	// TLS 1.3 resumed: false over TCP: true
	// TLS 1.3 resumed: true over TCP: true
}
