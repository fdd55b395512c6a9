package scp

import (
	"fmt"

	"github.com/relink-go/relink/internal/suite"
)

// Open implements [suite.Protocol]. A server that gives a reason for taking no
// new session is a [StatusError].
func (p *Protocol) Open(s suite.Stream) (suite.Session, suite.Link, error) {
	key, err := p.newKey()
	if err != nil {
		return nil, suite.Link{}, fmt.Errorf("relink: making a key: %w", err)
	}
	request := newRequest{key: key.PublicKey(), wish: p.wish}
	if err := suite.Write(s, request.packet(), "the request for a session"); err != nil {
		return nil, suite.Link{}, err
	}
	content, err := readPacket(s, "the answer to the request for a session")
	if err != nil {
		return nil, suite.Link{}, err
	}
	answer, err := parseNewAnswer(content)
	if err != nil {
		return nil, suite.Link{}, err
	}
	secret, err := key.SharedSecret(answer.key)
	if err != nil {
		return nil, suite.Link{}, suite.Malformed("the server's public key: %w", err)
	}
	return p.variant(newSession(answer.id, secret, p.wish)), suite.Link{}, nil
}

// Resume implements [suite.Session]. A refusal is a [StatusError].
func (s *Session) Resume(st suite.Stream, c suite.Client) (suite.Link, error) {
	// The index is spent here, whatever becomes of the attempt: the server may
	// have accepted it although its answer never arrives.
	request := resumeRequest{id: s.id, index: s.index.Add(1)}
	own := c.Offsets()
	request.received = uint32(own.Received)
	request.mac = request.sign(s.secret)
	if err := suite.Write(st, request.packet(), "the resume request"); err != nil {
		return suite.Link{}, err
	}
	content, err := readPacket(st, "the answer to the resume")
	if err != nil {
		return suite.Link{}, err
	}
	answer, err := parseResumeAnswer(content)
	if err != nil {
		return suite.Link{}, err
	}
	if answer.code != StatusOK {
		return suite.Link{}, StatusError{Code: answer.code}
	}
	peer, ok := peerOffsets(own.Sent, answer.received)
	if !ok {
		// No server has more than was sent, so that this is none (section 6).
		return suite.Link{}, suite.Malformed("the server has %d bytes of %d", answer.received, own.Sent)
	}
	if err := c.Check(peer); err != nil {
		return suite.Link{}, err
	}
	return suite.Link{Peer: peer}, nil
}
