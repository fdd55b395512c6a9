package websocket_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/transport/transporttest"
	"github.com/relink-go/relink/transport/websocket"
)

// loopback is where the tests' proxies are.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// status returns what a client is refused with.
func status(t *testing.T, err error) (code int, text string) {
	t.Helper()
	var refused *websocket.RefusedError
	require.ErrorAs(t, err, &refused)
	return refused.StatusCode, refused.Text
}

func TestOrigin(t *testing.T) {
	for _, c := range []struct {
		origins []string
		origin  string
		allowed bool
	}{
		{nil, "", true},
		{nil, "https://game.example", true}, // the Host of the request
		{nil, "https://evil.example", false},
		{nil, "null", false},
		{[]string{"*.friend.example"}, "https://www.friend.example", true},
		{[]string{"*.friend.example"}, "https://friend.example.evil.example", false},
		{[]string{"https://friend.example"}, "https://friend.example", true},
		{[]string{"https://friend.example"}, "http://friend.example", false},
		{[]string{"*"}, "https://evil.example", true},
	} {
		p := openListen(t, websocket.Config{Origins: c.origins})
		p.dialer.Header = http.Header{"Host": {"game.example"}}
		if c.origin != "" {
			p.dialer.Header.Set("Origin", c.origin)
		}
		conn, err := p.dialer.DialTransport(t.Context(), "tcp", "")
		if c.allowed {
			require.NoError(t, err, c.origin)
			_ = conn.Close()
			continue
		}
		code, text := status(t, err)
		require.Equal(t, http.StatusForbidden, code)
		require.Contains(t, text, "rigin", "%s with %q", c.origin, c.origins)
	}
}

func TestSubprotocol(t *testing.T) {
	forEach := func(server, client string) error {
		p := openListen(t, websocket.Config{Subprotocol: server})
		p.dialer.Subprotocol = client
		conn, err := p.dialer.DialTransport(t.Context(), "tcp", "")
		if err == nil {
			_ = conn.Close()
		}
		return err
	}
	require.NoError(t, forEach("relink", "relink"))
	require.NoError(t, forEach("relink", "Relink"))
	require.NoError(t, forEach("", ""))
	code, text := status(t, forEach("relink", "other"))
	require.Equal(t, http.StatusBadRequest, code)
	require.Equal(t, `the subprotocol "relink" is not offered in Sec-WebSocket-Protocol`, text)
	_, text = status(t, forEach("relink", ""))
	require.Equal(t, `the subprotocol "relink" is not offered in Sec-WebSocket-Protocol`, text)
	require.ErrorContains(t, forEach("", "relink"), `the server does not speak the subprotocol "relink"`)
	require.ErrorContains(t, forEach("", "a b"), `Dialer.Subprotocol: "a b" is no token`)
}

