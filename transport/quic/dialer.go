package quic

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
)

// A Dialer opens streams. The zero value is usable. It may be used by any number
// of goroutines, and must be neither copied nor changed after its first use.
type Dialer struct {
	// TLSConfig says whom to believe. Nil means that of package tls. NextProtos
	// is set to [Protocol] if it is empty, and ServerName to the host that is
	// dialled. Tickets for resumption are kept in either case.
	TLSConfig *tls.Config

	// ListenPacket opens the socket of a connection, for instance one that a VPN
	// lets through. Nil means an UDP socket that is bound to no address, so that
	// the connection survives a change of the network.
	ListenPacket func(ctx context.Context) (net.PacketConn, error)

	// HandshakeTimeout bounds a dial, beside the context. Default 10 seconds.
	HandshakeTimeout time.Duration

	// IdleTimeout is how long nothing may arrive on a connection until it ends. A
	// client sees to it by a PING each half of it. The shorter one of both sides
	// holds. Default 30 seconds.
	IdleTimeout time.Duration

	// KeepConnection is how long a connection is kept after its last stream, for
	// the next. Default 10 seconds. A negative value keeps none beyond the time
	// that the last bytes may need, at most 5 seconds.
	KeepConnection time.Duration

	// ZeroRTT sends a new connection's first stream along with its first packet,
	// where the server has allowed that the last time. Whoever has seen it can
	// send it again, which relink's Noise withstands. If the server does not take
	// it after all, what the stream does fails.
	ZeroRTT bool

	once   sync.Once
	err    error // what is wrong with the fields
	tls    *tls.Config
	config *quic.Config
	limit  time.Duration // HandshakeTimeout
	least  time.Duration // of patience

	mu      sync.Mutex // guards the rest
	kept    map[string]*connection
	refused bool // the server did not take 0-RTT: not again the next time
}

// prepare checks the fields.
func (d *Dialer) prepare() {
	handshake, idle := d.HandshakeTimeout, d.IdleTimeout
	if err := resolveTime(&handshake, defaultHandshakeTimeout); err != nil {
		d.err = fmt.Errorf("quic: Dialer.HandshakeTimeout: %w", err)
		return
	}
	if err := resolveTime(&idle, defaultIdleTimeout); err != nil {
		d.err = fmt.Errorf("quic: Dialer.IdleTimeout: %w", err)
		return
	}
	d.tls = withProtocol(d.TLSConfig)
	if d.tls.ClientSessionCache == nil {
		d.tls.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	}
	d.limit = handshake
	if d.least == 0 {
		d.least = leastPatience
	}
	d.config = quicConfig(2*handshake, idle) // the context bounds the whole of it
	d.config.KeepAlivePeriod = idle / 2
	d.config.TokenStore = quic.NewLRUTokenStore(8, 4)
	d.kept = make(map[string]*connection)
}

// DialTransport dials, as relink's Dialer.DialTransport does; network is not
// looked at. ctx bounds the dial and not the life of the stream, which is a
// *[Conn].
func (d *Dialer) DialTransport(ctx context.Context, _, address string) (net.Conn, error) {
	d.once.Do(d.prepare)
	if d.err != nil {
		return nil, d.err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, d.limit, timeoutError{d.limit})
	defer cancel()
	c, err := d.dial(ctx, address)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, &net.OpError{Op: "dial", Net: Network, Addr: addr(address), Err: err}
	}
	return c, nil
}

// CloseIdleConnections ends the connections that are kept without a stream, and
// lets the others end with their last stream.
func (d *Dialer) CloseIdleConnections() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for address, s := range d.kept {
		delete(d.kept, address)
		s.retire()
	}
}

// dial opens a stream on the connection that is kept, and if that does not answer
// in time, or there is none, on a new one.
func (d *Dialer) dial(ctx context.Context, address string) (*Conn, error) {
	s := d.find(address)
	if s == nil {
		return d.dialNew(ctx, address)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		c   *Conn
		err error
	}
	results := make(chan result, 2)
	running, started := 1, false
	defer func() {
		go func() { // what comes too late
			for range running {
				if r := <-results; r.err == nil {
					_ = r.c.SetLinger(0)
					_ = r.c.Close()
				}
			}
		}()
	}()
	attempt := func(dial func() (*Conn, error)) {
		go func() {
			c, err := dial()
			results <- result{c, err}
		}()
	}
	attempt(func() (*Conn, error) { return s.open(ctx, greetingAsks) })
	timer := time.NewTimer(d.patience(s))
	defer timer.Stop()
	var failure error
	for {
		select {
		case r := <-results:
			running--
			if r.err == nil {
				if r.c.shared != s {
					d.drop(address, s)
				}
				return r.c, nil
			}
			failure = r.err
			if isRefusal(r.err) { // it lives, and would say the same again
				return nil, failure
			}
			if started && running == 0 {
				return nil, failure
			}
		case <-timer.C:
		}
		if !started {
			started = true
			running++
			attempt(func() (*Conn, error) { return d.dialNew(ctx, address) })
		}
	}
}

