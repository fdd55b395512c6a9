package network

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/relink-go/relink"
)

// The names of the subjects.
const (
	DH64RC4 = "DH64RC4"
	SCP     = "SCP"
	Noise   = "Noise"
	TCP     = "TCP"
	TLS     = "TLS"
)

// Suites are the subjects that are sessions of relink, and Plain those that are
// not.
var (
	Suites = []string{DH64RC4, SCP, Noise}
	Plain  = []string{TCP, TLS}
)

// A Load is what the applications of a pair do.
type Load string

// The loads.
const (
	// Game is 20 messages of 100 bytes a second in each direction.
	Game Load = "game"
	// Bulk is 256 KB a second in each direction.
	Bulk Load = "bulk"
	// Idle is a message in each direction before the fault and one long after.
	Idle Load = "idle"
)

// MessageEvery is the time between two messages of a flow, and so the gap that
// an application sees on a network without faults.
const MessageEvery = 50 * time.Millisecond

var loads = map[Load]load{Game: {100, MessageEvery}, Bulk: {256_000 / 20, MessageEvery}}

// replayLimit is for the suites without acknowledgements: twice what the
// kernel's own choice of socket buffers holds.
const replayLimit = 10 << 20

// A pair is a client and a server that talk.
type pair struct {
	subject string
	load    Load
	told    bool // NetworkChanged is called

	client, server net.Conn
	up, down       flow // from the client to the server, and back
	ends           [2]end
	close          func()
	before         [2]relink.Stats    // of client and server, when the fault began
	stop           context.CancelFunc // of the writers
	writers, all   sync.WaitGroup
}

// An end notes when a session's side lost its transport.
type end struct {
	mu       sync.Mutex
	watching time.Time
	lost     []Loss
}

// A Loss is a transport that one side of a session has seen end.
type Loss struct {
	At  time.Duration // after the fault
	Err error
}

func (e *end) event(v relink.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if v.Kind == relink.EventSuspended && !e.watching.IsZero() && v.Time.After(e.watching) {
		e.lost = append(e.lost, Loss{v.Time.Sub(e.watching), v.Err})
	}
}

func (e *end) watch(at time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.watching, e.lost = at, nil
}

func (e *end) losses() []Loss {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.lost)
}

func (p *pair) plain() bool { return p.subject == TCP || p.subject == TLS }

// open connects the pair through the rig.
func (p *pair) open(r *Rig, s Settings) (err error) {
	inner, err := r.Server.Listen("tcp", serverHost+":0")
	if err != nil {
		return err
	}
	switch p.subject {
	case TCP:
		return p.openPlain(r, inner)
	case TLS:
		certificate, pool, err := selfSigned()
		if err != nil {
			return err
		}
		err = p.openPlain(r, tls.NewListener(inner, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13}))
		if err != nil {
			return err
		}
		client := tls.Client(p.client, &tls.Config{RootCAs: pool, ServerName: serverName, MinVersion: tls.VersionTLS13})
		p.client = client
		go p.server.(*tls.Conn).Handshake() //nolint:errcheck // the client's handshake fails too
		return client.Handshake()
	default:
		return p.openSession(r, inner, s)
	}
}

func (p *pair) openPlain(r *Rig, l net.Listener) (err error) {
	defer l.Close()
	if p.client, err = r.Client.DialContext(context.Background(), "tcp", l.Addr().String()); err != nil {
		return err
	}
	p.close = func() { p.client.Close() }
	if p.server, err = l.Accept(); err != nil {
		return err
	}
	p.close = func() { p.client.Close(); p.server.Close() }
	return nil
}

func (p *pair) openSession(r *Rig, inner net.Listener, s Settings) error {
	client, server := suites(p.subject)
	cfg := relink.Config{
		ReplayLimit:      replayLimit,
		HandshakeTimeout: s.HandshakeTimeout,
		LivenessTimeout:  s.LivenessTimeout,
	}
	if p.subject == Noise {
		cfg.ReplayLimit = 0
	}
	cfg.OnEvent = p.ends[1].event
	l, err := relink.NewListener(inner, relink.ListenConfig{Config: cfg, Suites: []relink.ServerSuite{server}})
	if err != nil {
		inner.Close()
		return err
	}
	p.close = func() { l.Close() }
	cfg.OnEvent = p.ends[0].event
	d := relink.Dialer{
		Config: cfg, Suite: client, DialTransport: r.Client.DialContext,
		AttemptTimeout: s.AttemptTimeout, MaxBackoff: s.MaxBackoff,
	}
	c, err := d.DialConn(context.Background(), "tcp", inner.Addr().String())
	if err != nil {
		return err
	}
	p.client = c
	p.close = func() { c.Abort(); l.Close() }
	accepted, err := l.AcceptConn()
	if err != nil {
		return err
	}
	p.server = accepted
	p.close = func() { c.Abort(); accepted.Abort(); l.Close() }
	return nil
}

// suites returns what client and server speak.
func suites(name string) (client relink.ClientSuite, server relink.ServerSuite) {
	switch name {
	case DH64RC4:
		return relink.DH64RC4Client{}, relink.DH64RC4Server{}
	case SCP:
		return relink.SCPClient{}, relink.SCPServer{}
	case Noise:
		key := relink.GenerateKey()
		return relink.NoiseClient{ServerKeys: []relink.PublicKey{key.PublicKey()}}, relink.NoiseServer{Keys: []relink.PrivateKey{key}}
	default:
		panic("network: no such suite: " + name)
	}
}

// serverName is what the TLS server's certificate is for.
const serverName = "server.example"

func selfSigned() (tls.Certificate, *x509.CertPool, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{serverName}, NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool, nil
}

// start lets the applications talk.
func (p *pair) start() {
	p.all.Go(func() { p.up.consume(p.server) })
	p.all.Go(func() { p.down.consume(p.client) })
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	l, ok := loads[p.load]
	if !ok {
		p.say()
		return
	}
	p.writers.Go(func() { p.up.produce(ctx, p.client, l) })
	p.writers.Go(func() { p.down.produce(ctx, p.server, l) })
}

// say writes one message each way.
func (p *pair) say() {
	p.up.write(p.client, loads[Game].size)
	p.down.write(p.server, loads[Game].size)
}

// watch begins to look for what the applications see.
func (p *pair) watch(at time.Time) {
	p.up.watch(at)
	p.down.watch(at)
	p.ends[0].watch(at)
	p.ends[1].watch(at)
	p.before = p.stats()
}

// stats returns those of the client's and the server's side of a session.
func (p *pair) stats() (s [2]relink.Stats) {
	for i, c := range []net.Conn{p.client, p.server} {
		if c, ok := c.(*relink.Conn); ok {
			s[i] = c.Stats()
		}
	}
	return s
}

// flowing reports whether the streams go on after the fault. An idle pair has
// none.
func (p *pair) flowing() bool { return p.load == Idle || p.up.flowing() && p.down.flowing() }

func (p *pair) drained() bool { return p.up.drained() && p.down.drained() }

// exact returns an error unless both applications have what the other wrote.
func (p *pair) exact() error {
	if err := p.up.exact(); err != nil {
		return fmt.Errorf("client to server: %w", err)
	}
	if err := p.down.exact(); err != nil {
		return fmt.Errorf("server to client: %w", err)
	}
	return nil
}

// finish ends everything that belongs to the pair.
func (p *pair) finish() {
	if p.stop != nil {
		p.stop()
	}
	if p.close != nil {
		p.close()
	}
	p.writers.Wait()
	p.all.Wait()
}
