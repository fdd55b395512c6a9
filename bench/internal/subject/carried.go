package subject

import (
	"context"
	"net"
	"net/http"
	"sync"

	coder "github.com/coder/websocket"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/transport/kcp"
	"github.com/relink-go/relink/transport/quic"
	"github.com/relink-go/relink/transport/tlstransport"
	"github.com/relink-go/relink/transport/websocket"
)

// A carrier is one of relink's transports, from a server's listener to a client's dial.
// TCP has none: that is what a session has by default.
type carrier struct {
	name   string
	listen func(Credentials) (net.Listener, error)

	// dialer returns the DialTransport of one client. Clients share nothing, as those
	// on different machines do.
	dialer func(Credentials, Network) (dialFunc, error)
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

var carriers = []carrier{
	{"TLS", listenTLS, dialerTLS},
	{"WebSocket", listenWebSocket, dialerWebSocket},
	{"QUIC", listenQUIC, dialerQUIC},
	{"KCP", listenKCP, dialerKCP},
}

// transports are the subjects that differ in what is below a session.
func transports(c Credentials) []Subject {
	all := []Subject{webSocket{}, kcpStream{}}
	for _, below := range carriers {
		all = append(all, carried{session{name: Noise, credentials: c}, below})
	}
	return all
}

func onTransport(s Subject) bool {
	switch s.(type) {
	case webSocket, kcpStream, carried:
		return true
	}
	return false
}

func listenTLS(c Credentials) (net.Listener, error) {
	t, err := c.tls(false, "")
	if err != nil {
		return nil, err
	}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return tlstransport.NewListener(inner, tlstransport.Config{TLS: t.server})
}

func dialerTLS(c Credentials, n Network) (dialFunc, error) {
	t, err := c.tls(false, "")
	if err != nil {
		return nil, err
	}
	return (&tlstransport.Dialer{TLS: t.client, DialTransport: overTCP(n)}).DialContext, nil
}

func listenWebSocket(Credentials) (net.Listener, error) {
	return websocket.Listen("tcp", "127.0.0.1:0", websocket.Config{})
}

func dialerWebSocket(_ Credentials, n Network) (dialFunc, error) {
	return (&websocket.Dialer{DialContext: overTCP(n)}).DialTransport, nil
}

func listenQUIC(c Credentials) (net.Listener, error) {
	t, err := c.tls(false, quic.Protocol)
	if err != nil {
		return nil, err
	}
	return quic.Listen("udp", "127.0.0.1:0", quic.Config{TLSConfig: t.server})
}

func dialerQUIC(c Credentials, n Network) (dialFunc, error) {
	t, err := c.tls(false, quic.Protocol)
	if err != nil {
		return nil, err
	}
	return overUDP(n, (&quic.Dialer{TLSConfig: t.client}).DialTransport), nil
}

func listenKCP(Credentials) (net.Listener, error) { return kcp.Listen("127.0.0.1:0", kcp.Config{}) }

func dialerKCP(_ Credentials, n Network) (dialFunc, error) {
	return overUDP(n, new(kcp.Dialer).DialContext), nil
}

// overTCP returns the dial of the connections below a transport.
func overTCP(n Network) dialFunc {
	return func(ctx context.Context, _, address string) (net.Conn, error) { return n.DialTCP(ctx, address) }
}

// overUDP returns a dial of what runs over datagrams.
func overUDP(n Network, dial dialFunc) dialFunc {
	return func(ctx context.Context, _, address string) (net.Conn, error) {
		address, err := n.PacketAddress(address)
		if err != nil {
			return nil, err
		}
		return dial(ctx, "udp", address)
	}
}

// carried is a session over one of the transports. It is no Resumable: those are
// set up in ways that are TCP's.
type carried struct {
	session session
	carrier carrier
}

func (s carried) Name() string { return s.session.name + " over " + s.carrier.name }

func (s carried) About() string {
	return "The same session over the transport " + s.carrier.name + " of this repository, in place of TCP. Default settings."
}

func (carried) ConcurrentWrites() bool { return true }

func (s carried) Listen() (net.Listener, error) {
	inner, err := s.carrier.listen(s.session.credentials)
	if err != nil {
		return nil, err
	}
	l, err := s.session.Wrap(inner, relink.Config{})
	if err != nil {
		_ = inner.Close()
		return nil, err
	}
	return l, nil
}

func (s carried) Dial(ctx context.Context, n Network, address string) (net.Conn, error) {
	_, suite, err := s.session.suites()
	if err != nil {
		return nil, err
	}
	dial, err := s.carrier.dialer(s.session.credentials, n)
	if err != nil {
		return nil, err
	}
	d := relink.Dialer{Suite: suite, DialTransport: dial}
	return d.DialContext(ctx, "tcp", address)
}

// kcpStream is the transport KCP by itself. It has no handshake and no end.
type kcpStream struct{}

func (kcpStream) Name() string { return KCP }

func (kcpStream) About() string {
	return "KCP over UDP with goscon's parameters, by the transport of this repository: reliable and in order. No encryption, and no resumption."
}

func (kcpStream) ConcurrentWrites() bool { return true }

func (kcpStream) Listen() (net.Listener, error) {
	inner, err := listenKCP(Credentials{})
	if err != nil {
		return nil, err
	}
	return upgraded(inner, func(c net.Conn) (net.Conn, error) {
		if err := readHello(c); err != nil {
			return nil, err
		}
		_, err := c.Write([]byte{hello})
		return c, err
	}), nil
}

func (kcpStream) Dial(ctx context.Context, n Network, address string) (net.Conn, error) {
	dial, err := dialerKCP(Credentials{}, n)
	if err != nil {
		return nil, err
	}
	c, err := dial(ctx, "udp", address)
	if err != nil {
		return nil, err
	}
	if _, err = c.Write([]byte{hello}); err == nil {
		err = readHello(c)
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// webSocket is a connection of the library below the transport WebSocket, as the library
// itself makes a net.Conn of it.
type webSocket struct{}

func (webSocket) Name() string { return WebSocket }

func (webSocket) About() string {
	return "A WebSocket of github.com/coder/websocket, which makes a net.Conn of it: a message for each Write. No compression, no encryption, and no resumption."
}

func (webSocket) ConcurrentWrites() bool { return true }

func (webSocket) Listen() (net.Listener, error) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &webSocketListener{Listener: inner, ready: make(chan net.Conn), quit: make(chan struct{})}
	server := &http.Server{Handler: l, ReadHeaderTimeout: helloPatience}
	go func() { _ = server.Serve(inner) }()
	return l, nil
}

func (webSocket) Dial(ctx context.Context, n Network, address string) (net.Conn, error) {
	transport := &http.Transport{DialContext: overTCP(n)}
	c, _, err := coder.Dial(ctx, "ws://"+address, &coder.DialOptions{HTTPClient: &http.Client{Transport: transport}}) //nolint:bodyclose // coder/websocket has no body to close after a dial that went well
	if err != nil {
		return nil, err
	}
	return newWebSocketConn(c), nil
}

// A webSocketConn is the library's net.Conn.
type webSocketConn struct {
	net.Conn
	inner *coder.Conn
}

func newWebSocketConn(c *coder.Conn) webSocketConn {
	return webSocketConn{coder.NetConn(context.Background(), c, coder.MessageBinary), c}
}

// Close says no goodbye, for whose answer the library waits five seconds.
func (c webSocketConn) Close() error { return c.inner.CloseNow() }

// A webSocketListener accepts what its handler has upgraded.
type webSocketListener struct {
	net.Listener
	ready chan net.Conn
	quit  chan struct{}
	once  sync.Once
}

func (l *webSocketListener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, err := coder.Accept(w, r, nil)
	if err != nil {
		return // it has answered
	}
	select {
	case l.ready <- newWebSocketConn(c):
	case <-l.quit:
		_ = c.CloseNow()
	}
}

func (l *webSocketListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.ready:
		return c, nil
	case <-l.quit:
		return nil, net.ErrClosed
	}
}

func (l *webSocketListener) Close() error {
	var err error
	l.once.Do(func() {
		close(l.quit)
		err = l.Listener.Close()
	})
	return err
}
