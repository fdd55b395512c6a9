package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
	"github.com/relink-go/relink/transport/proxyproto"
)

// certificateFiles makes a certificate for 127.0.0.1, which is its own authority.
func certificateFiles(t *testing.T, dir string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<60))
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: serial, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	certFile, keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	require.NoError(t, os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	return certFile, keyFile
}

// Sessions come over every carrier of one server, through cuts where there is a
// connection to cut.
func TestCarriers(t *testing.T) {
	key, public := newKey(t)
	dir := t.TempDir()
	certFile, keyFile := certificateFiles(t, dir)
	carriers := []string{
		"127.0.0.1:0", "unix:" + filepath.Join(dir, "s"), "tls://127.0.0.1:0", "ws://127.0.0.1:0/relink", "wss://127.0.0.1:0",
		"quic://127.0.0.1:0", "kcp://127.0.0.1:0",
	}
	args := []string{
		"serve", "-to", echo(t, "tcp", "127.0.0.1:0"), "-key", key, "-suite", "noise", "-suite", "dh64rc4",
		"-certificate", certFile, "-certificate-key", keyFile, "-kcp-shards", "3,2",
	}
	for _, c := range carriers {
		args = append(args, "-listen", c)
	}
	server := start(t, args...)
	for _, c := range carriers {
		scheme, _, ok := strings.Cut(c, "://")
		if !ok {
			scheme = strings.TrimSuffix(strings.SplitAfter(c, ":")[0], "127.0.0.1:")
		}
		prefix := c[:strings.Index(c, ":")+1]
		if !ok && prefix == "127.0.0.1:" {
			prefix = "127.0.0.1:"
		}
		at := server.await(`msg=listening address=(` + prefix + `\S+)`)[1]
		t.Run(strings.TrimSuffix(scheme, ":"), func(t *testing.T) {
			flags := []string{"connect", "-listen", "127.0.0.1:0", "-server-key", public}
			switch scheme {
			case "tls", "wss", "quic":
				flags = append(flags, "-ca", certFile)
			case "kcp":
				flags = append(flags, "-kcp-shards", "3,2")
			}
			var relay *faultnet.Relay
			if scheme != "quic" && scheme != "kcp" && prefix != "unix:" {
				c, err := parseCarrier(at)
				require.NoError(t, err)
				relay, err = faultnet.NewRelay(c.address)
				require.NoError(t, err)
				defer relay.Close()
				c.address = relay.Addr()
				at = c.String()
			}
			client := start(t, append(flags, "-to", at)...)
			c := dial(t, "tcp", client.address())
			for i := range 10 {
				requireEcho(t, c, fmt.Sprintf("message %d", i))
				if relay != nil {
					relay.Cut(faultnet.Reset)
				}
			}
			requireEcho(t, c, strings.Repeat("x", 100_000))
			if relay != nil {
				require.Greater(t, relay.Accepted(), 5)
			}
		})
	}
	// Without the authority the certificate is nobody's.
	for _, scheme := range []string{"tls", "wss", "quic"} {
		at := server.await(`msg=listening address=(` + scheme + `://\S+)`)[1]
		status, _, stderr := run(t, "", "connect", "-stdio", "-to", at, "-suite", "dh64rc4")
		require.Equal(t, 255, status)
		require.Contains(t, stderr, "certificate")
	}
}

// With noise alone a server makes its certificate itself, and a client takes it if it is
// told to.
func TestOwnCertificate(t *testing.T) {
	key, public := newKey(t)
	server := start(t, "serve", "-listen", "tls://127.0.0.1:0", "-listen", "quic://127.0.0.1:0", "-listen", "wss://127.0.0.1:0/x", "-to", echo(t, "tcp", "127.0.0.1:0"), "-key", key)
	for _, scheme := range []string{"tls", "quic", "wss"} {
		at := server.await(`msg=listening address=(` + scheme + `://\S+)`)[1]
		status, out, stderr := run(t, "hello", "connect", "-stdio", "-to", at, "-server-key", public, "-unverified")
		require.Zero(t, status, stderr)
		require.Equal(t, "hello", out)
		status, out, stderr = run(t, "", "ping", "-to", at, "-server-key", public, "-unverified", "-n", "2")
		require.Zero(t, status, stderr)
		require.Contains(t, out, "cut 2       back after")
		status, _, stderr = run(t, "", "connect", "-stdio", "-to", at, "-server-key", public)
		require.Equal(t, 255, status)
		require.Contains(t, stderr, "certificate")
	}
}

