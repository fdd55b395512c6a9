package noise

import (
	"fmt"
	"math"

	"github.com/relink-go/relink/internal/suite"
)

// Open runs the client's side of a new session (New session). On the one transport
// it tries the keys that it pins one after the other, and a lower version where
// the server is an older one.
func (p *Protocol) Open(s suite.Stream) (suite.Session, suite.Link, error) {
	r := request{version: p.highest, highest: p.highest, kind: p.kind(), cipher: p.cipher}
	pins := p.pins
	if p.opts.Insecure {
		pins = make([]PublicKey, 1)
	}
	for {
		session, link, no, err := p.openWith(s, r, pins[0])
		switch {
		case no.hint == hintUnknownKey && len(pins) > 1:
			pins = pins[1:]
		case no.hint == hintBadVersion && r.version == p.highest && no.version < r.version && no.version >= p.lowest:
			r.version = no.version
		default:
			return session, link, err
		}
	}
}

// openWith asks for a new session of the server with the key.
func (p *Protocol) openWith(s suite.Stream, r request, pinned PublicKey) (suite.Session, suite.Link, refusal, error) {
	fail := func(no refusal, err error) (suite.Session, suite.Link, refusal, error) {
		return nil, suite.Link{}, no, err
	}
	var psk *PresharedKey
	if r.kind.psk() {
		psk = p.ring.Load().psks[0]
	}
	claim := newClaim{window: uint32(p.window), target: p.opts.Target}
	answer, keys, no, err := p.ask(s, r, pinned, (*secret)(psk), claim.encode())
	if err != nil {
		return fail(no, err)
	}
	defer keys.erase()
	a := decodeNewAnswer(answer)
	switch a.status {
	case statusOK:
	case statusDenied:
		return fail(refusal{}, suite.ErrDenied)
	default:
		return fail(refusal{}, suite.Malformed("the server refuses a new session with the status %d", a.status))
	}
	window, err := checkWindow(a.window)
	if err != nil {
		return fail(refusal{}, err)
	}
	session := &clientSession{
		base: base{
			id: keys.session, binding: keys.binding, version: r.version, kind: r.kind,
			guest: newGuest(r.kind, p.clientPublic, psk, p.opts.Target), peerWindow: window,
		},
		p:          p,
		pinned:     pinned,
		instance:   a.instance,
		resumption: keys.resumption,
		name:       keys.id,
		node:       a.node,
	}
	return session, suite.Link{Codec: newCodec(p.cipher, keys, true, window), Limit: min(window, firstLimit)}, refusal{}, nil
}

// ask sends a request and reads the answer. keys are nil for nobody. psk is the
// secret of a kind that has one: the server's PSK, or a session's.
func (p *Protocol) ask(s suite.Stream, r request, pinned PublicKey, psk *secret, payload []byte) ([]byte, *keys, refusal, error) {
	fail := func(err error) ([]byte, *keys, refusal, error) { return nil, nil, refusal{}, err }
	h := newHandshake(r.kind, r.cipher, true, party{
		private: p.opts.ClientKey, public: p.clientPublic, pinned: pinned, psk: psk, random: p.random,
	})
	defer h.erase()
	if err := h.generate(); err != nil {
		return fail(err)
	}
	switch {
	case r.kind.serverPSK() && r.kind.keyed():
		r.hint = hintOf(hintSecret(&pinned, (*PresharedKey)(psk)), &h.ePub)
	case r.kind.serverPSK():
		r.hint = hintOf(hintSecret(nil, (*PresharedKey)(psk)), &h.ePub)
	case r.kind.keyed():
		r.hint = keyHint(pinned)
	}
	r.length = r.kind.overhead1() + len(payload)
	clear := r.encode()
	h.start(clear)
	message, _, err := h.write(clear, payload)
	if err != nil {
		return fail(err)
	}
	if err := suite.Write(s, message, "the request"); err != nil {
		return fail(err)
	}
	b, err := suite.Read(s, answerHeaderSize, "the answer")
	if err != nil {
		return fail(err)
	}
	length, no, err := decodeAnswer(r, b)
	if err != nil {
		return fail(err)
	}
	if no.hint != 0 {
		return nil, nil, no, no.err(r)
	}
	if b, err = suite.Read(s, length, "the answer's message 2"); err != nil {
		return fail(err)
	}
	answer, k, err := h.read(b)
	if err != nil {
		return fail(fmt.Errorf("the server's answer: %w", err))
	}
	return answer, k, refusal{}, nil
}

