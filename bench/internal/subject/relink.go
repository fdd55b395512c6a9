package subject

import (
	"context"
	"fmt"
	"net"

	"github.com/relink-go/relink"
)

// replayLimit is the default of relink.Config.
const replayLimit = 4 << 20

// session is relink itself, with one of its suites and otherwise default
// settings.
type session struct {
	name        string
	credentials Credentials
}

func (s session) Name() string { return s.name }

func (s session) About() string {
	switch s.name {
	case DH64RC4:
		return "A relink session with the suite DH64RC4: obfuscation, and it survives the loss of its transports. Default settings."
	case SCP:
		return "A relink session with the suite SCP: as DH64RC4, on another wire."
	default:
		return "A relink session with the suite Noise: the client knows the server by its key, records are sealed with AES-256-GCM where the processor " +
			"has AES and ChaCha20-Poly1305 elsewhere, the peer acknowledges, and it survives the loss of its transports. Default settings."
	}
}

func (session) ConcurrentWrites() bool { return true }

func (s session) Listen() (net.Listener, error) { return s.NewListener(relink.Config{}) }

// NewListener listens with other settings than the default ones.
func (s session) NewListener(cfg relink.Config) (*relink.Listener, error) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return s.Wrap(inner, cfg)
}

// Wrap puts the server on a listener of any kind.
func (s session) Wrap(inner net.Listener, cfg relink.Config) (*relink.Listener, error) {
	suite, _, err := s.suites()
	if err != nil {
		return nil, err
	}
	return relink.NewListener(inner, relink.ListenConfig{Config: cfg, Suites: []relink.ServerSuite{suite}})
}

func (s session) Dial(ctx context.Context, n Network, address string) (net.Conn, error) {
	d, err := s.NewDialer(n, relink.Config{})
	if err != nil {
		return nil, err
	}
	return d.DialContext(ctx, "tcp", address)
}

// NewDialer returns a dialer with other settings than the default ones.
func (s session) NewDialer(n Network, cfg relink.Config) (*relink.Dialer, error) {
	_, suite, err := s.suites()
	if err != nil {
		return nil, err
	}
	d := &relink.Dialer{Config: cfg, Suite: suite}
	if _, direct := n.(Loopback); !direct {
		d.DialTransport = func(ctx context.Context, _, address string) (net.Conn, error) { return n.DialTCP(ctx, address) }
	}
	return d, nil
}

// suites returns both sides' suites.
func (s session) suites() (relink.ServerSuite, relink.ClientSuite, error) {
	switch s.name {
	case DH64RC4:
		return relink.DH64RC4Server{}, relink.DH64RC4Client{}, nil
	case SCP:
		return relink.SCPServer{}, relink.SCPClient{}, nil
	case Noise:
		key, err := relink.ParsePrivateKey(s.credentials.Noise)
		if err != nil {
			return nil, nil, err
		}
		return relink.NoiseServer{Keys: []relink.PrivateKey{key}}, relink.NoiseClient{ServerKeys: []relink.PublicKey{key.PublicKey()}}, nil
	default:
		return nil, nil, fmt.Errorf("relink has no suite for %q", s.name)
	}
}

// A Resumable is a subject whose streams survive their transports: relink's.
type Resumable interface {
	Subject
	NewListener(relink.Config) (*relink.Listener, error)
	Wrap(net.Listener, relink.Config) (*relink.Listener, error)
	NewDialer(Network, relink.Config) (*relink.Dialer, error)
	Enter(transport net.Conn) error
}

// Resumables returns relink's suites.
func Resumables(c Credentials) []Resumable {
	var found []Resumable
	for _, s := range All(c) {
		if r, ok := s.(Resumable); ok {
			found = append(found, r)
		}
	}
	return found
}
