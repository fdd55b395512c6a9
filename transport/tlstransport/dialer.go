package tlstransport

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"
)

// A Dialer opens TLS connections, which share the tickets of their sessions. The
// zero value checks the server's certificate against the system's roots and the
// name in the address. It may be used by any number of goroutines, and must not be
// copied or changed while it is.
type Dialer struct {
	// TLS is as tls.Client wants it. Where ServerName is empty it is the host
	// of the address. Where ClientSessionCache is nil the Dialer has one.
	TLS *tls.Config

	// DialTransport opens the connection below. Nil means a net.Dialer.
	DialTransport func(ctx context.Context, network, address string) (net.Conn, error)

	// HandshakeTimeout bounds a handshake, as the context of DialContext does.
	// Default 10 seconds.
	HandshakeTimeout time.Duration

	once  sync.Once
	cache tls.ClientSessionCache
}

// tickets is for how many servers a Dialer keeps one.
const tickets = 64

// DialContext opens a connection and shakes hands. It returns a *[Conn].
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	timeout := d.HandshakeTimeout
	switch {
	case timeout < 0:
		return nil, errors.New("tlstransport: Dialer.HandshakeTimeout is negative: use a positive time, or 0 for the default")
	case timeout == 0:
		timeout = defaultHandshakeTimeout
	}
	dial := d.DialTransport
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	t, err := dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if t == nil {
		return nil, errors.New("tlstransport: DialTransport returned neither a connection nor an error")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, ErrHandshakeTimeout)
	defer cancel()
	c := newConn(t, d.config(address), tls.Client)
	if err := c.HandshakeContext(ctx); err != nil {
		_ = t.Close()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, &net.OpError{Op: "dial", Net: "tls", Source: t.LocalAddr(), Addr: t.RemoteAddr(), Err: err}
	}
	return c, nil
}

// config returns that of one connection.
func (d *Dialer) config(address string) *tls.Config {
	cfg := d.TLS.Clone()
	if cfg == nil {
		cfg = new(tls.Config)
	}
	if cfg.ServerName == "" {
		cfg.ServerName = address
		if host, _, err := net.SplitHostPort(address); err == nil {
			cfg.ServerName = host
		}
	}
	if cfg.ClientSessionCache == nil {
		d.once.Do(func() { d.cache = tls.NewLRUClientSessionCache(tickets) })
		cfg.ClientSessionCache = d.cache
	}
	return cfg
}
