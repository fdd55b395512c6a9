package main

import (
	"flag"

	"github.com/relink-go/relink/examples/internal/suiteflag"
)

func Example_run() {
	for _, name := range suiteflag.Names() {
		flags := flag.NewFlagSet("echo", flag.PanicOnError)
		suite := suiteflag.Register(flags)
		_ = flags.Parse([]string{"-suite", name}) // panics
		if err := run(suite, "hello with "+name); err != nil {
			panic(err)
		}
	}
	// Output:
	// hello with noise
	// hello with insecure-noise
	// hello with dh64rc4
	// hello with scp
}
