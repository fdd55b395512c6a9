// Arena is a small game that relink is made for: a server that decides everything twenty
// times a second, and players in terminals and browsers whose networks come and go.
//
// One command serves it, with some bots, and prints an address for a browser:
//
//	go run ./examples/arena
//	go run ./examples/arena -bots 200 -cut-every 100ms
//
// A terminal plays, too, in the same arena:
//
//	go run ./examples/arena -connect 127.0.0.1:7000 -server-key KEY
//
// What to read it for: message.go and server.go say what goes into the stream (events,
// which must arrive) and what into it only while there is room (states, which are
// superseded); server.heard, what a server does when a player is away, comes back, or is
// gone for good. Nothing in it is about reconnecting.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/transport/websocket"
)

// options are the flags.
type options struct {
	tcp, http string // addresses to listen at
	bots      int
	cutEvery  time.Duration
	built     string // a directory with relink.js, or empty
	verbose   bool

	connect, name string
	serverKey     relink.PublicKey
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parseFlags(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "arena: %v\n", err)
		os.Exit(2)
	}
	if o.connect != "" {
		err = (&terminal{out: os.Stdout}).play(ctx, relink.NoiseClient{ServerKeys: []relink.PublicKey{o.serverKey}}, o.connect, o.name)
	} else {
		err = run(ctx, o, os.Stdout)
	}
	if err != nil {
		log.Fatal("arena: ", err)
	}
}

func parseFlags(args []string, stderr io.Writer) (*options, error) {
	o := new(options)
	flags := flag.NewFlagSet("arena", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.tcp, "listen", "127.0.0.1:7000", "the `address` for Go programs")
	flags.StringVar(&o.http, "http", "127.0.0.1:8080", "the `address` for browsers")
	flags.IntVar(&o.bots, "bots", 5, "how many bots play")
	flags.DurationVar(&o.cutEvery, "cut-every", 0, "cut the transport of somebody so often, for the show")
	flags.StringVar(&o.built, "page", "", "a `directory` that browser/build.sh has filled; by default it is filled at each start")
	flags.BoolVar(&o.verbose, "v", false, "log what happens to sessions")
	flags.StringVar(&o.connect, "connect", "", "play in this terminal, at the server with this `address`")
	flags.TextVar(&o.serverKey, "server-key", relink.PublicKey{}, "the public `key` that the server prints")
	flags.StringVar(&o.name, "name", "terminal", "what the others see")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	switch {
	case flags.NArg() > 0:
		return nil, fmt.Errorf("what is %q? There are only flags", flags.Arg(0))
	case o.bots < 0 || o.cutEvery < 0:
		return nil, errors.New("-bots and -cut-every are not negative")
	case o.connect != "" && o.serverKey == (relink.PublicKey{}):
		return nil, errors.New("-connect wants the -server-key that the server prints")
	case len(o.name) > maxName:
		return nil, fmt.Errorf("-name has at most %d bytes", maxName)
	}
	return o, nil
}

// run serves until ctx ends.
func run(ctx context.Context, o *options, out io.Writer) (err error) {
	if o.built == "" {
		if o.built, err = os.MkdirTemp("", "arena"); err != nil {
			return err
		}
		defer os.RemoveAll(o.built)
		fmt.Fprintln(out, "building the page…")
		if err := build(o.built); err != nil {
			return err
		}
	}
	a, err := open(o)
	if err != nil {
		return err
	}
	defer a.close()
	fmt.Fprintf(out, "In a browser: %s\n", a.url())
	fmt.Fprintf(out, "In a terminal: go run ./examples/arena -connect %s -server-key %s\n", a.listener.Addr(), a.key)
	failed := make(chan error, 2)
	go func() { failed <- a.serve() }()
	if o.bots > 0 {
		d := &relink.Dialer{Suite: relink.NoiseClient{ServerKeys: []relink.PublicKey{a.key}}}
		go func() {
			if err := bots(ctx, d, a.listener.Addr().String(), o.bots); err != nil {
				failed <- err
			}
		}()
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}

// An arena is all that a server has open.
type arena struct {
	*server
	listener *relink.Listener
	web      net.Listener
	site     *http.Server
	key      relink.PublicKey
	cutter   *cutter
	done     chan struct{}
	set      *options
}

// open wraps the two listeners that a game server has, one for TCP and one for
// WebSockets, in one relink.Listener.
func open(o *options) (*arena, error) {
	level := slog.LevelWarn
	if o.verbose {
		level = slog.LevelInfo
	}
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	a := &arena{server: newServer(logger), cutter: new(cutter), done: make(chan struct{}), set: o}
	private := relink.GenerateKey() // a real server keeps its key: see examples/keygen
	a.key = private.PublicKey()

	tcp, err := net.Listen("tcp", o.tcp)
	if err != nil {
		return nil, err
	}
	a.listener, err = relink.NewListener(cutListener{tcp, a.cutter}, relink.ListenConfig{
		Suites: []relink.ServerSuite{relink.NoiseServer{Keys: []relink.PrivateKey{private}}},
		Config: relink.Config{
			ReplayLimit:   1 << 20,          // some minutes of events
			ResumeTimeout: 30 * time.Second, // how long a player keeps its place
			OnEvent:       a.heard,
			Logger:        logger,
		},
	})
	if err != nil {
		_ = tcp.Close()
		return nil, err
	}
	if a.web, err = net.Listen("tcp", o.http); err != nil {
		_ = a.listener.Close()
		return nil, err
	}
	sockets, err := websocket.NewListener("ws://"+a.web.Addr().String()+"/play", websocket.Config{})
	if err == nil {
		err = a.listener.AddListener(cutListener{sockets, a.cutter}, "websocket")
	}
	var handler http.Handler
	if err == nil {
		handler, err = site(o.built, sockets, a.key)
	}
	if err != nil {
		_ = a.listener.Close()
		_ = a.web.Close()
		return nil, err
	}
	a.site = &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	return a, nil
}

// url is what a browser opens.
func (a *arena) url() string {
	return "http://" + strings.Replace(a.web.Addr().String(), "[::]", "localhost", 1) + "/"
}

// serve plays until close.
func (a *arena) serve() error {
	go a.run(a.done)
	if a.set.cutEvery > 0 {
		go a.cutter.run(a.set.cutEvery, a.done)
	}
	failed := make(chan error, 2)
	go func() { failed <- a.server.serve(a.listener) }()
	go func() { failed <- a.site.Serve(a.web) }()
	return <-failed
}

func (a *arena) close() {
	close(a.done)
	_ = a.listener.Close() // and with it all sessions
	_ = a.site.Close()
}
