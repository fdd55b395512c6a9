package proxy_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
	"github.com/relink-go/relink/proxy"
	"github.com/relink-go/relink/transport/proxyproto"
	"github.com/relink-go/relink/transport/tlstransport"
)

// certificate returns one for a host, and who believes it.
func certificate(t *testing.T, host string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{host}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	parsed, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// trusting returns a listener that wants a PROXY header.
func trusting(t *testing.T, inner net.Listener) net.Listener {
	t.Helper()
	l, err := proxyproto.NewListener(inner, proxyproto.Config{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// frontEnd serves sessions with an upstream.
func frontEnd(t *testing.T, up *proxy.Upstream, p pair) (client *relink.Conn) {
	t.Helper()
	l, err := relink.Listen("tcp", "127.0.0.1:0", p.server)
	require.NoError(t, err)
	s := proxy.NewServer(proxy.Settings{Routes: &proxy.Routes{Default: up}}, nil)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	client, err = relink.Dial("tcp", l.Addr().String(), p.client)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, _ = client.Abort(), l.Close()
		for c := range l.Sessions() {
			_ = c.Abort()
		}
		require.ErrorIs(t, <-served, net.ErrClosed)
		s.Wait()
	})
	return client
}

// echoed requires that a text comes back.
func echoed(t *testing.T, c net.Conn, text string) {
	t.Helper()
	_, err := io.WriteString(c, text)
	require.NoError(t, err)
	got := make([]byte, len(text))
	_, err = io.ReadFull(c, got)
	require.NoError(t, err)
	require.Equal(t, text, string(got))
}

// echoOne echoes what comes over the first connection, which it tells.
func echoOne(l net.Listener) <-chan net.Conn {
	first := make(chan net.Conn, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		first <- c
		_, _ = io.Copy(c, c)
		_ = c.Close()
	}()
	return first
}

// An upstream that speaks TLS is known by the name in its address, and is told of the client
// before TLS begins.
func TestTLSUpstream(t *testing.T) {
	cert, pool := certificate(t, "db.example")
	inner := trusting(t, listen(t, "tcp", "127.0.0.1:0"))
	l, err := tlstransport.NewListener(inner, tlstransport.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}})
	require.NoError(t, err)
	defer l.Close()
	first := echoOne(l)
	_, port, err := net.SplitHostPort(inner.Addr().String())
	require.NoError(t, err)
	client := frontEnd(t, &proxy.Upstream{
		Addresses: []string{"db.example:" + port}, Resolver: names{"db.example": {"127.0.0.1"}},
		TLS: &tls.Config{RootCAs: pool}, ProxyProtocol: 2,
	}, noise())
	echoed(t, client, "over TLS")
	require.Equal(t, client.LocalAddr().String(), (<-first).RemoteAddr().String())

	// Another name is another server.
	u := &proxy.Upstream{Addresses: []string{"other.example:" + port}, Resolver: names{"other.example": {"127.0.0.1"}}, TLS: &tls.Config{RootCAs: pool}}
	_, err = u.Dial(t.Context(), nil)
	require.Error(t, err)
}

// An upstream that is itself a relink server keeps its sessions when the path to it
// is cut, and hears of the client on each transport.
func TestRelinkUpstream(t *testing.T) {
	for name, p := range map[string]pair{"noise": noise(), "classic": classic} {
		t.Run(name, func(t *testing.T) {
			inner := trusting(t, listen(t, "tcp", "127.0.0.1:0"))
			l, err := relink.NewListener(inner, relink.ListenConfig{Suites: []relink.ServerSuite{p.server}})
			require.NoError(t, err)
			defer l.Close()
			first := echoOne(l)
			relay, err := faultnet.NewRelay(inner.Addr().String())
			require.NoError(t, err)
			defer relay.Close()
			client := frontEnd(t, &proxy.Upstream{Addresses: []string{relay.Addr()}, Relink: &relink.Dialer{Suite: p.client}, ProxyProtocol: 2}, noise())
			for range 5 {
				echoed(t, client, "through two")
				relay.Cut(faultnet.Reset)
			}
			echoed(t, client, "through two")
			require.Equal(t, client.LocalAddr().String(), (<-first).RemoteAddr().String())
			require.Greater(t, relay.Accepted(), 1)
			// The end of the client's stream arrives behind both, on a classic wire as an end
			// of both directions.
			require.NoError(t, client.CloseWrite())
			_, err = io.ReadAll(client)
			require.NoError(t, err)
		})
	}
}

