package snet

import (
	"errors"
	"fmt"

	"github.com/relink-go/relink/internal/suite"
)

// Open runs the client's side of a new session (New session).
func (p *Protocol) Open(s suite.Stream) (suite.Session, suite.Link, error) {
	private, err := p.newKey()
	if err != nil {
		return nil, suite.Link{}, fmt.Errorf("relink: making a key: %w", err)
	}
	hello := clientHello{public: private.PublicKey()}
	if err := suite.Write(s, hello.encode(), "the client hello (steps 1 and 2)"); err != nil {
		return nil, suite.Link{}, err
	}

	b, err := suite.Read(s, serverHelloSize, "the server hello (step 3)")
	if err != nil {
		return nil, suite.Link{}, err
	}
	if isText(b) {
		return nil, suite.Link{}, suite.Malformed("the server hello (step 3) is text, %q", b)
	}
	answer := decodeServerHello(b)
	agreed, err := private.SharedSecret(answer.public)
	if err != nil {
		return nil, suite.Link{}, suite.Malformed("the server's public key (step 3): %w", err)
	}
	session := p.newSession(agreed)
	session.id = order.Uint64(answer.sealedID[:]) ^ idMask(session.ciphers.Decrypt)

	// Whether this arrives is not known. If it does not, the server still
	// knows the session, and a resume completes it (Provisional sessions).
	proof := session.key.mac(answer.challenge[:])
	if err := suite.Write(s, proof[:], "the proof (step 4)"); err != nil {
		return nil, suite.Link{}, err
	}
	return p.variant(session), suite.Link{}, nil
}

// Resume runs the client's side of a resume (Resume).
func (s *session) Resume(t suite.Stream, c suite.Client) (suite.Link, error) {
	own := c.Offsets()
	request := resumeRequest{id: s.id, sent: uint64(own.Sent), received: uint64(own.Received)}
	if err := suite.Write(t, request.encode(s.key), "the resume request (steps 1 and 2)"); err != nil {
		return suite.Link{}, err
	}

	b, err := suite.Read(t, resumeAnswerSize, "the answer to the resume (step 3)")
	if err != nil {
		return suite.Link{}, err
	}
	answer := decodeResumeAnswer(b)
	if answer.refusal() {
		return suite.Link{}, fmt.Errorf("%w (step 3: 24 zero bytes)", suite.ErrRefused)
	}
	peer, err := offsets(answer.sent, answer.received)
	if err == nil {
		if s.key.made(s.id) && peer.Sent == own.Received {
			peer.Sent = s.key.sent(peer.Sent, answer.challenge)
		}
		// This wire has no way for a client to refuse but to close before step 4,
		// so that the server's session stays as it is.
		err = c.Check(peer)
	}
	switch {
	case errors.Is(err, suite.ErrCounters):
		// A server would have refused: whoever this is, it is none (Answers of strangers).
		return suite.Link{}, suite.Malformed("the answer to the resume (step 3) is none of this session's server: %v", err)
	case err != nil:
		return suite.Link{}, fmt.Errorf("%w (step 3: the server has sent %d and received %d)",
			err, peer.Sent, peer.Received)
	}

	proof := s.key.mac(answer.challenge[:])
	if err := suite.Write(t, proof[:], "the proof (step 4)"); err != nil {
		return suite.Link{}, err
	}
	return suite.Link{Peer: peer}, nil
}

// isText reports whether all of b is printable ASCII, or space. A server hello is
// 24 bytes as good as random: it is text once in ten billion times, and an error
// page always (Answers of strangers).
func isText(b []byte) bool {
	for _, c := range b {
		if (c < ' ' || c > '~') && c != '\t' && c != '\r' && c != '\n' {
			return false
		}
	}
	return true
}
