// Compare says how one version of relink does beside another: it builds a worker from
// each of two checkouts, runs them in turns, each with its two ends in processes of
// their own, and prints the ratios new/old.
//
//	go run ./bench/compare -old main -new . -rounds 15
//	go run ./bench/compare -old main -new . -only write64k,write1k -procs 1,2 -conns 1,16
//	go run ./bench/compare -old main -new . -only echo128 -layouts 7 -rounds 35
//	go run ./bench/compare -old main -new . -only session,resume,storm2000,idle5000
//	go run ./bench/compare -old . -new .    # how much of it is noise
//
// A version is the directory of a checkout, whose files are taken as they are, or a
// revision of this repository.
//
// The order within a round is drawn anew, the processes are new for each measurement,
// and a ratio is one of two measurements that followed each other. What is printed are
// the medians of the rounds with their quartiles.
//
// The instrument (packages apart, process and measure) is that of the checkout in which
// compare runs, for both versions; the subjects and the library are the version's.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"github.com/relink-go/relink/bench/internal/apart"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "compare:", err)
		stop()
		os.Exit(1)
	}
}

// options are what the command line says.
type options struct {
	old, new string
	rounds   int
	layouts  int
	cases    []testCase
	window   apart.Window
}

// parse reads the command line.
func parse(args []string, said io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("compare", flag.ContinueOnError)
	f.SetOutput(said)
	f.StringVar(&o.old, "old", "", "the `version` to compare with: a checkout's directory or a revision")
	f.StringVar(&o.new, "new", ".", "the `version` that is judged")
	f.IntVar(&o.rounds, "rounds", 9, "how often each version runs each case")
	f.IntVar(&o.layouts, "layouts", 1, "in how many orders of its code each version is linked; rounds take them in turns")
	only := f.String("only", "write64k,write1k,echo128", "the `work`, separated by commas: "+workNames)
	suites := f.String("suite", "Noise,DH64RC4", "the `subjects`, separated by commas: Noise, DH64RC4, SCP, or any other that bench has")
	conns := f.String("conns", "1", "how many connections at once, `numbers` separated by commas; storm, idle and sent have their own")
	procs := f.String("procs", "0", "GOMAXPROCS of each process, `numbers` separated by commas; 0 means the default")
	pin := f.String("pin", "", "which `processors` the ends may run on: one for both, one for each, or all; by default one for echoes, which is what leaves a time that repeats, and all for the rest")
	f.DurationVar(&o.window.Length, "time", 400*time.Millisecond, "how long a measurement takes")
	f.DurationVar(&o.window.Warm, "warm", 150*time.Millisecond, "how long the ends work before it")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	switch {
	case f.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	case o.old == "":
		return o, errors.New("say with -old what to compare with: a checkout's directory or a revision")
	case o.rounds < 1:
		return o, fmt.Errorf("-rounds is %d: use at least 1", o.rounds)
	case o.layouts < 1:
		return o, fmt.Errorf("-layouts is %d: use at least 1", o.layouts)
	case o.window.Length <= 0 || o.window.Warm < 0:
		return o, errors.New("-time must be above zero, and -warm not below")
	}
	pinned, err := parsePin(*pin)
	if err != nil {
		return o, err
	}
	connCounts, err := parseNumbers("conns", *conns, 1)
	if err != nil {
		return o, err
	}
	procCounts, err := parseNumbers("procs", *procs, 0)
	if err != nil {
		return o, err
	}
	for _, name := range strings.Split(*only, ",") {
		work, err := parseWork(name)
		if err != nil {
			return o, err
		}
		for _, suite := range strings.Split(*suites, ",") {
			counts := connCounts
			if work.conns > 0 {
				counts = []int{work.conns}
			}
			for _, c := range counts {
				for _, p := range procCounts {
					setup := apart.Setup{Subject: subjectName(suite), Conns: c, GOMAXPROCS: p, Pin: pinned}
					if *pin == "" {
						setup.Pin = work.pin
					}
					o.cases = append(o.cases, testCase{work: work, setup: setup})
				}
			}
		}
	}
	return o, nil
}

func parsePin(s string) (apart.Pin, error) {
	switch s {
	case "", "all":
		return apart.Free, nil
	case "one":
		return apart.OneCore, nil
	case "each":
		return apart.CoreEach, nil
	default:
		return 0, fmt.Errorf("-pin is %q: use one, each or all", s)
	}
}

func parseNumbers(name, s string, least int) ([]int, error) {
	var all []int
	for _, part := range strings.Split(s, ",") {
		n, err := strconv.Atoi(part)
		if err != nil || n < least {
			return nil, fmt.Errorf("-%s has %q: use whole numbers of at least %d, separated by commas", name, part, least)
		}
		all = append(all, n)
	}
	return all, nil
}

// run builds, measures, and prints. What was measured before an error is printed, too.
func run(ctx context.Context, args []string, said io.Writer) (err error) {
	o, err := parse(args, said)
	if err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "relink-compare")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	bench, err := benchDir(ctx)
	if err != nil {
		return err
	}
	versions := make([]version, 2)
	for i, name := range []string{o.old, o.new} {
		v, err := find(ctx, name, scratch)
		if err != nil {
			return err
		}
		if err := v.build(ctx, bench, scratch, o.layouts); err != nil {
			return err
		}
		versions[i] = v
	}
	err = takeTurns(ctx, o, versions, func(round int) {
		fmt.Fprintf(os.Stderr, "  … round %d of %d\n", round+1, o.rounds)
	})
	return errors.Join(err, write(said, o))
}
