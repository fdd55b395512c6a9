package subject

import (
	"errors"
	"io"
	"net"

	"github.com/relink-go/relink/internal/suite"
)

// Enter runs a client's handshake of a new session on a transport and keeps
// nothing of the session. A process that holds a hundred thousand sessions of
// a server needs no hundred thousand clients then, whose memory would be
// measured with the server's.
func (s session) Enter(transport net.Conn) error {
	p, err := s.client()
	if err != nil {
		return err
	}
	_, l, err := p.Open(&handshakeStream{transport: transport})
	if err != nil || l.Codec == nil {
		return err
	}
	// On the wire of Noise a server gives the application a session when the
	// client has proven with a first record that it is there.
	_, err = transport.Write(l.Codec.Seal(nil, nil, suite.Control{Ack: true, Limit: replayLimit}))
	return err
}

// client returns the suite's protocol, set up for a client.
func (s session) client() (suite.Protocol, error) {
	_, client, err := s.suites()
	if err != nil {
		return nil, err
	}
	p, err := client.ClientProtocol()
	if err != nil {
		return nil, err
	}
	if c, ok := p.(suite.Configurable); ok {
		return c.Configure(false, replayLimit)
	}
	return p, nil
}

// A handshakeStream is a transport as a protocol's handshake wants it.
type handshakeStream struct {
	transport net.Conn
	buf       []byte
}

func (s *handshakeStream) Write(p []byte) (int, error) { return s.transport.Write(p) }

func (s *handshakeStream) Next(n int) ([]byte, error) {
	s.buf = make([]byte, n)
	if _, err := io.ReadFull(s.transport, s.buf); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return s.buf, nil
}