// A session that fails makes the one behind it fail, and not end.
func TestRelinkUpstreamAborts(t *testing.T) {
	p := noise()
	l, err := relink.Listen("tcp", "127.0.0.1:0", p.server)
	require.NoError(t, err)
	defer l.Close()
	client := frontEnd(t, &proxy.Upstream{Addresses: []string{l.Addr().String()}, Relink: &relink.Dialer{Suite: p.client}}, noise())
	behind, err := l.AcceptConn()
	require.NoError(t, err)
	defer behind.Abort()
	_, err = io.WriteString(client, "x")
	require.NoError(t, err)
	_, err = io.ReadFull(behind, make([]byte, 1))
	require.NoError(t, err)
	require.NoError(t, client.Abort())
	_, err = behind.Read(make([]byte, 1))
	require.ErrorIs(t, err, relink.ErrSessionLost)
}

func TestLayersCheck(t *testing.T) {
	dial := func(context.Context, string, string) (net.Conn, error) { return nil, net.ErrClosed }
	for want, d := range map[string]*relink.Dialer{
		"without a suite":      {},
		"with a DialTransport": {Suite: relink.InsecureNoiseClient{}, DialTransport: dial},
	} {
		require.ErrorContains(t, (&proxy.Upstream{Addresses: []string{"a:1"}, Relink: d}).Check(), want)
	}
}

// A client of the suite Noise names an upstream too.
func TestNoiseTarget(t *testing.T) {
	back := listen(t, "tcp", "127.0.0.1:0")
	echoOne(back)
	k := relink.GenerateKey()
	l, err := relink.Listen("tcp", "127.0.0.1:0", relink.NoiseServer{Keys: []relink.PrivateKey{k}})
	require.NoError(t, err)
	s := proxy.NewServer(proxy.Settings{Routes: &proxy.Routes{Rules: []proxy.Rule{{Name: "chat", Upstream: &proxy.Upstream{Addresses: []string{back.Addr().String()}}}}}}, nil)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	suite := relink.NoiseClient{ServerKeys: []relink.PublicKey{k.PublicKey()}, Target: "chat"}
	c, err := relink.Dial("tcp", l.Addr().String(), suite)
	require.NoError(t, err)
	echoed(t, c, "hello")
	suite.Target = "shop"
	other, err := relink.Dial("tcp", l.Addr().String(), suite)
	require.NoError(t, err)
	_, err = other.Read(make([]byte, 1))
	require.ErrorIs(t, err, relink.ErrSessionLost)
	_, _, _ = c.Abort(), other.Abort(), l.Close()
	for c := range l.Sessions() {
		_ = c.Abort()
	}
	require.ErrorIs(t, <-served, net.ErrClosed)
	s.Wait()
}

// A server ends a session in order, joined or not.
func TestServerEnd(t *testing.T) {
	back := listen(t, "tcp", "127.0.0.1:0")
	echoOne(back)
	l, err := relink.Listen("tcp", "127.0.0.1:0", relink.InsecureNoiseServer{})
	require.NoError(t, err)
	s := proxy.NewServer(proxy.Settings{Routes: &proxy.Routes{Default: &proxy.Upstream{Addresses: []string{back.Addr().String()}}}}, nil)
	early, err := relink.Dial("tcp", l.Addr().String(), relink.InsecureNoiseClient{})
	require.NoError(t, err)
	notServed, err := l.AcceptConn()
	require.NoError(t, err)
	s.End(notServed)
	_, err = early.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)

	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	c, err := relink.Dial("tcp", l.Addr().String(), relink.InsecureNoiseClient{})
	require.NoError(t, err)
	echoed(t, c, "hello")
	for session := range l.Sessions() {
		s.End(session)
	}
	_, err = c.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	_, _, _ = c.Close(), early.Close(), l.Close()
	require.ErrorIs(t, <-served, net.ErrClosed)
	s.Wait()
}
