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
	preshared := flags.Bool("preshared", false, "with -out, make a pre-shared key, which server and client both have")
	if status, ok := p.parse(flags, args, "relink keygen [-preshared] -out FILE | -pub FILE", 0); !ok {
		return status
	}
	var key relink.PrivateKey
	var err error
	switch {
	case (*out == "") == (*pub == ""):
		return p.failed("keygen", errors.New("either -out FILE, for a new key, or -pub FILE, for the public key of one"), exitUsage)
	case *preshared && *pub != "":
		return p.failed("keygen", errors.New("-preshared is for -out: such a key has no public one"), exitUsage)
	case *preshared:
		if err := writeSecret(*out, relink.GeneratePresharedKey().EncodeSecret()); err != nil {
			return p.failed("keygen", err, exitFailed)
		}
		return exitOK
	case *pub != "":
		key, err = readKey(*pub)
	default:
		key = relink.GenerateKey()
		err = writeSecret(*out, key.EncodeSecret())
	}
	if err != nil {
		return p.failed("keygen", err, exitFailed)
	}
	fmt.Fprintln(p.stdout, key.PublicKey())
	return exitOK
}
