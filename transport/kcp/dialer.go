package kcp

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net"
	"sync/atomic"

	"github.com/xtaci/kcp-go/v5"
)

// A Dialer opens connections, each with a socket of its own. The zero value has
// goscon's parameters. It may be used by any number of goroutines, and must not be
// changed while it is.
type Dialer struct {
	Config

	// Net opens the sockets. Its fields for addresses, resolving and control of
	// the socket count.
	Net net.Dialer

	// DialSocket opens the socket of a connection in place of Net, for instance one
	// that a VPN lets through: a connection each of whose Reads and Writes is a
	// datagram. Of the Config's buffers only a *net.UDPConn gets something.
	DialSocket func(ctx context.Context, network, address string) (net.Conn, error)
}

// DialContext opens a connection to a UDP address; of the network only a 4 or 6 at
// its end counts. It sends nothing, and so it does not know whether there is a
// server. It returns a *[Conn].
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	cfg, err := d.Config.resolve()
	if err != nil {
		return nil, err
	}
	udp := "udp"
	if n := len(network); n > 0 && (network[n-1] == '4' || network[n-1] == '6') {
		udp += network[n-1:]
	}
	dial := d.DialSocket
	if dial == nil {
		dial = d.Net.DialContext
	}
	c, err := dial(ctx, udp, address)
	if err != nil {
		return nil, err
	}
	switch u, ok := c.(*net.UDPConn); {
	case ok:
		cfg.setBuffers(u, -1)
	case d.DialSocket == nil:
		_ = c.Close()
		return nil, fmt.Errorf("kcp: the socket is a %T and not of UDP", c)
	}
	var conv [4]byte
	if _, err := rand.Read(conv[:]); err != nil {
		_ = c.Close()
		return nil, err
	}
	id := binary.LittleEndian.Uint32(conv[:])
	t := newTrack(id)
	w := &clientSocket{Conn: c, t: t}
	s, err := kcp.NewConn4(id, c.RemoteAddr(), nil, cfg.DataShards, cfg.ParityShards, false, w)
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return newConn(s, t, &cfg, func(b []byte) { _, _ = w.write(b) }, func() { _ = c.Close() }, 0), nil
}

// A clientSocket is connected to one peer, so that the system tells when the
// network leads nowhere. Its track sees all datagrams.
type clientSocket struct {
	net.Conn
	t    *track
	lost atomic.Int32 // datagrams in a row that the system did not take
}

// ReadFrom implements net.PacketConn.
func (w *clientSocket) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := w.Read(b)
	if err == nil {
		w.t.received(b[:n])
	}
	return n, w.RemoteAddr(), err
}

// WriteTo implements net.PacketConn.
func (w *clientSocket) WriteTo(b []byte, _ net.Addr) (int, error) {
	w.t.sent(b)
	return w.write(b)
}

// fruitless is how many datagrams in a row the system may not take until that is
// an error. Buffers are full for a while; a network that is gone stays so.
const fruitless = 16

func (w *clientSocket) write(b []byte) (int, error) {
	_, err := w.Write(b)
	if err == nil {
		w.lost.Store(0)
	} else if w.lost.Add(1) < fruitless {
		err = nil // lost, as any datagram may be
	}
	return len(b), err
}
