package main

import (
	"fmt"
	"strings"

	"github.com/relink-go/relink"
)

// keys are the server's.
type keys struct {
	private relink.PrivateKey
	public  relink.PublicKey
}

func newKeys() (keys, error) {
	private := relink.GenerateKey()
	public, err := private.PublicKey()
	return keys{private, public}, err
}

// A choice is a suite as both sides use it.
type choice struct {
	name           string
	group          int  // of suites that share a port
	acks           bool // the wire acknowledges, and can end one direction
	server, client func(k keys) relink.Suite
}

// groups is the number of ports. What differs only in its options cannot be
// told apart on one.
const groups = 2

// choices are all suites.
var choices = []choice{
	{
		name: "noise", group: 0, acks: true,
		server: func(k keys) relink.Suite { return relink.Noise(relink.NoiseServer(k.private)) },
		client: func(k keys) relink.Suite { return relink.Noise(relink.NoiseClient(k.public)) },
	},
	{name: "insecure-noise", group: 1, acks: true, server: insecureNoise, client: insecureNoise},
	{name: "dh64rc4", group: 0, server: dh64rc4, client: dh64rc4},
	{name: "dh64rc4-clear", group: 1, server: clearDH64RC4, client: clearDH64RC4},
	{name: "scp", group: 0, server: scp, client: scp},
}

func insecureNoise(keys) relink.Suite { return relink.InsecureNoise() }
func dh64rc4(keys) relink.Suite       { return relink.DH64RC4() }
func clearDH64RC4(keys) relink.Suite  { return relink.DH64RC4(relink.WithClearStream()) }
func scp(keys) relink.Suite           { return relink.SCP() }

// parseSuites reads the flag -suites.
func parseSuites(s string) ([]choice, error) {
	var found []choice
	for name := range strings.SplitSeq(s, ",") {
		i := index(name)
		if i < 0 {
			return nil, fmt.Errorf("there is no suite %q: -suites takes some of %s", name, names(choices))
		}
		found = append(found, choices[i])
	}
	return found, nil
}

// index returns the place of a suite in choices, or -1.
func index(name string) int {
	for i, c := range choices {
		if c.name == name {
			return i
		}
	}
	return -1
}

func names(cs []choice) string {
	var s []string
	for _, c := range cs {
		s = append(s, c.name)
	}
	return strings.Join(s, ",")
}

// groupSuites returns the suites of one port as a server has them.
func groupSuites(group int, k keys) []relink.Suite {
	var s []relink.Suite
	for _, c := range choices {
		if c.group == group {
			s = append(s, c.server(k))
		}
	}
	return s
}