// A session moves from one carrier of a server to another.
func TestMoveBetweenCarriers(t *testing.T) {
	key, public := newKey(t)
	server := start(t, "serve", "-listen", "127.0.0.1:0", "-listen", "ws://127.0.0.1:0", "-listen", "kcp://127.0.0.1:0", "-to", echo(t, "tcp", "127.0.0.1:0"), "-key", key)
	var routes []*route
	for _, pattern := range []string{`address=(127\S+)`, `address=(ws://\S+)`, `address=(kcp://\S+)`} {
		to := target{to: server.await("msg=listening " + pattern)[1], suite: clientSuite{name: "noise", serverKeys: []string{public}}}
		r, err := to.dialer()
		require.NoError(t, err)
		if r.DialTransport == nil {
			r.DialTransport = new(net.Dialer).DialContext
		}
		routes = append(routes, r)
	}
	i := 0
	d := *routes[0].Dialer
	resumed := make(chan relink.Event, 9)
	d.OnEvent = func(e relink.Event) {
		if e.Kind == relink.EventResumed {
			resumed <- e
		}
	}
	d.DialTransport = func(ctx context.Context, _, _ string) (net.Conn, error) {
		r := routes[i%len(routes)]
		i++
		return r.DialTransport(ctx, r.network, r.address)
	}
	c, err := d.DialConn(t.Context(), "any", "way")
	require.NoError(t, err)
	defer c.Abort()
	for range 6 {
		requireEcho(t, c, "here")
		c.NetworkChanged()
		<-resumed
	}
	requireEcho(t, c, "there")
}

// Behind a balancer the server behind hears of the client, on TCP and on TLS; whoever is
// no balancer is turned away.
func TestProxyProtocolIn(t *testing.T) {
	key, public := newKey(t)
	told := make(chan string, 9)
	back := serverOf(t, "tcp", "127.0.0.1:0", func(c net.Conn) {
		h, err := proxyproto.ReadHeader(c, proxyproto.DefaultMaxHeader)
		if err != nil {
			told <- err.Error()
			return
		}
		told <- h.Source.String()
		_, _ = io.Copy(c, c)
	})
	server := start(t, "serve", "-listen", "127.0.0.1:0", "-listen", "tls://127.0.0.1:0", "-listen", "quic://127.0.0.1:0",
		"-to", back, "-key", key, "-proxy-protocol", "2", "-proxy-protocol-from", "127.0.0.0/8")
	source := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 4711}
	introduced := proxyproto.Dialer{Header: func(_ context.Context, c net.Conn) (*proxyproto.Header, error) {
		return &proxyproto.Header{Source: source, Destination: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 7000}}, nil
	}}
	inner, err := net.Listen("tcp", "127.0.0.1:0") // a balancer
	require.NoError(t, err)
	defer inner.Close()
	for _, pattern := range []string{`address=()(127\S+)`, `address=(tls://)(\S+)`} {
		at := server.await("msg=listening " + pattern)
		go func() {
			c, err := inner.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			out, err := introduced.DialContext(context.Background(), "tcp", at[2])
			if err != nil {
				return
			}
			defer out.Close()
			go func() { _, _ = io.Copy(out, c) }()
			_, _ = io.Copy(c, out)
		}()
		flags := []string{"connect", "-stdio", "-to", at[1] + inner.Addr().String(), "-server-key", public}
		if at[1] != "" {
			flags = append(flags, "-unverified")
		}
		status, out, stderr := run(t, "hello", flags...)
		require.Zero(t, status, stderr)
		require.Equal(t, "hello", out)
		require.Equal(t, source.String(), <-told)

		// Who says nothing of the kind is none of the balancers.
		flags[3] = at[1] + at[2]
		status, _, _ = run(t, "", append(flags, "-handshake-timeout", "5s")...)
		require.Equal(t, 255, status)
	}
	server.await("no PROXY header")
}

// Clients come in by their keys, and one whose key is taken from the file is gone with
// the next reload.
func TestClientKeys(t *testing.T) {
	key, public := newKey(t)
	own, ownPublic := newKey(t)
	other, otherPublic := newKey(t)
	dir := t.TempDir()
	clients := filepath.Join(dir, "clients")
	write := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	write("clients", "# who may come\n\n"+ownPublic+" Ann's laptop\n"+otherPublic+"\n")
	write("c.yaml", fmt.Sprintf("listen: ['127.0.0.1:0']\nkeys: [%s]\nclient-keys: clients\nupstreams: {a: {to: ['%s']}}\ndefault: a\n", key, echo(t, "tcp", "127.0.0.1:0")))
	server := start(t, "serve", "-config", filepath.Join(dir, "c.yaml"))
	connect := func(key string) net.Conn {
		client := start(t, "connect", "-listen", "127.0.0.1:0", "-to", server.address(), "-server-key", public, "-key", key)
		return dial(t, "tcp", client.address())
	}
	ann, bob := connect(own), connect(other)
	requireEcho(t, ann, "ann")
	requireEcho(t, bob, "bob")
	status, _, stderr := run(t, "", "connect", "-stdio", "-to", server.address(), "-server-key", public)
	require.Equal(t, 255, status, stderr)

	write("clients", ownPublic)
	server.signal(syscall.SIGHUP)
	server.await("not welcome any more")
	_, err := bob.Read(make([]byte, 1))
	require.Error(t, err)
	requireEcho(t, ann, "still here")
	status, _, stderr = run(t, "", "connect", "-stdio", "-to", server.address(), "-server-key", public, "-key", other)
	require.Equal(t, 255, status, stderr)

	for text, want := range map[string]string{"": "nobody could come", "\n\nnonsense": "line 3"} {
		write("clients", text)
		_, err := readClientKeys(clients)
		require.ErrorContains(t, err, want)
	}
}

