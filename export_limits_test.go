package relink

import (
	"net"
	"time"

	"github.com/relink-go/relink/internal/stream"
	"github.com/relink-go/relink/internal/suite"
)

// IsClassic reports whether the suite's wire carries the stream alone, without
// acknowledgements or the end of a direction.
func IsClassic(s ClientSuite) bool {
	p, err := s.ClientProtocol()
	return err == nil && !p.Traits().Acks && !p.Traits().HalfClose
}

// SetCounters moves an idle session to these offsets of its two streams, as if
// so much had been exchanged. The two sides must be moved alike.
func (c *Conn) SetCounters(sent, received int64) {
	c.mu.Lock()
	defer c.unlock()
	c.send.Init(c.session(), *c.traits(), c.set.ReplayLimit, sent)
	c.recv.Init(c.session(), *c.traits(), c.set.ReplayLimit, received)
	if c.link != nil {
		c.send.Attach(sent, 0, false)
		c.recv.Attach(received, received)
	}
}

// ClaimToHaveSent makes a client resume with a count of bytes sent that is not
// true. Its stream goes on where it was.
func (c *Conn) ClaimToHaveSent(sent int64) {
	c.mu.Lock()
	defer c.unlock()
	setSession(c, liar{c.session(), sent})
	c.linkLostLocked(c.link, errNetworkChanged)
}

// A liar is the session of ClaimToHaveSent.
type liar struct {
	suite.Session
	sent int64
}

func (l liar) Resume(s suite.Stream, c suite.Client) (suite.Link, error) {
	return l.Session.Resume(s, liarClient{c, l.sent})
}

type liarClient struct {
	suite.Client
	sent int64
}

func (l liarClient) Offsets() suite.Offsets {
	o := l.Client.Offsets()
	o.Sent = l.sent
	return o
}

// The bounds that tests go to.
const (
	MaxQueuedEvents   = maxQueuedEvents
	MaxQueuedRefusals = maxQueuedRefusals
	UnacceptedBound   = unacceptedBound
	LittleCarried     = littleCarried
	MaxPending        = stream.MaxPending
	StandbyBound      = stream.StandbyBound
)

// ErrInternal is errInternal.
var ErrInternal = errInternal

// HandshakeBuffers returns the bytes that the buffers of the handshakes under way
// take. All of them have to be waiting for their clients.
func HandshakeBuffers(l *Listener) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.antechamber.all() {
		n += cap(h.stream.buf)
	}
	return n
}

// MaxTombstones is the most ended sessions that a listener remembers.
const MaxTombstones = maxTombstones

// Bury makes the listener remember n sessions that never were.
func Bury(l *Listener, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range n {
		key := tableKey{0, suite.Key{0xff, byte(i), byte(i >> 8)}}
		l.ended.bury(&tombstone{keys: []tableKey{key}, expires: time.Now().Add(l.set.ResumeTimeout)}, l.tidyEnded)
	}
}

// Remembered returns how many ended sessions the listener remembers.
func Remembered(l *Listener) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended.order.Len()
}

// OriginOf returns what counts as one client, or nothing where none does.
func OriginOf(a net.Addr) string {
	if o := originOf(a); o.IsValid() {
		return o.String()
	}
	return ""
}

// Origins returns of how many origins the listener counts handshakes.
func Origins(l *Listener) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.origins.count)
}