// The client's address comes from those who may tell it, and from nobody else.
func TestClientAddr(t *testing.T) {
	trusted := append([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, loopback...)
	for _, c := range []struct {
		name    string
		trusted []netip.Prefix
		headers []string
		want    string // empty: that of the TCP connection
	}{
		{"no header", trusted, nil, ""},
		{"forged by a stranger", nil, []string{"203.0.113.9"}, ""},
		{"forged by another stranger", trusted[:1], []string{"203.0.113.9"}, ""},
		{"by the proxy", trusted, []string{"203.0.113.9"}, "203.0.113.9:0"},
		{"with a port", trusted, []string{"203.0.113.9:4711"}, "203.0.113.9:4711"},
		{"IPv6", trusted, []string{"2001:db8::9"}, "[2001:db8::9]:0"},
		{"IPv6 in brackets", trusted, []string{"[2001:db8::9]"}, "[2001:db8::9]:0"},
		{"IPv6 with a port", trusted, []string{"[2001:db8::9]:4711"}, "[2001:db8::9]:4711"},
		{"IPv4 in IPv6", trusted, []string{"::ffff:203.0.113.9"}, "203.0.113.9:0"},
		{"forged before the proxy", trusted, []string{"127.0.0.1, 8.8.8.8, 203.0.113.9"}, "203.0.113.9:0"},
		{"nonsense before the proxy", trusted, []string{"<script>, 203.0.113.9"}, "203.0.113.9:0"},
		{"two proxies", trusted, []string{"8.8.8.8, 203.0.113.9, 10.1.2.3"}, "203.0.113.9:0"},
		{"two lines", trusted, []string{"8.8.8.8", "203.0.113.9", "10.1.2.3,"}, "203.0.113.9:0"},
		{"proxies alone", trusted, []string{"10.1.2.3, 10.9.9.9"}, "10.1.2.3:0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := openListen(t, websocket.Config{TrustedProxies: c.trusted})
			p.dialer.Header = http.Header{"X-Forwarded-For": c.headers}
			client, server := p.pair(t)
			if c.want == "" {
				c.want = client.LocalAddr().String()
			}
			require.Equal(t, c.want, server.RemoteAddr().String())
			require.IsType(t, new(net.TCPAddr), server.RemoteAddr())
		})
	}
	p := openListen(t, websocket.Config{TrustedProxies: trusted, ClientAddrHeader: "X-Real-IP"})
	p.dialer.Header = http.Header{"X-Real-Ip": {"203.0.113.9"}, "X-Forwarded-For": {"8.8.8.8"}}
	_, server := p.pair(t)
	require.Equal(t, "203.0.113.9:0", server.RemoteAddr().String())

	p = openListen(t, websocket.Config{TrustedProxies: trusted})
	p.dialer.Header = http.Header{"X-Forwarded-For": {"203.0.113.9, unknown" + strings.Repeat("!", 1000)}}
	_, err := p.dialer.DialTransport(t.Context(), "tcp", "")
	code, text := status(t, err)
	require.Equal(t, http.StatusBadRequest, code)
	require.Regexp(t, `^the header X-Forwarded-For of the proxy at 127\.0\.0\.1:\d+ has "unknown!+" where an address belongs$`, text)
}

// What is not a WebSocket gets an answer that says so, and disturbs nobody.
func TestNotAWebSocket(t *testing.T) {
	forEachPlace(t, func(t *testing.T, p place) {
		client, server := p.pair(t)
		url := "http" + strings.TrimPrefix(p.dialer.URL, "ws")
		c := http.Client{Transport: &http.Transport{TLSClientConfig: p.dialer.TLSConfig, DisableKeepAlives: true}}
		get := func(change func(*http.Request)) (int, string) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
			require.NoError(t, err)
			change(r)
			response, err := c.Do(r)
			require.NoError(t, err)
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			require.NoError(t, err)
			return response.StatusCode, string(body)
		}
		code, body := get(func(*http.Request) {})
		require.Equal(t, http.StatusUpgradeRequired, code, body)
		upgrade := func(r *http.Request) {
			r.Header = http.Header{
				"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"AAAAAAAAAAAAAAAAAAAAAA=="},
			}
		}
		code, _ = get(func(r *http.Request) { upgrade(r); r.Method = http.MethodPut })
		require.Equal(t, http.StatusMethodNotAllowed, code)
		code, _ = get(func(r *http.Request) { upgrade(r); r.Header.Del("Sec-WebSocket-Key") })
		require.Equal(t, http.StatusBadRequest, code)
		code, _ = get(func(r *http.Request) { upgrade(r); r.Header.Set("Sec-WebSocket-Version", "8") })
		require.Equal(t, http.StatusBadRequest, code)
		transporttest.RequireEcho(t, client, server)
	})
}

func TestHTTP2IsNotEnough(t *testing.T) {
	_, s := mount(t, websocket.Config{})
	s.EnableHTTP2 = true
	s.StartTLS()
	response, err := s.Client().Get(s.URL + "/relink") //nolint:noctx // a test's server
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, 2, response.ProtoMajor)
	require.Equal(t, http.StatusNotImplemented, response.StatusCode)
}

