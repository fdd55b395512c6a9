package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/relink-go/relink/bench/internal/experiment"
	"github.com/relink-go/relink/bench/internal/helper"
	"github.com/relink-go/relink/bench/internal/report"
	"github.com/relink-go/relink/bench/internal/subject"
)

func main() {
	if helper.Main() {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are what the command line says.
type options struct {
	only  *regexp.Regexp
	out   string
	scale experiment.Scale
}

// parse reads the command line.
func parse(args []string, output io.Writer) (options, error) {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(output)
	only := f.String("only", "", "run the experiments whose `name` matches this regular expression: "+strings.Join(experimentNames(), ", "))
	quick := f.Bool("quick", false, "a small run of about two minutes; its figures are noisy")
	rounds := f.Int("rounds", 0, "how often each short measurement is repeated; 0 means the run's own choice")
	while := f.Duration("time", 0, "how long one measurement of one subject takes; 0 means the run's own choice")
	out := f.String("out", "", "write benchmarks.md and the plots into this `directory`; a complete run writes to docs, any other only prints")
	if err := f.Parse(args); err != nil {
		return options{}, err
	}
	if f.NArg() > 0 {
		return options{}, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	o := options{out: *out, scale: experiment.Complete()}
	if *quick {
		o.scale = experiment.Quick()
	}
	if *rounds > 0 {
		o.scale.Rounds = *rounds
	}
	if *while > 0 {
		o.scale.Time = *while
	}
	if o.out == "" && !*quick && *only == "" {
		o.out = "docs"
	}
	var err error
	o.only, err = regexp.Compile(*only)
	return o, err
}

func experimentNames() []string {
	var all []string
	for _, x := range experiment.All() {
		all = append(all, x.Name)
	}
	return all
}

// run measures, prints, and writes.
func run(ctx context.Context, args []string, output io.Writer) error {
	o, err := parse(args, output)
	if err != nil {
		return err
	}
	return measureAll(ctx, o, strings.Join(append([]string{"go run ./bench"}, args...), " "), output)
}

func measureAll(ctx context.Context, o options, command string, output io.Writer) error {
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(output, format, args...) }
	// quic-go writes to the log where the kernel refuses the buffer that it asks for.
	if err := os.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true"); err != nil {
		return err
	}
	credentials, err := subject.NewCredentials()
	if err != nil {
		return err
	}
	r := report.Run{Machine: report.ThisMachine(), Began: time.Now(), Command: command, Scale: o.scale.Name}
	for _, s := range subject.All(credentials) {
		r.Subjects = append(r.Subjects, [2]string{s.Name(), s.About()})
	}
	if r.TLS, err = subject.NegotiatedTLS(ctx, credentials); err != nil {
		return err
	}
	e := &experiment.Env{
		Scale: o.scale, Credentials: credentials,
		Progress: func(what string) { say("  … %s\n", what) },
	}
	var failures []error
	for _, x := range experiment.All() {
		if !o.only.MatchString(x.Name) {
			continue
		}
		say("%s  %s\n", time.Since(r.Began).Round(time.Second), x.Title)
		s, err := x.Run(ctx, e)
		if err != nil {
			// The others have still something to say; the run has failed all the same.
			say("%v\n", err)
			s = report.Section{Name: x.Name, Title: x.Title, Text: x.Text, Failed: err}
			failures = append(failures, err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		for _, t := range s.Tables {
			say("\n%s", t.Text())
		}
		say("\n")
		r.Sections = append(r.Sections, s)
	}
	if len(r.Sections) == 0 {
		return fmt.Errorf("no experiment matches %q: there are %s", o.only, strings.Join(experimentNames(), ", "))
	}
	r.Took = time.Since(r.Began)
	goals := report.GoalTable(experiment.Goals(), r.Figures())
	goals.Caption = "Goals"
	say("%s\n", goals.Text())
	if o.out == "" {
		return errors.Join(failures...)
	}
	if err := r.Write(o.out, experiment.Goals()); err != nil {
		return err
	}
	say("written to %s in %v\n", filepath.Join(o.out, "benchmarks.md"), r.Took.Round(time.Second))
	return errors.Join(failures...)
}
