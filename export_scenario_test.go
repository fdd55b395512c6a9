package relink

import (
	"net"

	"github.com/relink-go/relink/internal/suite"
)

// The windows through which the tests of races look at what has no public
// name.

// KeysOf returns how many keys sessions have in the listener's table, provisional
// ones included.
func KeysOf(l *Listener) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.table)
}

// WatchedBy returns how many sessions the listener ticks for.
func WatchedBy(l *Listener) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.watch)
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
	s    *handshakeStream
	link suite.Link
}

// PresentResume runs the client's side of a resume on a transport, as a client
// does that has gone mad and redials on many transports at once.
func PresentResume(c *Conn, t net.Conn) *Presented {
	p := &Presented{Transport: t, c: c, s: newStream(t)}
	p.link, p.Err = c.session().Resume(p.s, clientView{c})
	return p
}

// Adopt makes the transport the link of the client's session, which must have
// none.
func (p *Presented) Adopt() {
	p.c.mu.Lock()
	defer p.c.unlock()
	p.c.attachLocked(p.s, p.c.recv.Received(), p.link)
}
