package suiteflag_test

import (
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/examples/internal/suiteflag"
)

// parse returns what the flags choose.
func parse(t *testing.T, args ...string) *suiteflag.Choice {
	t.Helper()
	fs := flag.NewFlagSet("test", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	c := suiteflag.RegisterKeys(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return c
}

// speak checks that a listener and a dialer with the suites understand each
// other.
func speak(t *testing.T, server relink.ServerSuite, client relink.ClientSuite) {
	t.Helper()
	l, err := relink.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := relink.Dial("tcp", l.Addr().String(), client)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Abort()
}

func TestBoth(t *testing.T) {
	for _, name := range suiteflag.Names() {
		server, client, err := parse(t, "-suite", name).Both()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		speak(t, server, client)
	}
}

func TestHalves(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(relink.GenerateKey().EncodeSecret()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"-key", file}, {"-suite", "insecure-noise"}, {"-suite", "dh64rc4"}, {"-suite", "scp"}} {
		server, flags, err := parse(t, args...).Server()
		if err != nil {
			t.Errorf("%s: %v", args, err)
			continue
		}
		client, err := parse(t, strings.Fields(flags)...).Client()
		if err != nil {
			t.Errorf("%s: %v", flags, err)
			continue
		}
		speak(t, server, client)
	}
}

func TestDefaultIsNoise(t *testing.T) {
	c := parse(t)
	suite, _, err := c.Both()
	if err != nil {
		t.Fatal(err)
	}
	if c.String() != "noise" || suite.String() != "Noise" || c.ReplayLimit() != 0 {
		t.Errorf("-suite %v, %v, %d", c, suite, c.ReplayLimit())
	}
	if parse(t, "-suite", "dh64rc4").ReplayLimit() == 0 {
		t.Error("a suite without acknowledgements has the default ReplayLimit")
	}
}

func TestWrong(t *testing.T) {
	secret := relink.GenerateKey().EncodeSecret()
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken")
	if err := os.WriteFile(broken, []byte(secret[1:]), 0o600); err != nil {
		t.Fatal(err)
	}
	both := func(c *suiteflag.Choice) error { _, _, err := c.Both(); return err }
	server := func(c *suiteflag.Choice) error { _, _, err := c.Server(); return err }
	client := func(c *suiteflag.Choice) error { _, err := c.Client(); return err }
	for _, c := range []struct {
		half func(*suiteflag.Choice) error
		args []string
		want string
	}{
		{both, []string{"-key", "x"}, "-key goes with -listen"},
		{both, []string{"-server-key", "x"}, "-server-key with -connect"},
		{server, nil, "make one with go run ./examples/keygen -out FILE"},
		{server, []string{"-key", filepath.Join(dir, "none")}, "make one with go run ./examples/keygen -out FILE"},
		{server, []string{"-key", broken}, "44 characters of base64"},
		{server, []string{"-key", secret}, "not secret any more"},
		{server, []string{"-server-key", "x"}, "give this one its private key with -key"},
		{server, []string{"-suite", "scp", "-key", "x"}, "scp has no keys"},
		{client, nil, "the listening half prints it"},
		{client, []string{"-server-key", "x"}, "44 characters of base64"},
		{client, []string{"-key", "x"}, "give this one the public key with -server-key"},
		{client, []string{"-suite", "scp", "-server-key", "x"}, "scp has no keys"},
	} {
		err := c.half(parse(t, c.args...))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.args, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), secret[1:]) {
			t.Errorf("%s: the error shows the key: %v", c.args, err)
		}
	}

	fs := flag.NewFlagSet("test", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	suiteflag.Register(fs)
	if err := fs.Parse([]string{"-suite", "rot13"}); err == nil || !strings.Contains(err.Error(), "one of noise, insecure-noise, dh64rc4, scp") {
		t.Errorf("-suite rot13: %v", err)
	}
}
