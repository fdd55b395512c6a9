// Mutation breaks the library on purpose, in one way after the other, and looks
// whether its tests notice:
//
//	go run ./lab/mutation                              all mutants, some minutes
//	go run ./lab/mutation -only '^Ends|epoch|nonce'    a group, or some of any
//	go run ./lab/mutation -write docs/mutants.md       and put the table there
//	go run ./lab/mutation -list                        name them, and run nothing
//
// The mutants stand in this directory's mutants_*.go. Each is a few characters
// of the library, changed in a way that compiles and that a tired author could
// have written: a check that is left out, an offset wrong by one, a wake-up that
// is missing. Beside it stand the tests that ought to fail. If none of them
// does, all tests of the library are run, and then the simulation. A mutant
// that passes all of it has survived: either it breaks nothing, and does not
// belong here, or a test is missing.
//
// Nothing in the repository is touched. The tests run in one copy of it, made
// when the command begins, so that one may go on working meanwhile; a mutant is
// given to the compiler as an overlay over that copy.
//
// With -only and -write, the rows of the mutants that were not run stay as they
// are, so that a long run can be had in parts.
//
// The exit status is 0 if every mutant was caught, 1 if one survived, 2 if it
// could not be tried: the tests fail without a mutant, or one does not compile.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"sync"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// options are the flags.
type options struct {
	root, only, write string
	parallel          int
	timeout           time.Duration
	list              bool
}

func run(ctx context.Context, args []string, out, diag io.Writer) int {
	var o options
	flags := flag.NewFlagSet("mutation", flag.ContinueOnError)
	flags.SetOutput(diag)
	flags.StringVar(&o.root, "root", ".", "the `directory` of the library")
	flags.StringVar(&o.only, "only", "", "only mutants whose group, colon and name match this `regexp`")
	flags.StringVar(&o.write, "write", "", "put the table into this `file`, between its two markers")
	flags.IntVar(&o.parallel, "parallel", 2, "mutants at a time")
	flags.DurationVar(&o.timeout, "timeout", 30*time.Second, "how long the tests that should catch a mutant may take")
	flags.BoolVar(&o.list, "list", false, "print the mutants and run nothing")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	diagnosis := log.New(diag, "", 0)
	status, err := check(ctx, o, out, diagnosis)
	if err != nil {
		diagnosis.Print("mutation: ", err)
		return 2
	}
	return status
}

// check does what the flags ask for and returns the exit status.
func check(ctx context.Context, o options, out io.Writer, diagnosis *log.Logger) (int, error) {
	only, err := regexp.Compile(o.only)
	if err != nil {
		return 0, err
	}
	if o.parallel < 1 {
		return 0, fmt.Errorf("-parallel %d: at least one mutant at a time", o.parallel)
	}
	selected := matching(only)
	if len(selected) == 0 {
		return 0, fmt.Errorf("no mutant matches %q", o.only)
	}
	if o.list {
		for _, m := range selected {
			if _, err := fmt.Fprintf(out, "%s (%s): %s\n", m.name, m.edits[0].file, m.breaks); err != nil {
				return 0, err
			}
		}
		return 0, nil
	}
	dir, err := os.MkdirTemp("", "mutation")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	lab, err := newLaboratory(ctx, o.root, dir, o.timeout)
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	if err := lab.verify(ctx, selected); err != nil {
		return 0, err
	}
	diagnosis.Printf("without a mutant all of their tests pass (%v)", time.Since(begun).Round(time.Second))
	verdicts, err := tryAll(ctx, lab, selected, o.parallel, diagnosis)
	if err != nil {
		return 0, err
	}
	diagnosis.Printf("%d mutants in %v", len(selected), time.Since(begun).Round(time.Second))
	return report(o, verdicts, out)
}

// tryAll tries each mutant, several at a time, and returns the verdicts by the
// mutants' names.
func tryAll(ctx context.Context, lab *laboratory, selected []mutant, parallel int, diagnosis *log.Logger) (map[string]verdict, error) {
	jobs := make(chan mutant)
	verdicts := make(map[string]verdict)
	var mu sync.Mutex
	var failure error
	var workers sync.WaitGroup
	for range parallel {
		workers.Go(func() {
			for m := range jobs {
				begun := time.Now()
				v, err := lab.try(ctx, m)
				mu.Lock()
				if err != nil {
					failure = errors.Join(failure, fmt.Errorf("%s: %w", m.name, err))
				} else {
					verdicts[m.name] = v
				}
				diagnosis.Printf("%3d of %d, %4.1f s: %s: %s", len(verdicts), len(selected), time.Since(begun).Seconds(), m.name, told(v, err))
				mu.Unlock()
			}
		})
	}
	for _, m := range selected {
		if ctx.Err() != nil {
			break
		}
		jobs <- m
	}
	close(jobs)
	workers.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return verdicts, failure
}

// told is what the progress says of a mutant.
func told(v verdict, err error) string {
	switch {
	case err != nil:
		return "cannot be tried"
	case len(v.doubtful) > 0:
		return "SURVIVES, though " + strings.Join(v.doubtful, " and ") + " failed once, which proves nothing"
	case !v.caught():
		return "SURVIVES"
	case v.wide:
		return v.String() + ", which is not among the tests that ought to"
	default:
		return v.String()
	}
}

// report prints the table, puts it into the file if there is one, and returns
// the exit status.
func report(o options, verdicts map[string]verdict, out io.Writer) (int, error) {
	var old map[string]string
	if o.write != "" {
		page, err := tablePart.Read(o.write)
		if err != nil {
			return 0, err
		}
		old = rows(page)
	}
	text := table(verdicts, old)
	if _, err := io.WriteString(out, text); err != nil {
		return 0, err
	}
	if o.write != "" {
		if err := tablePart.Write(o.write, text); err != nil {
			return 0, err
		}
	}
	for _, v := range verdicts {
		if !v.caught() {
			return 1, nil
		}
	}
	return 0, nil
}
