package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/faultnet"
)

// A program's connection to a server goes through both commands and a network that
// cuts, for each suite.
func TestThroughCuts(t *testing.T) {
	key, public := newKey(t)
	for suite, flags := range map[string][2][]string{
		"noise":          {{"-key", key}, {"-server-key", public}},
		"insecure-noise": {},
		"dh64rc4":        {},
		"dh64rc4-clear":  {},
		"scp":            {{}, {"-target", "anything"}},
		"scp-clear":      {},
	} {
		t.Run(suite, func(t *testing.T) {
			t.Parallel()
			server := start(t, append([]string{"serve", "-listen", "127.0.0.1:0", "-to", echo(t, "tcp", "127.0.0.1:0"), "-suite", suite}, flags[0]...)...)
			relay, err := faultnet.NewRelay(server.address())
			require.NoError(t, err)
			defer relay.Close()
			client := start(t, append([]string{"connect", "-listen", "127.0.0.1:0", "-to", relay.Addr(), "-suite", suite}, flags[1]...)...)
			c := dial(t, "tcp", client.address())
			for i := range 20 {
				requireEcho(t, c, fmt.Sprintf("message %d", i))
				relay.Cut(faultnet.Reset)
			}
			requireEcho(t, c, strings.Repeat("x", 100_000))
			require.Greater(t, relay.Accepted(), 10)
		})
	}
}

// A half-close goes through both, on Noise.
func TestHalfClose(t *testing.T) {
	key, public := newKey(t)
	back := serverOf(t, "tcp", "127.0.0.1:0", func(c net.Conn) {
		n, _ := io.Copy(io.Discard, c)
		fmt.Fprint(c, n)
	})
	server := start(t, "serve", "-listen", "127.0.0.1:0", "-to", back, "-key", key)
	client := start(t, "connect", "-listen", "127.0.0.1:0", "-to", server.address(), "-server-key", public)
	c := dial(t, "tcp", client.address())
	_, err := io.WriteString(c, "four")
	require.NoError(t, err)
	require.NoError(t, c.(*net.TCPConn).CloseWrite())
	got, err := io.ReadAll(c)
	require.NoError(t, err)
	require.Equal(t, "4", string(got))
}

// Several addresses, Unix sockets on all sides, and a dead back end beside a living one.
func TestUnixSockets(t *testing.T) {
	key, public := newKey(t)
	dir := t.TempDir()
	back := echo(t, "unix", filepath.Join(dir, "back"))
	server := start(t, "serve", "-listen", "127.0.0.1:0", "-listen", "unix:"+filepath.Join(dir, "server"),
		"-to", "unix:"+filepath.Join(dir, "dead"), "-to", back, "-key", key)
	server.await(`address=unix:`)
	local := filepath.Join(dir, "client")
	client := start(t, "connect", "-listen", "unix:"+local, "-to", "unix:"+filepath.Join(dir, "server"), "-server-key", public)
	client.address()
	for range 3 {
		requireEcho(t, dial(t, "unix", local), "hello")
	}
	// A killed process leaves its socket's file, which does not keep the next one away.
	client.kill()
	client = start(t, "connect", "-listen", "unix:"+local, "-to", "unix:"+filepath.Join(dir, "server"), "-server-key", public)
	client.address()
	requireEcho(t, dial(t, "unix", local), "hello again")
}

func TestStdio(t *testing.T) {
	key, public := newKey(t)
	server := start(t, "serve", "-listen", "127.0.0.1:0", "-to", echo(t, "tcp", "127.0.0.1:0"), "-key", key)
	status, out, stderr := run(t, "as ssh has it", "connect", "-stdio", "-to", server.address(), "-server-key", public)
	require.Zero(t, status, stderr)
	require.Equal(t, "as ssh has it", out)
	require.Empty(t, stderr)

	_, other := newKey(t)
	status, out, stderr = run(t, "", "connect", "-stdio", "-to", server.address(), "-server-key", other)
	require.Equal(t, 255, status)
	require.Empty(t, out)
	require.Contains(t, stderr, "has none of the keys that this client pins")
}

