package proxyproto

import (
	"context"
	"errors"
	"fmt"
	"net"
)

// A Dialer writes a header before anything else. The zero value tells the
// connection's own addresses. It may be used by any number of goroutines, and
// must not be changed while it is.
type Dialer struct {
	// DialTransport opens the connection. Nil means a net.Dialer.
	DialTransport func(ctx context.Context, network, address string) (net.Conn, error)

	// Header returns the header for a connection, on which nothing has been
	// sent. Nil means one of version 2 with the connection's own addresses.
	Header func(ctx context.Context, c net.Conn) (*Header, error)
}

// DialContext opens a connection and writes its header. It returns what
// DialTransport has returned; LocalAddr and RemoteAddr stay what they are.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	dial := d.DialTransport
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	c, err := dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if c == nil {
		return nil, errors.New("proxyproto: DialTransport returned neither a connection nor an error")
	}
	if err := d.introduce(ctx, c); err != nil {
		_ = c.Close()
		return nil, &net.OpError{Op: "dial", Net: "proxyproto", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
	}
	return c, nil
}

// introduce writes the header. The end of ctx closes the connection, because a
// deadline does harm to some.
func (d *Dialer) introduce(ctx context.Context, c net.Conn) error {
	h := &Header{Source: c.LocalAddr(), Destination: c.RemoteAddr()}
	if d.Header != nil {
		var err error
		if h, err = d.Header(ctx, c); err != nil {
			return fmt.Errorf("proxyproto: no header: %w", err)
		}
		if h == nil {
			return errors.New("proxyproto: Dialer.Header returned neither a header nor an error")
		}
	}
	b, err := h.AppendBinary(nil)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	_, err = c.Write(b)
	if !stop() {
		return context.Cause(ctx)
	}
	return err
}
