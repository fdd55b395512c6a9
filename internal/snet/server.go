package snet

import (
	"errors"
	"fmt"

	"github.com/relink-go/relink/internal/suite"
)

// maxOffers bounds how many ids are tried for one session. Among n sessions a
// second is needed once in 2^64/n times.
const maxOffers = 8

// Serve runs the server's side of a handshake. The first byte says which.
func (p *Protocol) Serve(s suite.Stream, h suite.Host) error {
	b, err := suite.Read(s, typeSize, "the first byte (step 1)")
	if err != nil {
		return err
	}
	switch b[0] {
	case typeNew:
		return p.serveNew(s, h)
	case typeResume:
		return p.serveResume(s, h)
	}
	return suite.Malformed("the first byte (step 1) is %#02x", b[0])
}

// serveNew runs the server's side of a new session from step 2 (New session).
func (p *Protocol) serveNew(s suite.Stream, h suite.Host) error {
	b, err := suite.Read(s, clientHelloBody, "the client hello (step 2)")
	if err != nil {
		return err
	}
	if err := h.MayOpen(); err != nil {
		return fmt.Errorf("relink: a client hello (step 2): %w", err)
	}
	hello := decodeClientHello(b)
	private, err := p.newKey()
	if err != nil {
		return fmt.Errorf("relink: making a key: %w", err)
	}
	agreed, err := private.SharedSecret(hello.public)
	if err != nil {
		return suite.Malformed("the client's public key (step 2): %w", err)
	}

	// Once offered, the session can be found by a resume on another transport,
	// because the client may believe in it from here on although step 4 never
	// arrives (Provisional sessions). So nothing of it changes after Offer.
	session := p.newSession(agreed)
	mask := idMask(session.ciphers.Encrypt)
	if err := p.offer(session, h); err != nil {
		return fmt.Errorf("relink: registering the session (step 3): %w", err)
	}

	answer := serverHello{public: private.PublicKey(), challenge: p.newChallenge(session.key, 0)}
	order.PutUint64(answer.sealedID[:], session.id^mask)
	if err := suite.Write(s, answer.encode(), "the server hello (step 3)"); err != nil {
		return err
	}

	if err := session.readProof(s, answer.challenge); err != nil {
		return err
	}
	if err := h.Establish(suite.Link{}); err != nil {
		return fmt.Errorf("relink: establishing the session (step 4): %w", err)
	}
	return nil
}

// offer gives the session an id that no other has.
func (p *Protocol) offer(s *session, h suite.Host) error {
	var err error
	for range maxOffers {
		s.id = p.newID(s.key)
		if err = h.Offer(p.variant(s), lookup(s.id)); !errors.Is(err, suite.ErrKeyTaken) {
			break
		}
	}
	return err
}

// serveResume runs the server's side of a resume from step 2 (Resume). Its
// request can be replayed by whoever has seen it: nothing about the session
// changes, and nothing of it is held, before step 4 has been verified.
func (p *Protocol) serveResume(s suite.Stream, h suite.Host) error {
	body, err := suite.Read(s, resumeRequestBody, "the resume request (step 2)")
	if err != nil {
		return err
	}
	request := decodeResumeRequest(body)

	// The MAC comes before everything else that could be judged. An unknown id
	// costs one as well, so that time tells little about which ids exist.
	target, known := h.Find(lookup(request.id))
	own := new(session)
	var past pastRequest
	if known {
		own = ownSession(target.Session())
	} else if target, known = h.Find(overwritten(body)); known {
		own = ownSession(target.Session())
		past.proofs = []suite.Key{overwritten(body)}
		if known = own.restore(body); known {
			request = decodeResumeRequest(body)
		}
	}
	proven := authentic(own.key, body)
	switch {
	case !known:
		if err := h.PassOn(); err != nil {
			return err
		}
		return refuse(s, fmt.Errorf("%w: id %016x (step 2)", suite.ErrUnknownSession, request.id))
	case !proven:
		return refuse(s, fmt.Errorf("%w: the MAC of a resume request for session %016x is wrong (step 2)",
			suite.ErrAuthentication, request.id))
	}
	peer, err := offsets(request.sent, request.received)
	if err != nil {
		return refuse(s, fmt.Errorf("the client's request (step 2): %w", err))
	}
	claim := target.Claim()
	if err := target.Check(peer); err != nil {
		return refuse(s, fmt.Errorf("%w (step 2: the client has sent %d and received %d)",
			err, peer.Sent, peer.Received))
	}

	// What the client has received is also called what was sent, so that it takes
	// none of what follows for something of its own kind; only relink's clients are
	// told how much there is (Counts of an answer).
	answer := resumeAnswer{
		sent:      request.received,
		received:  uint64(claim.Received),
		challenge: p.newChallenge(own.key, claim.Sent-peer.Received),
	}
	past.sent = request.sent
	own.remember(target, past, answer.challenge)
	if err := suite.Write(s, answer.encode(), "the answer to the resume (step 3)"); err != nil {
		return err
	}
	if err := own.readProof(s, answer.challenge); err != nil {
		return err
	}
	// What has become impossible since step 3 is not refused here, for the
	// client is past the point where it would understand. Its next attempt
	// gets the zeros.
	if err := target.TakeOver(claim, suite.Link{Peer: peer}); err != nil {
		return fmt.Errorf("relink: taking the session over (step 4): %w", err)
	}
	return nil
}

// refuse sends the final no to a resume and returns why (Refusal).
func refuse(s suite.Stream, reason error) error {
	var zeros [refusalSize]byte
	if err := suite.Write(s, zeros[:], "the refusal (step 3')"); err != nil {
		return fmt.Errorf("%w; %w", reason, err)
	}
	return reason
}

// readProof reads step 4 and verifies it.
func (s *session) readProof(t suite.Stream, c challenge) error {
	proof, err := suite.Read(t, proofSize, "the proof (step 4)")
	if err != nil {
		return err
	}
	if !s.key.verify(c[:], proof) {
		return fmt.Errorf("%w: the MAC of the challenge is wrong (step 4)", suite.ErrAuthentication)
	}
	return nil
}