// A signal lets sessions end and takes no new ones.
func TestDrain(t *testing.T) {
	key, public := newKey(t)
	server := start(t, "serve", "-listen", "127.0.0.1:0", "-to", echo(t, "tcp", "127.0.0.1:0"), "-key", key)
	relay, err := faultnet.NewRelay(server.address())
	require.NoError(t, err)
	defer relay.Close()
	client := start(t, "connect", "-listen", "127.0.0.1:0", "-to", relay.Addr(), "-server-key", public)
	c := dial(t, "tcp", client.address())
	requireEcho(t, c, "before")
	server.signal(syscall.SIGTERM)
	server.await("msg=\"draining")
	relay.Cut(faultnet.Reset) // a resume is welcome
	requireEcho(t, c, "while it drains")
	for {
		late := dial(t, "tcp", client.address())
		require.NoError(t, late.SetReadDeadline(time.Now().Add(5*time.Second)))
		_, err = late.Read(make([]byte, 1))
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		require.NoError(t, late.Close()) // it came in before the listener was closed, of which the log speaks first
	}
	require.ErrorIs(t, err, syscall.ECONNRESET)
	client.await("no session|session ended") // it may have been half open when the signal came
	require.NoError(t, c.Close())
	require.Zero(t, server.wait())
	require.Contains(t, server.logged(), "msg=ended")
}

func TestSecondSignal(t *testing.T) {
	key, public := newKey(t)
	server := start(t, "serve", "-listen", "127.0.0.1:0", "-to", echo(t, "tcp", "127.0.0.1:0"), "-key", key)
	client := start(t, "connect", "-listen", "127.0.0.1:0", "-to", server.address(), "-server-key", public, "-resume-timeout", "5s")
	c := dial(t, "tcp", client.address())
	requireEcho(t, c, "before")
	server.signal(syscall.SIGTERM)
	server.await("msg=\"draining")
	server.signal(syscall.SIGTERM)
	require.Equal(t, 1, server.wait())
	_, err := c.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET) // not the end of a stream
}

func TestDrainLimit(t *testing.T) {
	key, public := newKey(t)
	server := start(t, "serve", "-listen", "127.0.0.1:0", "-to", echo(t, "tcp", "127.0.0.1:0"), "-key", key, "-drain", "100ms")
	client := start(t, "connect", "-listen", "127.0.0.1:0", "-to", server.address(), "-server-key", public)
	requireEcho(t, dial(t, "tcp", client.address()), "before")
	server.signal(syscall.SIGTERM)
	require.Equal(t, 1, server.wait())
}

// The operator's page is there, and a draining process is not ready.
func TestDebug(t *testing.T) {
	key, public := newKey(t)
	server := start(t, "serve", "-listen", "127.0.0.1:0", "-to", echo(t, "tcp", "127.0.0.1:0"), "-key", key, "-debug", "127.0.0.1:0")
	client := start(t, "connect", "-listen", "127.0.0.1:0", "-to", server.address(), "-server-key", public)
	requireEcho(t, dial(t, "tcp", client.address()), "hello")
	url := "http://" + server.await(`msg=debug address=(\S+)`)[1]
	get := func(path string) (int, string) {
		r, err := http.Get(url + path)
		require.NoError(t, err)
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		return r.StatusCode, string(b)
	}
	_, page := get("/")
	require.Contains(t, page, `<dd class="connected">1</dd>`)
	_, metrics := get("/metrics")
	for _, want := range []string{
		"relink_sessions_opened_total 1", `relink_handshake_duration_seconds_count{suite="Noise"} 1`,
		"process_open_fds", "go_goroutines",
	} {
		require.Contains(t, metrics, want)
	}
	status, _ := get("/readyz")
	require.Equal(t, http.StatusOK, status)
	server.signal(syscall.SIGTERM)
	server.await("msg=\"draining")
	for status == http.StatusOK { // the log comes first
		status, _ = get("/readyz")
	}
	require.Equal(t, http.StatusServiceUnavailable, status)
}

