// Package suiteflag gives the examples the flags that choose a suite and its
// keys.
package suiteflag

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/relink-go/relink"
)

// The values of -suite.
const (
	noise         = "noise"
	insecureNoise = "insecure-noise"
	dh64rc4       = "dh64rc4"
	scp           = "scp"
)

// names are the values of -suite, the one to choose first.
var names = []string{noise, insecureNoise, dh64rc4, scp}

// Names returns the values of -suite.
func Names() []string { return slices.Clone(names) }

// A Choice is what the flags say.
type Choice struct {
	suite     suiteName
	keyFile   string
	serverKey string
}

// A suiteName is a flag.Value.
type suiteName string

func (n *suiteName) String() string { return string(*n) }

func (n *suiteName) Set(s string) error {
	if !slices.Contains(names, s) {
		return fmt.Errorf("there is no such suite: -suite takes one of %s", strings.Join(names, ", "))
	}
	*n = suiteName(s)
	return nil
}

// Register adds the flag -suite.
func Register(fs *flag.FlagSet) *Choice {
	c := &Choice{suite: noise}
	fs.Var(&c.suite, "suite", "the `name` of the wire protocol: "+strings.Join(names, ", "))
	return c
}

// RegisterKeys adds the flags -suite, -key and -server-key, for a program of
// which the halves run apart.
func RegisterKeys(fs *flag.FlagSet) *Choice {
	c := Register(fs)
	fs.StringVar(&c.keyFile, "key", "", "with -listen and the suite noise: the `file` with the private key")
	fs.StringVar(&c.serverKey, "server-key", "", "with -connect and the suite noise: the listener's public `key`, in base64")
	return c
}

// String returns the suite's name.
func (c *Choice) String() string { return string(c.suite) }

// ReplayLimit returns what fits the suite where much data is under way. A suite
// that acknowledges is content with the default. For the others the buffer
// must hold twice what all kernels on the way can hold together, and Linux
// lets a socket grow to 4 MB for sending and 32 MB for receiving.
func (c *Choice) ReplayLimit() int {
	if c.suite == noise || c.suite == insecureNoise {
		return 0
	}
	return 128 << 20
}

// Both returns the suite for both halves in one process, with a key that is
// made for them.
func (c *Choice) Both() (server relink.ServerSuite, client relink.ClientSuite, err error) {
	if c.keyFile != "" || c.serverKey != "" {
		return nil, nil, errors.New("-key goes with -listen, and -server-key with -connect: where both halves are in one process, they make a key")
	}
	if c.suite != noise {
		server, client = c.keyless()
		return server, client, nil
	}
	key := relink.GenerateKey()
	return noiseServer(key), noiseClient(key.PublicKey()), nil
}

// Server returns the suite for the half that listens, and what the other half
// needs to be told: flags.
func (c *Choice) Server() (suite relink.ServerSuite, flags string, err error) {
	switch {
	case c.serverKey != "":
		return nil, "", errors.New("-server-key is for the half that connects: give this one its private key with -key")
	case c.suite != noise && c.keyFile != "":
		return nil, "", fmt.Errorf("-key is for the suite noise: %s has no keys", c)
	case c.suite != noise:
		suite, _ = c.keyless()
		return suite, "-suite " + c.String(), nil
	case c.keyFile == "":
		return nil, "", errors.New("-listen with the suite noise needs -key FILE: make one with go run ./examples/keygen -out FILE")
	}
	key, err := readKey(c.keyFile)
	if err != nil {
		return nil, "", err
	}
	return noiseServer(key), "-server-key " + key.PublicKey().String(), nil
}

// Client returns the suite for the half that connects.
func (c *Choice) Client() (relink.ClientSuite, error) {
	switch {
	case c.keyFile != "":
		return nil, errors.New("-key is for the half that listens: give this one the public key with -server-key")
	case c.suite != noise && c.serverKey != "":
		return nil, fmt.Errorf("-server-key is for the suite noise: %s has no keys", c)
	case c.suite != noise:
		_, suite := c.keyless()
		return suite, nil
	case c.serverKey == "":
		return nil, errors.New("-connect with the suite noise needs -server-key KEY: the listening half prints it," +
			" and go run ./examples/keygen -pub prints it from the private key")
	}
	public, err := relink.ParsePublicKey(c.serverKey)
	if err != nil {
		return nil, fmt.Errorf("-server-key: %w", err)
	}
	return noiseClient(public), nil
}

func noiseServer(key relink.PrivateKey) relink.ServerSuite {
	return relink.NoiseServer{Keys: []relink.PrivateKey{key}}
}

func noiseClient(key relink.PublicKey) relink.ClientSuite {
	return relink.NoiseClient{ServerKeys: []relink.PublicKey{key}}
}

// keyless returns both sides of a suite without keys.
func (c *Choice) keyless() (relink.ServerSuite, relink.ClientSuite) {
	switch c.suite {
	case insecureNoise:
		return relink.InsecureNoiseServer{}, relink.InsecureNoiseClient{}
	case scp:
		return relink.SCPServer{}, relink.SCPClient{}
	default:
		return relink.DH64RC4Server{}, relink.DH64RC4Client{}
	}
}

// readKey reads a private key from a file. A key in its place is not repeated
// in the error.
func readKey(file string) (relink.PrivateKey, error) {
	if _, err := relink.ParsePrivateKey(file); err == nil {
		return relink.PrivateKey{}, errors.New("-key takes the name of a file, not the key itself," +
			" which everybody on this machine can see in the list of processes: this key is not secret any more")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return relink.PrivateKey{}, fmt.Errorf("-key: %w: make one with go run ./examples/keygen -out FILE", err)
	}
	key, err := relink.ParsePrivateKey(strings.TrimSpace(string(text)))
	if err != nil {
		return relink.PrivateKey{}, fmt.Errorf("-key %s: %w", file, err)
	}
	return key, nil
}
