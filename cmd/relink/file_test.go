package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// The examples are valid, and leave out no key.
func TestExampleFiles(t *testing.T) {
	key, public := newKey(t)
	dir := filepath.Dir(key)
	certFile, _ := certificateFiles(t, dir)
	require.NoError(t, os.Rename(certFile, filepath.Join(dir, "ca.crt")))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "clients"), []byte(public), 0o600))
	require.NoError(t, os.Link(key, filepath.Join(dir, "client.key")))
	names, err := filepath.Glob("examples/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, names)
	for _, name := range names {
		b, err := os.ReadFile(name)
		require.NoError(t, err)
		there := filepath.Join(dir, filepath.Base(name))
		require.NoError(t, os.WriteFile(there, b, 0o600))
		status, out, stderr := run(t, "", "check", there)
		require.Zero(t, status, stderr)
		require.Empty(t, out+stderr)
	}
}

const validFile = `listen: ["127.0.0.1:0"]
suites: [scp]
upstreams:
  a:
    to: ["127.0.0.1:1"]
default: a
`

// Each mistake is an error with its line.
func TestWrongFiles(t *testing.T) {
	_, err := parseFile([]byte(validFile), "")
	require.NoError(t, err)
	for name, c := range map[string]struct{ old, text, want string }{
		"unknown":             {"default: a", "fallback: a", `line 6: there is no key "fallback"`},
		"unknown below":       {"    to:", "    too:", `line 5: there is no key "too"`},
		"twice":               {"default: a", "default: a\ndefault: a", `line 7: mapping key "default" already defined at line 6`},
		"no value":            {"default: a", "default:", `line 6: "default" has no value`},
		"no such upstream":    {"default: a", "default: b", `line 6: there is no upstream "b"`},
		"no default":          {"default: a", "", "default is missing"},
		"no upstream":         {"default: a", "upstreams: {}", "already defined"},
		"not an address":      {`["127.0.0.1:1"]`, `["127.0.0.1"]`, `line 4: upstream "a": proxy: "127.0.0.1" is neither`},
		"a number":            {`["127.0.0.1:1"]`, `[7000]`, "line 5: a string is wanted"},
		"listen":              {`["127.0.0.1:0"]`, `["7000"]`, `line 1: "7000" is neither`},
		"no unit":             {"default: a", "default: a\nidle: 30", `line 7: "30" is no time`},
		"less than nothing":   {"default: a", "default: a\nidle: -3s", `line 7: "-3s" is no time`},
		"no size":             {"default: a", "default: a\nreplay-limit: 4MB", `line 7: "4MB" is no size`},
		"size without unit":   {"default: a", "default: a\nreplay-limit: 4194304", "is no size"},
		"unused upstream":     {"default: a", "  b: {to: ['x:1']}\ndefault: a", `line 6: the upstream "b" is neither`},
		"route to nowhere":    {"default: a", "default: a\nroutes:\n  - {name: x, to: y}", `line 8: there is no upstream "y"`},
		"no condition":        {"default: a", "default: a\nroutes:\n  - {to: a}", "line 8: route 1 has no condition"},
		"no destination":      {"default: a", "default: a\nroutes:\n  - {name: x}", "line 8: route 1: to is missing"},
		"pattern":             {"default: a", "default: a\nroutes:\n  - {pattern: '(', to: a}", "line 8: error parsing regexp"},
		"routes without scp":  {"suites: [scp]\n", "suites: [dh64rc4]\nroutes: [{name: x, to: a}]\n", "line 3: routes are for the suites noise and scp"},
		"version":             {"    to:", "    proxy-protocol: 3\n    to:", "no version 3"},
		"second document":     {"default: a", "default: a\n---\nx: 1", "second document"},
		"not YAML":            {"default: a", "default: [", "yaml:"},
		"a list":              {validFile, "- a", "line 1: cannot unmarshal"},
		"nothing":             {validFile, "", "nothing is in it"},
		"a word":              {validFile, "hello", "line 1: cannot unmarshal"},
		"only a comment":      {validFile, "# nothing", "nothing is in it"},
		"upstreams is a list": {"  a:\n    to: [\"127.0.0.1:1\"]", "  - a", "cannot unmarshal"},
	} {
		require.Contains(t, validFile, c.old, name)
		_, err := parseFile([]byte(strings.Replace(validFile, c.old, c.text, 1)), "")
		require.ErrorContains(t, err, c.want, name)
	}
}

