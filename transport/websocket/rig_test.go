package websocket_test

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	coder "github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/transport/websocket"
)

// A place is a listener and a dialer that finds it.
type place struct {
	l      *websocket.Listener
	dialer *websocket.Dialer
}

// places are the ways to have a listener.
var places = []struct {
	name string
	open func(t testing.TB, cfg websocket.Config) place
}{
	{"Listen", openListen},
	{"handler", openHandler},
	{"handler with TLS", openTLS},
}

func openListen(t testing.TB, cfg websocket.Config) place {
	l, err := websocket.Listen("tcp", "127.0.0.1:0", cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return place{l, &websocket.Dialer{URL: l.Addr().String(), Subprotocol: cfg.Subprotocol}}
}

// openHandler mounts the listener beside a site.
func openHandler(t testing.TB, cfg websocket.Config) place {
	l, s := mount(t, cfg)
	s.Start()
	return place{l, &websocket.Dialer{URL: "ws" + strings.TrimPrefix(s.URL, "http") + "/relink", Subprotocol: cfg.Subprotocol}}
}

func openTLS(t testing.TB, cfg websocket.Config) place {
	l, s := mount(t, cfg)
	s.EnableHTTP2 = true
	s.StartTLS()
	return place{l, &websocket.Dialer{
		URL:         "ws" + strings.TrimPrefix(s.URL, "http") + "/relink",
		Subprotocol: cfg.Subprotocol,
		TLSConfig:   clientTLS(s),
	}}
}

func clientTLS(s *httptest.Server) *tls.Config {
	return s.Client().Transport.(*http.Transport).TLSClientConfig
}

func mount(t testing.TB, cfg websocket.Config) (*websocket.Listener, *httptest.Server) {
	l, err := websocket.NewListener("wss://game.example/relink", cfg)
	require.NoError(t, err)
	mux := http.NewServeMux()
	mux.Handle("/relink", l)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("the site")) })
	s := httptest.NewUnstartedServer(mux)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	t.Cleanup(func() {
		_ = l.Close()
		s.Close()
	})
	return l, s
}

// pair returns both ends of a connection.
func (p place) pair(t testing.TB) (client, server *websocket.Conn) {
	t.Helper()
	client, server, err := p.connect()
	require.NoError(t, err)
	t.Cleanup(func() { abort(client); abort(server) })
	return client, server
}

func (p place) connect() (client, server *websocket.Conn, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel() // which must not end the connection
	c, err := p.dialer.DialTransport(ctx, "tcp", "")
	if err != nil {
		return nil, nil, err
	}
	s, err := p.l.Accept()
	if err != nil {
		return nil, nil, err
	}
	return c.(*websocket.Conn), s.(*websocket.Conn), nil
}

// other connects a client of another make.
func (p place) other(t testing.TB) (*coder.Conn, error) {
	ws, _, err := coder.Dial(context.Background(), p.dialer.URL, &coder.DialOptions{HTTPClient: &http.Client{Transport: &http.Transport{TLSClientConfig: p.dialer.TLSConfig}}}) //nolint:bodyclose // the library closes it
	if err == nil {
		t.Cleanup(func() { _ = ws.CloseNow() })
	}
	return ws, err
}

func abort(conns ...*websocket.Conn) {
	for _, c := range conns {
		_ = c.SetLinger(0)
		_ = c.Close()
	}
}

// forEachPlace runs a test for each way to have a listener.
func forEachPlace(t *testing.T, f func(t *testing.T, p place)) {
	for _, k := range places {
		t.Run(k.name, func(t *testing.T) { f(t, k.open(t, websocket.Config{})) })
	}
}

var _ net.Listener = (*websocket.Listener)(nil)
