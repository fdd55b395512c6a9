package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/relink-go/relink"
)

// suiteNames are the suites as flags and files name them.
var suiteNames = []string{"noise", "insecure-noise", "dh64rc4", "dh64rc4-clear", "scp", "scp-clear"}

func unknownSuite(name string) error {
	return fmt.Errorf("there is no suite %q: the suites are %s", name, strings.Join(suiteNames, ", "))
}

// serverSuites returns the suites of a server.
func serverSuites(names []string, keys []relink.PrivateKey, node int64) ([]relink.ServerSuite, error) {
	var suites []relink.ServerSuite
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			return nil, fmt.Errorf("the suite %s is named twice", name)
		}
		switch name {
		case "noise":
			if len(keys) == 0 {
				return nil, errors.New("the suite noise needs a key: relink keygen -out server.key makes one, -key server.key names it")
			}
			suites = append(suites, relink.NoiseServer{Keys: keys, Node: node})
		case "insecure-noise":
			suites = append(suites, relink.InsecureNoiseServer{Node: node})
		case "dh64rc4", "dh64rc4-clear":
			suites = append(suites, relink.DH64RC4Server{ClearStream: name == "dh64rc4-clear"})
		case "scp", "scp-clear":
			suites = append(suites, relink.SCPServer{ClearStream: name == "scp-clear"})
		default:
			return nil, unknownSuite(name)
		}
	}
	if len(keys) > 0 && !slices.Contains(names, "noise") {
		return nil, errors.New("a key is of use to the suite noise alone, which is not among the suites")
	}
	return suites, nil
}

// clientSuite returns the suite of a client.
func clientSuite(name string, serverKeys []string, target string) (relink.ClientSuite, error) {
	var keys []relink.PublicKey
	for _, s := range serverKeys {
		k, err := relink.ParsePublicKey(s)
		if err != nil {
			return nil, fmt.Errorf("-server-key: %w", err)
		}
		keys = append(keys, k)
	}
	if len(keys) > 0 && name != "noise" {
		return nil, errors.New("-server-key is for the suite noise: no other proves who the server is")
	}
	if target != "" && !strings.HasPrefix(name, "scp") {
		return nil, errors.New("-target is for the suite scp: no other has a name for the server behind")
	}
	switch name {
	case "noise":
		if len(keys) == 0 {
			return nil, errors.New("-server-key is missing: relink keygen -pub server.key prints it on the server")
		}
		return relink.NoiseClient{ServerKeys: keys}, nil
	case "insecure-noise":
		return relink.InsecureNoiseClient{}, nil
	case "dh64rc4", "dh64rc4-clear":
		return relink.DH64RC4Client{ClearStream: name == "dh64rc4-clear"}, nil
	case "scp", "scp-clear":
		return relink.SCPClient{TargetServer: target, ClearStream: name == "scp-clear"}, nil
	default:
		return nil, unknownSuite(name)
	}
}
