package websocket_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/transport/websocket"
)

// keys are made here; a real server's are in a file.
func keys() (relink.PrivateKey, relink.PublicKey) {
	private := relink.GenerateKey()
	return private, private.PublicKey()
}

// echo serves sessions.
func echo(l *relink.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			io.Copy(conn, conn)
		}()
	}
}

// A server of sessions beside the rest of a site.
func ExampleNewListener() {
	private, public := keys()
	inner, err := websocket.NewListener("ws://game.example/relink", websocket.Config{
		Origins:        []string{"*.game.example"},                           // pages that may connect
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}, // whose X-Forwarded-For counts
	})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/relink", inner)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "Welcome.") })
	site := httptest.NewServer(mux) // in earnest an http.Server with ReadHeaderTimeout
	defer site.Close()

	l, err := relink.NewListener(inner, relink.ListenConfig{
		Suites: []relink.ServerSuite{relink.NoiseServer{Keys: []relink.PrivateKey{private}}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	go echo(l)

	d := relink.Dialer{
		Suite:         relink.NoiseClient{ServerKeys: []relink.PublicKey{public}},
		DialTransport: new(websocket.Dialer).DialTransport,
	}
	conn, err := d.DialConn(context.Background(), "websocket", strings.Replace(site.URL, "http", "ws", 1)+"/relink")
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "hello")
	conn.NetworkChanged() // as if the player had walked out of the Wi-Fi
	answer := make([]byte, 5)
	if _, err := io.ReadFull(conn, answer); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s after %d resume\n", answer, conn.Stats().Resumes)
	// Output: hello after 1 resume
}

// A server without a site. Config.TLSConfig makes it one of wss.
func ExampleListen() {
	inner, err := websocket.Listen("tcp", "127.0.0.1:0", websocket.Config{Path: "/relink", Subprotocol: "relink"})
	if err != nil {
		log.Fatal(err)
	}
	defer inner.Close()
	go func() {
		conn, err := inner.Accept() // works without relink too
		if err != nil {
			return
		}
		io.WriteString(conn, "hello")
		conn.Close()
	}()

	d := websocket.Dialer{Subprotocol: "relink"}
	conn, err := d.DialTransport(context.Background(), "websocket", inner.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	all, err := io.ReadAll(conn)
	fmt.Printf("%s %v\n", all, err)
	// Output: hello <nil>
}

// A client with a ticket in a header, which is given host:port as it would be for
// TCP.
func ExampleDialer() {
	inner, err := websocket.NewListener("ws://game.example/relink", websocket.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer inner.Close()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer 1234" {
			http.Error(w, "no ticket", http.StatusUnauthorized)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	defer site.Close()

	d := &websocket.Dialer{
		URL:    "ws:///relink?room=7",
		Header: http.Header{"Authorization": {"Bearer 1234"}},
	}
	conn, err := d.DialTransport(context.Background(), "tcp", strings.TrimPrefix(site.URL, "http://"))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	accepted, err := inner.Accept()
	if err != nil {
		log.Fatal(err)
	}
	defer accepted.Close()
	fmt.Println(inner.Addr(), accepted.RemoteAddr().String() == conn.LocalAddr().String())
	// Output: ws://game.example/relink true
}

// Why a server did not let us in.
func ExampleRefusedError() {
	portal := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://portal.example/login", http.StatusFound)
	}))
	defer portal.Close()
	_, err := new(websocket.Dialer).DialTransport(context.Background(), "websocket", portal.URL)
	fmt.Println(strings.ReplaceAll(err.Error(), portal.URL, "ws://game.example"))
	// Output: dial websocket ws://game.example: websocket: the server answered 302 Found and not with a WebSocket: "moved to https://portal.example/login"
}
