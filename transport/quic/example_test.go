package quic_test

import (
	"context"
	"fmt"
	"io"
	"log"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/transport/quic"
)

// Sessions over QUIC.
func ExampleListen() {
	key := relink.GenerateKey() // a real server's is in a file
	public := key.PublicKey()
	inner, err := quic.Listen("udp", "127.0.0.1:0", quic.Config{TLSConfig: serverTLS})
	if err != nil {
		log.Fatal(err)
	}
	l, err := relink.NewListener(inner, relink.ListenConfig{
		Suites: []relink.ServerSuite{relink.NoiseServer{Keys: []relink.PrivateKey{key}}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		io.Copy(conn, conn)
	}()

	q := &quic.Dialer{TLSConfig: clientTLS}
	defer q.CloseIdleConnections()
	d := relink.Dialer{
		Suite:         relink.NoiseClient{ServerKeys: []relink.PublicKey{public}},
		DialTransport: q.DialTransport,
	}
	conn, err := d.DialConn(context.Background(), "udp", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "hello")
	conn.NetworkChanged() // the resume opens a stream on the connection that is there
	answer := make([]byte, 5)
	if _, err := io.ReadFull(conn, answer); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s after %d resume\n", answer, conn.Stats().Resumes)
	// Output: hello after 1 resume
}

// A stream without relink. The server may speak first.
func ExampleDialer() {
	l, err := quic.Listen("udp", "127.0.0.1:0", quic.Config{TLSConfig: serverTLS})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		io.WriteString(conn, "hello")
		conn.Close()
	}()

	d := &quic.Dialer{TLSConfig: clientTLS}
	defer d.CloseIdleConnections()
	conn, err := d.DialTransport(context.Background(), "udp", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	all, err := io.ReadAll(conn)
	fmt.Printf("%s %v\n", all, err)
	// Output: hello <nil>
}
