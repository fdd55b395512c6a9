// Soak runs relink under a mixed load for minutes or hours while the
// connections below it are cut, and ends with a verdict.
//
//	go run ./lab/soak -for 1m
//	go run ./lab/soak -for 8h -sessions 200 -cuts 20 -two
//	go run ./lab/soak -cuts-at-least 10000 -cuts 50 -sessions 200
//
// Sessions of every suite, over loopback TCP, each behind a relay of its own: bulk
// transfers in both directions, messages as a game sends them, sessions that are
// quiet for seconds, and sessions that are opened and ended all the time, by each
// side and in each way. Readers pause, deadlines pass, the network changes, and
// the server's listeners are replaced while sessions live. Every byte of every
// stream says where it belongs, and is looked at.
//
// Once a second the process is sampled. At the end everything is closed, and the
// verdict says whether a byte was lost, doubled or out of place, whether a
// session ended otherwise than it was meant to, and whether a goroutine, a
// descriptor, a session or memory is left. With -two the server is a process of
// its own, and both are judged. With -server that process runs another build of
// this program, so that two versions of the library meet: what the two processes
// say to each other, and the header of a session, change only so that a build of
// the last version still understands them.
//
// The exit status is 0 if everything held, 1 if not, 2 after a wrong flag.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/relink-go/relink"
)

func main() {
	if os.Getenv(serveVariable) != "" {
		os.Exit(serveProcess(os.Stdin, os.Stdout, os.Stderr))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr, nil)
	stop()
	os.Exit(status)
}

// options are the flags.
type options struct {
	duration    time.Duration
	sessions    int
	suites      []choice
	cuts        float64 // per second
	cutsAtLeast int64
	seed        uint64
	liveness    time.Duration
	restart     time.Duration
	two         bool
	server      string // the program of the server's process; empty is this one

	wrap transportWrapper // a test's own harm, or nil
}

const (
	// longestTail is how much longer than -for a run with -cuts-at-least may
	// take: as long again, and this.
	longestTail = 10 * time.Minute

	// defaultSuites are all of them.
	defaultSuites = "noise,insecure-noise,dh64rc4,dh64rc4-clear,scp"
)

// say writes to the output. One that is gone is no reason to stop.
func say(out io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(out, format, args...) }

// parse reads the flags and says what is wrong with them.
func parse(args []string, help io.Writer) (options, error) {
	var o options
	var suites string
	fs := flag.NewFlagSet("soak", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.DurationVar(&o.duration, "for", time.Minute, "open new sessions for this `time`; an interrupt ends it early")
	fs.IntVar(&o.sessions, "sessions", 60, "keep `n` sessions open")
	fs.StringVar(&suites, "suites", defaultSuites, "the `names` of the suites, with commas between")
	fs.Float64Var(&o.cuts, "cuts", 20, "cut `n` connections a second")
	fs.Int64Var(&o.cutsAtLeast, "cuts-at-least", 0, "go on until `n` connections were cut")
	fs.Uint64Var(&o.seed, "seed", 0, "seed of all random choices (default random)")
	fs.DurationVar(&o.liveness, "liveness", relink.MinLivenessTimeout, "the `time` within which a silent loss is found")
	fs.DurationVar(&o.restart, "restart", 15*time.Second, "replace the server's listeners this `often`, 0 for never")
	fs.BoolVar(&o.two, "two", false, "run the server in a process of its own")
	fs.StringVar(&o.server, "server", "", "run the server in a process of its own, with this `build` of soak")
	err := fs.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		say(help, "soak runs relink under mixed load and cuts, and ends with a verdict.\n")
		fs.SetOutput(help)
		fs.PrintDefaults()
		return o, err
	}
	switch {
	case err != nil:
		return o, fmt.Errorf("%w: -help lists the flags", err)
	case fs.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", fs.Arg(0))
	case o.duration <= 0:
		return o, errors.New("-for takes a positive time")
	case o.sessions < 1 || o.sessions > maxSlots:
		return o, fmt.Errorf("-sessions takes 1 to %d: each needs a relay and up to eight descriptors", maxSlots)
	case o.cuts < 0 || o.cuts > maxCutRate:
		return o, fmt.Errorf("-cuts takes 0 to %d", maxCutRate)
	case o.cuts == 0 && o.cutsAtLeast > 0:
		return o, errors.New("-cuts-at-least needs a positive -cuts")
	case o.liveness < relink.MinLivenessTimeout:
		return o, fmt.Errorf("-liveness takes at least %v", relink.MinLivenessTimeout)
	case o.restart < 0:
		return o, errors.New("-restart takes no negative time")
	}
	if o.suites, err = parseSuites(suites); err != nil {
		return o, err
	}
	if o.seed == 0 {
		o.seed = rand.Uint64()
	}
	return o, nil
}

// run is the program. It returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer, wrap transportWrapper) int {
	o, err := parse(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		say(stderr, "soak: %v\n", err)
		return 2
	}
	o.wrap = wrap
	r, err := soak(ctx, o, stdout)
	if err != nil {
		say(stderr, "soak: %v\n", err)
		return 1
	}
	failed := r.print(stdout)
	for _, f := range failed {
		say(stderr, "soak: %s\n", f)
	}
	if len(failed) > 0 {
		return 1
	}
	return 0
}

// soak runs the load and returns what came of it.
func soak(ctx context.Context, o options, stdout io.Writer) (*result, error) {
	say(stdout, "seed %d: %d sessions of %s, %v cuts a second, for %v\n", o.seed, o.sessions, names(o.suites), o.cuts, o.duration)
	warmUp()
	k := newKeys()
	own := newMonitor("this process")
	var b backend
	var err error
	if o.two || o.server != "" {
		own.name = "the clients' process"
		b, err = startServeProcess(o.server, serveOptions{Key: k.private.EncodeSecret(), Liveness: o.liveness, Restart: o.restart})
	} else {
		b, err = newServer(serveOptions{Key: k.private.EncodeSecret(), Liveness: o.liveness, Restart: o.restart})
	}
	if err != nil {
		return nil, err
	}
	own.start()
	c := newClients(o, k, b)
	stopProgress := showProgress(stdout, c, b, own)
	began := time.Now()
	c.run(ctx)
	took := time.Since(began)
	r := &result{options: o, took: took, client: c.tally.snapshot(), cuts: c.cuts.snapshot()}
	r.server, err = b.finish()
	stopProgress()
	if err != nil {
		return nil, fmt.Errorf("the server: %w", err)
	}
	own.stop()
	r.processes = append(r.processes, own.judge())
	if r.server.Process != nil {
		r.processes = append(r.processes, *r.server.Process)
	}
	return r, nil
}
