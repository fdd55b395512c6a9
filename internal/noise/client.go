package noise

import (
	"fmt"
	"math"

	"github.com/relink-go/relink/internal/suite"
)

// Open runs the client's side of a new session (New session). It tries the
// keys that it pins one after the other on the one transport.
func (p *Protocol) Open(s suite.Stream) (suite.Session, suite.Link, error) {
	if p.insecure {
		session, link, _, err := p.openWith(s, newNN, PublicKey{})
		return session, link, err
	}
	for i, pinned := range p.pins {
		session, link, refusal, err := p.openWith(s, newNK, pinned)
		if refusal != hintUnknownKey || i == len(p.pins)-1 {
			return session, link, err
		}
	}
	return nil, suite.Link{}, fmt.Errorf("%w: no server key is pinned", suite.ErrAuthentication)
}

// openWith asks for a new session of the server with the key.
func (p *Protocol) openWith(s suite.Stream, k kind, pinned PublicKey) (suite.Session, suite.Link, hint, error) {
	fail := func(h hint, err error) (suite.Session, suite.Link, hint, error) {
		return nil, suite.Link{}, h, err
	}
	r := request{kind: k, cipher: p.cipher}
	payload := order.AppendUint32(nil, uint32(p.window))
	answer, keys, refusal, err := p.ask(s, r, pinned, nil, payload)
	if err != nil {
		return fail(refusal, err)
	}
	a := decodeNewAnswer(answer)
	if a.status != statusOK {
		return fail(0, suite.Malformed("the server refuses a new session with the status %d", a.status))
	}
	window, err := checkWindow(a.window)
	if err != nil {
		return fail(0, err)
	}
	session := &clientSession{
		base:       base{id: keys.session, peerWindow: window},
		p:          p,
		pinned:     pinned,
		resumption: keys.resumption,
		name:       keys.id,
		node:       a.node,
	}
	return session, suite.Link{Codec: newCodec(p.cipher, keys, true, window), Limit: window}, 0, nil
}

// ask sends a request and reads the answer. keys are nil for nobody.
func (p *Protocol) ask(s suite.Stream, r request, pinned PublicKey, psk *secret, payload []byte) ([]byte, *keys, hint, error) {
	if r.kind.keyed() {
		r.hint = keyHint(pinned)
	}
	least, _ := r.kind.message1()
	r.length = least + len(payload)
	switch {
	case r.kind.isNew():
		r.length -= newPayload1
	case r.kind.isResume():
		r.length -= resumePayload1
	default:
		r.length -= queryPayload1
	}
	h, err := newHandshake(r, true, party{pinned: pinned, psk: psk, random: p.random})
	if err != nil {
		return nil, nil, 0, err
	}
	message, _, err := h.write(r.encode(), payload)
	if err != nil {
		return nil, nil, 0, err
	}
	if err := suite.Write(s, message, "the request"); err != nil {
		return nil, nil, 0, err
	}
	b, err := suite.Read(s, answerHeaderSize, "the answer")
	if err != nil {
		return nil, nil, 0, err
	}
	length, refusal, err := decodeAnswer(r.kind, b)
	if err != nil {
		return nil, nil, 0, err
	}
	if refusal != 0 {
		return nil, nil, refusal, refusal.err()
	}
	if b, err = suite.Read(s, length, "the answer's message 2"); err != nil {
		return nil, nil, 0, err
	}
	answer, k, err := h.read(b)
	if err != nil {
		return nil, nil, 0, fmt.Errorf("the server's answer: %w", err)
	}
	return answer, k, 0, nil
}

// Resume runs one attempt (Resume). Where the server says that it does not know
// the session it is asked again, in a handshake that only the server can
// answer (Query).
func (s *clientSession) Resume(t suite.Stream, c suite.Client) (suite.Link, error) {
	s.mu.Lock()
	if s.attempt == math.MaxUint32 {
		s.mu.Unlock()
		return suite.Link{}, fmt.Errorf("%w: the attempts are used up", suite.ErrRefused)
	}
	s.attempt++
	r := request{kind: resumeNK, cipher: s.p.cipher, node: s.node, id: s.name, attempt: s.attempt}
	psk := s.resumption
	s.mu.Unlock()
	if s.p.insecure {
		r.kind = resumeNN
	}

	own := c.Offsets()
	early := make([]byte, giveEarly)
	start, n := c.Pending(early)
	claim := resumeClaim{received: uint64(own.Received), start: uint64(start), data: early[:n]}
	payload, keys, refusal, err := s.p.ask(t, r, s.pinned, &psk, claim.encode())
	if refusal == hintUnknownSession {
		return suite.Link{}, s.query(t, r)
	}
	if err != nil {
		return suite.Link{}, err
	}
	answer := decodeResumeAnswer(payload)
	switch answer.status {
	case statusOK:
	case statusClosed:
		received, err := offset(answer.number)
		if err != nil {
			return suite.Link{}, err
		}
		return suite.Link{}, &suite.EndedError{Received: received}
	case statusAborted:
		code := suite.ResetCode(min(answer.number, math.MaxUint16))
		return suite.Link{}, &suite.EndedError{Code: max(suite.ResetAborted, code)}
	case statusBadOffset:
		return suite.Link{}, fmt.Errorf("%w: the server says so", suite.ErrCounters)
	default:
		return suite.Link{}, suite.Malformed("a resume was answered with the status %d", answer.status)
	}
	received, err := offset(answer.number)
	if err != nil {
		return suite.Link{}, err
	}
	peer := suite.Offsets{Sent: suite.Unknown, Received: received}
	if err := c.Check(peer); err != nil {
		return suite.Link{}, fmt.Errorf("%w (the server has received %d bytes)", err, received)
	}
	if !s.take(r, keys, answer.node) {
		return suite.Link{}, suite.ErrSuperseded
	}
	return suite.Link{
		Codec: newCodec(r.cipher, keys, true, s.peerWindow),
		Peer:  peer,
		Early: suite.Early{Offset: own.Received, Data: answer.data},
	}, nil
}

// take replaces the secret by that of an answer, unless another attempt was
// begun meanwhile, which gives the older ones up.
func (s *clientSession) take(r request, k *keys, node uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.name != r.id || s.attempt != r.attempt {
		return false
	}
	s.resumption, s.name, s.attempt, s.node = k.resumption, k.id, 0, node
	return true
}

// query asks whether the server really does not know the session. Only a server
// with the session's key can say so, and only the node that was asked.
func (s *clientSession) query(t suite.Stream, about request) error {
	r := request{kind: queryNK, cipher: about.cipher, node: about.node}
	if s.p.insecure {
		r.kind = queryNN
	}
	payload, _, _, err := s.p.ask(t, r, s.pinned, nil, about.id[:])
	if err != nil {
		return fmt.Errorf("%w; asked again: %w", hintUnknownSession.err(), err)
	}
	answer := decodeQueryAnswer(payload)
	s.mu.Lock()
	same := s.name == about.id
	s.mu.Unlock()
	if answer.status == statusUnknown && answer.node == about.node && same {
		return fmt.Errorf("%w: it does not know it", suite.ErrRefused)
	}
	return fmt.Errorf("%w, but then it was not sure (status %d of node %d)", hintUnknownSession.err(), answer.status, answer.node)
}
