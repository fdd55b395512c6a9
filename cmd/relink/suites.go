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

// namesTarget says whether clients of a suite name a server behind.
func namesTarget(suite string) bool { return !strings.HasPrefix(suite, "dh64rc4") }

// hasPresharedKeys says whether a suite has pre-shared keys.
func hasPresharedKeys(suite string) bool { return strings.HasSuffix(suite, "noise") }

// serverSuites returns the suites of a server.
func (c *config) serverSuites() ([]relink.ServerSuite, error) {
	var suites []relink.ServerSuite
	for i, name := range c.suites {
		if slices.Contains(c.suites[:i], name) {
			return nil, fmt.Errorf("the suite %s is named twice", name)
		}
		switch name {
		case "noise":
			if len(c.keys) == 0 {
				return nil, errors.New("the suite noise needs a key: relink keygen -out server.key makes one, -key server.key names it")
			}
			suites = append(suites, relink.NoiseServer{Keys: c.keys, Node: c.node, RequireClientKey: c.clientKeyFile != "", PresharedKeys: c.presharedKeys})
		case "insecure-noise":
			suites = append(suites, relink.InsecureNoiseServer{Node: c.node, PresharedKeys: c.presharedKeys})
		case "dh64rc4", "dh64rc4-clear":
			suites = append(suites, relink.DH64RC4Server{ClearStream: name == "dh64rc4-clear"})
		case "scp", "scp-clear":
			suites = append(suites, relink.SCPServer{ClearStream: name == "scp-clear"})
		default:
			return nil, unknownSuite(name)
		}
		if len(c.presharedKeys) > 0 && !hasPresharedKeys(name) {
			return nil, fmt.Errorf("the suite %s lets clients in that have no pre-shared key: leave it out, or the key", name)
		}
		if c.clientKeyFile != "" && name != "noise" {
			return nil, fmt.Errorf("the suite %s lets clients in that have no key: leave it out, or the clients' keys", name)
		}
	}
	if len(c.keys) > 0 && !slices.Contains(c.suites, "noise") {
		return nil, errors.New("a key is of use to the suite noise alone, which is not among the suites")
	}
	return suites, nil
}

// A clientSuite is what flags and files say of a client's suite.
type clientSuite struct {
	name       string
	serverKeys []string
	keyFile    string // the client's own, or empty
	preshared  string // file
	target     string
}

// suite returns it, with the keys that it names.
func (s *clientSuite) suite() (relink.ClientSuite, error) {
	var keys []relink.PublicKey
	for _, text := range s.serverKeys {
		k, err := relink.ParsePublicKey(text)
		if err != nil {
			return nil, fmt.Errorf("the server's key: %w", err)
		}
		keys = append(keys, k)
	}
	switch {
	case !slices.Contains(suiteNames, s.name):
		return nil, unknownSuite(s.name)
	case len(keys) > 0 && s.name != "noise":
		return nil, errors.New("a server's key is for the suite noise: no other proves who the server is")
	case s.keyFile != "" && s.name != "noise":
		return nil, errors.New("a client's key is for the suite noise: no other proves who the client is")
	case s.preshared != "" && !hasPresharedKeys(s.name):
		return nil, errors.New("a pre-shared key is for the suites noise and insecure-noise")
	case s.target != "" && !namesTarget(s.name):
		return nil, errors.New("a target is for the suites noise and scp: dh64rc4 has no name for the server behind")
	case s.name == "noise" && len(keys) == 0:
		return nil, errors.New("the server's key is missing: relink keygen -pub server.key prints it on the server, -server-key takes it")
	}
	var own relink.PrivateKey
	var preshared relink.PresharedKey
	var err error
	if s.keyFile != "" {
		if own, err = readKey(s.keyFile); err != nil {
			return nil, err
		}
	}
	if s.preshared != "" {
		if preshared, err = readPresharedKey(s.preshared); err != nil {
			return nil, err
		}
	}
	switch s.name {
	case "noise":
		return relink.NoiseClient{ServerKeys: keys, Key: own, PresharedKey: preshared, Target: s.target}, nil
	case "insecure-noise":
		return relink.InsecureNoiseClient{PresharedKey: preshared, Target: s.target}, nil
	case "dh64rc4", "dh64rc4-clear":
		return relink.DH64RC4Client{ClearStream: s.name == "dh64rc4-clear"}, nil
	default:
		return relink.SCPClient{TargetServer: s.target, ClearStream: s.name == "scp-clear"}, nil
	}
}
