package quic

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
)

// A Listener accepts streams. All methods may be called from any goroutine.
type Listener struct {
	// Constant after creation.
	cfg       Config
	socket    net.PacketConn
	transport *quic.Transport
	accept    func(context.Context) (*quic.Conn, error)
	stop      func() error // ends accept
	ctx       context.Context
	cancel    context.CancelCauseFunc // with what Accept returns
	ready     chan *Conn

	mu          sync.Mutex // guards the rest
	handshaking int
	connections map[*connection]struct{}
	accepting   bool // the goroutine that accepts connections has not ended
	waiting     int  // streams in ready, and those on their way there
	closed      bool
}

// Listen listens on the address with package net: network is udp, udp4 or udp6.
func Listen(network, address string, cfg Config) (*Listener, error) {
	if _, err := cfg.resolve(); err != nil {
		return nil, err
	}
	socket, err := net.ListenPacket(network, address) //nolint:noctx // it does not wait
	if err != nil {
		return nil, err
	}
	l, err := NewListener(socket, cfg)
	if err != nil {
		_ = socket.Close()
		return nil, err
	}
	return l, nil
}

// NewListener returns a Listener on a socket that is there, and which it closes in
// the end. It should be a *[net.UDPConn].
func NewListener(socket net.PacketConn, cfg Config) (*Listener, error) {
	cfg, err := cfg.resolve()
	if err != nil {
		return nil, err
	}
	l := &Listener{
		cfg: cfg, socket: socket, ready: make(chan *Conn, cfg.Backlog),
		connections: make(map[*connection]struct{}), accepting: true,
	}
	l.ctx, l.cancel = context.WithCancelCause(context.Background())
	l.transport = &quic.Transport{
		Conn:                socket,
		VerifySourceAddress: func(net.Addr) bool { return l.crowded() },
		ConnContext:         l.admit,
		StatelessResetKey:   (*quic.StatelessResetKey)(cfg.ResetKey),
	}
	config := quicConfig(cfg.HandshakeTimeout, cfg.IdleTimeout)
	config.MaxIncomingStreams = int64(cfg.MaxStreams)
	if cfg.ZeroRTT {
		config.Allow0RTT = true
		inner, err := l.transport.ListenEarly(cfg.TLSConfig, config)
		if err != nil {
			return nil, err
		}
		l.accept, l.stop = inner.Accept, inner.Close
	} else {
		inner, err := l.transport.Listen(cfg.TLSConfig, config)
		if err != nil {
			return nil, err
		}
		l.accept, l.stop = inner.Accept, inner.Close
	}
	go l.acceptConnections()
	return l, nil
}

// Accept waits for the next stream and returns it; it is a *[Conn]. After Close
// it returns an error that is [net.ErrClosed].
func (l *Listener) Accept() (net.Conn, error) {
	if l.ctx.Err() == nil {
		select {
		case c := <-l.ready:
			l.mu.Lock()
			l.waiting--
			l.mu.Unlock()
			return c, nil
		case <-l.ctx.Done():
		}
	}
	return nil, &net.OpError{Op: "accept", Net: Network, Addr: l.Addr(), Err: context.Cause(l.ctx)}
}

// Addr returns the socket's address.
func (l *Listener) Addr() net.Addr { return l.socket.LocalAddr() }

// Close ends accepting, the streams that nobody has accepted, and the connections
// without others. Accepted streams live on, and with them the socket, until the
// last is closed.
func (l *Listener) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return &net.OpError{Op: "close", Net: Network, Addr: l.Addr(), Err: net.ErrClosed}
	}
	l.closed = true
	l.mu.Unlock()
	l.cancel(net.ErrClosed)
	err := l.stop()
	for drained := false; !drained; {
		select {
		case c := <-l.ready:
			_ = c.SetLinger(0)
			_ = c.Close()
		default:
			drained = true
		}
	}
	l.mu.Lock()
	for s := range l.connections {
		s.retire()
	}
	l.mu.Unlock()
	return err
}

// crowded reports whether clients have to prove their address.
func (l *Listener) crowded() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.handshaking >= (l.cfg.MaxHandshakes+1)/2
}