// A handler in between may wrap the ResponseWriter, as long as it does not hide
// everything.
func TestWrappedResponseWriter(t *testing.T) {
	l, err := websocket.NewListener("ws://game.example", websocket.Config{})
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	for _, c := range []struct {
		wrap func(http.ResponseWriter) http.ResponseWriter
		code int
	}{
		{func(w http.ResponseWriter) http.ResponseWriter { return unwrappable{w} }, http.StatusSwitchingProtocols},
		{func(w http.ResponseWriter) http.ResponseWriter { return struct{ http.ResponseWriter }{w} }, http.StatusNotImplemented},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { l.ServeHTTP(c.wrap(w), r) }))
		d := websocket.Dialer{URL: "ws" + strings.TrimPrefix(s.URL, "http")}
		conn, err := d.DialTransport(t.Context(), "tcp", "")
		if c.code == http.StatusSwitchingProtocols {
			require.NoError(t, err)
			accepted, err := l.Accept()
			require.NoError(t, err)
			transporttest.RequireEcho(t, conn, accepted)
			_ = conn.Close()
			_ = accepted.Close()
		} else {
			code, text := status(t, err)
			require.Equal(t, c.code, code)
			require.Contains(t, text, "http.Hijacker")
		}
		s.Close()
	}
}

type unwrappable struct{ http.ResponseWriter }

func (u unwrappable) Unwrap() http.ResponseWriter { return u.ResponseWriter }

// The server answers elsewhere with 404, and takes what speaks no HTTP for what it is.
func TestListenServesNothingElse(t *testing.T) {
	p := openListen(t, websocket.Config{Path: "/relink"})
	require.Regexp(t, `^ws://127\.0\.0\.1:\d+/relink$`, p.l.Addr().String())
	d := websocket.Dialer{URL: strings.TrimSuffix(p.l.Addr().String(), "/relink") + "/"}
	_, err := d.DialTransport(t.Context(), "tcp", "")
	code, _ := status(t, err)
	require.Equal(t, http.StatusNotFound, code)

	client, server := p.pair(t)
	for _, greeting := range []string{"\x00\x01\x02\x03 raw", "SSH-2.0-x\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("x", 1<<20) + "\r\n\r\n"} {
		raw, err := net.Dial("tcp", client.RemoteAddr().String()) //nolint:noctx // on loopback
		require.NoError(t, err)
		go func() { _, _ = io.WriteString(raw, greeting+"\r\n\r\n") }()
		line, err := bufio.NewReader(raw).ReadString('\n')
		if err == nil { // or it was reset: the answer may be lost then
			require.Regexp(t, `^HTTP/1\.1 (400|431|505) `, line)
		}
		_ = raw.Close()
	}
	transporttest.RequireEcho(t, client, server)
}

// A client that never finishes its request is dropped.
func TestHandshakeNeverEnds(t *testing.T) {
	cert := httptest.NewUnstartedServer(nil)
	cert.StartTLS()
	defer cert.Close()
	for name, config := range map[string]*tls.Config{"ws": nil, "wss": {Certificates: cert.TLS.Certificates}} {
		for _, begin := range []string{"", "GET /", "\x16\x03"} {
			t.Run(fmt.Sprintf("%s after %q", name, begin), func(t *testing.T) {
				transporttest.RequireNoLeak(t, func() {
					l, err := websocket.Listen("tcp", "127.0.0.1:0", websocket.Config{TLSConfig: config, HandshakeTimeout: 10 * time.Millisecond})
					require.NoError(t, err)
					host := strings.TrimSuffix(strings.TrimPrefix(l.Addr().String(), name+"://"), "/")
					raw, err := net.Dial("tcp", host) //nolint:noctx // on loopback
					require.NoError(t, err)
					_, err = io.WriteString(raw, begin)
					require.NoError(t, err)
					_, _ = io.Copy(io.Discard, raw) // until the server ends it
					_ = raw.Close()
					require.NoError(t, l.Close())
				})
			})
		}
	}
}

func TestBacklog(t *testing.T) {
	forEach := func(t *testing.T, open func(testing.TB, websocket.Config) place) {
		transporttest.RequireNoLeak(t, func() {
			p := open(t, websocket.Config{Backlog: 2})
			var conns []net.Conn
			dial := func() error {
				c, err := p.dialer.DialTransport(t.Context(), "tcp", "")
				if err == nil {
					conns = append(conns, c)
				}
				return err
			}
			require.NoError(t, dial())
			require.NoError(t, dial())
			code, text := status(t, dial())
			require.Equal(t, http.StatusServiceUnavailable, code)
			require.Equal(t, "2 connections are waiting to be accepted", text)
			c, err := p.l.Accept()
			require.NoError(t, err)
			require.NoError(t, dial())

			// Close ends those that wait, and not the accepted one.
			require.NoError(t, p.l.Close())
			require.ErrorIs(t, p.l.Close(), net.ErrClosed)
			_, err = p.l.Accept()
			require.ErrorIs(t, err, net.ErrClosed)
			for _, waiting := range conns[1:] {
				_, err = waiting.Read(make([]byte, 1))
				require.Error(t, err)
				require.NotEqual(t, io.EOF, err)
			}
			transporttest.RequireEcho(t, conns[0], c)
			for _, conn := range append(conns, c) {
				abort(conn.(*websocket.Conn))
			}
		})
	}
	t.Run("Listen", func(t *testing.T) { forEach(t, openListen) })
	t.Run("handler", func(t *testing.T) {
		p := openHandler(t, websocket.Config{})
		accepted := make(chan error)
		go func() {
			_, err := p.l.Accept()
			accepted <- err
		}()
		require.NoError(t, p.l.Close())
		require.ErrorIs(t, <-accepted, net.ErrClosed)
		_, err := p.dialer.DialTransport(t.Context(), "tcp", "")
		code, text := status(t, err)
		require.Equal(t, http.StatusServiceUnavailable, code)
		require.Equal(t, "the server is closing", text)
	})
}

// Nothing is left of connections, however they have ended.
func TestNothingLeaks(t *testing.T) {
	forEachPlace(t, func(t *testing.T, p place) {
		client, server := p.pair(t)
		transporttest.RequireEcho(t, client, server)
		transporttest.RequireNoLeak(t, func() {
			for i := range 8 {
				client, server, err := p.connect()
				require.NoError(t, err)
				transporttest.RequireEcho(t, client, server)
				switch i % 4 {
				case 0:
					_ = client.Close()
					_, err = server.Read(make([]byte, 1))
					require.Equal(t, io.EOF, err)
				case 1:
					_ = server.Close()
				case 2:
					abort(client)
				}
				_, _ = client.Close(), server.Close()
			}
		})
	})
}

// A length that no message has, and one that never comes.
func TestHostileFrames(t *testing.T) {
	p := openListen(t, websocket.Config{})
	good, goodServer := p.pair(t)
	for name, c := range map[string]struct {
		frame, want string
	}{
		"negative length":     {"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00", "length"},
		"not masked":          {"\x82\x01x", "unmasked"},
		"reserved bits":       {"\xf2\x81\x00\x00\x00\x00x", "rsv"},
		"unknown opcode":      {"\x83\x81\x00\x00\x00\x00x", "opcode"},
		"long ping":           {"\x89\xfe\x01\x00\x00\x00\x00\x00", "control"},
		"lonely continuation": {"\x80\x81\x00\x00\x00\x00x", "continuation"},
		"bad close status":    {"\x88\x82\x00\x00\x00\x00\x00\x07", "invalid status code"},
	} {
		t.Run(name, func(t *testing.T) {
			raw, server := p.raw(t)
			_, err := io.WriteString(raw, c.frame)
			require.NoError(t, err)
			_, err = server.Read(make([]byte, 1))
			require.ErrorContains(t, err, c.want)
			require.NotEqual(t, io.EOF, err)
			abort(server)
		})
	}
	t.Run("huge length", func(t *testing.T) {
		raw, server := p.raw(t)
		_, err := io.WriteString(raw, "\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00some")
		require.NoError(t, err)
		_ = raw.(*net.TCPConn).CloseWrite()
		got, err := io.ReadAll(server)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		require.True(t, strings.HasPrefix("some", string(got)))
		abort(server)
	})
	transporttest.RequireEcho(t, good, goodServer)
}

// A cut never looks like a clean end, wherever it comes.
func TestCutInFrame(t *testing.T) {
	p := openListen(t, websocket.Config{})
	for _, c := range []struct{ stream, want string }{
		{"\x82\x83\x00\x00\x00\x00abc", "abc"},
		{"\x81\x83\x00\x00\x00\x00end", ""}, // an end that is cut off is none
		{"\x02\x80\x00\x00\x00\x00\x80\x83\x00\x00\x00\x00abc", "abc"},
	} {
		for n := range len(c.stream) {
			raw, server := p.raw(t)
			_, err := io.WriteString(raw, c.stream[:n])
			require.NoError(t, err)
			require.NoError(t, raw.(*net.TCPConn).CloseWrite())
			got, err := io.ReadAll(server)
			require.Error(t, err, "%q", c.stream[:n])
			require.NotEqual(t, io.EOF, err)
			require.True(t, strings.HasPrefix(c.want, string(got)), "%q: %q", c.stream[:n], got)
			abort(server)
		}
	}
}

