package relink

import (
	"fmt"
	"net"

	"github.com/relink-go/relink/internal/suite"
)

// Resolved returns the settings with their defaults filled in.
func (lc ListenConfig) Resolved() (ListenConfig, error) {
	s, err := lc.resolve()
	if err != nil {
		return ListenConfig{}, err
	}
	return ListenConfig{Config: s.Config, Suites: lc.Suites, MaxSessions: s.MaxSessions, MaxHandshakes: s.MaxHandshakes, MaxHandshakesPerAddress: s.MaxHandshakesPerAddress}, nil
}

// Resolved returns the settings with their defaults filled in.
func (d Dialer) Resolved() (Dialer, error) {
	s, err := d.resolve()
	if err != nil {
		return Dialer{}, err
	}
	return Dialer{Config: s.Config, Suite: d.Suite, AttemptTimeout: s.AttemptTimeout, MinBackoff: s.MinBackoff, MaxBackoff: s.MaxBackoff}, nil
}

// OpenOn runs a client's handshake on a transport and keeps nothing of the
// session.
func OpenOn(s ClientSuite, t net.Conn) error {
	set, err := (&Dialer{Suite: s}).resolve()
	if err != nil {
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

// Describe says what state a Conn is in, for a test that hangs: also where somebody
// holds its lock for ever.
func Describe(c *Conn) string {
	side := "server"
	if c.server == nil {
		side = "client"
	}
	locked := "lock free"
	if c.mu.TryLock() {
		defer c.mu.Unlock()
	} else {
		locked = "LOCK HELD"
	}
	s := fmt.Sprintf("%s, %s: epoch %d, sender %d, receiver %d, waiting R/W/A %v/%v/%v, watched %v, background read %v, closed %v, done %v, ping %v, pong %v\n"+
		"  send %+v\n  receive %+v",
		side, locked, c.epoch, c.sender, c.receiver, c.readers.waited(), c.writers.waited(), c.ackers.waited(),
		c.watched, c.backgroundRead, c.closed, c.done, c.pingDue, c.pongDue, &c.send, &c.recv)
	if l := c.link; l != nil {
		s += fmt.Sprintf("\n  link: sealed %v, read deadline %d, input %d, asked %v, probe %+v",
			l.sealed(), l.readDeadline, len(l.input)-l.inPos, l.outstanding, l.probe)
	} else {
		s += fmt.Sprintf("\n  no link: %+v", c.lost)
	}
	return s
}

// HoldFlusher makes goroutines that are to be the session's flusher wait before they
// begin, until release is called.
func HoldFlusher(c *Conn) (release func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	gate := make(chan struct{})
	c.flusher = func() {
		<-gate
		c.flush()
	}
	return func() { close(gate) }
}
