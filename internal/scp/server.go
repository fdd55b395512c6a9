package scp

import (
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/relink-go/relink/internal/suite"
)

// maxIDs bounds the search for an id that is free. With a random id, even a
// listener with a billion sessions finds none once in 2^128 times.
const maxIDs = 64

// Serve implements [suite.Protocol].
func (p *Protocol) Serve(s suite.Stream, h suite.Host) error {
	content, err := readPacket(s, "the request")
	if err != nil {
		return refuseMalformed(s, err)
	}
	open, resume, err := parseRequest(content)
	switch {
	case err != nil:
		return refuseMalformed(s, err)
	case open != nil:
		return p.serveNew(s, h, open)
	default:
		return serveResume(s, h, resume)
	}
}

// serveNew runs the server's side of a new session. It is established as soon
// as the answer is out, since there is no confirmation to wait for.
func (p *Protocol) serveNew(s suite.Stream, h suite.Host, request *newRequest) error {
	if err := h.MayOpen(); err != nil {
		return refuse(s, StatusNetworkError, fmt.Errorf("a request for a session: %w", err))
	}
	key, err := p.newKey()
	if err != nil {
		return refuse(s, StatusNetworkError, fmt.Errorf("making a key: %w", err))
	}
	secret, err := key.SharedSecret(request.key)
	if err != nil {
		// No client comes by such a key honestly; it gets no answer.
		return suite.Malformed("the client's public key: %w", err)
	}
	session := newSession(0, secret, request.wish)
	for range maxIDs {
		session.id = p.newID()
		if err = h.Offer(p.variant(session), sessionKey(session.id)); !errors.Is(err, suite.ErrKeyTaken) {
			break
		}
	}
	if err != nil {
		return refuse(s, StatusNetworkError, fmt.Errorf("registering the session: %w", err))
	}
	answer := newAnswer{id: session.id, key: key.PublicKey()}
	if err := suite.Write(s, answer.packet(), "the answer to a request for a session"); err != nil {
		return err
	}
	return h.Establish(suite.Link{})
}

// serveResume runs the server's side of a resume. Nothing is judged, and the
// session is not touched, before the request's code has proved that it comes
// from the client.
func serveResume(s suite.Stream, h suite.Host, request *resumeRequest) error {
	target, ok := h.Find(sessionKey(request.id))
	if !ok {
		if err := h.PassOn(); err != nil {
			return err
		}
		return refuse(s, StatusUnknown, suite.ErrUnknownSession)
	}
	session, ok := SessionOf(target.Session())
	if !ok {
		panic("relink: internal error: a session of another protocol under an SCP key")
	}
	code := request.sign(session.secret)
	if subtle.ConstantTimeCompare(code[:], request.mac[:]) != 1 {
		if err := h.PassOn(); err != nil { // ids are short: another server may have a session with the same one
			return err
		}
		return refuse(s, StatusUnauthorized, suite.ErrAuthentication)
	}
	// From here on the index is used, however the attempt ends. Otherwise a
	// request that failed could be replayed by anyone until it succeeds.
	if !session.useIndex(request.index) {
		return refuse(s, StatusIndexUsed, fmt.Errorf("%w: resume index %d was used before", suite.ErrAuthentication, request.index))
	}

	claim := target.Claim()
	peer, ok := peerOffsets(claim.Sent, request.received)
	if !ok {
		return refuse(s, StatusNotAcceptable, fmt.Errorf("%w: the client has %d bytes of %d", suite.ErrCounters, request.received, claim.Sent))
	}
	if err := target.Check(peer); err != nil {
		return refuse(s, refusal(err), err)
	}
	answer := resumeAnswer{received: uint32(claim.Received), code: StatusOK}
	if err := suite.Write(s, answer.packet(), "the answer to a resume"); err != nil {
		return err
	}
	return target.TakeOver(claim, suite.Link{Peer: peer})
}

// refusal returns the status code for what [suite.Target.Check] has said.
func refusal(err error) int {
	switch {
	case errors.Is(err, suite.ErrFinished):
		// Closed, and everything was delivered: the client takes the session's
		// absence for the end of the stream.
		return StatusUnknown
	case errors.Is(err, suite.ErrReplayGap), errors.Is(err, suite.ErrCounters):
		return StatusNotAcceptable
	default:
		return StatusNetworkError
	}
}

// refuseMalformed answers a request that breaks the protocol. Where the
// transport broke instead there is nobody to answer.
func refuseMalformed(s suite.Stream, err error) error {
	if !errors.Is(err, suite.ErrProtocol) {
		return err
	}
	return refuse(s, StatusMalformed, err)
}

// refuse answers with a code and returns the cause. That the answer may not
// arrive changes nothing: the transport is closed either way.
func refuse(s suite.Stream, code int, cause error) error {
	_, _ = s.Write(resumeAnswer{code: code}.packet())
	return fmt.Errorf("relink: answered %d: %w", code, cause)
}
