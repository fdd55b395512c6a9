// Relink puts resumable encrypted sessions before any server, and gives any
// client a port whose connections survive the loss of the network below.
//
//	relink keygen -out server.key
//	relink serve -listen :7000 -key server.key -to 127.0.0.1:6379
//	relink connect -listen 127.0.0.1:6379 -to example.com:7000 -server-key KEY
//
// docs/operations.md says more.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

// The exit statuses. That of a failed connect is ssh's.
const (
	exitOK         = 0
	exitFailed     = 1
	exitUsage      = 2
	exitConnection = 255
)

// A command is the first argument. Its function returns the exit status.
type command struct {
	name, does string
	run        func(p *program, args []string) int
}

func commands() []command {
	return []command{
		{"serve", "takes sessions, and carries each on to a server", serve},
		{"check", "reads a configuration file for serve, and says what is wrong with it", check},
		{"connect", "opens a local port, or takes standard input, and carries it over sessions", connect},
		{"ping", "says what a session to a server takes, and cuts its own transport", ping},
		{"keygen", "makes a server's key", keygen},
	}
}

// A program is what a command has of the process.
type program struct {
	args           []string
	stdin          io.Reader
	stdout, stderr io.Writer
}

func main() {
	p := &program{args: os.Args[1:], stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}
	os.Exit(p.main(p.args))
}

func (p *program) main(args []string) int {
	name := ""
	if len(args) > 0 {
		name = strings.TrimLeft(args[0], "-")
	}
	for _, c := range commands() {
		if c.name == name {
			return c.run(p, args[1:])
		}
	}
	w, status := p.stderr, exitUsage
	switch name {
	case "h", "help":
		w, status = p.stdout, exitOK
	case "":
	default: // it may be a key in the wrong place, so it is not repeated
		fmt.Fprintln(w, "relink: no such command")
	}
	fmt.Fprintln(w, "usage: relink COMMAND [flags]; relink COMMAND -help lists them")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-8s %s\n", c.name, c.does)
	}
	return status
}

// newFlags returns the flags of a command.
func newFlags(command string) *flag.FlagSet { return flag.NewFlagSet(command, flag.ContinueOnError) }

// failed says what went wrong, on standard error, and returns the status.
func (p *program) failed(command string, err error, status int) int {
	fmt.Fprintf(p.stderr, "relink %s: %v\n", command, err)
	return status
}

// parse parses the flags of a command, which has no other arguments than rest
// many. It returns false when the command is over, and the status then.
func (p *program) parse(flags *flag.FlagSet, args []string, usage string, rest int) (status int, ok bool) {
	flags.SetOutput(io.Discard)
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintln(p.stdout, "usage:", usage)
		flags.SetOutput(p.stdout)
		flags.PrintDefaults()
		return exitOK, false
	case err != nil:
		return p.failed(flags.Name(), fmt.Errorf("%w: -help lists the flags", err), exitUsage), false
	case flags.NArg() > rest:
		return p.failed(flags.Name(), fmt.Errorf("unexpected argument %q: usage: %s", flags.Arg(rest), usage), exitUsage), false
	case flags.NArg() < rest:
		return p.failed(flags.Name(), fmt.Errorf("an argument is missing: usage: %s", usage), exitUsage), false
	}
	return 0, true
}

// A list is a flag that may be given several times.
type list []string

func (l *list) String() string     { return strings.Join(*l, " ") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }
