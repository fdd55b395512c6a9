package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/faultnet"
	"github.com/relink-go/relink/transport/proxyproto"
)

// needBackends makes the absence of a program that the tests run a failure.
const needBackends = "RELINK_BACKENDS"

// backend returns the path of a program, or skips the test.
func backend(t *testing.T, program, debianPackage string, elsewhere ...string) string {
	t.Helper()
	for _, name := range append([]string{program, "/usr/sbin/" + program}, elsewhere...) {
		if found, err := filepath.Glob(name); err == nil && len(found) > 0 {
			name = found[len(found)-1]
		}
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv(needBackends) != "" {
		t.Fatalf("there is no %s", program)
	}
	t.Skipf("no %s here: apt-get install %s", program, debianPackage)
	return ""
}

// startBackend starts a server, kills it at the end of the test, and waits until it
// listens.
func startBackend(t *testing.T, cmd *exec.Cmd, network, address string) {
	t.Helper()
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	require.NoError(t, cmd.Start())
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-exited:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			<-exited
		}
		if t.Failed() {
			t.Logf("%s:\n%s", cmd.Path, log.String())
		}
	})
	for end := time.Now().Add(patience); ; {
		c, err := net.Dial(network, address)
		if err == nil {
			_ = c.Close()
			return
		}
		select {
		case <-exited:
			t.Fatalf("%s has ended:\n%s", cmd.Path, log.String())
		case <-time.After(10 * time.Millisecond): // nothing else tells
		}
		require.True(t, time.Now().Before(end), "%s does not listen", cmd.Path)
	}
}

// throughCuts puts both commands and a network before a server, and returns where a client
// finds it and what cuts.
func throughCuts(t *testing.T, to string) (address string, relay *faultnet.Relay) {
	t.Helper()
	key, public := newKey(t)
	server := start(t, "serve", "-listen", "127.0.0.1:0", "-to", to, "-key", key)
	relay, err := faultnet.NewRelay(server.address())
	require.NoError(t, err)
	t.Cleanup(func() { _ = relay.Close() })
	return start(t, "connect", "-listen", "127.0.0.1:0", "-to", relay.Addr(), "-server-key", public).address(), relay
}

// A cutting reader cuts each time that so many bytes have passed.
type cuttingReader struct {
	io.Reader
	each, left int
	cut        func()
}

func (r *cuttingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if r.left -= n; r.left <= 0 {
		r.left = r.each
		r.cut()
	}
	return n, err
}

// A download from nginx is what the file is, although it is cut again and again.
func TestNginx(t *testing.T) {
	nginx := backend(t, "nginx", "nginx-light")
	dir := t.TempDir()
	file := make([]byte, 32<<20)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(file)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), file, 0o644))
	require.NoError(t, os.Chmod(dir, 0o755))
	socket := filepath.Join(dir, "socket")
	conf := filepath.Join(dir, "nginx.conf")
	require.NoError(t, os.WriteFile(conf, fmt.Appendf(nil, `
daemon off; master_process off; pid %[1]s/pid; error_log stderr;
events {}
http {
	access_log off;
	client_body_temp_path %[1]s/a; proxy_temp_path %[1]s/b; fastcgi_temp_path %[1]s/c; uwsgi_temp_path %[1]s/d; scgi_temp_path %[1]s/e;
	server { listen unix:%[2]s; root %[1]s; }
}
`, dir, socket), 0o600))
	startBackend(t, exec.Command(nginx, "-e", "stderr", "-c", conf), "unix", socket)
	address, relay := throughCuts(t, "unix:"+socket)
	client := &http.Client{Transport: new(http.Transport)}
	defer client.CloseIdleConnections()
	for range 2 { // the second over the same connection
		r, err := client.Get("http://" + address + "/file")
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, r.StatusCode)
		sum := sha256.New()
		_, err = io.Copy(sum, &cuttingReader{Reader: r.Body, each: 1 << 20, left: 1 << 20, cut: func() { relay.Cut(faultnet.Reset) }})
		require.NoError(t, err)
		require.NoError(t, r.Body.Close())
		want := sha256.Sum256(file)
		require.Equal(t, want[:], sum.Sum(nil))
	}
	require.Greater(t, relay.Accepted(), 10)
}

