package proxy_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"time"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/proxy"
)

// A server that knows nothing of relink, a proxy before it, and a client.
func ExampleServer() {
	server, err := net.Listen("tcp", "127.0.0.1:0") // any server
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	go func() {
		c, err := server.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		io.Copy(c, c)
	}()

	key := relink.GenerateKey()
	l, err := relink.Listen("tcp", "127.0.0.1:0", relink.NoiseServer{Keys: []relink.PrivateKey{key}})
	if err != nil {
		log.Fatal(err)
	}
	up := &proxy.Upstream{Addresses: []string{server.Addr().String()}}
	if err := up.Check(); err != nil {
		log.Fatal(err)
	}
	settings := proxy.Settings{Routes: &proxy.Routes{Default: up}, Limits: proxy.Limits{Life: time.Hour}}
	s := proxy.NewServer(settings, nil)
	go s.Serve(l)

	conn, err := relink.Dial("tcp", l.Addr().String(), relink.NoiseClient{ServerKeys: []relink.PublicKey{key.PublicKey()}})
	if err != nil {
		log.Fatal(err)
	}
	io.WriteString(conn, "hello")
	conn.CloseWrite()
	answer, err := io.ReadAll(conn)
	fmt.Println(string(answer), err)
	conn.CloseContext(context.Background())

	s.Set(settings) // at any time; others for new sessions
	l.Shutdown(context.Background())
	s.Wait()
	// Output: hello <nil>
}

// A port on the client's side: each connection becomes a session.
func ExampleJoin() {
	port := func(l net.Listener, d *relink.Dialer, server string) {
		for {
			local, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				session, err := d.DialConn(context.Background(), "tcp", server)
				if err != nil {
					local.Close()
					return
				}
				err = proxy.Join(context.Background(), session, local, proxy.Limits{Unsaid: 10 * time.Second})
				if err != nil {
					log.Print(err)
				}
			}()
		}
	}
	_ = port
}

// One table of sessions for a port and a Unix socket.
func ExampleSplitAddress() {
	var l *relink.Listener
	for _, a := range []string{"127.0.0.1:0"} { // and perhaps "unix:/run/app/relink"
		network, address, err := proxy.SplitAddress(a)
		if err != nil {
			log.Fatal(err)
		}
		inner, err := net.Listen(network, address)
		if err != nil {
			log.Fatal(err)
		}
		if l == nil {
			l, err = relink.NewListener(inner, relink.ListenConfig{Suites: []relink.ServerSuite{relink.InsecureNoiseServer{}}, Label: a})
		} else {
			err = l.AddListener(inner, a)
		}
		if err != nil {
			log.Fatal(err)
		}
	}
	defer l.Close()
	fmt.Println(l.Addr().Network())
	// Output: tcp
}

// Names of games go to one server, all others to another.
func ExampleRoutes_Find() {
	games := &proxy.Upstream{Addresses: []string{"games.internal:7000"}}
	rest := &proxy.Upstream{Addresses: []string{"lobby.internal:7000"}}
	r := proxy.Routes{Default: rest, Rules: []proxy.Rule{{Prefix: "game_", Upstream: games}}}
	up, err := r.Find("game_7")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(up.Addresses)
	// Output: [games.internal:7000]
}

func ExampleUpstream_Dial() {
	up := &proxy.Upstream{Addresses: []string{"db.internal:5432", "unix:/run/postgresql/.s.PGSQL.5432"}}
	serve := func(ctx context.Context, session *relink.Conn) error {
		c, err := up.Dial(ctx, session)
		if err != nil {
			return err
		}
		return proxy.Join(ctx, session, c, proxy.Limits{})
	}
	_ = serve
}