// Nobody gets an answer without the pre-shared key.
func TestPresharedKey(t *testing.T) {
	key, public := newKey(t)
	preshared := filepath.Join(t.TempDir(), "psk")
	status, out, stderr := run(t, "", "keygen", "-preshared", "-out", preshared)
	require.Zero(t, status, stderr)
	require.Empty(t, out+stderr)
	server := start(t, "serve", "-listen", "127.0.0.1:0", "-to", echo(t, "tcp", "127.0.0.1:0"), "-key", key, "-preshared-key", preshared)
	flags := []string{"connect", "-stdio", "-to", server.address(), "-server-key", public, "-handshake-timeout", "5s"}
	status, out, stderr = run(t, "hello", append(flags, "-preshared-key", preshared)...)
	require.Zero(t, status, stderr)
	require.Equal(t, "hello", out)
	status, _, _ = run(t, "", flags...)
	require.Equal(t, 255, status)
}

// A client of noise chooses the server behind by a name that only the server sees.
func TestTargets(t *testing.T) {
	key, public := newKey(t)
	says := func(word string) string {
		return serverOf(t, "tcp", "127.0.0.1:0", func(c net.Conn) { fmt.Fprint(c, word) })
	}
	server := start(t, "serve", "-listen", "127.0.0.1:0", "-key", key, "-to", says("lobby"), "-route", "chat="+says("chat"), "-route", "game="+says("game"))
	for target, want := range map[string]string{"": "lobby", "chat": "chat", "game": "game"} {
		status, out, stderr := run(t, "", "connect", "-stdio", "-to", server.address(), "-server-key", public, "-target", target)
		require.Zero(t, status, stderr)
		require.Equal(t, want, out)
	}
	status, _, _ := run(t, "", "connect", "-stdio", "-to", server.address(), "-server-key", public, "-target", "shop")
	require.Equal(t, 255, status)
	server.await(`session turned away.*the client asks for \\"shop\\"`)
}

// One relink carries sessions on to another, through cuts on both ways.
func TestChain(t *testing.T) {
	key, public := newKey(t)
	own, ownPublic := newKey(t)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "clients"), []byte(ownPublic), 0o600))
	certFile, keyFile := certificateFiles(t, dir)
	inner := start(t, "serve", "-listen", "tls://127.0.0.1:0", "-certificate", certFile, "-certificate-key", keyFile,
		"-route", "db="+echo(t, "tcp", "127.0.0.1:0"), "-key", key, "-client-keys", filepath.Join(dir, "clients"))
	behind, err := faultnet.NewRelay(strings.TrimPrefix(inner.address(), "tls://"))
	require.NoError(t, err)
	defer behind.Close()
	name := filepath.Join(dir, "c.yaml")
	require.NoError(t, os.WriteFile(name, fmt.Appendf(nil, `
listen: ["127.0.0.1:0"]
suites: [scp]
upstreams:
  inner:
    to: ["%s"]
    tls: {ca: tls.crt}
    relink: {server-keys: ["%s"], key: "%s", target: db}
default: inner
`, behind.Addr(), public, own), 0o600))
	outer := start(t, "serve", "-config", name)
	before, err := faultnet.NewRelay(outer.address())
	require.NoError(t, err)
	defer before.Close()
	client := start(t, "connect", "-listen", "127.0.0.1:0", "-to", before.Addr(), "-suite", "scp")
	c := dial(t, "tcp", client.address())
	for i := range 10 {
		requireEcho(t, c, fmt.Sprintf("message %d", i))
		[]*faultnet.Relay{before, behind}[i%2].Cut(faultnet.Reset)
	}
	requireEcho(t, c, "the last")
	require.Greater(t, before.Accepted(), 1)
	require.Greater(t, behind.Accepted(), 1)
}

