// Package subject holds what the benchmarks compare: ways to get a stream from
// one process to another. Each is a small type behind one interface, and
// opens its streams over any [Network], so that the same work runs over all of
// them and over any path.
package subject

import (
	"context"
	"fmt"
	"net"
	"slices"
)

// A Subject is one way to carry a stream.
type Subject interface {
	// Name is what tables and plots call it.
	Name() string

	// About says in a sentence what it does for its price, and what it does not.
	About() string

	// Listen starts a server on a free port of the loopback interface. A stream
	// that Accept returns is ready for data: every handshake is over.
	Listen() (net.Listener, error)

	// Dial opens a stream to a server of the same subject. It returns when this
	// side may send data.
	Dial(ctx context.Context, n Network, address string) (net.Conn, error)

	// ConcurrentWrites says whether several goroutines may be in Write at once.
	// Where they may not, the benchmarks put a mutex around it.
	ConcurrentWrites() bool
}

// A Network leads from a client to the address of a server.
type Network interface {
	// Name is what tables call it.
	Name() string

	// DialTCP opens a connection of the kernel's, over what the path is.
	DialTCP(ctx context.Context, address string) (net.Conn, error)

	// PacketAddress returns where clients send the datagrams for the server at
	// the address.
	PacketAddress(address string) (string, error)
}

// Loopback is the direct path.
type Loopback struct{}

// Name implements [Network].
func (Loopback) Name() string { return "loopback" }

// DialTCP implements [Network].
func (Loopback) DialTCP(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", address)
}

// PacketAddress implements [Network].
func (Loopback) PacketAddress(address string) (string, error) { return address, nil }

// The names of the subjects, for whoever compares two of them.
const (
	TCP         = "TCP"
	RC4         = "RC4"
	CryptoRC4   = "RC4 (crypto/rc4)"
	RC4Kept     = "RC4 (kept)"
	RC4Gathered = "RC4 (gathered)"
	RC4Steps    = "RC4 (snet's steps)"
	TLS         = "TLS 1.3"
	TLSX25519   = "TLS 1.3 (X25519)"
	TLSAES256   = "TLS 1.3 (AES-256)"
	DH64RC4     = "relink DH64RC4"
	SCP         = "relink SCP"
	Noise       = "relink Noise"
	Yamux       = "yamux"
	QUIC        = "QUIC"
	Classic     = "classic"
	ClassicRC   = "classic RC4"
	WebSocket   = "WebSocket"
	KCP         = "KCP"

	NoiseTLS       = "relink Noise over TLS"
	NoiseWebSocket = "relink Noise over WebSocket"
	NoiseQUIC      = "relink Noise over QUIC"
	NoiseKCP       = "relink Noise over KCP"
)

// All returns every subject, in the order of the tables. Servers and clients of
// two processes understand each other if they have the same credentials.
func All(c Credentials) []Subject {
	return append([]Subject{
		plain{},
		cipherOverTCP{},
		cipherOverTCP{standard: true},
		keptRC4{},
		gatheredRC4{},
		snetSteps{},
		tlsOverTCP{credentials: c},
		tlsOverTCP{credentials: c, x25519Only: true},
		tlsOverTCP{credentials: c, aes256: true},
		session{name: DH64RC4, credentials: c},
		session{name: SCP, credentials: c},
		session{name: Noise, credentials: c},
		muxed{},
		quicStream{credentials: c},
		classic{},
		classic{encrypted: true},
	}, transports(c)...)
}

// Named returns the subjects with these names, in this order.
func Named(c Credentials, names ...string) ([]Subject, error) {
	all := All(c)
	var found []Subject
	for _, name := range names {
		i := slices.IndexFunc(all, func(s Subject) bool { return s.Name() == name })
		if i < 0 {
			return nil, fmt.Errorf("no subject is called %q", name)
		}
		found = append(found, all[i])
	}
	return found, nil
}

// ForData returns all subjects but those that differ only in their handshake
// from another, and relink's transports, which are compared by themselves.
func ForData(c Credentials) []Subject {
	return slices.DeleteFunc(All(c), func(s Subject) bool { return s.Name() == TLSX25519 || s.Name() == RC4Steps || onTransport(s) })
}

// ForHandshakes returns all subjects but those that differ only in their data, and
// relink's transports.
func ForHandshakes(c Credentials) []Subject {
	return slices.DeleteFunc(All(c), func(s Subject) bool { return dataOnly(s) || onTransport(s) })
}

// dataOnly says that a subject differs from another only in what becomes of data.
func dataOnly(s Subject) bool {
	return slices.Contains([]string{TLSAES256, RC4Kept, RC4Gathered}, s.Name())
}

// ForConnections returns all subjects whose connections differ in more than a
// cipher, a key exchange or how data is kept and gathered.
func ForConnections(c Credentials) []Subject {
	return slices.DeleteFunc(ForData(c), dataOnly)
}

// A Pair is a stream between two ends of this process, and the server that it
// belongs to.
type Pair struct {
	Client, Server net.Conn

	listener net.Listener
}

// Open starts a server and opens one stream to it.
func Open(ctx context.Context, s Subject, n Network) (*Pair, error) {
	l, err := s.Listen()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name(), err)
	}
	p := &Pair{listener: l}
	if p.Client, p.Server, err = Connect(ctx, s, n, l); err != nil {
		_ = l.Close()
		return nil, err
	}
	return p, nil
}

// Connect opens one stream to a server and accepts it.
func Connect(ctx context.Context, s Subject, n Network, l net.Listener) (client, server net.Conn, err error) {
	type accepted struct {
		conn net.Conn
		err  error
	}
	done := make(chan accepted, 1)
	go func() {
		c, err := l.Accept()
		done <- accepted{c, err}
	}()
	client, err = s.Dial(ctx, n, l.Addr().String())
	if err != nil {
		_ = l.Close() // so that Accept returns
		<-done
		return nil, nil, fmt.Errorf("%s: %w", s.Name(), err)
	}
	a := <-done
	if a.err != nil {
		_ = client.Close()
		return nil, nil, fmt.Errorf("%s: %w", s.Name(), a.err)
	}
	return client, a.conn, nil
}

// Close ends the stream and the server.
func (p *Pair) Close() {
	Abort(p.Client)
	Abort(p.Server)
	_ = p.listener.Close()
}

// Abort ends a stream at once. A TCP connection below it is reset, so that
// thousands of streams in a row do not leave the kernel with thousands of ports
// that wait for late segments.
func Abort(c net.Conn) {
	switch c := c.(type) {
	case interface{ Abort() error }:
		_ = c.Abort()
		return
	case interface{ SetLinger(seconds int) error }:
		_ = c.SetLinger(0)
	case interface{ NetConn() net.Conn }:
		if t, ok := c.NetConn().(*net.TCPConn); ok {
			_ = t.SetLinger(0)
		}
	}
	_ = c.Close()
}