// Resume runs one attempt (Resume). Where the server says that it does not know
// the session it is asked again, in a handshake that only the server can
// answer (Query).
func (s *clientSession) Resume(t suite.Stream, c suite.Client) (suite.Link, error) {
	s.mu.Lock()
	if s.erased {
		s.mu.Unlock()
		return suite.Link{}, fmt.Errorf("%w: the session has ended on this side", suite.ErrRefused)
	}
	if s.attempt == math.MaxUint32 {
		s.mu.Unlock()
		return suite.Link{}, fmt.Errorf("%w: the attempts are used up", suite.ErrRefused)
	}
	s.attempt++
	r := s.requestLocked(resumeNK)
	r.id, r.attempt = s.name, s.attempt
	psk := s.resumption
	s.mu.Unlock()
	defer clear(psk[:])

	own := c.Offsets()
	early := make([]byte, giveEarly)
	start, n := c.Pending(early)
	claim := resumeClaim{received: uint64(own.Received), start: uint64(start), data: early[:n]}
	payload, keys, no, err := s.p.ask(t, r, s.pinned, &psk, claim.encode())
	if no.hint == hintUnknownSession {
		return suite.Link{}, s.query(t, r)
	}
	if err != nil {
		return suite.Link{}, err
	}
	defer keys.erase()
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
	case statusDenied:
		return suite.Link{}, &suite.EndedError{Code: suite.ResetDenied}
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
	if s.erased || s.name != r.id || s.attempt != r.attempt {
		return false
	}
	s.resumption, s.name, s.attempt, s.node = k.resumption, k.id, 0, node
	return true
}

// requestLocked returns a request of this session. kind is the one for sessions
// with a server key.
func (s *clientSession) requestLocked(k kind) request {
	if !s.kind.keyed() {
		k = k&^patternMask | patternNN
		if k.isQuery() {
			k |= s.kind & withPSK
		}
	}
	return request{version: s.version, highest: s.p.highest, kind: k, cipher: s.p.cipher, node: s.node}
}

// query asks whether the server really does not know the session. Only a server
// with the session's key can say so, and only the node that was asked; the instance
// that has made the session says it for good.
func (s *clientSession) query(t suite.Stream, about request) error {
	s.mu.Lock()
	r := s.requestLocked(queryNK)
	s.mu.Unlock()
	r.cipher, r.node = about.cipher, about.node
	var psk *secret
	if r.kind.psk() {
		psk = (*secret)(s.guest.psk)
	}
	payload, _, _, err := s.p.ask(t, r, s.pinned, psk, about.id[:])
	if err != nil {
		return fmt.Errorf("%w; asked again: %w", refusal{hint: hintUnknownSession}.err(about), err)
	}
	answer := decodeQueryAnswer(payload)
	s.mu.Lock()
	same := s.name == about.id
	s.mu.Unlock()
	switch {
	case answer.status != statusUnknown || answer.node != about.node || !same:
	case answer.instance == s.instance:
		return fmt.Errorf("%w: it does not know it", suite.ErrRefused)
	default:
		return suite.ErrOtherInstance
	}
	return fmt.Errorf("%w, but then it was not sure (status %d of node %d)", refusal{hint: hintUnknownSession}.err(about), answer.status, answer.node)
}
