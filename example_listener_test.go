package relink_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/relink-go/relink"
)

// A server is reached over two ports. A client that finds one of them blocked after it
// has changed its network comes back by the other.
func ExampleListener_AddListener() {
	lc := relink.ListenConfig{Label: "7000", Suites: []relink.ServerSuite{relink.DH64RC4Server{}}}
	l, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	fallback, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	if err := l.AddListener(fallback, "443"); err != nil {
		log.Fatal(err)
	}

	var blocked atomic.Bool
	d := relink.Dialer{
		Suite: relink.DH64RC4Client{},
		DialTransport: func(ctx context.Context, network, address string) (net.Conn, error) {
			if blocked.Load() {
				address = fallback.Addr().String()
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		},
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
	fmt.Println(server.Label())

	blocked.Store(true)
	client.NetworkChanged()
	fmt.Fprint(client, "x")
	server.Read(make([]byte, 1))
	fmt.Println(server.Label())
	// Output:
	// 7000
	// 443
}

// Shutdown of an http.Server closes its listener first. With an Acceptor a cut meanwhile
// costs nobody an answer.
func ExampleListener_Acceptor() {
	l, err := relink.Listen("tcp", "127.0.0.1:0", relink.DH64RC4Server{})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l.Acceptor()) }()

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	fmt.Println(server.Shutdown(ctx)) // no new sessions; waits for the requests under way
	fmt.Println(l.Shutdown(ctx))      // waits until the answers are delivered
	fmt.Println(<-served)
	// Output:
	// <nil>
	// <nil>
	// http: Server closed
}

// A transport that panics is a fault of its package: the session goes on, and whoever
// looks after the package is told.
func ExampleTransportPanicError() {
	onEvent := func(e relink.Event) {
		var p *relink.TransportPanicError
		if errors.As(e.Err, &p) {
			fmt.Println(p, len(p.Stack) > 0)
		}
	}
	onEvent(relink.Event{Kind: relink.EventSuspended, Err: &relink.TransportPanicError{Call: "Read", Value: "index out of range", Stack: []byte("goroutine 7")}})
	// Output: relink: the transport's Read panicked: index out of range true
}