// A certificate is exchanged by a reload, without a connection lost.
func TestCertificateReload(t *testing.T) {
	dir := t.TempDir()
	certFile, _ := certificateFiles(t, dir)
	name := filepath.Join(dir, "c.yaml")
	require.NoError(t, os.WriteFile(name, fmt.Appendf(nil, `
listen: [{address: "tls://127.0.0.1:0", certificate: tls.crt, certificate-key: tls.key}]
suites: [scp]
upstreams: {a: {to: ["%s"]}}
default: a
`, echo(t, "tcp", "127.0.0.1:0")), 0o600))
	server := start(t, "serve", "-config", name)
	old := filepath.Join(dir, "old.crt")
	require.NoError(t, os.Link(certFile, old))
	client := start(t, "connect", "-listen", "127.0.0.1:0", "-to", server.address(), "-suite", "scp", "-ca", old)
	c := dial(t, "tcp", client.address())
	requireEcho(t, c, "before")
	require.NoError(t, os.Remove(certFile))
	certificateFiles(t, dir)
	server.signal(syscall.SIGHUP)
	server.await("reloaded")
	requireEcho(t, c, "after")
	for ca, want := range map[string]int{certFile: 0, old: 255} {
		status, _, stderr := run(t, "", "ping", "-n", "0", "-to", server.address(), "-suite", "scp", "-ca", ca)
		require.Equal(t, want, status, stderr)
	}
}

// What an endpoint cannot have is said with its name.
func TestWrongEndpoints(t *testing.T) {
	for text, want := range map[string]string{
		`{address: ":1", certificate: a, certificate-key: b}`:      "no use for a certificate",
		`{address: ":1", origins: [a]}`:                            "is no WebSocket",
		`{address: ":1", forwarded-for-from: ["10.0.0.0/8"]}`:      "is no WebSocket",
		`{address: "ws://:1", forwarded-for-from: ["10"]}`:         "neither an address nor a network",
		`{address: ":1", kcp-shards: "1,1"}`:                       "are for kcp://",
		`{address: "kcp://:1", kcp-shards: "1,0"}`:                 "line 1: .*not two numbers",
		`{address: "kcp://:1", proxy-protocol-from: ["10.0.0.1"]}`: "is for TCP and Unix sockets",
		`{address: ":1", proxy-protocol-from: [unix]}`:             "is no Unix socket",
		`{address: "unix:/x", proxy-protocol-from: ["10.0.0.1"]}`:  "let the prefix be unix",
		`{address: "unix:/x", proxy-protocol-from: [x]}`:           "line 1: .*neither an address nor a network",
		`{address: "quic://:1"}`:                                   "needs a certificate",
		`{unknown: ":1"}`:                                          `line 1: there is no key "unknown"`,
		`{origins: [x]}`:                                           "line 1: address is missing",
		`{address: 7}`:                                             "line 1: a string is wanted",
		`{address: "gopher://:1"}`:                                 "line 1: .*sessions are carried by",
		`":1", ":1"`:                                               "named twice",
	} {
		c, err := parseFile([]byte(strings.Replace(validFile, `"127.0.0.1:0"`, text, 1)), "")
		if err == nil {
			err = c.check()
		}
		require.Error(t, err, text)
		require.Regexp(t, want, err.Error(), text)
	}
}

// A server that would carry sessions on to itself is refused.
func TestCycle(t *testing.T) {
	for at, to := range map[string]string{":7000": "localhost:7000", "127.0.0.1:7000": "127.0.0.1:7000", "unix:/x": "unix:/x", "[::]:7000": "127.0.0.1:7000"} {
		text := strings.NewReplacer("127.0.0.1:0", at, "127.0.0.1:1\"]", to+"\"]\n    relink: {suite: scp}").Replace(validFile)
		c, err := parseFile([]byte(text), "")
		require.NoError(t, err)
		require.ErrorContains(t, c.check(), "round and round", at)
	}
	for at, to := range map[string]string{":7000": "localhost:7001", "10.0.0.1:7000": "127.0.0.1:7000", "127.0.0.1:0": "127.0.0.1:0", "unix:/x": "127.0.0.1:1"} {
		text := strings.NewReplacer("127.0.0.1:0", at, "127.0.0.1:1\"]", to+"\"]\n    relink: {suite: scp}").Replace(validFile)
		c, err := parseFile([]byte(text), "")
		require.NoError(t, err)
		require.NoError(t, c.check(), at)
	}
	for relink, want := range map[string]string{
		"{suite: noise}": "key is missing", "{suite: tls}": "no suite", "{suite: scp, key: x}": "for the suite noise", "{suit: scp}": `no key "suit"`,
	} {
		_, err := parseFile([]byte(strings.Replace(validFile, "127.0.0.1:1\"]", "127.0.0.1:1\"]\n    relink: "+relink, 1)), "")
		require.ErrorContains(t, err, want)
	}
	_, err := parseFile([]byte(strings.Replace(validFile, "127.0.0.1:1\"]", "127.0.0.1:1\"]\n    tls: {ca: /none}", 1)), "")
	require.ErrorContains(t, err, "/none")
}
