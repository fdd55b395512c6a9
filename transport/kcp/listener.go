package kcp

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/xtaci/kcp-go/v5"
)

// backlog is how many connections may wait for Accept. The packets of further ones
// are dropped, and come again. kcp-go has room for a few more.
const backlog = 100

// A Listener accepts connections on a UDP socket. All methods may be called from
// any goroutine.
type Listener struct {
	// Constant after creation.
	l      *kcp.Listener
	cfg    Config
	socket *serverSocket

	once sync.Once
}

// Listen opens a UDP socket on the address and accepts connections there.
func Listen(address string, cfg Config) (*Listener, error) {
	a, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, err
	}
	c, err := net.ListenUDP("udp", a)
	if err != nil {
		return nil, err
	}
	cfg.setBuffers(c, defaultBuffer)
	l, err := NewListener(c, cfg)
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return l, nil
}

// NewListener accepts connections on a socket, of whatever kind it is, whose
// addresses are host and port. It closes the socket when the listener and its last
// connection are closed.
func NewListener(socket net.PacketConn, cfg Config) (*Listener, error) {
	if socket == nil {
		return nil, errors.New("kcp: NewListener needs a socket")
	}
	cfg, err := cfg.resolve()
	if err != nil {
		return nil, err
	}
	w := newServerSocket(socket)
	l, err := kcp.ServeConn(nil, cfg.DataShards, cfg.ParityShards, w)
	if err != nil {
		return nil, err
	}
	return &Listener{l: l, cfg: cfg, socket: w}, nil
}

// Accept waits for the next connection: for its first data, that is, because there
// is nothing before. It returns a *[Conn].
func (l *Listener) Accept() (net.Conn, error) {
	for {
		s, err := l.l.AcceptKCP()
		if err != nil {
			if errors.Is(err, io.ErrClosedPipe) || l.socket.isClosed() {
				err = net.ErrClosed
			}
			return nil, &net.OpError{Op: "accept", Net: "kcp", Addr: l.Addr(), Err: err}
		}
		p := l.socket.accepted(s)
		if p == nil { // the last packets of a connection that was closed
			_ = s.Close()
			continue
		}
		ask := func(b []byte) { _, _ = l.socket.PacketConn.WriteTo(b, s.RemoteAddr()) }
		limit := time.Duration(0)
		if l.cfg.corrects() {
			limit = 4 * l.cfg.Timeout
		}
		return newConn(s, p.t, &l.cfg, ask, func() { l.socket.leave(p) }, limit), nil
	}
}

// Addr returns the address of the socket.
func (l *Listener) Addr() net.Addr { return l.l.Addr() }

// Close ends accepting. The connections go on, and what nobody has accepted is
// dropped.
func (l *Listener) Close() error {
	err := error(&net.OpError{Op: "close", Net: "kcp", Addr: l.Addr(), Err: net.ErrClosed})
	l.once.Do(func() {
		l.socket.close()
		_ = l.l.Close() // it has nothing to say: the socket is ours
		// What waits for Accept is dropped. kcp-go's Accept picks that or that it is
		// closed, as chance has it; if it was the second so often, nothing waits.
		for misses := 0; misses < 64; misses++ {
			if s, aerr := l.l.AcceptKCP(); aerr == nil {
				_ = s.Close()
				misses = -1
			}
		}
		err = nil
	})
	return err
}

// A peer is the connection of an address.
type peer struct {
	address  netip.AddrPort
	t        *track
	accepted bool
}

// A serverSocket lets kcp-go see the datagrams of connections that there are and
// of those that begin, and no others.
type serverSocket struct {
	net.PacketConn

	mu     sync.Mutex // guards everything below
	rested sync.Cond  // busy has ended
	busy   bool       // kcp-go looks at a datagram
	peers  map[netip.AddrPort]*peer
	queued int // not accepted
	closed bool
	failed int // reads in a row
}

