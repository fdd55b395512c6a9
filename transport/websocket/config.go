package websocket

import (
	"crypto/tls"
	"fmt"
	"log"
	"net/http"
	"net/netip"
	"path"
	"strings"
	"time"
)

// The defaults of [Config] and [Dialer].
const (
	defaultMessageSize      = 32 << 10
	defaultHandshakeTimeout = 10 * time.Second
	defaultBacklog          = 128
	defaultClientAddrHeader = "X-Forwarded-For"
)

// MinMessageSize and MaxMessageSize bound MessageSize, in bytes.
const (
	MinMessageSize = 128
	MaxMessageSize = 1 << 20
)

// A Config says how a [Listener] treats its clients. The zero value is usable.
type Config struct {
	// Origins are the hosts, beside the server's own, whose pages may connect:
	// patterns of [path.Match] for a host ("*.example.com", "localhost:8080"), or
	// with "://" for a scheme and host. "*" lets every page connect. Clients that
	// are no browsers send no Origin, and may connect in any case. A proxy that
	// changes the Host header makes the server's own pages strangers.
	Origins []string

	// Subprotocol is what a client must offer in Sec-WebSocket-Protocol. Empty
	// means that it need not offer any.
	Subprotocol string

	// TrustedProxies are the addresses from which ClientAddrHeader is believed.
	// From all others it is ignored.
	TrustedProxies []netip.Prefix

	// ClientAddrHeader names the header in which a trusted proxy tells the
	// client's address: one address, or a list to which each proxy adds at the
	// end, in any number of lines. Default X-Forwarded-For. Proxies that set
	// another must be made to strip this one from what clients send.
	ClientAddrHeader string

	// MessageSize is the most bytes in a message that is sent. Default 32 KiB.
	// The messages that are received may be of any length.
	MessageSize int

	// Backlog is how many connections may wait for Accept. Further clients are
	// answered 503. Default 128.
	Backlog int

	// The rest is for [Listen] alone.

	// Path is where the server takes WebSockets; elsewhere it answers 404.
	// Default "/".
	Path string

	// TLSConfig makes the server one of wss. It needs a certificate.
	TLSConfig *tls.Config

	// HandshakeTimeout bounds the time from a client's TCP connection to the end
	// of its request. Default 10 seconds.
	HandshakeTimeout time.Duration

	// ErrorLog is told of failed TLS handshakes and the like. Nil means silence.
	ErrorLog *log.Logger
}

// resolve checks the configuration and fills in the defaults.
func (cfg Config) resolve() (Config, error) {
	for _, pattern := range cfg.Origins {
		if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
			return cfg, fmt.Errorf("websocket: Config.Origins: %q is no pattern of path.Match: name a host, for instance *.example.com", pattern)
		}
	}
	if err := checkSubprotocol(cfg.Subprotocol); err != nil {
		return cfg, fmt.Errorf("websocket: Config.Subprotocol: %w", err)
	}
	for _, prefix := range cfg.TrustedProxies {
		if !prefix.IsValid() {
			return cfg, fmt.Errorf("websocket: Config.TrustedProxies: %v is no prefix", prefix)
		}
	}
	switch {
	case cfg.ClientAddrHeader == "":
		cfg.ClientAddrHeader = defaultClientAddrHeader
	case len(cfg.TrustedProxies) == 0:
		return cfg, fmt.Errorf("websocket: Config.ClientAddrHeader is %q without TrustedProxies: anybody can send that header; say from whom it is believed", cfg.ClientAddrHeader)
	case strings.EqualFold(cfg.ClientAddrHeader, "Forwarded"):
		return cfg, fmt.Errorf("websocket: Config.ClientAddrHeader: the Forwarded header of RFC 7239 is not understood; let the proxy set %s", defaultClientAddrHeader)
	}
	if cfg.Backlog == 0 {
		cfg.Backlog = defaultBacklog
	}
	if cfg.Backlog < 0 {
		return cfg, fmt.Errorf("websocket: Config.Backlog is %d: use a positive number, or 0 for the default of %d", cfg.Backlog, defaultBacklog)
	}
	if cfg.Path == "" {
		cfg.Path = "/"
	}
	if !strings.HasPrefix(cfg.Path, "/") {
		return cfg, fmt.Errorf("websocket: Config.Path is %q: it begins with /", cfg.Path)
	}
	if err := resolveTimeout(&cfg.HandshakeTimeout); err != nil {
		return cfg, fmt.Errorf("websocket: Config.HandshakeTimeout: %w", err)
	}
	if err := resolveMessageSize(&cfg.MessageSize); err != nil {
		return cfg, fmt.Errorf("websocket: Config.MessageSize: %w", err)
	}
	return cfg, nil
}

func resolveMessageSize(size *int) error {
	if *size == 0 {
		*size = defaultMessageSize
	}
	if *size < MinMessageSize || *size > MaxMessageSize {
		return fmt.Errorf("%d bytes: use %d to %d, or 0 for the default of %d", *size, MinMessageSize, MaxMessageSize, defaultMessageSize)
	}
	return nil
}

func resolveTimeout(timeout *time.Duration) error {
	if *timeout < 0 {
		return fmt.Errorf("%v: use a positive time, or 0 for the default of %v", *timeout, defaultHandshakeTimeout)
	}
	if *timeout == 0 {
		*timeout = defaultHandshakeTimeout
	}
	return nil
}

// checkSubprotocol holds a name to RFC 6455, section 4.1: a token.
func checkSubprotocol(name string) error {
	for _, r := range name {
		if r <= ' ' || r > '~' || strings.ContainsRune(`()<>@,;:\"/[]?={}`, r) {
			return fmt.Errorf("%q is no token", name)
		}
	}
	return nil
}

// offers reports whether a client has offered the subprotocol.
func offers(h http.Header, subprotocol string) bool {
	for _, line := range h.Values("Sec-WebSocket-Protocol") {
		for offer := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(offer), subprotocol) {
				return true
			}
		}
	}
	return false
}
