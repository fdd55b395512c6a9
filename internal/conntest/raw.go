package conntest

import (
	"errors"
	"io"
	"net"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/suite"
)

// A rawClient is the client's side of a session below the core: it has valid
// keys, and the test says what it does with them.
type rawClient struct {
	link suite.Link // of the newest transport

	session suite.Session
	s       *rawStream
}

// openRaw runs a client's handshake on a transport. The client tells the window.
func openRaw(s relink.ClientSuite, t net.Conn, window int64) (*rawClient, error) {
	p, err := s.ClientProtocol()
	if err != nil {
		return nil, err
	}
	if c, ok := p.(suite.Configurable); ok {
		if p, err = c.Configure(false, window); err != nil {
			return nil, err
		}
	}
	r := &rawClient{s: &rawStream{Conn: t}}
	r.session, r.link, err = p.Open(r.s)
	return r, err
}

// openOn opens a session on a transport and keeps nothing of it.
func openOn(s relink.ClientSuite, t net.Conn) error {
	r, err := openRaw(s, t, DefaultReplayLimit)
	if err == nil && r.link.Codec != nil { // what convinces the server
		_, err = t.Write(r.link.Codec.Seal(nil, nil, suite.Control{Ack: true, Limit: DefaultReplayLimit}))
	}
	return err
}

// resume runs the handshake of a resume on a transport. After an error the link
// is what it was.
func (r *rawClient) resume(t net.Conn, c suite.Client) error {
	s := &rawStream{Conn: t}
	link, err := r.session.Resume(s, c)
	if err == nil {
		r.s, r.link = s, link
	}
	return err
}

// receive reads the next record of the newest transport.
func (r *rawClient) receive() (suite.Record, error) {
	for {
		rec, n, err := r.link.Codec.Open(nil, r.s.buf)
		if err != nil || n > 0 {
			r.s.buf = r.s.buf[n:]
			return rec, err
		}
		if err := r.s.fill(); err != nil {
			return suite.Record{}, err
		}
	}
}

// A rawStream is a transport as a protocol's handshake wants it.
type rawStream struct {
	net.Conn
	buf []byte // what has arrived and was not taken
}

// Next implements suite.Stream.
func (s *rawStream) Next(n int) ([]byte, error) {
	for len(s.buf) < n {
		if err := s.fill(); err != nil {
			if errors.Is(err, io.EOF) && len(s.buf) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	b := s.buf[:n]
	s.buf = s.buf[n:]
	return b, nil
}

// fill reads once. What was returned before stays as it is.
func (s *rawStream) fill() error {
	b := make([]byte, 20<<10)
	n, err := s.Conn.Read(b)
	if n > 0 {
		s.buf, err = append(s.buf[:len(s.buf):len(s.buf)], b[:n]...), nil
	}
	return err
}