func newServerSocket(c net.PacketConn) *serverSocket {
	w := &serverSocket{PacketConn: c, peers: make(map[netip.AddrPort]*peer)}
	w.rested.L = &w.mu
	return w
}

// badReads is how many reads in a row may fail. Some systems report here what has
// become of a datagram that was sent.
const badReads = 64

// ReadFrom implements net.PacketConn.
func (w *serverSocket) ReadFrom(b []byte) (int, net.Addr, error) {
	w.mu.Lock()
	w.busy = false
	w.rested.Broadcast()
	w.mu.Unlock()
	for {
		n, addr, err := w.PacketConn.ReadFrom(b)
		if err != nil {
			if w.isLast(err) {
				return n, addr, err
			}
			continue
		}
		if w.takes(b[:n], addr) {
			return n, addr, nil
		}
	}
}

func (w *serverSocket) isLast(err error) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failed++
	return w.failed > badReads || errors.Is(err, net.ErrClosed)
}

// takes reports whether a datagram is for a connection, or begins one.
func (w *serverSocket) takes(b []byte, addr net.Addr) bool {
	key, ok := addrPort(addr)
	if !ok {
		return false
	}
	conv, begins := opens(b)
	w.mu.Lock()
	w.failed = 0
	p := w.peers[key]
	if p == nil && begins && !w.closed && w.queued < backlog {
		p = &peer{address: key, t: newTrack(conv)}
		w.peers[key] = p
		w.queued++
	}
	// In the second case kcp-go would end the connection that there is, whoever has
	// sent this in its name.
	w.busy = p != nil && (!begins || p.t.conv == conv)
	takes := w.busy
	w.mu.Unlock()
	if takes {
		p.t.received(b)
	}
	return takes
}

// WriteTo implements net.PacketConn. A datagram that the system does not take is
// lost, as any may be.
func (w *serverSocket) WriteTo(b []byte, addr net.Addr) (int, error) {
	if key, ok := addrPort(addr); ok {
		w.mu.Lock()
		p := w.peers[key]
		w.mu.Unlock()
		if p != nil {
			p.t.sent(b)
		}
	}
	_, err := w.PacketConn.WriteTo(b, addr)
	if errors.Is(err, net.ErrClosed) {
		return 0, err
	}
	return len(b), nil
}

// accepted returns the peer of a connection that has been accepted.
func (w *serverSocket) accepted(s *kcp.UDPSession) *peer {
	w.mu.Lock()
	defer w.mu.Unlock()
	key, _ := addrPort(s.RemoteAddr())
	p := w.peers[key]
	if p == nil || p.accepted || p.t.conv != s.GetConv() {
		return nil
	}
	p.accepted = true
	w.queued--
	return p
}

// leave forgets a connection. The last one closes the socket, if the listener is
// closed.
func (w *serverSocket) leave(p *peer) {
	w.mu.Lock()
	if w.peers[p.address] == p {
		delete(w.peers, p.address)
	}
	last := w.closed && len(w.peers) == 0
	w.mu.Unlock()
	if last {
		_ = w.PacketConn.Close()
	}
}

// close lets nothing new in and forgets what was not accepted. kcp-go has seen
// everything when it returns.
func (w *serverSocket) close() {
	w.mu.Lock()
	w.closed = true
	for w.busy {
		w.rested.Wait()
	}
	for key, p := range w.peers {
		if !p.accepted {
			delete(w.peers, key)
		}
	}
	w.queued = 0
	last := len(w.peers) == 0
	w.mu.Unlock()
	if last {
		_ = w.PacketConn.Close()
	}
}

func (w *serverSocket) isClosed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closed
}

// addrPort returns what tells peers apart.
func addrPort(a net.Addr) (netip.AddrPort, bool) {
	if u, ok := a.(*net.UDPAddr); ok {
		return u.AddrPort(), true
	}
	if a == nil {
		return netip.AddrPort{}, false
	}
	ap, err := netip.ParseAddrPort(a.String())
	return ap, err == nil
}