// handshakeKey finds in a connection's context the function that ends its
// handshake.
type handshakeKey struct{}

// admit takes a connection into its handshake.
func (l *Listener) admit(ctx context.Context, _ *quic.ClientInfo) (context.Context, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.handshaking >= l.cfg.MaxHandshakes {
		return nil, errors.New("too many handshakes")
	}
	l.handshaking++
	done := sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.handshaking--
	})
	context.AfterFunc(ctx, done)
	return context.WithValue(ctx, handshakeKey{}, done), nil
}

// acceptConnections takes connections and gives each its goroutine.
func (l *Listener) acceptConnections() {
	for {
		conn, err := l.accept(l.ctx)
		if err != nil {
			l.cancel(err) // a failure of the socket, if it was not Close
			break
		}
		s := newConnection(conn, l.cfg.HandshakeTimeout, l.cfg.IdleTimeout)
		l.mu.Lock()
		l.connections[s] = struct{}{}
		l.mu.Unlock()
		go l.serve(s)
	}
	l.mu.Lock()
	l.accepting = false
	l.mu.Unlock()
	l.leaveIfLast()
}

// serve takes the streams of a connection, until it ends.
func (l *Listener) serve(s *connection) {
	if done, ok := s.conn.Context().Value(handshakeKey{}).(func()); ok {
		select { // with 0-RTT it is still under way
		case <-s.conn.HandshakeComplete():
			done()
		case <-s.conn.Context().Done():
		}
	}
	for {
		stream, err := s.conn.AcceptStream(s.conn.Context())
		if err != nil {
			break
		}
		if !s.acquire() {
			refuse(stream, codeClosed)
			continue
		}
		go l.greet(newConn(stream, s))
	}
	<-s.conn.Context().Done()
	l.mu.Lock()
	delete(l.connections, s)
	l.mu.Unlock()
	l.leaveIfLast()
}

// leaveIfLast gives the socket up when nobody needs it any more.
func (l *Listener) leaveIfLast() {
	l.mu.Lock()
	last := !l.accepting && len(l.connections) == 0
	l.mu.Unlock()
	if last {
		_ = l.transport.Close()
		_ = l.socket.Close()
	}
}

// greet takes a stream's greeting and queues the stream for Accept.
func (l *Listener) greet(c *Conn) {
	greeting, code := l.takeGreeting(c.stream)
	if code == 0 {
		code = l.reserve()
	}
	if code == 0 && greeting == greetingAsks {
		_ = c.stream.TryWriteAll([]byte{answer}) // a stream that has ended already says so when it is used
	}
	if code == 0 {
		code = l.queue(c)
	}
	if code != 0 {
		refuse(c.stream, code)
		c.shared.release()
	}
}

// The greetings.
const (
	greetingPlain = 0
	greetingAsks  = 1
	answer        = 1
)

// takeGreeting reads the first byte of a stream. It returns what the stream is
// refused with, or 0.
func (l *Listener) takeGreeting(stream *quic.Stream) (greeting byte, code quic.StreamErrorCode) {
	_ = stream.SetReadDeadline(time.Now().Add(l.cfg.HandshakeTimeout))
	var first [1]byte
	if n, _ := stream.Read(first[:]); n == 0 || first[0] > greetingAsks {
		return 0, codeGreeting
	}
	_ = stream.SetReadDeadline(time.Time{})
	return first[0], 0
}

// reserve takes a place in the backlog.
func (l *Listener) reserve() quic.StreamErrorCode {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return codeClosed
	}
	if l.waiting == l.cfg.Backlog {
		return codeBusy
	}
	l.waiting++
	return 0
}

// queue puts a stream into its reserved place.
func (l *Listener) queue(c *Conn) quic.StreamErrorCode {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return codeClosed
	}
	l.ready <- c // does not block: the place is reserved
	return 0
}

// refuse ends a stream that is not taken.
func refuse(stream *quic.Stream, code quic.StreamErrorCode) {
	stream.CancelRead(code)
	stream.CancelWrite(code)
}
