package relink_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/relink-go/relink"
)

// A server that knows its clients by their keys, and serves several games on one
// port. The authorisation is asked before a session begins and at each resume,
// with the address that the client comes from.
func ExampleListenConfig_authorize() {
	serverKey, alice, mallory := relink.GenerateKey(), relink.GenerateKey(), relink.GenerateKey()
	members := map[relink.PublicKey]string{alice.PublicKey(): "alice"}
	cfg := relink.ListenConfig{
		Suites: []relink.ServerSuite{relink.NoiseServer{Keys: []relink.PrivateKey{serverKey}, RequireClientKey: true}},
		Authorize: func(_ context.Context, a relink.Attempt) error {
			if _, ok := members[a.ClientKey]; !ok {
				return errors.New("not a member")
			}
			if a.Resumes != nil {
				fmt.Println("back from", a.Remote)
			}
			return nil
		},
	}
	l, err := cfg.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Close()

	for _, key := range []relink.PrivateKey{alice, mallory} {
		c, err := relink.Dial("tcp", l.Addr().String(), relink.NoiseClient{
			ServerKeys: []relink.PublicKey{serverKey.PublicKey()}, Key: key, Target: "chess",
		})
		if errors.Is(err, relink.ErrDenied) {
			fmt.Println("denied")
			continue
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		defer c.Close()
		s, err := l.AcceptConn()
		if err != nil {
			fmt.Println(err)
			return
		}
		member, ok := s.PeerKey() // proven, since it is here
		fmt.Println(members[member], ok, s.Identity().Target)
	}
	// Output:
	// alice true chess
	// denied
}

// A login inside the stream signs the channel binding, so that it is of no use on
// any other session.
func ExampleConn_ChannelBinding() {
	key := relink.GenerateKey()
	l, err := relink.Listen("tcp", "127.0.0.1:0", relink.NoiseServer{Keys: []relink.PrivateKey{key}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Close()
	c, err := relink.Dial("tcp", l.Addr().String(), relink.NoiseClient{ServerKeys: []relink.PublicKey{key.PublicKey()}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	s, err := l.AcceptConn()
	if err != nil {
		fmt.Println(err)
		return
	}
	here, ok := c.ChannelBinding()
	there, _ := s.ChannelBinding()
	fmt.Println(ok, here == there)
	// Output: true true
}

// An invitation-only server, whose keys change while it runs.
func ExampleListener_SetKeys() {
	key, stolen := relink.GenerateKey(), relink.GenerateKey()
	guests, former := relink.GeneratePresharedKey(), relink.GeneratePresharedKey()
	l, err := relink.Listen("tcp", "127.0.0.1:0", relink.NoiseServer{
		Keys:          []relink.PrivateKey{stolen},
		PresharedKeys: []relink.PresharedKey{former},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Close()
	if err := errors.Join(l.SetKeys(key), l.SetPresharedKeys(guests)); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(l.Revoke(stolen.PublicKey()), l.RevokePresharedKey(former), "sessions ended")

	c, err := relink.Dial("tcp", l.Addr().String(), relink.NoiseClient{
		ServerKeys:   []relink.PublicKey{key.PublicKey()},
		PresharedKey: guests,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	fmt.Println(c.Identity().PresharedKey.Equal(guests))
	// Output:
	// 0 0 sessions ended
	// true
}

// Pre-shared keys travel as text, by a way that nobody else reads.
func ExampleParsePresharedKey() {
	k, err := relink.ParsePresharedKey("b0NHZ3k2bXhpQ3V4dGVwcXBhRGxpZUd4MmFNcVRhcGs=\n")
	fmt.Println(k, err) // a name, and not the key
	fmt.Println(len(k.EncodeSecret()))
	// Output:
	// pre-shared key fb646b926577 <nil>
	// 44
}

// A server is reached over two ports. A client that finds one of them blocked after it
// has changed its network comes back by the other.
func ExampleListener_TakeTransport() {
	suites := []relink.ServerSuite{relink.DH64RC4Server{}}
	old, err := relink.Listen("tcp", "127.0.0.1:0", suites...)
	if err != nil {
		log.Fatal(err)
	}
	defer old.Close()

	// One that replaces it, here in the same process.
	lc := relink.ListenConfig{Suites: suites, PassOn: func(transport net.Conn, read []byte) bool {
		old.TakeTransport(transport, read, "passed on")
		return true
	}}
	next, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer next.Close()

	var replaced atomic.Bool
	d := relink.Dialer{
		Suite: relink.DH64RC4Client{},
		DialTransport: func(ctx context.Context, network, address string) (net.Conn, error) {
			if replaced.Load() {
				address = next.Addr().String()
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	}
	client, err := d.DialConn(context.Background(), "tcp", old.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer client.Abort()
	server, err := old.AcceptConn()
	if err != nil {
		log.Fatal(err)
	}
	defer server.Abort()

	replaced.Store(true)
	client.NetworkChanged()
	fmt.Fprint(client, "x")
	server.Read(make([]byte, 1))
	fmt.Println(server.Label())
	// Output: passed on
}

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

// The server keeps its private key; clients pin the public one.
func ExampleNoiseServer() {
	key := relink.GenerateKey()
	l, err := relink.Listen("tcp", "127.0.0.1:0", relink.NoiseServer{Keys: []relink.PrivateKey{key}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		fmt.Fprintln(c, "hello")
	}()

	c, err := relink.Dial("tcp", l.Addr().String(), relink.NoiseClient{ServerKeys: []relink.PublicKey{key.PublicKey()}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	b, err := io.ReadAll(c)
	fmt.Printf("%s%v\n", b, err)
	// Output:
	// hello
	// <nil>
}

// Keys travel as text, such as a file's. A server that rotates its key has the old
// one beside the new one for a while.
func ExampleParsePrivateKey() {
	old, err := relink.ParsePrivateKey("iPyO4dLTrM5GV3w+xkIyK9oWCC2DKpDFJgGWa6YUN1w=\n")
	if err != nil {
		fmt.Println(err)
		return
	}
	suite := relink.NoiseServer{Keys: []relink.PrivateKey{relink.GenerateKey(), old}, Node: 7}
	fmt.Println(suite, suite.Keys[1].PublicKey())
	// Output:
	// Noise KP6p/k67GG7i/vwepofuFSuQEEw8FYjqLcQJMsI8QDA=
}

// A private key names its public key wherever it is printed. One call gives the
// secret away, for the file that it is kept in.
func ExamplePrivateKey() {
	key, err := relink.ParsePrivateKey("iPyO4dLTrM5GV3w+xkIyK9oWCC2DKpDFJgGWa6YUN1w=")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(key)
	fmt.Println(len(key.EncodeSecret()))
	// Output:
	// private key of KP6p/k67GG7i/vwepofuFSuQEEw8FYjqLcQJMsI8QDA=
	// 44
}

// A server's configuration has its key as text.
func ExamplePrivateKey_UnmarshalText() {
	var config struct{ Key relink.PrivateKey }
	err := json.Unmarshal([]byte(`{"Key": "iPyO4dLTrM5GV3w+xkIyK9oWCC2DKpDFJgGWa6YUN1w="}`), &config)
	if err != nil || config.Key.IsZero() {
		fmt.Println("no key:", err)
		return
	}
	shown, err := json.Marshal(config) // to be logged, and not to be read back
	fmt.Printf("%s %v\n", shown, err)
	// Output: {"Key":"private key of KP6p/k67GG7i/vwepofuFSuQEEw8FYjqLcQJMsI8QDA="} <nil>
}

// Keys are compared with Equal.
func ExamplePrivateKey_Equal() {
	key := relink.GenerateKey()
	same, err := relink.ParsePrivateKey(key.EncodeSecret())
	fmt.Println(key.Equal(same), key.Equal(relink.GenerateKey()), err)
	// Output: true false <nil>
}

func ExampleParsePublicKey() {
	pinned, err := relink.ParsePublicKey("not a key")
	fmt.Println(pinned == relink.PublicKey{}, err)
	// Output:
	// true relink: a key must be 44 characters of base64
}

// Without the server's key, whoever is on the path can be the server.
func ExampleInsecureNoiseServer() {
	fmt.Println(relink.InsecureNoiseServer{})
	// Output:
	// Noise (insecure: the server is not authenticated)
}

// A server and a client. The connection is cut between two messages, and neither
// side notices.
func Example() {
	key := relink.GenerateKey() // the server's
	l, err := relink.Listen("tcp", "127.0.0.1:0", relink.NoiseServer{Keys: []relink.PrivateKey{key}})
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

	var transport net.Conn // the newest one, for the sake of the example
	d := relink.Dialer{
		Suite: relink.NoiseClient{ServerKeys: []relink.PublicKey{key.PublicKey()}},
		DialTransport: func(ctx context.Context, network, address string) (net.Conn, error) {
			var nd net.Dialer
			t, err := nd.DialContext(ctx, network, address)
			transport = t
			return t, err
		},
	}
	conn, err := d.DialConn(context.Background(), "tcp", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Abort()

	lines := bufio.NewScanner(conn)
	fmt.Fprintln(conn, "before")
	lines.Scan()
	fmt.Println(lines.Text())
	transport.Close()
	fmt.Fprintln(conn, "after")
	lines.Scan()
	fmt.Println(lines.Text())
	fmt.Println("resumes:", conn.Stats().Resumes)
	// Output:
	// before
	// after
	// resumes: 1
}

// echo starts a server that the examples talk to.
func echo(suite relink.ServerSuite) *relink.Listener {
	l, err := relink.Listen("tcp", "127.0.0.1:0", suite)
	if err != nil {
		log.Fatal(err)
	}
	go func() {
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
	}()
	return l
}

func ExampleDial() {
	l := echo(relink.DH64RC4Server{})
	defer l.Close()

	conn, err := relink.Dial("tcp", l.Addr().String(), relink.DH64RC4Client{})
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Abort()
	fmt.Fprint(conn, "hello")
	b := make([]byte, 5)
	io.ReadFull(conn, b)
	fmt.Printf("%s\n", b)
	// Output: hello
}

// One port may serve clients of several suites, for instance while they move from
// an old one to Noise.
func ExampleListen() {
	key := relink.GenerateKey()
	l, err := relink.Listen("tcp", "127.0.0.1:0", relink.NoiseServer{Keys: []relink.PrivateKey{key}}, relink.DH64RC4Server{})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept() // a *relink.Conn
			if err != nil {
				return
			}
			fmt.Fprintln(conn, "welcome")
		}
	}()

	for _, suite := range []relink.ClientSuite{
		relink.NoiseClient{ServerKeys: []relink.PublicKey{key.PublicKey()}},
		relink.DH64RC4Client{},
	} {
		conn, err := relink.Dial("tcp", l.Addr().String(), suite)
		if err != nil {
			log.Fatal(err)
		}
		line, _ := bufio.NewReader(conn).ReadString('\n')
		fmt.Printf("%v: %s", suite, line)
		conn.Abort()
	}
	// Output:
	// Noise: welcome
	// DH64RC4: welcome
}

// A listener that exists already, of whatever kind, gets its sessions from
// NewListener.
func ExampleNewListener() {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	l, err := relink.NewListener(inner, relink.ListenConfig{
		Suites:      []relink.ServerSuite{relink.DH64RC4Server{}},
		MaxSessions: 10_000,
		Config: relink.Config{
			ReplayLimit:   1 << 20, // a game sends little
			ResumeTimeout: 30 * time.Second,
			Logger:        slog.New(slog.DiscardHandler),
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	fmt.Println(l.Addr().Network())

	// A wrong configuration is an error that says what to do.
	_, err = relink.NewListener(inner, relink.ListenConfig{})
	fmt.Println(err)
	// Output:
	// tcp
	// relink: ListenConfig.Suites is empty: name a suite, for instance relink.NoiseServer
}

// A ListenConfig listens itself, as net.ListenConfig does.
func ExampleListenConfig_Listen() {
	lc := relink.ListenConfig{
		Suites: []relink.ServerSuite{relink.DH64RC4Server{}},
		Config: relink.Config{ResumeTimeout: 10 * time.Minute},
	}
	l, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	fmt.Println(l.Addr().Network())
	// Output: tcp
}

func ExampleListener_AcceptConn() {
	l, err := relink.Listen("tcp", "127.0.0.1:0", relink.DH64RC4Server{})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	client, err := relink.Dial("tcp", l.Addr().String(), relink.DH64RC4Client{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Abort()

	conn, err := l.AcceptConn()
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Abort()
	fmt.Println(conn.ID() == client.ID(), conn.State(), conn.Suite())
	// Output: true connected DH64RC4
}

// Before a server stops, it lets its sessions end in their own time, up to a
// limit. Clients that lose their transport meanwhile can still resume.
func ExampleListener_Shutdown() {
	l := echo(relink.DH64RC4Server{})
	conn, err := relink.Dial("tcp", l.Addr().String(), relink.DH64RC4Client{})
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Abort()
	fmt.Fprint(conn, "hello")
	io.ReadFull(conn, make([]byte, 5))

	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	fmt.Println(l.Shutdown(ctx)) // the client stays longer than that
	// Output: context deadline exceeded
}

func ExampleDialer() {
	l := echo(relink.DH64RC4Server{})
	defer l.Close()

	d := relink.Dialer{
		Suite:          relink.DH64RC4Client{},
		Config:         relink.Config{ResumeTimeout: 10 * time.Minute}, // a long tunnel
		AttemptTimeout: 8 * time.Second,                                // a slow network
		MaxBackoff:     10 * time.Second,
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel() // bounds DialConn, not the life of the Conn
	conn, err := d.DialConn(ctx, "tcp", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Abort()
	fmt.Println(conn.State())
	// Output: connected
}

// A Dialer stands in for a net.Dialer.
func ExampleDialer_Dial() {
	l := echo(relink.DH64RC4Server{})
	defer l.Close()
	var d interface {
		Dial(network, address string) (net.Conn, error)
	} = &relink.Dialer{Suite: relink.DH64RC4Client{}}
	conn, err := d.Dial("tcp", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	fmt.Println(conn.RemoteAddr().String() == l.Addr().String())
	// Output: true
}

// net/http runs over relink as it is: a download goes on where it was when the
// connection is cut.
func ExampleDialer_DialContext() {
	l, err := relink.Listen("tcp", "127.0.0.1:0", relink.DH64RC4Server{})
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "hello from %s", r.URL.Path)
		}),
		ReadHeaderTimeout: 10 * time.Second,
	}
	go server.Serve(l)
	defer server.Close()

	d := relink.Dialer{Suite: relink.DH64RC4Client{}}
	transport := &http.Transport{DialContext: d.DialContext}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	response, err := client.Get("http://" + l.Addr().String() + "/gopher")
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	fmt.Printf("%s\n", body)
	// Output: hello from /gopher
}

// session opens a session and returns its ends.
func session(s relink.ServerSuite, c relink.ClientSuite) (client, server *relink.Conn) {
	l, err := relink.Listen("tcp", "127.0.0.1:0", s)
	if err != nil {
		log.Fatal(err)
	}
	client, err = relink.Dial("tcp", l.Addr().String(), c)
	if err != nil {
		log.Fatal(err)
	}
	server, err = l.AcceptConn()
	if err != nil {
		log.Fatal(err)
	}
	return client, server
}

func ExampleConn_Read() {
	client, server := session(relink.DH64RC4Server{}, relink.DH64RC4Client{})
	defer client.Abort()
	fmt.Fprint(server, "last words")
	server.Close()

	// The server closes, the client resumes, is told so, and reads the end.
	b, err := io.ReadAll(client)
	fmt.Printf("%s, %v\n", b, err)
	// Output: last words, <nil>
}

// A Write that times out has still taken some bytes, and can be repeated with
// the rest.
func ExampleConn_Write() {
	client, server := session(relink.DH64RC4Server{}, relink.DH64RC4Client{})
	defer client.Abort()
	defer server.Abort()

	data := make([]byte, 16<<20) // more than all buffers hold
	client.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	n, err := client.Write(data)
	fmt.Println(n < len(data), errors.Is(err, os.ErrDeadlineExceeded), client.State())

	go io.Copy(io.Discard, server)
	client.SetWriteDeadline(time.Time{})
	m, err := client.Write(data[n:])
	fmt.Println(n+m == len(data), err)
	// Output:
	// true true connected
	// true <nil>
}

// A server that broadcasts drops what a client that is away has no room for. Nothing
// holds it up.
func ExampleConn_TryWrite() {
	player, server := session(relink.InsecureNoiseServer{}, relink.InsecureNoiseClient{})
	defer player.Abort()
	defer server.Abort()

	state := make([]byte, 64<<10) // of the game, at each tick
	sent, dropped := 0, 0
	for range 1000 { // and the player reads nothing
		ok, err := server.TryWrite(state)
		switch {
		case err != nil:
			log.Fatal(err) // the player is gone for good
		case ok:
			sent++
		default:
			dropped++ // the next tick has newer news
		}
	}
	fmt.Println(sent > 0, dropped > 0, server.Room() < len(state), server.State())
	// Output: true true true connected
}

func ExampleConn_Room() {
	client, server := session(relink.InsecureNoiseServer{}, relink.InsecureNoiseClient{})
	defer client.Abort()
	defer server.Abort()

	if client.Room() >= 1000 {
		n, err := client.Write(make([]byte, 1000)) // waits for nothing
		fmt.Println(n, err)
	}
	// Output: 1000 <nil>
}

// A deadline belongs to the session, whatever becomes of its transports.
func ExampleConn_SetReadDeadline() {
	client, server := session(relink.DH64RC4Server{}, relink.DH64RC4Client{})
	defer client.Abort()
	defer server.Abort()

	client.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	b := make([]byte, 100)
	_, err := client.Read(b)
	fmt.Println(errors.Is(err, os.ErrDeadlineExceeded))

	client.SetReadDeadline(time.Time{}) // none
	fmt.Fprint(server, "here I am")
	n, err := client.Read(b)
	fmt.Printf("%s, %v\n", b[:n], err)
	// Output:
	// true
	// here I am, <nil>
}

func ExampleConn_SetDeadline() {
	client, server := session(relink.DH64RC4Server{}, relink.DH64RC4Client{})
	defer client.Abort()
	defer server.Abort()

	client.SetDeadline(time.Now().Add(-time.Second)) // in the past: at once
	_, err := client.Read(make([]byte, 1))
	var ne net.Error
	fmt.Println(errors.As(err, &ne) && ne.Timeout())
	// Output: true
}

// CloseWrite ends one direction, and the other goes on. The classic suites cannot
// say that: there it says so, and does nothing.
func ExampleConn_CloseWrite() {
	client, server := session(relink.InsecureNoiseServer{}, relink.InsecureNoiseClient{})
	defer client.Abort()
	defer server.Abort()

	fmt.Fprint(client, "question")
	err := client.CloseWrite()
	question, _ := io.ReadAll(server)
	fmt.Printf("%s, %v\n", question, err)
	fmt.Fprint(server, "answer")
	server.Close()
	answer, err := io.ReadAll(client)
	fmt.Printf("%s, %v\n", answer, err)

	client, server = session(relink.DH64RC4Server{}, relink.DH64RC4Client{})
	defer client.Abort()
	defer server.Abort()
	fmt.Println(errors.Is(client.CloseWrite(), errors.ErrUnsupported))
	// Output:
	// question, <nil>
	// answer, <nil>
	// true
}

// Close returns at once. A program that is about to exit waits for Done, so that
// its last bytes are delivered, over a new transport if need be.
func ExampleConn_Done() {
	client, server := session(relink.DH64RC4Server{}, relink.DH64RC4Client{})
	go func() {
		io.ReadAll(server)
	}()

	fmt.Fprint(server, "bye")
	server.Close()
	io.ReadAll(client) // to the end
	client.Close()

	<-server.Done()
	<-client.Done()
	fmt.Println(server.State(), client.State())
	// Output: closed closed
}

// A program that is about to exit closes so that nothing is lost of what it wrote:
// Close alone leaves that to the background, which ends with the program.
func ExampleConn_CloseContext() {
	client, server := session(relink.InsecureNoiseServer{}, relink.InsecureNoiseClient{})
	defer server.Abort()
	fmt.Fprint(client, "last words")
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println(client.CloseContext(ctx))

	words, err := io.ReadAll(server)
	fmt.Printf("%s, %v\n", words, err)
	// Output:
	// <nil>
	// last words, <nil>
}

// Flush is for a program that goes on, and wants to know.
func ExampleConn_Flush() {
	client, server := session(relink.InsecureNoiseServer{}, relink.InsecureNoiseClient{})
	defer client.Abort()
	fmt.Fprint(client, "important")
	fmt.Println(client.Flush(context.Background()))

	server.Abort()
	<-client.Done()
	fmt.Fprint(client, "too late")
	fmt.Println(errors.Is(client.Err(), relink.ErrSessionLost))
	// Output:
	// <nil>
	// true
}

// How much was not delivered is part of the error.
func ExampleUndeliveredError() {
	var err error = &relink.UndeliveredError{Bytes: 1234, Err: context.DeadlineExceeded}
	var u *relink.UndeliveredError
	if errors.As(err, &u) {
		fmt.Println(u.Bytes, errors.Is(err, context.DeadlineExceeded))
	}
	// Output: 1234 true
}

// Abort gives up what is not delivered; nothing of the Conn is left afterwards.
func ExampleConn_Abort() {
	client, server := session(relink.DH64RC4Server{}, relink.DH64RC4Client{})
	defer server.Abort()

	client.Abort()
	<-client.Done()
	_, err := client.Read(make([]byte, 1))
	fmt.Println(errors.Is(err, net.ErrClosed), client.State())
	// Output: true closed
}

// A phone has changed from Wi-Fi to a mobile network, or the application has come
// to the foreground: the platform's callback tells the Conn, which moves at
// once instead of waiting for a time-out.
// A chat that goes to the background can wait a few seconds for what a game cannot.
func ExampleConn_SetVigilance() {
	l := echo(relink.DH64RC4Server{})
	defer l.Close()
	d := relink.Dialer{Suite: relink.DH64RC4Client{}, Vigilance: relink.VigilanceForeground}
	conn, err := d.DialConn(context.Background(), "tcp", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Abort()

	fmt.Println(conn.SetVigilance(relink.VigilanceBackground))
	// Output: <nil>
}

func ExampleConn_NetworkChanged() {
	l := echo(relink.DH64RC4Server{})
	defer l.Close()
	resumed := make(chan struct{}, 1)
	d := relink.Dialer{Suite: relink.DH64RC4Client{}}
	d.OnEvent = func(e relink.Event) {
		if e.Kind == relink.EventResumed {
			resumed <- struct{}{}
		}
	}
	conn, err := d.DialConn(context.Background(), "tcp", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Abort()

	before := conn.LocalAddr().String()
	conn.NetworkChanged()
	<-resumed
	fmt.Println(conn.LocalAddr().String() != before, conn.RemoteAddr().String() == l.Addr().String())
	// Output: true true
}

func ExampleConn_Stats() {
	client, server := session(relink.DH64RC4Server{}, relink.DH64RC4Client{})
	defer client.Abort()
	defer server.Abort()

	fmt.Fprint(client, "hello")
	io.ReadFull(server, make([]byte, 5))
	sent, received := client.Stats(), server.Stats()
	fmt.Println(sent.BytesWritten, received.BytesRead, sent.Resumes, sent.Replayed)
	// Output: 5 5 0 0
}

// What a server exports as metrics comes from one cheap call.
func ExampleListener_Stats() {
	l, err := relink.Listen("tcp", "127.0.0.1:0", relink.DH64RC4Server{})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	client, err := relink.Dial("tcp", l.Addr().String(), relink.DH64RC4Client{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Abort()
	conn, err := l.AcceptConn()
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Abort()
	report := func(s relink.ListenerStats) { fmt.Println(s.Opened, s.Connected, s.Suspended, s.Refused.Total()) }
	report(l.Stats())
	// Output: 1 1 0 0
}

// An operator's page lists the sessions, or ends those of one client.
func ExampleListener_Sessions() {
	l := echo(relink.DH64RC4Server{})
	defer l.Close()
	client, err := relink.Dial("tcp", l.Addr().String(), relink.DH64RC4Client{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Abort()
	fmt.Fprint(client, "hello")
	io.ReadFull(client, make([]byte, 5))
	for conn := range l.Sessions() {
		fmt.Println(conn.ID() == client.ID(), conn.Stats().BytesRead)
		conn.Abort()
	}
	// Output: true 5
}

// A proxy passes streams on with io.Copy, which calls WriteTo: a session that is
// idle holds no buffer for it.
func ExampleConn_WriteTo() {
	client, server := session(relink.DH64RC4Server{}, relink.DH64RC4Client{})
	defer client.Abort()
	fmt.Fprint(server, "passed on")
	server.Close()
	var b strings.Builder
	n, err := io.Copy(&b, client)
	fmt.Println(b.String(), n, err)
	// Output: passed on 9 <nil>
}

// The other direction of a proxy is a copy too.
func ExampleConn_ReadFrom() {
	client, server := session(relink.DH64RC4Server{}, relink.DH64RC4Client{})
	defer client.Abort()
	defer server.Abort()
	n, err := client.ReadFrom(strings.NewReader("up"))
	b := make([]byte, 2)
	io.ReadFull(server, b)
	fmt.Printf("%s %d %v\n", b, n, err)
	// Output: up 2 <nil>
}

// On a suite with acknowledgements WaitAcked tells that the peer's application has
// taken the bytes. The classic suites have none.
func ExampleConn_WaitAcked() {
	client, server := session(relink.InsecureNoiseServer{}, relink.InsecureNoiseClient{})
	defer client.Abort()
	defer server.Abort()

	n, _ := fmt.Fprint(client, "important")
	go io.ReadFull(server, make([]byte, n))
	err := client.WaitAcked(context.Background(), int64(n))
	fmt.Println(err, client.Acked())

	client, server = session(relink.DH64RC4Server{}, relink.DH64RC4Client{})
	defer client.Abort()
	defer server.Abort()
	err = client.WaitAcked(context.Background(), 0)
	fmt.Println(errors.Is(err, errors.ErrUnsupported), client.Acked())
	// Output:
	// <nil> 9
	// true 0
}

// A net.Conn that comes from a relink listener, possibly wrapped, leads back to
// its Conn. Here an HTTP handler finds the session that it serves.
func ExampleFromConn() {
	type key struct{}
	l, err := relink.Listen("tcp", "127.0.0.1:0", relink.DH64RC4Server{})
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if conn, ok := relink.FromConn(c); ok {
				ctx = context.WithValue(ctx, key{}, conn)
			}
			return ctx
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn := r.Context().Value(key{}).(*relink.Conn)
			fmt.Fprintf(w, "%v, %d resumes", conn.State(), conn.Stats().Resumes)
		}),
		ReadHeaderTimeout: 10 * time.Second,
	}
	go server.Serve(l)
	defer server.Close()

	d := relink.Dialer{Suite: relink.DH64RC4Client{}}
	transport := &http.Transport{DialContext: d.DialContext}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Get("http://" + l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	io.Copy(os.Stdout, response.Body)
	// Output: connected, 0 resumes
}

// OnEvent sees what the stream does not show.
func ExampleConfig_onEvent() {
	l := echo(relink.DH64RC4Server{})
	defer l.Close()
	events := make(chan relink.Event, 10)
	d := relink.Dialer{
		Suite:  relink.DH64RC4Client{},
		Config: relink.Config{OnEvent: func(e relink.Event) { events <- e }},
	}
	conn, err := d.DialConn(context.Background(), "tcp", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	conn.NetworkChanged() // as good as a lost transport
	for e := range events {
		fmt.Println(e.Kind)
		if e.Kind == relink.EventResumed {
			conn.Abort()
		}
		if e.Kind == relink.EventClosed {
			break
		}
	}
	// Output:
	// opened
	// suspended
	// resuming
	// resumed
	// closed
}

// Where an event carries numbers, they have units.
func ExampleEvent() {
	report := func(e relink.Event) {
		switch e.Kind {
		case relink.EventResumed:
			fmt.Printf("%v is back after %v, %d bytes sent again\n", e.Remote, e.Gap, e.Replayed)
		case relink.EventRefused:
			fmt.Println("refused:", e.Err)
		case relink.EventOpened, relink.EventSuspected, relink.EventSuspended, relink.EventResuming, relink.EventClosed, relink.EventListenerFailed, relink.EventHistoryCut:
			fmt.Println(e.Kind)
		}
		if e.Dropped > 0 {
			fmt.Println(e.Dropped, "events came too fast")
		}
	}
	report(relink.Event{Kind: relink.EventRefused, Err: relink.ErrNoSuite})
	// Output: refused: relink: the client speaks none of the listener's suites
}

// The kinds of events have names for logs and metrics.
func ExampleEventKind() {
	fmt.Println(relink.EventSuspended, relink.EventResumed)
	// Output: suspended resumed
}

func ExampleState() {
	client, server := session(relink.DH64RC4Server{}, relink.DH64RC4Client{})
	defer server.Abort()
	fmt.Println(client.State())
	client.Abort()
	fmt.Println(client.State())
	// Output:
	// connected
	// closed
}

// What an application does about an error depends on which it is, and never on
// its text.
func Example_errors() {
	advice := func(err error) string {
		switch {
		case errors.Is(err, io.EOF):
			return "the peer has closed"
		case errors.Is(err, net.ErrClosed):
			return "closed here"
		case errors.Is(err, os.ErrDeadlineExceeded):
			return "try again"
		case errors.Is(err, relink.ErrExpired), errors.Is(err, relink.ErrSessionLost):
			return "dial again, and log in again"
		case errors.Is(err, relink.ErrReplayGap):
			return "raise ReplayLimit"
		default:
			return "report it"
		}
	}
	client, server := session(relink.DH64RC4Server{}, relink.DH64RC4Client{})
	defer client.Abort()
	server.Abort()
	_, err := client.Read(make([]byte, 1))
	fmt.Println(advice(err))
	// Output: dial again, and log in again
}

// Suites are values that any number of listeners share.
func ExampleServerSuite() {
	for _, suite := range []relink.ServerSuite{relink.DH64RC4Server{}, relink.SCPServer{}} {
		fmt.Println(suite)
	}
	// Output:
	// DH64RC4
	// SCP
}

// What is wrong with a suite is an error of Dial, and of Listen.
func ExampleClientSuite() {
	for _, suite := range []relink.ClientSuite{relink.NoiseClient{}, relink.SCPClient{Flag: -1}} {
		_, err := relink.Dial("tcp", "127.0.0.1:1", suite)
		fmt.Println(errors.Unwrap(err))
	}
	// Output:
	// relink: NoiseClient.ServerKeys is empty: a client needs the server's public key
	// relink: SCPClient.Flag -1 is not from 0 to 2^32-1
}

// Some deployments of the snet protocol switch the encryption off. Both sides
// must agree on it beforehand.
func ExampleDH64RC4Server() {
	client, server := session(relink.DH64RC4Server{ClearStream: true}, relink.DH64RC4Client{ClearStream: true})
	defer client.Abort()
	defer server.Abort()
	fmt.Fprint(client, "in the clear")
	b := make([]byte, 12)
	io.ReadFull(server, b)
	fmt.Printf("%s\n", b)
	// Output: in the clear
}

// A client of goscon's protocol says which back end it prefers, and the server's
// application decides what to make of it.
// A binding whose callers cannot look into a Go error, and a metric's label, need a word.
func ExampleErrorCode() {
	_, err := relink.Dial("tcp", "127.0.0.1:1", relink.InsecureNoiseClient{})
	fmt.Println(relink.ErrorCode(err))
	fmt.Println(relink.ErrorCode(fmt.Errorf("reading the greeting: %w", relink.ErrExpired)))
	// Output:
	// network
	// expired
}

func ExampleSCPClient() {
	client, server := session(relink.SCPServer{}, relink.SCPClient{
		TargetServer: "zone_7",
		Flag:         relink.SCPFlagForbidForwardIP,
	})
	defer client.Abort()
	defer server.Abort()

	if r, ok := relink.SCPRequestOf(server); ok {
		fmt.Println(r.TargetServer, r.Flag&relink.SCPFlagForbidForwardIP != 0)
	}
	// Output: zone_7 true
}

func ExampleSCPRequestOf() {
	client, server := session(relink.SCPServer{}, relink.SCPClient{})
	defer client.Abort()
	defer server.Abort()

	r, ok := relink.SCPRequestOf(server)
	fmt.Println(ok, r.HasTarget, r.HasFlag) // an older client sends neither
	// Output: true false false
}

// A server of the suite SCP answers with a status code when it does not want
// a client.
func ExampleSCPStatusError() {
	l, err := relink.NewListener(listenTCP(), relink.ListenConfig{Suites: []relink.ServerSuite{relink.SCPServer{}}, MaxSessions: 1})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	first, err := relink.Dial("tcp", l.Addr().String(), relink.SCPClient{})
	if err != nil {
		log.Fatal(err)
	}
	defer first.Abort()
	l.Accept()

	_, err = relink.Dial("tcp", l.Addr().String(), relink.SCPClient{})
	var status relink.SCPStatusError
	if errors.As(err, &status) {
		fmt.Println(status.Code, status.Name())
	}
	// Output: 501 network error
}

func listenTCP() net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	return l
}

// A countingConn is a transport that counts. It passes deadlines on to the TCP
// connection in it, so it says that they do no harm.
type countingConn struct {
	net.Conn
	mu   sync.Mutex
	sent int
}

func (c *countingConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.sent += len(p) // before the peer can have it
	c.mu.Unlock()
	return c.Conn.Write(p)
}

func (c *countingConn) Interruptible() bool { return true }

// NetConn lets relink find the TCP connection, to watch over its life.
func (c *countingConn) NetConn() net.Conn { return c.Conn }

var _ relink.Interruptible = (*countingConn)(nil)

func ExampleInterruptible() {
	l := echo(relink.DH64RC4Server{})
	defer l.Close()
	var counting *countingConn
	d := relink.Dialer{
		Suite: relink.DH64RC4Client{},
		DialTransport: func(ctx context.Context, network, address string) (net.Conn, error) {
			t, err := new(net.Dialer).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			counting = &countingConn{Conn: t}
			return counting, nil
		},
	}
	conn, err := d.DialConn(context.Background(), "tcp", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Abort()
	fmt.Fprint(conn, "hello")
	io.ReadFull(conn, make([]byte, 5))
	counting.mu.Lock()
	defer counting.mu.Unlock()
	fmt.Println(counting.sent, "bytes, of which the handshake had", counting.sent-5)
	// Output: 30 bytes, of which the handshake had 25
}

// A server that is open to the internet, with bounds for what strangers can cost it.
func ExampleListenConfig_admit() {
	banned := netip.MustParsePrefix("203.0.113.0/24")
	lc := relink.ListenConfig{
		Suites: []relink.ServerSuite{relink.SCPServer{}},

		MaxHandshakesPerAddress: 200, // under way, and
		HandshakeRatePerAddress: 50,  // in a second

		MaxMemory:          1 << 30, // of all sessions, and
		MaxSuspendedMemory: 1 << 28, // of those whose clients are away

		Admit: func(remote net.Addr) error { // before anything is spent on it
			from, err := netip.ParseAddrPort(remote.String())
			if err == nil && banned.Contains(from.Addr().Unmap()) {
				return errors.New("the network is banned")
			}
			return nil
		},
	}
	l, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	fmt.Println("sessions hold", l.Stats().Memory, "of", lc.MaxMemory, "bytes")
	// Output: sessions hold 0 of 1073741824 bytes
}

// What a listener had to refuse, by reason; and what it did when its memory was used up.
func ExampleEvent_refusals() {
	count := func(r relink.RefusalStats) {
		fmt.Println("of", r.Total(), "came too fast", r.Rate, "and found no memory", r.Memory)
	}
	onEvent := func(e relink.Event) {
		switch {
		case e.Refusals != nil: // many at once, because OnEvent did not keep up
			count(*e.Refusals)
		case errors.Is(e.Err, relink.ErrHandshakeRate):
			fmt.Println(e.Remote, "is too fast")
		case errors.Is(e.Err, relink.ErrMemory) && e.Kind == relink.EventRefused:
			fmt.Println(e.Remote, "was turned away: raise MaxMemory")
		case e.Kind == relink.EventHistoryCut:
			fmt.Println(e.Conn.ID(), "may not survive its next cut")
		case errors.Is(e.Err, relink.ErrReclaimedUnused):
			fmt.Println(e.Conn.ID(), "was left behind: where many are, somebody may attack")
		case errors.Is(e.Err, relink.ErrReclaimedLongest):
			fmt.Println(e.Conn.ID(), "was away, and others needed its memory: raise MaxMemory")
		case errors.Is(e.Err, relink.ErrReclaimed):
			panic("it is one of the two above")
		case errors.Is(e.Err, relink.ErrUnacknowledged):
			fmt.Println(e.Conn.ID(), "did not acknowledge what it was sent")
		}
	}
	onEvent(relink.Event{Kind: relink.EventRefused, Refusals: &relink.RefusalStats{Rate: 20, Memory: 3}})
	// Output: of 23 came too fast 20 and found no memory 3
}

func ExampleListener_Stats_memory() {
	// 1 MiB is the least that a listener can do with.
	l, err := relink.NewListener(listenTCP(), relink.ListenConfig{Suites: []relink.ServerSuite{relink.SCPServer{}}, MaxMemory: relink.MinMaxMemory})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	s := l.Stats()
	fmt.Println(s.SuspendedMemory, "bytes of sessions that are away,", s.ReclaimedUnused+s.ReclaimedLongest, "of them ended for it,", s.HistoriesCut, "histories cut")
	// Output: 0 bytes of sessions that are away, 0 of them ended for it, 0 histories cut
}

// What belongs to a session is kept with it, from its opened event on.
func ExampleConn_SetValue() {
	type player struct{ ID string }
	lc := relink.ListenConfig{Suites: []relink.ServerSuite{relink.InsecureNoiseServer{}}}
	lc.OnEvent = func(e relink.Event) {
		if e.Kind == relink.EventOpened {
			e.Conn.SetValue(&player{ID: e.Conn.ID()})
		}
	}
	_ = lc
}

func ExampleConn_Value() {
	type player struct{ score int }
	client, server := session(relink.InsecureNoiseServer{}, relink.InsecureNoiseClient{})
	defer client.Abort()
	defer server.Abort()

	server.SetValue(&player{score: 7})
	if p, ok := server.Value().(*player); ok {
		fmt.Println(p.score)
	}
	// Output: 7
}

// Who has logged in may be away for longer.
func ExampleConn_SetResumeTimeout() {
	client, server := session(relink.InsecureNoiseServer{}, relink.InsecureNoiseClient{})
	defer client.Abort()
	defer server.Abort()

	for _, c := range []*relink.Conn{client, server} { // each side has its own time
		if err := c.SetResumeTimeout(time.Hour); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(server.State())
	// Output: connected
}
