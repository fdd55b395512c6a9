package quic

import (
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/quic-go/quic-go"
)

// Protocol is what both sides say in ALPN, unless their TLSConfig names protocols.
const Protocol = "relink"

// The defaults of [Config] and [Dialer].
const (
	defaultHandshakeTimeout = 10 * time.Second
	defaultIdleTimeout      = 30 * time.Second
	defaultKeepConnection   = 10 * time.Second
	defaultMaxHandshakes    = 1024
	defaultMaxStreams       = 100
	defaultBacklog          = 128
)

const (
	// streamWindow and connWindow bound what a peer may send ahead of the
	// application, in bytes.
	streamWindow = 2 << 20
	connWindow   = 4 << 20

	// lingerTime is how long a connection stays after its last stream, if nobody
	// keeps it for longer: what was sent last may have to be sent again.
	lingerTime = 5 * time.Second
)

// The codes that streams and connections end with.
const (
	codeNone     = 0 // nobody needs the connection any more
	codeAborted  = 1 // SetLinger(0), or nobody reads any more
	codeGreeting = 2 // no greeting, or a wrong one
	codeBusy     = 3 // the backlog is full
	codeClosed   = 4 // the listener is closed
)

// A Config says how a [Listener] treats its clients. Only TLSConfig must be set.
type Config struct {
	// TLSConfig has the certificate. NextProtos is set to [Protocol] if it is
	// empty.
	TLSConfig *tls.Config

	// HandshakeTimeout bounds the time from a client's first packet to the end
	// of the handshake, and the time until a connection or stream says something.
	// Default 10 seconds.
	HandshakeTimeout time.Duration

	// IdleTimeout is how long nothing may arrive on a connection until it ends.
	// The shorter one of both sides holds. Default 30 seconds.
	IdleTimeout time.Duration

	// MaxHandshakes bounds the connections in their handshake. The second half of
	// them must prove their address first, which costs them a round trip; beyond
	// that they are refused. Default 1024.
	MaxHandshakes int

	// MaxStreams bounds the streams of a connection. Default 100.
	MaxStreams int

	// Backlog is how many streams may wait for Accept. Further ones are reset.
	// Default 128.
	Backlog int

	// ResetKey, if it stays the same over restarts of the server, lets clients
	// learn at once that their connection did not survive one. It is a secret.
	ResetKey *[32]byte

	// ZeroRTT takes what clients send with their first packet. It can be repeated
	// by whoever has seen it, which relink's Noise withstands.
	ZeroRTT bool
}

// resolve checks the configuration and fills in the defaults.
func (cfg Config) resolve() (Config, error) {
	t := cfg.TLSConfig
	if t == nil || len(t.Certificates) == 0 && t.GetCertificate == nil && t.GetConfigForClient == nil {
		return cfg, errors.New("quic: Config.TLSConfig has no certificate, without which QUIC does not go")
	}
	cfg.TLSConfig = withProtocol(t)
	for _, d := range []struct {
		name  string
		value *time.Duration
		def   time.Duration
	}{
		{"HandshakeTimeout", &cfg.HandshakeTimeout, defaultHandshakeTimeout},
		{"IdleTimeout", &cfg.IdleTimeout, defaultIdleTimeout},
	} {
		if err := resolveTime(d.value, d.def); err != nil {
			return cfg, fmt.Errorf("quic: Config.%s: %w", d.name, err)
		}
	}
	for _, d := range []struct {
		name  string
		value *int
		def   int
	}{
		{"MaxHandshakes", &cfg.MaxHandshakes, defaultMaxHandshakes},
		{"MaxStreams", &cfg.MaxStreams, defaultMaxStreams},
		{"Backlog", &cfg.Backlog, defaultBacklog},
	} {
		if *d.value < 0 {
			return cfg, fmt.Errorf("quic: Config.%s is %d: use a positive number, or 0 for the default of %d", d.name, *d.value, d.def)
		}
		if *d.value == 0 {
			*d.value = d.def
		}
	}
	return cfg, nil
}

func resolveTime(d *time.Duration, def time.Duration) error {
	if *d < 0 {
		return fmt.Errorf("%v: use a positive time, or 0 for the default of %v", *d, def)
	}
	if *d == 0 {
		*d = def
	}
	return nil
}

// withProtocol returns a copy that names a protocol.
func withProtocol(t *tls.Config) *tls.Config {
	if t == nil {
		t = new(tls.Config)
	}
	t = t.Clone()
	if len(t.NextProtos) == 0 {
		t.NextProtos = []string{Protocol}
	}
	t.NextProtos = slices.Clone(t.NextProtos)
	return t
}

// quicConfig returns what both sides have in common.
func quicConfig(handshake, idle time.Duration) *quic.Config {
	return &quic.Config{
		HandshakeIdleTimeout:       handshake / 2, // the whole of it may take twice as long
		MaxIdleTimeout:             idle,
		MaxIncomingStreams:         -1,
		MaxIncomingUniStreams:      -1,
		MaxStreamReceiveWindow:     streamWindow,
		MaxConnectionReceiveWindow: connWindow,
	}
}
