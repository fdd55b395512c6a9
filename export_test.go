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
	return ListenConfig{Config: s.Config, Suites: lc.Suites, MaxSessions: s.MaxSessions, MaxHandshakes: s.MaxHandshakes}, nil
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
	s := fmt.Sprintf("%s, %s: epoch %d, sender %d, receiver %d, waiting R/W/A %v/%v/%v, writing %v, watched %v, standing %v\n"+
		"  out %d..%d of %d, ciphered %d, maxSent %d, acked %d, peerLimit %d, finQueued %v sent %v acked %v, peerStopped %v, writeErr %v\n"+
		"  in %d..%d, received %d, drainTo %d, toldLimit %d, finReceived %v, closed %v, done %v, readErr %v, ackDue %+v, ping %v pong %v",
		side, locked, c.epoch, c.sender, c.receiver, c.readers.waited(), c.writers.waited(), c.ackers.waited(), c.writing, c.watched, c.standing,
		c.out.Start(), c.out.End(), c.out.Limit(), c.ciphered, c.maxSent, c.acked, c.peerLimit, c.finQueued, c.finSent, c.finAcked, c.peerStopped, c.writeErr,
		c.in.Start(), c.in.End(), c.received, c.drainTo, c.toldLimit, c.finReceived, c.closed, c.done, c.readErr, c.ackDue, c.pingDue, c.pongDue)
	if l := c.link; l != nil {
		s += fmt.Sprintf("\n  link: sent %d, pos %d, sealed %v, read deadline %d, input %d, replayUnknown %v, asked %v, probe %+v",
			l.sent, l.pos, l.sealed(), l.readDeadline, len(l.input)-l.inPos, l.replayUnknown, l.asked, l.probe)
	} else {
		s += fmt.Sprintf("\n  no link: %+v", c.lost)
	}
	return s
}
