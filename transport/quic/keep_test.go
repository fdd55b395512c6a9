package quic_test

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/transport/transporttest"
	"github.com/relink-go/relink/transport/quic"
)

// sockets opens sockets that can be made to lose everything.
type sockets struct {
	mu  sync.Mutex
	all []*socket
}

type socket struct {
	net.PacketConn
	deaf atomic.Bool
}

func (s *sockets) listen(context.Context) (net.PacketConn, error) {
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, &socket{PacketConn: c})
	return s.all[len(s.all)-1], nil
}

func (s *sockets) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}

// cut makes what is there a black hole.
func (s *sockets) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.all {
		c.deaf.Store(true)
	}
}

func (s *socket) WriteTo(p []byte, to net.Addr) (int, error) {
	if s.deaf.Load() {
		return len(p), nil
	}
	return s.PacketConn.WriteTo(p, to)
}

func (s *socket) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		n, from, err := s.PacketConn.ReadFrom(p)
		if err != nil || !s.deaf.Load() {
			return n, from, err
		}
	}
}

// Streams share a connection, one after another and side by side, up to the
// limit.
func TestConnectionIsShared(t *testing.T) {
	s := new(sockets)
	d := quic.Patient()
	d.ListenPacket = s.listen
	p := open(t, quic.Config{MaxStreams: 3}, d)
	for range 10 {
		client, server := p.pair(t)
		transporttest.RequireEcho(t, server, client)
		_, _ = client.Close(), server.Close()
	}
	require.Equal(t, 1, s.count())
	var conns []*quic.Conn
	for range 4 {
		client, server := p.pair(t)
		transporttest.RequireEcho(t, server, client)
		conns = append(conns, client)
	}
	require.Equal(t, 2, s.count())
	require.True(t, quic.SameConnection(conns[0], conns[1]))
	require.False(t, quic.SameConnection(conns[0], conns[3]))
}

// A connection that was lost without a word costs a resume little, and one that
// is known to be lost nothing.
func TestKeptConnectionIsDead(t *testing.T) {
	s := new(sockets)
	p := open(t, quic.Config{HandshakeTimeout: time.Minute}, &quic.Dialer{ListenPacket: s.listen, HandshakeTimeout: time.Minute, IdleTimeout: time.Hour})
	first, server := p.pair(t)
	transporttest.RequireEcho(t, first, server)
	s.cut()
	second, server := p.pair(t) // an attempt that waited for the dead one would take a minute
	transporttest.RequireEcho(t, second, server)
	require.False(t, quic.SameConnection(first, second))
	require.Equal(t, 2, s.count())

	second.Cut()
	third, server := p.pair(t)
	transporttest.RequireEcho(t, third, server)
	require.Equal(t, 3, s.count())
}

// Nothing is left, however streams end, once the kept connections are closed, and
// then none of them.
func TestNothingLeaks(t *testing.T) {
	transporttest.RequireNoLeak(t, func() {
		d := new(quic.Dialer)
		p := open(t, quic.Config{}, d)
		for i := range 20 {
			client, server, err := p.connect()
			require.NoError(t, err)
			transporttest.RequireEcho(t, client, server)
			switch i % 4 {
			case 0:
				abort(client)
			case 1:
				abort(server)
			case 2:
				client.Cut()
			}
			_, _ = client.Close(), server.Close()
		}
		require.NoError(t, p.l.Close())
		require.ErrorIs(t, p.l.Close(), net.ErrClosed)
		d.CloseIdleConnections()
	})
}

// A kept connection ends by itself.
func TestKeepConnection(t *testing.T) {
	transporttest.RequireNoLeak(t, func() {
		s := new(sockets)
		p := open(t, quic.Config{}, &quic.Dialer{ListenPacket: s.listen, KeepConnection: time.Millisecond})
		client, server, err := p.connect()
		require.NoError(t, err)
		transporttest.RequireEcho(t, client, server)
		_, _ = client.Close(), server.Close()
		transporttest.Eventually(t, func() bool { return p.l.Connections() == 0 }, func() string { return "the connection is kept" })
		require.NoError(t, p.l.Close())
	})
	s := new(sockets)
	p := open(t, quic.Config{}, &quic.Dialer{ListenPacket: s.listen, KeepConnection: -1})
	for range 2 {
		client, server := p.pair(t)
		transporttest.RequireEcho(t, client, server)
	}
	require.Equal(t, 2, s.count())
}

// Accepted streams outlive the listener, and the socket goes with the last.
func TestListenerCloses(t *testing.T) {
	p := open(t, quic.Config{}, quic.Patient())
	client, server := p.pair(t)
	waiting, err := p.dial()
	require.NoError(t, err)
	transporttest.Eventually(t, func() bool { return server.Streams() == 2 }, func() string { return "no second stream" })
	require.NoError(t, p.l.Close())
	_, err = p.l.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = waiting.Read(make([]byte, 1))
	require.Error(t, err)
	transporttest.RequireEcho(t, client, server)
	abort(client, server, waiting)
	transporttest.Eventually(t, func() bool {
		again, err := net.ListenPacket("udp", p.at) //nolint:noctx // it does not wait
		if err == nil {
			_ = again.Close()
		}
		return err == nil
	}, func() string { return "the socket is still bound" })
}
