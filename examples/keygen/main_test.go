package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/relink-go/relink"
)

// keygen runs the program.
func keygen(stdin string, args ...string) (status int, stdout, stderr string) {
	var out, errOut bytes.Buffer
	status = run(args, strings.NewReader(stdin), &out, &errOut)
	return status, out.String(), errOut.String()
}

func Example_run() {
	run([]string{"-pub"}, strings.NewReader("iPyO4dLTrM5GV3w+xkIyK9oWCC2DKpDFJgGWa6YUN1w=\n"), os.Stdout, os.Stderr)
	// Output: KP6p/k67GG7i/vwepofuFSuQEEw8FYjqLcQJMsI8QDA=
}

func TestNewKey(t *testing.T) {
	status, out, stderr := keygen("")
	m := regexp.MustCompile(`^private key  (\S{44})\npublic key   (\S{44})\n$`).FindStringSubmatch(out)
	if status != 0 || stderr != "" || m == nil {
		t.Fatalf("status %d: %q, %q", status, out, stderr)
	}
	if _, pub, _ := keygen(m[1], "-pub"); pub != m[2]+"\n" {
		t.Errorf("keygen -pub prints %q, not %q", pub, m[2])
	}
	if _, again, _ := keygen(""); again == out {
		t.Error("the same key twice")
	}
}

func TestFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "server.key")
	status, out, stderr := keygen("", "-out", name)
	if status != 0 || stderr != "" {
		t.Fatalf("status %d: %s", status, stderr)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out, string(text)) {
		t.Error("the private key is printed")
	}
	if _, pub, _ := keygen(string(text), "-pub"); pub != out {
		t.Errorf("keygen -pub prints %q, keygen -out printed %q", pub, out)
	}
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("mode %o, want 600", mode)
	}

	status, out, stderr = keygen("", "-out", name)
	if status != 1 || out != "" || !strings.Contains(stderr, "move it away first") {
		t.Errorf("a file that is there: status %d, %q, %q", status, out, stderr)
	}
	if after, err := os.ReadFile(name); err != nil || string(after) != string(text) {
		t.Errorf("the key was overwritten: %v", err)
	}
}

func TestPresharedKey(t *testing.T) {
	status, out, stderr := keygen("", "-psk")
	m := regexp.MustCompile(`^pre-shared key  (\S{44})\n$`).FindStringSubmatch(out)
	if status != 0 || stderr != "" || m == nil {
		t.Fatalf("status %d: %q, %q", status, out, stderr)
	}
	name := filepath.Join(t.TempDir(), "guests.key")
	if status, out, stderr = keygen("", "-psk", "-out", name); status != 0 || stderr != "" {
		t.Fatalf("status %d: %s", status, stderr)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	k, err := relink.ParsePresharedKey(string(text))
	if err != nil || out != k.String()+"\n" {
		t.Errorf("%v: keygen -psk -out printed %q", err, out)
	}
}

func TestWrong(t *testing.T) {
	secret := relink.GenerateKey().EncodeSecret()
	for _, c := range []struct {
		stdin  string
		args   []string
		status int
		want   string
	}{
		{"", []string{secret}, 2, "a private key belongs on standard input"},
		{"", []string{"-pub", secret}, 2, "a private key belongs on standard input"},
		{"", []string{"-pub=" + secret}, 2, "-help explains them"},
		{"", []string{"-key", secret}, 2, "-help explains them"},
		{secret, []string{"-pub", "-out", "x"}, 2, "excludes"},
		{secret[1:], []string{"-pub"}, 1, "44 characters of base64"},
		{"", []string{"-pub"}, 1, "a key has 32 bytes"},
		{"", []string{"-out", filepath.Join(t.TempDir(), "none", "key")}, 1, "none"},
	} {
		status, out, stderr := keygen(c.stdin, c.args...)
		if status != c.status || out != "" || !strings.Contains(stderr, c.want) {
			t.Errorf("%q: status %d, %q, %q", c.args, status, out, stderr)
		}
		if strings.Contains(stderr, secret[1:]) {
			t.Errorf("%q: the error shows the key: %q", c.args, stderr)
		}
	}
}

func TestHelp(t *testing.T) {
	status, out, stderr := keygen("", "-help")
	if status != 0 || stderr != "" || !strings.Contains(out, "-out") || !strings.Contains(out, "-pub") {
		t.Errorf("status %d: %q, %q", status, out, stderr)
	}
}