// raw returns the TCP connection of a client after the handshake.
func (p place) raw(t *testing.T) (net.Conn, *websocket.Conn) {
	t.Helper()
	var raw net.Conn
	d := websocket.Dialer{URL: p.dialer.URL, DialContext: func(ctx context.Context, network, address string) (c net.Conn, err error) {
		raw, err = new(net.Dialer).DialContext(ctx, network, address)
		return raw, err
	}}
	c, err := d.DialTransport(t.Context(), "", "")
	require.NoError(t, err)
	server, err := p.l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { abort(c.(*websocket.Conn), server.(*websocket.Conn)) })
	return raw, server.(*websocket.Conn)
}

// What ends the server of Listen ends Accept.
func TestServerFails(t *testing.T) {
	p := openListen(t, websocket.Config{})
	require.NoError(t, p.l.BreakServer())
	_, err := p.l.Accept()
	require.Error(t, err)
	var op *net.OpError
	require.ErrorAs(t, err, &op)
	require.NoError(t, p.l.Close())
	_, err = p.l.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
}

func TestWrongConfig(t *testing.T) {
	for want, cfg := range map[string]websocket.Config{
		`Config.Origins: "[" is no pattern`:                    {Origins: []string{"["}},
		`Config.Origins: "" is no pattern`:                     {Origins: []string{""}},
		`Config.Subprotocol: "a,b" is no token`:                {Subprotocol: "a,b"},
		`Config.TrustedProxies: invalid Prefix is no prefix`:   {TrustedProxies: []netip.Prefix{{}}},
		`"X-Real-IP" without TrustedProxies`:                   {ClientAddrHeader: "X-Real-IP"},
		`the Forwarded header of RFC 7239 is not understood`:   {ClientAddrHeader: "forwarded", TrustedProxies: loopback},
		`Config.Backlog is -1`:                                 {Backlog: -1},
		`Config.Path is "relink": it begins with /`:            {Path: "relink"},
		`Config.HandshakeTimeout: -1ns: use a positive time`:   {HandshakeTimeout: -1},
		`Config.MessageSize: 1 bytes: use 128 to 1048576`:      {MessageSize: 1},
		`Config.MessageSize: 2097152 bytes: use 128 to 104857`: {MessageSize: 2 << 20},
	} {
		_, err := websocket.NewListener("ws://game.example", cfg)
		require.ErrorContains(t, err, want)
		_, err = websocket.Listen("tcp", "127.0.0.1:0", cfg)
		require.ErrorContains(t, err, want)
	}
	_, err := websocket.Listen("tcp", "127.0.0.1:0", websocket.Config{TLSConfig: new(tls.Config)})
	require.ErrorContains(t, err, "Config.TLSConfig has no certificate")
	_, err = websocket.Listen("tcp", "127.0.0.1:http-like", websocket.Config{})
	require.Error(t, err)
	for url, want := range map[string]string{"game.example": "is no URL of a WebSocket", ":": "missing protocol scheme", "ws://x/#y": "has a fragment"} {
		_, err := websocket.NewListener(url, websocket.Config{})
		require.ErrorContains(t, err, want)
	}
}

// A client of another make is served like ours.
func TestOtherClient(t *testing.T) {
	p := openHandler(t, websocket.Config{Subprotocol: "relink"})
	ws, _, err := coder.Dial(t.Context(), p.dialer.URL, &coder.DialOptions{ //nolint:bodyclose // the library closes it
		Subprotocols: []string{"chat", "relink"}, CompressionMode: coder.CompressionContextTakeover,
	})
	require.NoError(t, err)
	require.Equal(t, "relink", ws.Subprotocol())
	server, err := p.l.Accept()
	require.NoError(t, err)
	conn := coder.NetConn(context.Background(), ws, coder.MessageBinary)
	transporttest.RequireEcho(t, conn, server)
	require.NoError(t, server.Close())
	_, err = conn.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	_ = conn.Close()
}
