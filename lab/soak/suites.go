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

func newKeys() keys {
	private := relink.GenerateKey()
	return keys{private, private.PublicKey()}
}

// A choice is a suite as both sides use it.
type choice struct {
	name   string
	group  int  // of suites that share a port
	acks   bool // the wire acknowledges, and can end one direction
	server func(k keys) relink.ServerSuite
	client func(k keys) relink.ClientSuite
}

// groups is the number of ports. What differs only in its options cannot be
// told apart on one.
const groups = 2

// choices are all suites.
var choices = []choice{
	{
		name: "noise", group: 0, acks: true,
		server: func(k keys) relink.ServerSuite { return relink.NoiseServer{Keys: []relink.PrivateKey{k.private}} },
		client: func(k keys) relink.ClientSuite { return relink.NoiseClient{ServerKeys: []relink.PublicKey{k.public}} },
	},
	{name: "insecure-noise", group: 1, acks: true, server: keylessServer(relink.InsecureNoiseServer{}), client: keylessClient(relink.InsecureNoiseClient{})},
	{name: "dh64rc4", group: 0, server: keylessServer(relink.DH64RC4Server{}), client: keylessClient(relink.DH64RC4Client{})},
	{name: "dh64rc4-clear", group: 1, server: keylessServer(relink.DH64RC4Server{ClearStream: true}), client: keylessClient(relink.DH64RC4Client{ClearStream: true})},
	{name: "scp", group: 0, server: keylessServer(relink.SCPServer{}), client: keylessClient(relink.SCPClient{})},
}

// keylessServer and keylessClient are for suites without keys.
func keylessServer(s relink.ServerSuite) func(keys) relink.ServerSuite {
	return func(keys) relink.ServerSuite { return s }
}

func keylessClient(s relink.ClientSuite) func(keys) relink.ClientSuite {
	return func(keys) relink.ClientSuite { return s }
}

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
func groupSuites(group int, k keys) []relink.ServerSuite {
	var s []relink.ServerSuite
	for _, c := range choices {
		if c.group == group {
			s = append(s, c.server(k))
		}
	}
	return s
}
