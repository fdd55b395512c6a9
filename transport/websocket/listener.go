package websocket

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"

	"github.com/coder/websocket"
)

// A Listener accepts the connections that reach it as an [http.Handler]. All
// methods may be called from any goroutine.
type Listener struct {
	// Constant after creation.
	addr   Addr
	cfg    Config
	server *server // from Listen, or nil
	conns  chan *Conn
	done   chan struct{} // closed by end

	mu      sync.Mutex // guards the rest
	waiting int        // connections in conns, and those on their way there
	closed  bool
	failure error // of the server from Listen, if that has ended it
}

// NewListener returns a Listener to be mounted in an HTTP server, which should
// have a ReadHeaderTimeout. url is what its clients dial; it is what Addr
// returns, and has no other use.
func NewListener(url string, cfg Config) (*Listener, error) {
	cfg, err := cfg.resolve()
	if err != nil {
		return nil, err
	}
	if err := checkURL(url); err != nil {
		return nil, fmt.Errorf("websocket: NewListener: %w", err)
	}
	return newListener(Addr(url), cfg), nil
}

func newListener(addr Addr, cfg Config) *Listener {
	return &Listener{addr: addr, cfg: cfg, conns: make(chan *Conn, cfg.Backlog), done: make(chan struct{})}
}

// checkURL holds a URL to what a client can dial.
func checkURL(s string) error {
	u, err := url.Parse(s)
	if err != nil {
		return err
	}
	switch u.Scheme {
	case "ws", "wss", "http", "https":
	default:
		return fmt.Errorf("%q is no URL of a WebSocket: it begins with ws:// or wss://", s)
	}
	if u.Fragment != "" {
		return fmt.Errorf("%q has a fragment, which a WebSocket cannot have", s)
	}
	return nil
}

// Accept waits for the next connection and returns it; it is a *[Conn]. After
// Close it returns an error that is [net.ErrClosed].
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case <-l.done: // although there may be connections that Close has not come to
		return nil, l.endError()
	default:
	}
	select {
	case c := <-l.conns:
		l.release()
		return c, nil
	case <-l.done:
		return nil, l.endError()
	}
}

// endError returns why accepting has ended.
func (l *Listener) endError() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.failure
	if err == nil || l.closed {
		err = net.ErrClosed
	}
	return &net.OpError{Op: "accept", Net: Network, Addr: l.addr, Err: err}
}

// fail ends accepting because the server has ended.
func (l *Listener) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.failure != nil {
		return
	}
	l.failure = err
	close(l.done)
}

// Addr returns the URL as an [Addr].
func (l *Listener) Addr() net.Addr { return l.addr }

// Close ends accepting, and the connections that nobody has accepted. Further
// clients are answered 503. If the Listener is from [Listen] it also ends the
// server, and returns when no goroutine of it is left. Accepted connections live
// on.
func (l *Listener) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return &net.OpError{Op: "close", Net: Network, Addr: l.addr, Err: net.ErrClosed}
	}
	l.closed = true
	if l.failure == nil {
		close(l.done)
	}
	l.mu.Unlock()
	for drained := false; !drained; {
		select {
		case c := <-l.conns:
			c.abort(net.ErrClosed)
		default:
			drained = true
		}
	}
	if l.server != nil {
		return l.server.close()
	}
	return nil
}

// reserve takes a place in the backlog, or says why there is none.
func (l *Listener) reserve() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return errors.New("the server is closing")
	case l.waiting == l.cfg.Backlog:
		return fmt.Errorf("%d connections are waiting to be accepted", l.waiting)
	}
	l.waiting++
	return nil
}

// release gives a place back.
func (l *Listener) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting--
}

// queue puts a connection into its reserved place.
func (l *Listener) queue(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		go c.abort(net.ErrClosed)
		return
	}
	l.conns <- c // does not block: the place is reserved
}

// ServeHTTP makes a WebSocket of the request and queues it for Accept. It returns
// at once, the connection lives on. It answers itself what it cannot take: 400,
// 403 (the origin), 405, 426 (no WebSocket), 501, or 503 (the backlog is full).
func (l *Listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !canHijack(w) {
		http.Error(w, "a WebSocket needs HTTP/1.1, and no handler in between that hides http.Hijacker", http.StatusNotImplemented)
		return
	}
	if l.cfg.Subprotocol != "" && !offers(r.Header, l.cfg.Subprotocol) {
		http.Error(w, fmt.Sprintf("the subprotocol %q is not offered in Sec-WebSocket-Protocol", l.cfg.Subprotocol), http.StatusBadRequest)
		return
	}
	remote, err := l.cfg.clientAddr(requestAddr(r), r.Header)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := l.reserve(); err != nil {
		w.Header().Set("Retry-After", "1")
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	c := newConn(l.cfg.MessageSize)
	tap := &hijackTap{ResponseWriter: w}
	c.ws, err = websocket.Accept(tap, r, &websocket.AcceptOptions{
		Subprotocols:   l.subprotocols(),
		OriginPatterns: l.cfg.Origins,
		OnPingReceived: c.pingReceived,
	})
	if err != nil {
		l.release() // the client has been told
		return
	}
	if remote == nil {
		remote = tap.conn.RemoteAddr()
	}
	c.begin(tap.conn, tap.conn, tap.conn.LocalAddr(), remote)
	l.queue(c)
}

func (l *Listener) subprotocols() []string {
	if l.cfg.Subprotocol == "" {
		return nil
	}
	return []string{l.cfg.Subprotocol}
}

// requestAddr returns where a request came from, or nil if the server does not
// say, as over a Unix socket.
func requestAddr(r *http.Request) net.Addr {
	at, err := parseHop(r.RemoteAddr)
	if err != nil {
		return nil
	}
	return net.TCPAddrFromAddrPort(at)
}

// canHijack reports whether the connection can be had below a ResponseWriter.
func canHijack(w http.ResponseWriter) bool {
	for {
		switch t := w.(type) {
		case http.Hijacker:
			return true
		case interface{ Unwrap() http.ResponseWriter }:
			w = t.Unwrap()
		default:
			return false
		}
	}
}

// A hijackTap keeps the connection that the WebSocket library takes, and gathers
// what that writes.
type hijackTap struct {
	http.ResponseWriter
	conn *gatherer
}

// Unwrap is for [http.ResponseController].
func (t *hijackTap) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// Hijack implements [http.Hijacker].
func (t *hijackTap) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(t.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	t.conn = &gatherer{Conn: conn}
	rw.Writer.Reset(t.conn) // nothing is in it
	return t.conn, rw, nil
}
