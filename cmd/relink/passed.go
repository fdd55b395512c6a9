package main

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// plainSocket returns the socket that a transport is, perhaps with other addresses, or nil
// if there is more to it.
func plainSocket(t net.Conn) syscall.Conn {
	if w, ok := t.(interface{ WritesThrough() net.Conn }); ok {
		t = w.WritesThrough()
	}
	switch t := t.(type) {
	case *net.TCPConn:
		return t
	case *net.UnixConn:
		return t
	default:
		return nil
	}
}

// loopbackPair returns the two ends of a TCP connection, which has resets, as a Unix socket has not.
func loopbackPair() (near, far *net.TCPConn, err error) {
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = l.Close() }()
	near, err = net.DialTCP("tcp", nil, l.Addr().(*net.TCPAddr)) // it is
	if err != nil {
		return nil, nil, err
	}
	for {
		far, err = l.AcceptTCP()
		if err != nil {
			_ = near.Close()
			return nil, nil, err
		}
		if far.RemoteAddr().String() == near.LocalAddr().String() {
			return near, far, nil
		}
		_ = far.Close() // somebody else's
	}
}

// lastHalf is how long a relay goes on with one direction when the other has ended. Transports are
// closed soon after.
const lastHalf = time.Minute

// relay copies between a transport and the end of a pair whose other end another process has. The
// end of one is the end of the other, and so is a reset.
func relay(a, b net.Conn) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		pour(b, a)
	}()
	pour(a, b)
	select {
	case <-done:
	case <-time.After(lastHalf):
	}
	_, _ = a.Close(), b.Close()
	<-done
}

// pour copies in one direction.
func pour(to, from net.Conn) {
	if _, err := io.Copy(to, from); err != nil {
		reset(to)
		reset(from)
		return
	}
	if w, ok := to.(interface{ CloseWrite() error }); !ok || errors.Is(w.CloseWrite(), errors.ErrUnsupported) {
		_ = to.Close()
	}
}

func reset(c net.Conn) {
	if l, ok := c.(interface{ SetLinger(seconds int) error }); ok {
		_ = l.SetLinger(0)
	}
	_ = c.Close()
}

// conn makes a transport of the descriptor that came with it.
func (p *passed) conn(f *os.File) (net.Conn, error) {
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	if c.RemoteAddr().Network() == p.Network && c.RemoteAddr().String() == p.Remote {
		return c, nil
	}
	return &addressed{Conn: c, local: parseAddr(p.Network, p.Local), remote: parseAddr(p.Network, p.Remote)}, nil
}

// parseAddr makes an address of what another process has written.
func parseAddr(network, s string) net.Addr {
	ap, err := netip.ParseAddrPort(s)
	switch {
	case err == nil && network == "tcp":
		return net.TCPAddrFromAddrPort(ap)
	case err == nil && network == "udp":
		return net.UDPAddrFromAddrPort(ap)
	case network == "unix":
		return &net.UnixAddr{Net: network, Name: s}
	default:
		return textAddr{network, s}
	}
}

// A textAddr is an address of a network that package net does not know.
type textAddr struct{ network, text string }

func (a textAddr) Network() string { return a.network }
func (a textAddr) String() string  { return a.text }

// An addressed transport is a socket with the addresses of the client's.
type addressed struct {
	net.Conn
	local, remote net.Addr
}

func (a *addressed) LocalAddr() net.Addr  { return a.local }
func (a *addressed) RemoteAddr() net.Addr { return a.remote }

// Interruptible implements [relink.Interruptible].
func (a *addressed) Interruptible() bool { return true }

// WritesThrough is for [relink.NonblockingWriter].
func (a *addressed) WritesThrough() net.Conn { return a.Conn }

// CloseWrite ends one direction.
func (a *addressed) CloseWrite() error {
	return a.Conn.(interface{ CloseWrite() error }).CloseWrite() // TCP and Unix sockets have it
}

// SetLinger is that of TCP; a Unix socket has none.
func (a *addressed) SetLinger(seconds int) error {
	if t, ok := a.Conn.(*net.TCPConn); ok {
		return t.SetLinger(seconds)
	}
	return errors.ErrUnsupported
}

// An idle listener is one that nothing comes from.
type idle struct{ quit chan struct{} }

func newIdle() *idle { return &idle{make(chan struct{})} }

func (l *idle) Accept() (net.Conn, error) { <-l.quit; return nil, net.ErrClosed }
func (l *idle) Close() error              { close(l.quit); return nil }
func (l *idle) Addr() net.Addr            { return &net.UnixAddr{Net: "unix"} }