// What is wrong beyond the text of a file is an error too.
func TestCheckFile(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "c.yaml")
	for text, want := range map[string]string{
		strings.Replace(validFile, "[scp]", "[noise]", 1):                           "needs a key",
		strings.Replace(validFile, "[scp]", "[noise]\nkeys: [k]", 1):                "relink keygen -out " + filepath.Join(dir, "k"),
		strings.Replace(validFile, "[scp]", "[ssl]", 1):                             `no suite "ssl"`,
		strings.Replace(validFile, "[scp]", "[scp]\nreplay-limit: 1025MiB", 1):      "ReplayLimit",
		strings.Replace(validFile, "[scp]", "[scp]\nliveness-timeout: 1ms", 1):      "LivenessTimeout",
		strings.Replace(validFile, `"127.0.0.1:0"`, `":7000", ":7000"`, 1):          "named twice",
		strings.Replace(validFile, `listen: ["127.0.0.1:0"]`, "max-sessions: 9", 1): "no address to listen on",
	} {
		require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
		status, _, stderr := run(t, "", "check", name)
		require.Equal(t, 1, status)
		require.Contains(t, stderr, "relink check: "+name+": ")
		require.Contains(t, stderr, want)
	}
	status, _, stderr := run(t, "", "check")
	require.Equal(t, 2, status)
	require.Contains(t, stderr, "an argument is missing")
	status, _, stderr = run(t, "", "serve", "-config", name, "-listen", ":1", "-v")
	require.Equal(t, 2, status)
	require.Contains(t, stderr, "-listen beside -config")
}

// At SIGHUP a valid file counts for new sessions; any other changes nothing, and the
// log says why. Living sessions keep what they have.
func TestReload(t *testing.T) {
	says := func(word string) string {
		return serverOf(t, "tcp", "127.0.0.1:0", func(c net.Conn) {
			b := make([]byte, 1)
			for {
				if _, err := c.Read(b); err != nil {
					return
				}
				if _, err := c.Write([]byte(word)); err != nil {
					return
				}
			}
		})
	}
	one, two := says("1"), says("2")
	name := filepath.Join(t.TempDir(), "c.yaml")
	write := func(text string) { require.NoError(t, os.WriteFile(name, []byte(text), 0o600)) }
	with := func(upstream string) string { return strings.Replace(validFile, "127.0.0.1:1", upstream, 1) }
	ask := func(c net.Conn) string {
		_, err := c.Write([]byte{'?'})
		require.NoError(t, err)
		b := make([]byte, 1)
		_, err = c.Read(b)
		require.NoError(t, err)
		return string(b)
	}
	write(with(one))
	server := start(t, "serve", "-config", name)
	client := start(t, "connect", "-listen", "127.0.0.1:0", "-to", server.address(), "-suite", "scp")
	old := dial(t, "tcp", client.address())
	require.Equal(t, "1", ask(old))

	for text, want := range map[string]string{
		strings.Replace(with(two), "default", "fallback", 1):             "line 6: there is no key",
		strings.Replace(with(two), "[scp]", "[dh64rc4]", 1):              "suites cannot change",
		strings.Replace(with(two), "127.0.0.1:0", "127.0.0.1:1", 1):      "listen cannot change",
		strings.Replace(with(two), "[scp]", "[scp]\nmax-sessions: 5", 1): "max-sessions.* cannot change",
	} {
		write(text)
		server.signal(syscall.SIGHUP)
		server.await(`not reloaded, nothing has changed" error=.*` + want)
		require.Equal(t, "1", ask(dial(t, "tcp", client.address())))
	}

	write(with(two))
	server.signal(syscall.SIGHUP)
	server.await("reloaded, for new sessions")
	require.Equal(t, "2", ask(dial(t, "tcp", client.address())))
	require.Equal(t, "1", ask(old))
}

// Serve with flags has nothing to reload, and says so.
func TestReloadWithoutFile(t *testing.T) {
	server := start(t, "serve", "-listen", "127.0.0.1:0", "-to", "127.0.0.1:1", "-suite", "scp")
	server.address()
	server.signal(syscall.SIGHUP)
	server.await("serve was started with flags")
}
