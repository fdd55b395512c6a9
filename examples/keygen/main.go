// Keygen makes keys for servers and clients with the suite Noise, in base64 as
// WireGuard shows them.
//
// It prints a new private key and its public key, or writes the private key to
// a file that only its owner can read, and prints the public one:
//
//	go run ./examples/keygen
//	go run ./examples/keygen -out server.key
//
// The public key of a private one:
//
//	go run ./examples/keygen -pub < server.key
//
// A pre-shared key, with which a server invites clients:
//
//	go run ./examples/keygen -psk -out guests.key
//
// A private key is never an argument, because everybody on the machine can see
// those in the list of processes.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/relink-go/relink"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the program. It returns the exit status.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("keygen", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	out := flags.String("out", "", "write the private key to a new `file` that only its owner can read")
	psk := flags.Bool("psk", false, "make a pre-shared key in place of a private one")
	pub := flags.Bool("pub", false, "read a private key from standard input, and print its public key")
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintln(stdout, "keygen prints a new private key and its public key, for the suite Noise.")
		flags.SetOutput(stdout)
		flags.PrintDefaults()
		return 0
	case err != nil: // what was given may be a key, so it is not repeated
		err = errors.New("the flags are -out FILE, -psk and -pub: -help explains them")
	case flags.NArg() > 0:
		err = errors.New("unexpected argument: a private key belongs on standard input, as in keygen -pub < server.key")
	case *pub && (*out != "" || *psk):
		err = errors.New("-pub excludes -out and -psk: it prints a public key")
	}
	if err != nil {
		fmt.Fprintln(stderr, "keygen:", err)
		return 2
	}
	switch {
	case *pub:
		err = printPublic(stdin, stdout)
	case *psk:
		k := relink.GeneratePresharedKey()
		err = give(*out, stdout, k.EncodeSecret(), "pre-shared key  "+k.EncodeSecret(), k.String())
	default:
		k := relink.GenerateKey()
		pair := fmt.Sprintf("private key  %s\npublic key   %s", k.EncodeSecret(), k.PublicKey())
		err = give(*out, stdout, k.EncodeSecret(), pair, k.PublicKey().String())
	}
	if err != nil {
		fmt.Fprintln(stderr, "keygen:", err)
		return 1
	}
	return 0
}

// printPublic prints the public key of the private one that it reads.
func printPublic(in io.Reader, out io.Writer) error {
	const most = 1 << 10 // a key has 44 characters
	text, err := io.ReadAll(io.LimitReader(in, most))
	if err != nil {
		return err
	}
	private, err := relink.ParsePrivateKey(strings.TrimSpace(string(text)))
	if err != nil {
		return fmt.Errorf("standard input: %w", err)
	}
	_, err = fmt.Fprintln(out, private.PublicKey())
	return err
}

// give writes a secret to the file and prints what is known of it elsewhere; or
// prints all of it, if no file is named.
func give(file string, out io.Writer, secret, all, known string) error {
	if file == "" {
		_, err := fmt.Fprintln(out, all)
		return err
	}
	if err := writeSecret(file, secret); err != nil {
		return err
	}
	_, err := fmt.Fprintln(out, known)
	return err
}

// writeSecret writes a key to a new file. One that is there is not touched: it
// may hold the only copy of a key that clients pin.
func writeSecret(name, secret string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: move it away first, or use it", err)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, secret)
	if err := errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(name))
	}
	return nil
}
