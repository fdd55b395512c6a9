package relink

import (
	"net"

	"github.com/relink-go/relink/internal/suite"
)

// The windows that the fuzz targets need.

// Chosen returns the place in the list of the suite that a listener finds for a
// client's first bytes, which it reads from the transport.
func Chosen(suites []ServerSuite, t net.Conn) (int, error) {
	set, err := (&ListenConfig{Suites: suites}).resolve()
	if err != nil {
		return 0, err
	}
	return newStream(t).choose(set.protocols)
}

// A RawClient is the client's side of a session below the core: it has valid
// keys, and the test says what it does with them.
type RawClient struct {
	Link suite.Link // of the newest transport

	session suite.Session
	s       *handshakeStream
}

// OpenRaw runs a client's handshake on a transport. The client tells the window.
func OpenRaw(s ClientSuite, t net.Conn, window int) (*RawClient, error) {
	set, err := (&Dialer{Suite: s, Config: Config{ReplayLimit: window}}).resolve()
	if err != nil {
		return nil, err
	}
	r := &RawClient{s: newStream(t)}
	r.session, r.Link, err = set.protocols[0].Open(r.s)
	return r, err
}

// Resume runs the handshake of a resume on a transport. After an error the link
// is what it was.
func (r *RawClient) Resume(t net.Conn, c suite.Client) error {
	s := newStream(t)
	link, err := r.session.Resume(s, c)
	if err == nil {
		r.s, r.Link = s, link
	}
	return err
}

// Receive reads the next record of the newest transport.
func (r *RawClient) Receive() (suite.Record, error) {
	for {
		in := r.s.rest()
		rec, n, err := r.Link.Codec.Open(nil, in)
		if err != nil || n > 0 {
			r.s.pos += n
			return rec, err
		}
		if err := r.s.fill(max(len(in)+1, r.Link.Codec.MaxRecord())); err != nil {
			return suite.Record{}, err
		}
	}
}
