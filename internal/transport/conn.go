package transport

import (
	"errors"
	"fmt"
	"net"
)

// A Conn wraps a connection and passes on what relink looks for in a transport
// beside net.Conn.
type Conn struct {
	net.Conn
}

// NetConn returns the connection below, so that its kernel's view of the peer
// can be had.
func (c Conn) NetConn() net.Conn { return c.Conn }

// WritesThrough returns the connection below, so that relink can write to it
// without waiting. A type that has a Write of its own must not have this.
func (c Conn) WritesThrough() net.Conn { return c.Conn }

// Interruptible reports whether the connection below bears a deadline that
// passes, as far as it is known or says so.
func (c Conn) Interruptible() bool {
	switch t := c.Conn.(type) {
	case *net.TCPConn, *net.UnixConn:
		return true
	case interface{ Interruptible() bool }:
		return t.Interruptible()
	default:
		return false
	}
}

// CloseWrite ends the outgoing direction. It returns an error that is
// errors.ErrUnsupported where the connection below cannot.
func (c Conn) CloseWrite() error {
	if t, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return t.CloseWrite()
	}
	return fmt.Errorf("%w: %T has no CloseWrite", errors.ErrUnsupported, c.Conn)
}

// SetLinger sets what Close does with data that is not sent, as
// [net.TCPConn.SetLinger]. It returns an error that is errors.ErrUnsupported
// where the connection below cannot.
func (c Conn) SetLinger(seconds int) error {
	if t, ok := c.Conn.(interface{ SetLinger(seconds int) error }); ok {
		return t.SetLinger(seconds)
	}
	return fmt.Errorf("%w: %T has no SetLinger", errors.ErrUnsupported, c.Conn)
}

// A Failed is a connection that was refused and is closed: its Read and Write
// say why. Accept returns it like any other, so that whoever serves connections
// hears of it.
type Failed struct {
	net.Conn
	Err error
}

// Read returns why the connection was refused.
func (c *Failed) Read([]byte) (int, error) { return 0, c.Err }

// Write returns why the connection was refused.
func (c *Failed) Write([]byte) (int, error) { return 0, c.Err }