// A server that was killed and is started again has none of its sessions: their connections
// are reset, and new ones work.
func TestRestart(t *testing.T) {
	key, public := newKey(t)
	back := echo(t, "tcp", "127.0.0.1:0")
	server := start(t, "serve", "-listen", "127.0.0.1:0", "-to", back, "-key", key)
	relay, err := faultnet.NewRelay(server.address())
	require.NoError(t, err)
	defer relay.Close()
	client := start(t, "connect", "-listen", "127.0.0.1:0", "-to", relay.Addr(), "-server-key", public)
	c := dial(t, "tcp", client.address())
	requireEcho(t, c, "before")
	server.kill()
	server = start(t, "serve", "-listen", "127.0.0.1:0", "-to", back, "-key", key)
	relay.SetTarget(server.address())
	_, err = c.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNRESET)
	requireEcho(t, dial(t, "tcp", client.address()), "after")
	client.signal(syscall.SIGTERM)
	require.Zero(t, client.wait())
}

// A back end that is not there, or says nothing, ends its own sessions alone.
func TestBadUpstream(t *testing.T) {
	key, public := newKey(t)
	mute := serverOf(t, "tcp", "127.0.0.1:0", func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	for name, c := range map[string]struct {
		to, log string
	}{
		"mute": {mute, "does not answer"},
		"dead": {"127.0.0.1:1", "no connection to the upstream"},
	} {
		t.Run(name, func(t *testing.T) {
			server := start(t, "serve", "-listen", "127.0.0.1:0", "-to", c.to, "-key", key, "-answer", "50ms")
			client := start(t, "connect", "-listen", "127.0.0.1:0", "-to", server.address(), "-server-key", public)
			local := dial(t, "tcp", client.address())
			_, err := io.WriteString(local, "hello?")
			require.NoError(t, err)
			_, err = local.Read(make([]byte, 1))
			require.ErrorIs(t, err, syscall.ECONNRESET)
			server.await(c.log)
		})
	}
}

func TestPortInUse(t *testing.T) {
	key, _ := newKey(t)
	at := echo(t, "tcp", "127.0.0.1:0")
	status, _, stderr := run(t, "", "serve", "-listen", at, "-to", at, "-key", key)
	require.Equal(t, 1, status)
	require.Contains(t, stderr, at)
	require.Contains(t, stderr, "another process listens there")
}

func TestKeygen(t *testing.T) {
	file, public := newKey(t)
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	status, out, _ := run(t, "", "keygen", "-pub", file)
	require.Zero(t, status)
	require.Equal(t, public+"\n", out)

	before, err := os.ReadFile(file)
	require.NoError(t, err)
	status, out, stderr := run(t, "", "keygen", "-out", file)
	require.Equal(t, 1, status)
	require.Empty(t, out)
	require.Contains(t, stderr, "move it away first")
	after, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, before, after)
}

func TestKeyFiles(t *testing.T) {
	file, _ := newKey(t)
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.key")
	require.NoError(t, os.WriteFile(bad, []byte("secret words"), 0o600))
	for _, mode := range []os.FileMode{0o604, 0o644, 0o620, 0o666} {
		require.NoError(t, os.Chmod(file, mode))
		status, _, stderr := run(t, "", "serve", "-listen", "127.0.0.1:0", "-to", "127.0.0.1:1", "-key", file)
		require.Equal(t, 2, status)
		require.Contains(t, stderr, "chmod 600 "+file)
	}
	require.NoError(t, os.Chmod(file, 0o640)) // a group may be given it
	_, err := readKey(file)
	require.NoError(t, err)
	for name, want := range map[string]string{
		filepath.Join(dir, "none"): "relink keygen -out " + filepath.Join(dir, "none"),
		dir:                        "is not a file with a key",
		bad:                        "44 characters",
	} {
		_, err := readKey(name)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "secret words")
	}
	if os.Getuid() != 0 { // to root every file is readable
		require.NoError(t, os.Chmod(file, 0o000))
		_, err = readKey(file)
		require.ErrorContains(t, err, "chown")
	}
}

