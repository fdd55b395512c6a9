package relink

import (
	"net"

	"github.com/relink-go/relink/internal/suite"
)

// The windows through which the tests of races look at what has no public
// name.

// Holdings counts what a listener holds.
type Holdings struct {
	Keys       int // in the table of sessions, provisional ones included
	Live       int // sessions that are established and not ended
	Handshakes int
	Suspended  int
	Watched    int
}

// HoldingsOf returns what the listener holds now.
func HoldingsOf(l *Listener) Holdings {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Holdings{len(l.table), l.live, l.handshakes.Len(), l.suspended.Len(), len(l.watch)}
}

// EpochOf returns the number of links that the session has had.
func EpochOf(c *Conn) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return int64(c.epoch)
}

// TraitsOf returns what the wire of the suite can carry.
func TraitsOf(s ClientSuite) suite.Traits {
	p, err := s.ClientProtocol()
	if err != nil {
		return suite.Traits{}
	}
	return p.Traits()
}

// A Presented is a resume that a client has run on a transport without making
// it the link of its session.
type Presented struct {
	Transport net.Conn
	Err       error // of the handshake

	c    *Conn
	s    *stream
	link suite.Link
}

// PresentResume runs the client's side of a resume on a transport, as a client
// does that has gone mad and redials on many transports at once.
func PresentResume(c *Conn, t net.Conn) *Presented {
	p := &Presented{Transport: t, c: c, s: newStream(t)}
	p.link, p.Err = c.session.Resume(p.s, clientView{c})
	return p
}

// Adopt makes the transport the link of the client's session, which must have
// none.
func (p *Presented) Adopt() {
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	p.c.attachLocked(p.Transport, p.s.rest(), p.c.received, p.link)
}
