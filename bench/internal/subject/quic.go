package subject

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
)

// quicStream is one bidirectional stream of a QUIC connection of its own. Each
// client has a UDP socket of its own, as clients on different machines have.
type quicStream struct {
	credentials Credentials
}

// quicProtocol is what both sides say in ALPN, without which QUIC does not go.
const quicProtocol = "relink-bench"

func (quicStream) Name() string { return QUIC }

func (quicStream) About() string {
	return "One stream of a quic-go connection over UDP, one connection a stream: encrypted and authenticated as TLS 1.3 is, with its own " +
		"retransmission and congestion control in user space. A connection survives a change of the client's address, not a pause beyond its idle time-out."
}

// ConcurrentWrites: quic-go forbids it.
func (quicStream) ConcurrentWrites() bool { return false }

// hello is the first byte of each stream, in both directions: a QUIC stream exists
// for its peer only when something was sent on it, and a client knows only then
// that the server has it.
const hello = 'h'

func (s quicStream) config() *quic.Config {
	// The time for a handshake is longer than the default, for thousands of clients
	// on a machine that is busy with them.
	return &quic.Config{KeepAlivePeriod: 10 * time.Second, MaxIdleTimeout: 2 * time.Minute, HandshakeIdleTimeout: time.Minute}
}

func (s quicStream) Listen() (net.Listener, error) {
	t, err := s.credentials.tls(false, quicProtocol)
	if err != nil {
		return nil, err
	}
	inner, err := quic.ListenAddr("127.0.0.1:0", t.server, s.config())
	if err != nil {
		return nil, err
	}
	l := &quicListener{inner: inner, ready: make(chan net.Conn)}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	go l.serve()
	return l, nil
}

func (s quicStream) Dial(ctx context.Context, n Network, address string) (net.Conn, error) {
	t, err := s.credentials.tls(false, quicProtocol)
	if err != nil {
		return nil, err
	}
	if address, err = n.PacketAddress(address); err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		c, err := s.dial(ctx, address, t.client)
		if err == nil || attempt == quicAttempts || ctx.Err() != nil {
			return c, err
		}
	}
}

// quicAttempts is how often a client tries. A server that has 32 connections
// waiting to be accepted ends further ones, which their clients take for open by
// then; and once two of ten thousand open ones were not there on the server.
const quicAttempts = 3

// helloPatience is how long either side waits for the other's first byte.
const helloPatience = 20 * time.Second

func (s quicStream) dial(ctx context.Context, address string, config *tls.Config) (net.Conn, error) {
	c, err := quic.DialAddr(ctx, address, config, s.config())
	if err != nil {
		return nil, err
	}
	stream, err := c.OpenStreamSync(ctx)
	if err == nil {
		_, err = stream.Write([]byte{hello})
	}
	if err == nil {
		err = readHello(stream)
	}
	if err != nil {
		_ = c.CloseWithError(0, "")
		return nil, err
	}
	return &quicConn{stream, c}, nil
}

// readHello takes the first byte of a stream.
func readHello(stream interface {
	io.Reader
	SetReadDeadline(t time.Time) error
},
) error {
	if err := stream.SetReadDeadline(time.Now().Add(helloPatience)); err != nil {
		return err
	}
	var first [1]byte
	if _, err := io.ReadFull(stream, first[:]); err != nil {
		return err
	}
	if first[0] != hello {
		return fmt.Errorf("a stream began with %#x", first[0])
	}
	return stream.SetReadDeadline(time.Time{})
}

// A quicListener accepts the first stream of each connection.
type quicListener struct {
	inner  *quic.Listener
	ready  chan net.Conn
	ctx    context.Context
	cancel context.CancelFunc
	once   sync.Once
}

func (l *quicListener) serve() {
	for {
		c, err := l.inner.Accept(l.ctx)
		if err != nil {
			return
		}
		go func() {
			conn, err := l.first(c)
			if err != nil {
				_ = c.CloseWithError(0, "")
				return
			}
			select {
			case l.ready <- conn:
			case <-l.ctx.Done():
				_ = c.CloseWithError(0, "")
			}
		}()
	}
}

func (l *quicListener) first(c *quic.Conn) (net.Conn, error) {
	stream, err := c.AcceptStream(l.ctx)
	if err != nil {
		return nil, err
	}
	if err := readHello(stream); err != nil {
		return nil, err
	}
	if _, err := stream.Write([]byte{hello}); err != nil {
		return nil, err
	}
	return &quicConn{stream, c}, nil
}

func (l *quicListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.ready:
		return c, nil
	case <-l.ctx.Done():
		return nil, net.ErrClosed
	}
}

func (l *quicListener) Addr() net.Addr { return l.inner.Addr() }

func (l *quicListener) Close() error {
	var err error
	l.once.Do(func() {
		l.cancel()
		err = l.inner.Close()
	})
	return err
}

// A quicConn makes a net.Conn of a stream.
type quicConn struct {
	*quic.Stream
	conn *quic.Conn
}

func (c *quicConn) LocalAddr() net.Addr  { return c.conn.LocalAddr() }
func (c *quicConn) RemoteAddr() net.Addr { return c.conn.RemoteAddr() }

// Close ends the connection, and the stream with it.
func (c *quicConn) Close() error { return c.conn.CloseWithError(0, "") }