func TestUsage(t *testing.T) {
	key, public := newKey(t)
	for _, c := range []struct {
		args   []string
		status int
		want   string
	}{
		{nil, 2, "usage: relink COMMAND"},
		{[]string{"help"}, 0, "connect"},
		{[]string{"frobnicate"}, 2, "no such command"},
		{[]string{"serve", "-help"}, 0, "-listen"},
		{[]string{"serve", "-colour"}, 2, "-help lists the flags"},
		{[]string{"serve", "stray"}, 2, `unexpected argument "stray"`},
		{[]string{"serve"}, 2, "no server"},
		{[]string{"serve", "-to", "127.0.0.1"}, 2, "neither host:port"},
		{[]string{"serve", "-to", "127.0.0.1:1"}, 2, "no address to listen on"},
		{[]string{"serve", "-to", "127.0.0.1:1", "-listen", ":0"}, 2, "needs a key"},
		{[]string{"serve", "-to", "127.0.0.1:1", "-listen", ":0", "-suite", "tls"}, 2, `no suite "tls"`},
		{[]string{"serve", "-to", "127.0.0.1:1", "-listen", ":0", "-suite", "scp", "-suite", "scp"}, 2, "named twice"},
		{[]string{"serve", "-to", "127.0.0.1:1", "-listen", ":0", "-listen", ":0", "-key", key}, 2, "named twice"},
		{[]string{"serve", "-to", "127.0.0.1:1", "-listen", ":0", "-suite", "scp", "-key", key}, 2, "suite noise alone"},
		{[]string{"serve", "-to", "127.0.0.1:1", "-listen", ":0", "-key", key, "-idle", "-1s"}, 2, "less than zero"},
		{[]string{"serve", "-to", "127.0.0.1:1", "-listen", ":0", "-key", key, "-replay-limit", "1"}, 2, "ReplayLimit"},
		{[]string{"serve", "-to", "127.0.0.1:1", "-listen", ":0", "-key", key, "-proxy-protocol", "3"}, 2, "no version 3"},
		{[]string{"serve", "-to", "127.0.0.1:1", "-listen", ":0", "-key", key, "-debug", ":7001"}, 2, "not on this machine alone"},
		{[]string{"serve", "-to", "127.0.0.1:1", "-listen", ":0", "-key", key, "-debug", "192.0.2.1:7001"}, 2, "not on this machine alone"},
		{[]string{"serve", "-to", "127.0.0.1:1", "-listen", ":0", "-key", key, "-debug", "tls://:7001"}, 2, "can be here"},
		{[]string{"serve", "-to", "127.0.0.1:1", "-listen", ":0", "-key", key, "-debug", ":7001", "-debug-token", "/none"}, 2, "/none"},
		{[]string{"serve", "-to", "127.0.0.1:1", "-listen", ":0", "-key", key, "-debug-token", key}, 2, "a token for nothing"},
		{[]string{"connect"}, 2, "either -listen"},
		{[]string{"connect", "-stdio"}, 2, "-to is missing"},
		{[]string{"connect", "-stdio", "-listen", ":0"}, 2, "either -listen"},
		{[]string{"connect", "-stdio", "-to", "127.0.0.1:1"}, 2, "the server's key is missing"},
		{[]string{"connect", "-stdio", "-to", "127.0.0.1:1", "-server-key", "x"}, 2, "44 characters"},
		{[]string{"connect", "-stdio", "-to", "127.0.0.1:1", "-suite", "scp", "-server-key", public}, 2, "for the suite noise"},
		{[]string{"connect", "-stdio", "-to", "127.0.0.1:1", "-suite", "dh64rc4", "-target", "x"}, 2, "for the suites noise and scp"},
		{[]string{"connect", "-stdio", "-to", "127.0.0.1:1", "-suite", "scp", "-key", key}, 2, "for the suite noise"},
		{[]string{"connect", "-stdio", "-to", "127.0.0.1:1", "-suite", "scp", "-preshared-key", key}, 2, "noise and insecure-noise"},
		{[]string{"connect", "-stdio", "-to", "127.0.0.1:1", "-server-key", public, "-preshared-key", "/none"}, 2, "relink keygen -preshared -out /none"},
		{[]string{"connect", "-stdio", "-to", "127.0.0.1:1", "-server-key", public, "-key", "/none"}, 2, "relink keygen -out /none"},
		{[]string{"connect", "-stdio", "-to", "127.0.0.1:1", "-server-key", public, "-unverified"}, 2, "are for tls://"},
		{[]string{"connect", "-stdio", "-to", "tls://127.0.0.1:1", "-suite", "scp", "-unverified"}, 2, "somebody on the path could be the server"},
		{[]string{"connect", "-stdio", "-to", "tls://127.0.0.1:1", "-server-key", public, "-unverified", "-ca", "x"}, 2, "contradict"},
		{[]string{"connect", "-stdio", "-to", "tls://127.0.0.1:1", "-server-key", public, "-ca", key}, 2, "no certificate in PEM"},
		{[]string{"connect", "-stdio", "-to", "wss://127.0.0.1:1", "-server-key", public, "-server-name", "x"}, 2, "its URL says the name"},
		{[]string{"connect", "-stdio", "-to", "tls://127.0.0.1:1", "-server-key", public, "-kcp-shards", "1,1"}, 2, "for kcp://"},
		{[]string{"connect", "-stdio", "-to", "kcp://127.0.0.1:1", "-server-key", public, "-kcp-shards", "1"}, 2, "not two numbers"},
		{[]string{"connect", "-stdio", "-to", "ftp://127.0.0.1:1", "-server-key", public}, 2, "sessions are carried by"},
		{[]string{"connect", "-stdio", "-to", "tls://127.0.0.1:1/x", "-server-key", public}, 2, "only a WebSocket has a path"},
		{[]string{"connect", "-stdio", "-to", "ws://a:1/x?y", "-server-key", public}, 2, "only host, port"},
		{[]string{"connect", "-stdio", "-to", "quic://127.0.0.1", "-server-key", public}, 2, "no host:port behind"},
		{[]string{"connect", "-listen", "tls://127.0.0.1:0", "-to", "127.0.0.1:1", "-server-key", public}, 1, "only host:port or unix:"},
		{[]string{"connect", "-stdio", "-to", "127.0.0.1:1", "-server-key", public}, 255, "connection refused"},
		{[]string{"serve", "-to", "127.0.0.1:1", "-listen", "tls://:0", "-suite", "scp"}, 2, "needs a certificate"},
		{[]string{"serve", "-to", "127.0.0.1:1", "-listen", "tls://:0", "-key", key, "-certificate", "x"}, 2, "belong together"},
		{[]string{"serve", "-to", "127.0.0.1:1", "-listen", "tls://:0", "-key", key, "-certificate", "/none", "-certificate-key", key}, 2, "/none"},
		{[]string{"serve", "-to", "127.0.0.1:1", "-listen", "tls://:0", "-key", key, "-certificate", key, "-certificate-key", key}, 2, "PEM"},
		{[]string{"serve", "-to", "127.0.0.1:1", "-listen", ":0", "-key", key, "-proxy-protocol-from", "10.0.0.0/33"}, 2, "neither an address nor a network"},
		{[]string{"serve", "-to", "127.0.0.1:1", "-listen", ":0", "-key", key, "-client-keys", "/none"}, 2, "/none"},
		{[]string{"serve", "-to", "127.0.0.1:1", "-listen", ":0", "-key", key, "-client-keys", key, "-suite", "noise", "-suite", "scp"}, 2, "the suite scp lets clients in"},
		{[]string{"serve", "-to", "127.0.0.1:1", "-listen", ":0", "-key", key, "-preshared-key", "/none"}, 2, "keygen -preshared"},
		{[]string{"serve", "-route", "x", "-listen", ":0", "-key", key}, 2, "name=address is wanted"},
		{[]string{"serve", "-route", "x=y", "-listen", ":0", "-key", key}, 2, "neither host:port"},
		{[]string{"keygen", "-preshared", "-pub", "b"}, 2, "no public one"},
		{[]string{"keygen"}, 2, "either -out"},
		{[]string{"keygen", "-out", "a", "-pub", "b"}, 2, "either -out"},
	} {
		status, out, stderr := run(t, "", c.args...)
		require.Equal(t, c.status, status, "%q: %s", c.args, stderr)
		require.Contains(t, out+stderr, c.want, "%q", c.args)
	}
}