// 200,000 rows go into PostgreSQL by COPY and come out again, each once.
func TestPostgreSQL(t *testing.T) {
	initdb := backend(t, "initdb", "postgresql", "/usr/lib/postgresql/*/bin/initdb")
	psql := backend(t, "psql", "postgresql")
	dir, err := os.MkdirTemp("", "pg") //nolint:usetesting // another user gets there, and a socket's path is short
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	as := func(cmd *exec.Cmd) *exec.Cmd { return cmd }
	if os.Getuid() == 0 { // as root it does not run
		const nobody = 65534
		require.NoError(t, os.Chown(dir, nobody, nobody))
		as = func(cmd *exec.Cmd) *exec.Cmd {
			cmd.SysProcAttr = asUser(nobody)
			cmd.Dir = dir
			return cmd
		}
	}
	data := filepath.Join(dir, "data")
	out, err := as(exec.Command(initdb, "-D", data, "-A", "trust", "-U", "relink", "--no-sync", "--locale=C", "-E", "UTF8")).CombinedOutput()
	require.NoError(t, err, "%s", out)
	socket := filepath.Join(dir, ".s.PGSQL.5432")
	startBackend(t, as(exec.Command(filepath.Join(filepath.Dir(initdb), "postgres"), "-D", data, "-c", "listen_addresses=", "-c", "unix_socket_directories="+dir, "-c", "fsync=off")), "unix", socket)
	address, relay := throughCuts(t, "unix:"+socket)
	host, port, err := net.SplitHostPort(address)
	require.NoError(t, err)
	query := func(sql string, in io.Reader) string {
		t.Helper()
		for end := time.Now().Add(patience); ; {
			cmd := exec.Command(psql, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", host, "-p", port, "-U", "relink", "-d", "postgres", "-c", sql)
			var errOut bytes.Buffer
			cmd.Stdin, cmd.Stderr = in, &errOut
			out, err := cmd.Output()
			if err != nil && strings.Contains(errOut.String(), "starting up") && time.Now().Before(end) {
				continue // it listens before it can answer
			}
			require.NoError(t, err, "%s", errOut.String())
			return string(out)
		}
	}
	query("CREATE TABLE t (n int PRIMARY KEY, word text)", nil)
	const rows int64 = 200_000
	var b bytes.Buffer
	for i := range rows {
		fmt.Fprintf(&b, "%d\tthe row with the number %d\n", i, i*7)
	}
	text := b.String()
	cut := func() { relay.Cut(faultnet.Reset) }
	query("COPY t FROM STDIN", &cuttingReader{Reader: strings.NewReader(text), each: 300_000, left: 300_000, cut: cut})
	require.Equal(t, fmt.Sprintf("%d|%d\n", rows, rows*(rows-1)/2), query("SELECT count(*), sum(n) FROM t", nil))

	cmd := exec.Command(psql, "-X", "-q", "-h", host, "-p", port, "-U", "relink", "-d", "postgres", "-c", "COPY (SELECT * FROM t ORDER BY n) TO STDOUT")
	rest, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	back, err := io.ReadAll(&cuttingReader{Reader: rest, each: 300_000, left: 300_000, cut: cut})
	require.NoError(t, err)
	require.NoError(t, cmd.Wait())
	require.True(t, text == string(back), "what came back is not what went in")
	require.Greater(t, relay.Accepted(), 10)
}

// Behind HAProxy with send-proxy-v2 the server behind hears of the client and of the address
// that it has dialled, and sessions survive what cuts the way to HAProxy.
func TestHAProxy(t *testing.T) {
	haproxy := backend(t, "haproxy", "haproxy")
	told := make(chan *proxyproto.Header, 9)
	back := serverOf(t, "tcp", "127.0.0.1:0", func(c net.Conn) {
		if h, err := proxyproto.ReadHeader(c, proxyproto.DefaultMaxHeader); err == nil {
			told <- h
			_, _ = io.Copy(c, c)
		}
	})
	key, public := newKey(t)
	server := start(t, "serve", "-listen", "127.0.0.1:0", "-to", back, "-key", key, "-proxy-protocol", "2", "-proxy-protocol-from", "127.0.0.0/8")
	front, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer front.Close()
	inherited, err := front.(*net.TCPListener).File()
	require.NoError(t, err)
	defer func() { _ = inherited.Close() }()
	conf := filepath.Join(t.TempDir(), "haproxy.cfg")
	require.NoError(t, os.WriteFile(conf, fmt.Appendf(nil, `
global
	maxconn 100
defaults
	mode tcp
	timeout connect 10s
	timeout client 5m
	timeout server 5m
listen relink
	bind fd@3
	server one %s send-proxy-v2
`, server.address()), 0o600))
	cmd := exec.Command(haproxy, "-db", "-f", conf)
	cmd.ExtraFiles = []*os.File{inherited}
	startBackend(t, cmd, "tcp", front.Addr().String())
	relay, err := faultnet.NewRelay(front.Addr().String())
	require.NoError(t, err)
	defer relay.Close()
	client := start(t, "connect", "-listen", "127.0.0.1:0", "-to", relay.Addr(), "-server-key", public)
	c := dial(t, "tcp", client.address())
	for i := range 20 {
		requireEcho(t, c, fmt.Sprintf("message %d", i))
		relay.Cut(faultnet.Reset)
	}
	requireEcho(t, c, "the last")
	h := <-told
	require.Equal(t, front.Addr().String(), h.Destination.String())
	require.NotEqual(t, server.address(), h.Source.String())
	require.Empty(t, told) // one session, however often it came
	require.Greater(t, relay.Accepted(), 10)
}
