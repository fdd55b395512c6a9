// Transfer sends a file through a relink connection whose TCP connection is cut
// over and over, and compares what arrives with what was sent.
//
// Without flags it runs a server, a client and a saboteur between them in one
// process, and sends the go command's own binary:
//
//	go run ./examples/transfer
//	go run ./examples/transfer -size 1G -cuts 500
//	go run ./examples/transfer -file movie.mkv -cut-every 50ms
//
// On two machines one half listens and the other connects. Pull the cable, or
// change the network, while it runs. The listening half has a private key, and
// prints the public one, by which the other half knows it:
//
//	go run ./examples/keygen -out server.key
//	go run ./examples/transfer -listen :7000 -key server.key
//	go run ./examples/transfer -connect server:7000 -server-key KEY -size 2G
//
// -suite names another suite than Noise, and -transport what to go over:
//
//	go run ./examples/transfer -transport websocket
//	go run ./examples/transfer -transport quic
//	go run ./examples/transfer -transport kcp
//
// The exit status is 0 if every byte arrived, 1 if not, 2 after a wrong flag.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/examples/internal/suiteflag"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// options are the flags.
type options struct {
	file            string // what to send
	size            int64  // of random data, where file is empty
	listen, connect string // the address, where this is only one half
	suite           *suiteflag.Choice
	transport       transport
	server          relink.ServerSuite // for the half that runs here, or both
	client          relink.ClientSuite
	needs           string       // flags that the half which connects needs, where this one listens
	plan            plan         // for the saboteur
	logger          *slog.Logger // nil for none
}

// run is the program. It returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stdout, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "transfer: %v\n", err)
		return 2
	}
	err = transfer(ctx, o, stdout)
	if err != nil && ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	if err != nil {
		fmt.Fprintf(stderr, "transfer: %v\n", err)
		return 1
	}
	return 0
}

// parse reads the flags and says what is wrong with them.
func parse(args []string, help, log io.Writer) (options, error) {
	var o options
	var size string
	fs := flag.NewFlagSet("transfer", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&o.file, "file", "", "send the file at `path` (default the go command's binary)")
	fs.StringVar(&size, "size", "", "send `n` bytes of random data instead, for example 64M")
	fs.StringVar(&o.listen, "listen", "", "only receive, once, from a -connect to this `address`")
	fs.StringVar(&o.connect, "connect", "", "only send, to a -listen at this `address`")
	o.suite = suiteflag.RegisterKeys(fs)
	o.transport = transports[0]
	fs.Var(&o.transport, "transport", "go over `name`: "+strings.Join(transportNames(), ", "))
	fs.IntVar(&o.plan.cuts, "cuts", defaultCuts, "cut `n` times, spread over the data\n(with -connect none unless this or -cut-every is given)")
	fs.DurationVar(&o.plan.every, "cut-every", 0, "cut after every `interval`, such as 50ms, instead\n(-cuts is the most then, by default there is no bound)")
	fs.IntVar(&o.plan.blackHoles, "blackholes", 3, "let `n` of the cuts be black holes, each of which takes a second or two to find")
	verbose := fs.Bool("v", false, "log the connection's events on standard error")
	err := fs.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(help, "transfer sends a file through cut after cut; without flags all in one process.")
		fs.SetOutput(help)
		fs.PrintDefaults()
		return o, err
	}
	given := make(map[string]bool)
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	switch {
	case err != nil:
		return o, fmt.Errorf("%w: -help lists the flags", err)
	case fs.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q: name a file with -file", fs.Arg(0))
	case given["file"] && given["size"]:
		return o, errors.New("-file and -size exclude each other")
	case o.listen != "" && o.connect != "":
		return o, errors.New("-listen and -connect exclude each other: run one half here and one there")
	case o.listen != "" && (given["file"] || given["size"] || given["cuts"] || given["cut-every"] || given["blackholes"]):
		return o, errors.New("-listen only receives: give the data and the cuts to the half that connects")
	case o.plan.cuts < 0 || o.plan.every < 0 || o.plan.blackHoles < 0:
		return o, errors.New("-cuts, -cut-every and -blackholes take no negative values")
	}
	if *verbose {
		o.logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	switch {
	case given["cuts"]:
	case o.plan.every > 0:
		o.plan.cuts = unbounded
	case o.connect != "":
		o.plan.cuts = 0
	}
	if given["size"] {
		if o.size, err = parseSize(size); err != nil {
			return o, fmt.Errorf("-size %q: %w", size, err)
		}
	} else if o.file == "" && o.listen == "" {
		o.file = goBinary()
	}
	switch {
	case o.listen != "":
		o.server, o.needs, err = o.suite.Server()
		if o.transport.name != transports[0].name {
			o.needs += " -transport " + o.transport.name
		}
	case o.connect != "":
		o.client, err = o.suite.Client()
	default:
		o.server, o.client, err = o.suite.Both()
	}
	return o, err
}
