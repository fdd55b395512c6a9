package websocket_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/transport/transporttest"
	"github.com/relink-go/relink/transport/websocket"
)

func TestTarget(t *testing.T) {
	p := openListen(t, websocket.Config{Path: "/relink"})
	full := p.l.Addr().String()
	host := strings.TrimSuffix(strings.TrimPrefix(full, "ws://"), "/relink")
	for _, c := range []struct {
		url, address string
		want         string // of the error
	}{
		{"", full, ""},
		{full, "", ""},
		{full, "ignored.example:1", ""},
		{"ws:///relink", host, ""},
		{"http:///relink", host, ""},
		{"", host, "is no URL: give one that begins with ws:// or wss://"},
		{"", "", "is no URL"},
		{"", "ftp://" + host, "is no URL of a WebSocket"},
		{"relink", host, "Dialer.URL: "},
		{"ws:///relink", "", "without a host"},
		{"ws:///relink", full, "it is host:port"},
	} {
		d := websocket.Dialer{URL: c.url}
		conn, err := d.DialTransport(t.Context(), "tcp", c.address)
		if c.want == "" {
			require.NoError(t, err, "%q, %q", c.url, c.address)
			abort(conn.(*websocket.Conn))
			continue
		}
		require.ErrorContains(t, err, c.want)
		var op *net.OpError
		require.ErrorAs(t, err, &op)
		require.Equal(t, "dial", op.Op)
	}
}

func TestWrongDialer(t *testing.T) {
	for want, d := range map[string]*websocket.Dialer{
		"Dialer.MessageSize: 5 bytes":                   {MessageSize: 5},
		"Dialer.HandshakeTimeout: -1s":                  {HandshakeTimeout: -time.Second},
		"Dialer.HTTPClient excludes TLSConfig":          {HTTPClient: http.DefaultClient, TLSConfig: new(tls.Config)},
		"Dialer.HTTPClient excludes TLSConfig, Proxy a": {HTTPClient: http.DefaultClient, Proxy: http.ProxyFromEnvironment},
	} {
		_, err := d.DialTransport(t.Context(), "tcp", "ws://127.0.0.1:1/")
		require.ErrorContains(t, err, want)
	}
}

// What the server says instead of making a WebSocket is told.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		answer http.HandlerFunc
		code   int
		want   string
	}{
		{func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "no ticket\nat all", http.StatusUnauthorized)
		}, 401, `401 Unauthorized and not with a WebSocket: "no ticket"`},
		{func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://portal.example/login", http.StatusFound)
		}, 302, `"moved to https://portal.example/login"`},
		{func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat("x", 1<<20)) }, 200, `200 OK and not with a WebSocket: "xxx`},
		{func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }, 418, "teapot and not with a WebSocket"},
	} {
		transporttest.RequireNoLeak(t, func() {
			s := httptest.NewServer(c.answer)
			_, err := new(websocket.Dialer).DialTransport(t.Context(), "tcp", s.URL)
			code, _ := status(t, err)
			require.Equal(t, c.code, code)
			require.ErrorContains(t, err, c.want)
			require.Less(t, len(err.Error()), 1000)
			s.Close()
		})
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
			_ = conn.Close()
		}
	}))
	defer s.Close()
	_, err := new(websocket.Dialer).DialTransport(t.Context(), "tcp", s.URL)
	require.ErrorContains(t, err, "Sec-WebSocket-Accept")
}

// A server that says nothing, and a context that ends.
func TestDialEnds(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // on loopback
	require.NoError(t, err)
	defer silent.Close()
	address := "ws://" + silent.Addr().String()
	for _, target := range []string{address, strings.Replace(address, "ws", "wss", 1)} {
		transporttest.RequireNoLeak(t, func() {
			d := websocket.Dialer{HandshakeTimeout: 10 * time.Millisecond}
			_, err := d.DialTransport(context.Background(), "tcp", target)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorContains(t, err, "no answer within HandshakeTimeout (10ms)")
			var ne net.Error
			require.ErrorAs(t, err, &ne)
			require.True(t, ne.Timeout())

			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err = new(websocket.Dialer).DialTransport(ctx, "tcp", target)
			require.ErrorIs(t, err, context.Canceled)
		})
	}
}

// Somebody has taken a port of relink's for one of HTTP.
func TestRawPort(t *testing.T) {
	l, err := relink.Listen("tcp", "127.0.0.1:0", noise.server)
	require.NoError(t, err)
	defer l.Close()
	d := websocket.Dialer{HandshakeTimeout: 200 * time.Millisecond} // it may wait for the rest of what it takes for a message
	_, err = d.DialTransport(t.Context(), "tcp", "ws://"+l.Addr().String())
	require.Error(t, err)
	var op *net.OpError
	require.ErrorAs(t, err, &op)
}

func TestUnknownAuthority(t *testing.T) {
	p := openTLS(t, websocket.Config{})
	d := websocket.Dialer{URL: p.dialer.URL}
	_, err := d.DialTransport(t.Context(), "tcp", "")
	var unknown x509.UnknownAuthorityError
	require.ErrorAs(t, err, &unknown)
}

