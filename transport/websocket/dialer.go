package websocket

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// A Dialer opens WebSockets. The zero value is usable. It may be used by any
// number of goroutines, and must be neither copied nor changed after its first
// use.
type Dialer struct {
	// URL is what to dial: ws://host/path, wss://host/path. With a host it is all
	// of it, and the address that DialTransport is given is ignored. Without one,
	// as in wss:///path, that address, host:port, is the host. If URL is empty,
	// the address is a URL itself.
	URL string

	// Header is sent with the request: Host, Authorization, Cookie, Origin….
	Header http.Header

	// Subprotocol is offered in Sec-WebSocket-Protocol, and a server that does
	// not take it is no server for us. Empty means none.
	Subprotocol string

	// TLSConfig is for wss. Nil means that of package tls. Tickets for resumption
	// are kept in either case, lest each resume cost a full handshake.
	TLSConfig *tls.Config

	// Proxy returns the proxy for a request, as that of [http.Transport]. Nil
	// means [http.ProxyFromEnvironment].
	Proxy func(*http.Request) (*url.URL, error)

	// DialContext dials the TCP connection below. Nil means a [net.Dialer].
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)

	// HTTPClient is used instead of one made from the three fields above, which
	// must be nil then. Its Transport must speak HTTP/1.1 and return writable
	// bodies, as [http.Transport] does. It may follow redirects, which the
	// Dialer's own does not do.
	HTTPClient *http.Client

	// MessageSize is the most bytes in a message that is sent. Default 32 KiB.
	MessageSize int

	// HandshakeTimeout bounds a dial, up to the server's answer, beside the
	// context. Default 10 seconds.
	HandshakeTimeout time.Duration

	once   sync.Once
	client *http.Client
	err    error // what is wrong with the fields
}

// DialTransport dials, as relink's Dialer.DialTransport does; network is not
// looked at. ctx bounds the dial and not the life of the connection, which is a
// *[Conn]. Errors are of type *[net.OpError], with a *[RefusedError] where the
// server has answered as one that speaks HTTP.
func (d *Dialer) DialTransport(ctx context.Context, _, address string) (net.Conn, error) {
	target, err := d.target(address)
	if err == nil {
		d.once.Do(d.prepare)
		err = d.err
	}
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: Network, Addr: Addr(address), Err: err}
	}
	c, err := d.dial(ctx, target)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: Network, Addr: Addr(target), Err: err}
	}
	return c, nil
}

// target returns the URL to dial.
func (d *Dialer) target(address string) (string, error) {
	if d.URL == "" {
		if !strings.Contains(address, "://") {
			return "", fmt.Errorf("the address %q is no URL: give one that begins with ws:// or wss://, or set Dialer.URL", address)
		}
		return address, checkURL(address)
	}
	if err := checkURL(d.URL); err != nil {
		return "", fmt.Errorf("Dialer.URL: %w", err)
	}
	u, err := url.Parse(d.URL)
	if err != nil {
		return "", fmt.Errorf("Dialer.URL: %w", err)
	}
	if u.Host == "" {
		if u.Host = address; address == "" || strings.ContainsAny(address, "/?#@") {
			return "", fmt.Errorf("Dialer.URL is %q, without a host, and the address %q is none either: it is host:port", d.URL, address)
		}
	}
	return u.String(), nil
}

// prepare checks the fields and makes the HTTP client.
func (d *Dialer) prepare() {
	if d.err = checkSubprotocol(d.Subprotocol); d.err != nil {
		d.err = fmt.Errorf("Dialer.Subprotocol: %w", d.err)
		return
	}
	if d.client = d.HTTPClient; d.client != nil {
		if d.TLSConfig != nil || d.Proxy != nil || d.DialContext != nil {
			d.err = errors.New("Dialer.HTTPClient excludes TLSConfig, Proxy and DialContext: set them in its Transport")
		}
		return
	}
	dial := d.DialContext
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	t := &http.Transport{
		Proxy: d.Proxy,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			g := &gatherer{Conn: conn}
			if a, ok := ctx.Value(attemptKey{}).(*attempt); ok {
				a.dialled(g)
			}
			return g, nil
		},
		DisableKeepAlives: true, // an answer that is no WebSocket leaves nothing
		ForceAttemptHTTP2: false,
	}
	if t.Proxy == nil {
		t.Proxy = http.ProxyFromEnvironment
	}
	t.TLSClientConfig = new(tls.Config)
	if d.TLSConfig != nil {
		t.TLSClientConfig = d.TLSConfig.Clone()
	}
	if t.TLSClientConfig.ClientSessionCache == nil {
		t.TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	}
	d.client = &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (d *Dialer) dial(ctx context.Context, target string) (*Conn, error) {
	size, timeout := d.MessageSize, d.HandshakeTimeout
	if err := resolveMessageSize(&size); err != nil {
		return nil, fmt.Errorf("Dialer.MessageSize: %w", err)
	}
	if err := resolveTimeout(&timeout); err != nil {
		return nil, fmt.Errorf("Dialer.HandshakeTimeout: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within HandshakeTimeout (%v): %w", timeout, context.DeadlineExceeded))
	defer cancel()
	var below net.Conn
	a := new(attempt)
	stop := context.AfterFunc(ctx, a.end)
	ctx = context.WithValue(ctx, attemptKey{}, a)
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) { below = info.Conn },
	})
	c := newConn(size)
	options := &websocket.DialOptions{
		HTTPClient:     d.client,
		HTTPHeader:     d.Header,
		Host:           d.Header.Get("Host"),
		OnPingReceived: c.pingReceived,
	}
	if d.Subprotocol != "" {
		options.Subprotocols = []string{d.Subprotocol}
	}
	ws, response, err := websocket.Dial(ctx, target, options) //nolint:bodyclose // the library closes it
	if !stop() && err == nil {
		_ = ws.CloseNow()
		err = ctx.Err()
	}
	if err != nil {
		a.end()
	}
	switch {
	case err != nil && response != nil && response.StatusCode != http.StatusSwitchingProtocols:
		return nil, refused(response)
	case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, timeoutError{fmt.Errorf("%w (%w)", context.Cause(ctx), err)}
	case err != nil:
		return nil, err
	case d.Subprotocol != "" && ws.Subprotocol() == "":
		_ = ws.CloseNow()
		return nil, fmt.Errorf("the server does not speak the subprotocol %q", d.Subprotocol)
	}
	c.ws = ws
	if below == nil { // an HTTPClient of another kind
		c.begin(nil, nil, Addr(target), Addr(target))
	} else {
		c.begin(below, a.conn, below.LocalAddr(), below.RemoteAddr())
	}
	return c, nil
}

// An attempt ends the TCP connection of a dial that fails: the HTTP client goes
// on with its TLS handshake.
type attempt struct {
	mu   sync.Mutex // guards the rest
	conn *gatherer
	over bool
}

// attemptKey finds the attempt in the context of a dial.
type attemptKey struct{}

func (a *attempt) dialled(conn *gatherer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.conn = conn; a.over {
		_ = conn.Close()
	}
}

func (a *attempt) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.over = true; a.conn != nil {
		_ = a.conn.Close()
	}
}