// find returns the connection that is kept for the address, with a stream counted.
func (d *Dialer) find(address string) *connection {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.kept[address]
	if s != nil && !s.acquire() {
		delete(d.kept, address)
		return nil
	}
	return s
}

// drop forgets a connection that does not work, or has ended.
func (d *Dialer) drop(address string, s *connection) {
	d.mu.Lock()
	if d.kept[address] == s {
		delete(d.kept, address)
	}
	d.mu.Unlock()
	s.retire()
}

// leastPatience and mostPatience bound how long a connection has for its answer:
// two round trips.
const (
	leastPatience = 20 * time.Millisecond
	mostPatience  = time.Second
)

func (d *Dialer) patience(s *connection) time.Duration {
	return max(d.least, min(2*s.conn.ConnectionStats().SmoothedRTT, mostPatience))
}

// open opens a stream that is counted already.
func (s *connection) open(ctx context.Context, greeting byte) (*Conn, error) {
	stream, err := s.conn.OpenStream()
	if err != nil {
		s.release()
		return nil, err
	}
	c := newConn(stream, s)
	if err = stream.TryWriteAll([]byte{greeting}); err == nil && greeting == greetingAsks {
		stop := context.AfterFunc(ctx, func() { _ = stream.SetReadDeadline(past) })
		var first [1]byte
		_, err = stream.Read(first[:])
		if !stop() {
			err = context.Cause(ctx)
		} else if err == nil && first[0] != answer {
			err = fmt.Errorf("the server has answered with %#x", first[0])
		}
	}
	if err != nil {
		_ = c.SetLinger(0)
		_ = c.Close()
		return nil, refusal(err)
	}
	return c, nil
}

// dialNew opens a stream on a new connection, which is kept from now on.
func (d *Dialer) dialNew(ctx context.Context, address string) (*Conn, error) {
	remotes, host, err := resolveAddress(ctx, address)
	if err != nil {
		return nil, err
	}
	var s *connection
	for i, remote := range remotes {
		each, cancel := ctx, func() {}
		if deadline, ok := ctx.Deadline(); ok && i < len(remotes)-1 { // leave time for the others
			each, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(len(remotes)-i))
		}
		s, err = d.connect(each, remote, host)
		cancel()
		if err == nil {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	old := d.kept[address]
	d.kept[address] = s
	d.mu.Unlock()
	if old != nil {
		old.retire()
	}
	context.AfterFunc(s.conn.Context(), func() { d.drop(address, s) })
	return s.open(ctx, greetingPlain)
}

// connect makes a connection, with a stream counted.
func (d *Dialer) connect(ctx context.Context, remote net.Addr, host string) (*connection, error) {
	listen := d.ListenPacket
	if listen == nil {
		listen = func(context.Context) (net.PacketConn, error) { return net.ListenUDP("udp", nil) }
	}
	socket, err := listen(ctx)
	if err != nil {
		return nil, err
	}
	config := d.tls.Clone()
	if config.ServerName == "" {
		config.ServerName = host
	}
	transport := &quic.Transport{Conn: socket}
	dial := transport.Dial
	d.mu.Lock()
	if d.ZeroRTT && !d.refused {
		dial = transport.DialEarly
	}
	d.refused = false
	d.mu.Unlock()
	conn, err := dial(ctx, remote, config, d.config)
	if err != nil {
		_ = transport.Close()
		_ = socket.Close()
		return nil, err
	}
	context.AfterFunc(conn.Context(), func() {
		_ = transport.Close()
		_ = socket.Close()
	})
	keep := d.KeepConnection
	switch {
	case keep == 0:
		keep = defaultKeepConnection
	case keep < 0:
		keep = lingerTime
	}
	s := newConnection(conn, keep, keep)
	s.rejected = func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.refused = true
	}
	if d.KeepConnection < 0 {
		defer s.retire()
	}
	if !s.acquire() {
		return nil, context.Cause(conn.Context())
	}
	return s, nil
}

// resolveAddress returns where an address, host:port, may be.
func resolveAddress(ctx context.Context, address string) (remotes []net.Addr, host string, err error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return nil, "", fmt.Errorf("%w: the address is host:port", err)
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		p, err := net.DefaultResolver.LookupPort(ctx, "udp", service)
		if err != nil {
			return nil, "", err
		}
		port = uint64(p)
	}
	if host == "" {
		return []net.Addr{&net.UDPAddr{IP: net.IPv6loopback, Port: int(port)}}, "localhost", nil
	}
	ips, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	if err != nil {
		return nil, "", err
	}
	for _, ip := range ips {
		remotes = append(remotes, &net.UDPAddr{IP: ip.IP, Zone: ip.Zone, Port: int(port)})
	}
	return remotes, host, nil
}

// An addr is an address that was given as text.
type addr string

func (addr) Network() string  { return Network }
func (a addr) String() string { return string(a) }

// A timeoutError is a dial that took too long.
type timeoutError struct{ limit time.Duration }

func (e timeoutError) Error() string {
	return fmt.Sprintf("no answer within HandshakeTimeout (%v)", e.limit)
}
func (timeoutError) Timeout() bool { return true } // for net.OpError
func (timeoutError) Unwrap() error { return context.DeadlineExceeded }