// The second handshake is shorter: it resumes the first one's TLS session.
func TestTLSResumes(t *testing.T) {
	cert := httptest.NewUnstartedServer(nil)
	cert.StartTLS()
	defer cert.Close()
	var resumed []bool
	config := &tls.Config{Certificates: cert.TLS.Certificates, VerifyConnection: func(s tls.ConnectionState) error {
		resumed = append(resumed, s.DidResume)
		return nil
	}}
	p := openListen(t, websocket.Config{TLSConfig: config})
	p.dialer.TLSConfig = clientTLS(cert)
	p.dialer.TLSConfig.ClientSessionCache = nil
	for range 2 {
		client, server := p.pair(t)
		transporttest.RequireEcho(t, server, client)
	}
	require.Equal(t, []bool{false, true}, resumed)
}

func TestHeaderAndHost(t *testing.T) {
	l, err := websocket.NewListener("ws://game.example", websocket.Config{})
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "game.example" || r.Header.Get("Authorization") != "Bearer x" {
			http.Error(w, "who?", http.StatusUnauthorized)
			return
		}
		l.ServeHTTP(w, r)
	}))
	defer s.Close()
	d := websocket.Dialer{Header: http.Header{"Host": {"game.example"}, "Authorization": {"Bearer x"}}}
	c, err := d.DialTransport(t.Context(), "tcp", s.URL)
	require.NoError(t, err)
	_ = c.Close()
}

// Through a proxy that speaks CONNECT, and one in front of the server.
func TestProxies(t *testing.T) {
	p := openHandler(t, websocket.Config{TrustedProxies: loopback})
	var connects atomic.Int32
	forward := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		connects.Add(1)
		proxyConnect(w, r)
	}))
	defer forward.Close()
	through, err := url.Parse(forward.URL)
	require.NoError(t, err)
	p.dialer.Proxy = http.ProxyURL(through)
	tunnelled := openTLS(t, websocket.Config{})
	tunnelled.dialer.Proxy = http.ProxyURL(through)
	client, server := tunnelled.pair(t)
	transporttest.RequireEcho(t, client, server)
	require.Equal(t, int32(1), connects.Load())
	require.Equal(t, through.Host, client.RemoteAddr().String())

	target, err := url.Parse("http" + strings.TrimPrefix(p.dialer.URL, "ws"))
	require.NoError(t, err)
	reverse := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"]
		r.SetXForwarded()
		r.Out.URL.Scheme, r.Out.URL.Host, r.Out.URL.Path = target.Scheme, target.Host, target.Path
	}})
	defer reverse.Close()
	behind := place{p.l, &websocket.Dialer{URL: reverse.URL, Header: http.Header{"X-Forwarded-For": {"203.0.113.9"}}}}
	client, server = behind.pair(t)
	transporttest.RequireEcho(t, client, server)
	require.Equal(t, "203.0.113.9:0", server.RemoteAddr().String(), "the next proxy is trusted too")
	require.NoError(t, client.CloseWrite())
	_, err = server.Read(make([]byte, 1))
	require.Equal(t, io.EOF, err)
	_, err = server.Write([]byte("bye"))
	require.NoError(t, err)
	require.NoError(t, server.Close())
	got, err := io.ReadAll(client)
	require.NoError(t, err)
	require.Equal(t, "bye", string(got))
}

// proxyConnect serves the method CONNECT.
func proxyConnect(w http.ResponseWriter, r *http.Request) {
	server, err := new(net.Dialer).DialContext(r.Context(), "tcp", r.Host)
	if err != nil || r.Method != http.MethodConnect {
		http.Error(w, "no", http.StatusBadGateway)
		return
	}
	client, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	_, _ = io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n")
	go func() {
		_, _ = io.Copy(server, rw) // which may hold what has arrived
		_ = server.Close()
	}()
	go func() {
		_, _ = io.Copy(client, server)
		_ = client.Close()
	}()
}

// An HTTPClient of the user's own need not tell what it runs on.
func TestHTTPClient(t *testing.T) {
	p := openListen(t, websocket.Config{})
	d := &websocket.Dialer{URL: p.dialer.URL, HTTPClient: &http.Client{Transport: mute{http.DefaultTransport}}}
	client, server := place{p.l, d}.pair(t)
	transporttest.RequireEcho(t, client, server)
	require.Equal(t, websocket.Addr(d.URL), client.RemoteAddr())
	_, err := client.Write([]byte("x"))
	require.NoError(t, err)
	require.NoError(t, client.Close())
	got, err := io.ReadAll(server)
	require.NoError(t, err)
	require.Equal(t, "x", string(got))

	d.HTTPClient = nil
	broken := &websocket.Dialer{URL: p.dialer.URL, HTTPClient: &http.Client{Transport: failing{}}}
	_, err = broken.DialTransport(t.Context(), "tcp", "")
	require.ErrorIs(t, err, os.ErrPermission)
}

// mute hides the connection that a request goes over.
type mute struct{ http.RoundTripper }

func (m mute) RoundTrip(r *http.Request) (*http.Response, error) {
	return m.RoundTripper.RoundTrip(r.WithContext(context.WithoutCancel(context.Background())))
}

type failing struct{}

func (failing) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.Join(os.ErrPermission)
}
