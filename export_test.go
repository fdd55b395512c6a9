package relink

import (
	"net"

	"github.com/relink-go/relink/internal/suite"
)

// NewTestSuite makes a Suite of a protocol that exists only in tests.
func NewTestSuite(p suite.Protocol) Suite { return wire{p: p} }

// Resolved returns the configuration with its defaults filled in.
func (cfg Config) Resolved() (Config, error) {
	s, err := cfg.resolve()
	if err != nil {
		return Config{}, err
	}
	return s.Config, nil
}

// OpenOn runs a client's handshake on a transport and keeps nothing of the
// session.
func OpenOn(s Suite, t net.Conn) error {
	set, err := Config{Suites: []Suite{s}}.resolve()
	if err != nil {
		return err
	}
	if err := set.configure(false); err != nil {
		return err
	}
	_, sl, err := set.protocols[0].Open(newStream(t))
	if err == nil && sl.Codec != nil { // what convinces the server
		_, err = t.Write(sl.Codec.Seal(nil, nil, suite.Control{Ack: true, Limit: int64(set.ReplayLimit)}))
	}
	return err
}

// AckWaits says whether an acknowledgement waits for a goroutine to send it.
func AckWaits(c *Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ackWaitsLocked()
}
