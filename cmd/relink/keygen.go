package main

import (
	"errors"
	"fmt"

	"github.com/relink-go/relink"
)

// keygen writes a new key to a file, or shows the public key of one.
func keygen(p *program, args []string) int {
	flags := newFlags("keygen")
	out := flags.String("out", "", "write a new private key to this `file`, and print its public key")
	pub := flags.String("pub", "", "print the public key of the private key in this `file`")
	if status, ok := p.parse(flags, args, "relink keygen -out FILE | -pub FILE", 0); !ok {
		return status
	}
	var key relink.PrivateKey
	var err error
	switch {
	case (*out == "") == (*pub == ""):
		return p.failed("keygen", errors.New("either -out FILE, for a new key, or -pub FILE, for the public key of one"), exitUsage)
	case *pub != "":
		key, err = readKey(*pub)
	default:
		key = relink.GenerateKey()
		err = writeKey(*out, key)
	}
	if err != nil {
		return p.failed("keygen", err, exitFailed)
	}
	fmt.Fprintln(p.stdout, key.PublicKey())
	return exitOK
}
