// Gaps brings every fault of the network laboratory upon sessions of every
// suite, and upon plain TCP and TLS connections beside them, and prints what
// the applications saw of it as Markdown tables of medians:
//
//	go run ./lab/gaps
//	go run ./lab/gaps -fault 'address' -rounds 9
//	go run ./lab/gaps -rounds 5 -write docs/reliability.md
//
// It needs Linux and root, takes about three minutes a round, and little of
// the processor. A machine that is busy with something else spoils the figures;
// a run in which this process was kept waiting is repeated a few times, and if
// that does not help, a note below the tables says how long it was.
//
// The exit status is 0 if every byte arrived, 1 if not, 2 if it could not be
// tried.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/relink-go/relink/lab/internal/page"
	"github.com/relink-go/relink/lab/network"
)

// tablesPart is where the tables stand in a page.
var tablesPart = page.Part{Command: "go run ./lab/gaps"}

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// options are the flags.
type options struct {
	rounds, parallel, repeats int
	late                      time.Duration
	settings                  network.Settings
	fault, write              string
	verbose                   bool
}

func run(args []string, out, diag io.Writer) int {
	var o options
	flags := flag.NewFlagSet("gaps", flag.ContinueOnError)
	flags.SetOutput(diag)
	diagnosis := log.New(diag, "", 0)
	flags.IntVar(&o.rounds, "rounds", 3, "how often to bring each fault")
	flags.IntVar(&o.parallel, "parallel", 4, "networks at a time")
	flags.StringVar(&o.fault, "fault", "", "only faults with this in their names")
	flags.DurationVar(&o.settings.RoundTrip, "rtt", 50*time.Millisecond, "round trip time of the network")
	flags.DurationVar(&o.settings.Watch, "watch", time.Minute, "how long to wait for connections that do not recover")
	flags.DurationVar(&o.late, "late", 20*time.Millisecond, "repeat a run if this process was kept waiting for longer")
	flags.IntVar(&o.repeats, "repeats", 2, "how often at most")
	flags.StringVar(&o.write, "write", "", "put the tables into this `file`, between its two markers")
	flags.BoolVar(&o.verbose, "v", false, "print each pair's outcome")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	faults := slices.DeleteFunc(network.Faults(), func(f network.Fault) bool { return !strings.Contains(f.Name, o.fault) })
	reports, err := measure(o, faults, diagnosis)
	if err != nil {
		diagnosis.Print("gaps: ", err)
		return 2
	}
	text := tables(o.settings, faults, reports)
	if _, err := io.WriteString(out, text); err != nil {
		diagnosis.Print("gaps: ", err)
		return 2
	}
	if o.write != "" {
		if err := tablesPart.Write(o.write, text); err != nil {
			diagnosis.Print("gaps: ", err)
			return 2
		}
	}
	status := 0
	for _, rs := range reports {
		for _, r := range rs {
			for _, p := range r.Outcomes {
				if p.IsSession() && p.Exact != nil {
					diagnosis.Printf("gaps: %s: %s (%s): %v", r.Fault.Name, p.Subject, p.Load, p.Exact)
					status = 1
				}
			}
		}
	}
	return status
}

// measure runs every fault as often as wanted, the longest first, and returns
// the reports by the fault's name.
func measure(o options, faults []network.Fault, diagnosis *log.Logger) (map[string][]*network.Report, error) {
	order := slices.Clone(faults)
	slices.SortStableFunc(order, func(a, b network.Fault) int { return int(b.Lasts - a.Lasts) })
	type job struct {
		fault network.Fault
		round int
	}
	jobs := make(chan job)
	reports := make(map[string][]*network.Report)
	var mu sync.Mutex
	var failure error
	var workers sync.WaitGroup
	for range o.parallel {
		workers.Go(func() {
			for j := range jobs {
				r, err := steady(o, j.fault, uint64(j.round))
				mu.Lock()
				if err != nil {
					failure = errors.Join(failure, fmt.Errorf("%s: %w", j.fault.Name, err))
				} else {
					reports[j.fault.Name] = append(reports[j.fault.Name], r)
					diagnosis.Printf("%s, round %d of %d: done, kept waiting for %v", j.fault.Name, j.round+1, o.rounds, r.Late.Round(time.Millisecond))
					if o.verbose {
						diagnosis.Print(outcomes(r))
					}
				}
				mu.Unlock()
			}
		})
	}
	for round := range o.rounds {
		for _, f := range order {
			jobs <- job{f, round}
		}
	}
	close(jobs)
	workers.Wait()
	return reports, failure
}

// steady runs a fault until a run was not disturbed, and returns the least
// disturbed one.
func steady(o options, f network.Fault, round uint64) (best *network.Report, err error) {
	for try := 0; try <= o.repeats; try++ {
		s := o.settings
		s.Seed = round
		r, err := network.Run(f, s)
		if err != nil {
			return nil, err
		}
		if best == nil || r.Late < best.Late {
			best = r
		}
		if best.Late <= o.late {
			break
		}
	}
	return best, nil
}

// outcomes shows a report, a pair a line.
func outcomes(r *network.Report) string {
	var b strings.Builder
	for _, p := range r.Outcomes {
		fmt.Fprintf(&b, "  %s %s", p.Subject, p.Load)
		if p.Told {
			b.WriteString(" told")
		}
		fmt.Fprintf(&b, ": client %v, server %v", p.Client, p.Server)
		if p.IsSession() {
			fmt.Fprintf(&b, ", %d resumes, %d bytes again, %d bytes in all", p.Resumes, p.Replayed, p.Bytes)
			for i, side := range []string{"client", "server"} {
				for _, l := range p.Lost[i] {
					fmt.Fprintf(&b, "\n    %s lost a transport after %v: %v", side, l.At.Round(time.Millisecond), l.Err)
				}
			}
			if p.Exact != nil {
				fmt.Fprintf(&b, "\n    NOT EXACT: %v", p.Exact)
			}
		}
		if p.Load == network.Idle {
			fmt.Fprintf(&b, "\n    an answer took %v", p.Answer.Round(time.Millisecond))
		}
		b.WriteString("\n")
	}
	return b.String()
}
