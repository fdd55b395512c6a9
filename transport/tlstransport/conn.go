package tlstransport

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"

	"github.com/relink-go/relink/internal/transport"
)

// ErrTruncated is the error of a connection that has ended below TLS, without
// the close_notify that says that its peer meant it. It is io.ErrUnexpectedEOF
// as well.
var ErrTruncated = fmt.Errorf("tlstransport: the connection ended without TLS's close_notify: %w", io.ErrUnexpectedEOF)

// A Conn is a TLS connection whose handshake is complete. Its methods are those
// of tls.Conn, ConnectionState among them, but for the ends: a tls.Conn takes an
// end of the connection below for the peer's, if it comes between two records, and
// anybody on the path can send one.
//
// It does not say that it is interruptible: after a write deadline has passed, a
// tls.Conn is broken. Relink gives it no deadlines.
type Conn struct {
	*tls.Conn
	below  *below
	abrupt atomic.Bool // SetLinger(0) was called
}

// A below is the connection below TLS. It notices that this ends.
type below struct {
	transport.Conn
	ended atomic.Bool
}

func (b *below) Read(p []byte) (int, error) {
	n, err := b.Conn.Read(p)
	if errors.Is(err, io.EOF) {
		if n > 0 {
			return n, nil // the end comes again, and by itself
		}
		b.ended.Store(true)
	}
	return n, err
}

// newConn returns a client or a server over a transport, before its handshake.
func newConn(t net.Conn, cfg *tls.Config, side func(net.Conn, *tls.Config) *tls.Conn) *Conn {
	b := &below{Conn: transport.Conn{Conn: t}}
	return &Conn{Conn: side(b, cfg), below: b}
}

// Read returns io.EOF where the peer has said that this is the end, and
// [ErrTruncated] where the connection below has ended without.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err == io.EOF && c.below.ended.Load() { //nolint:errorlint // a tls.Conn returns it bare, or means something else
		err = ErrTruncated
	}
	return n, err
}

// NetConn returns the connection below TLS.
func (c *Conn) NetConn() net.Conn { return c.below.Conn.Conn }

// SetLinger with zero makes Close end the connection without the close_notify of
// TLS: the peer's Read returns an error and not io.EOF. With any number it is
// passed to the connection below, where that has it. It returns nil.
func (c *Conn) SetLinger(seconds int) error {
	c.abrupt.Store(seconds == 0)
	_ = c.below.SetLinger(seconds) // it may have no such thing
	return nil
}

// Close tells the peer that this is the end, unless SetLinger(0) was called, and
// closes the connection below. On a path that takes nothing it waits up to five
// seconds.
func (c *Conn) Close() error {
	if c.abrupt.Load() {
		return c.below.Close()
	}
	return c.Conn.Close()
}
