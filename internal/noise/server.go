package noise

import (
	"errors"
	"fmt"

	"github.com/relink-go/relink/internal/suite"
)

// Serve runs the server's side of one transport's handshake. After the hints
// that make a client ask another question it hears that too.
func (p *Protocol) Serve(s suite.Stream, h suite.Host) error {
	var first error
	for range maxRequests {
		// The first byte is judged alone: a client of another protocol may send
		// less than a header before it waits for an answer.
		b, err := suite.Read(s, 1, "the request")
		switch {
		case err != nil && first != nil:
			return first // the client had nothing more to ask
		case err != nil:
			return err
		}
		again, err := p.serve(s, h, b[0])
		if !again {
			return err
		}
		first = err
	}
	return first
}

// serve takes one request behind its first byte, in the order of the section First
// flight. again says that the client may ask once more.
func (p *Protocol) serve(s suite.Stream, h suite.Host, begin byte) (again bool, err error) {
	if begin != magic {
		return false, refuse(s, hintBadRequest, suite.Malformed("the first byte is %#02x", begin))
	}
	header := append(make([]byte, 0, headerSize), begin)
	b, err := suite.Read(s, headerSize-1, "the request")
	if err != nil {
		return false, err
	}
	r, refusal, err := decodeHeader(append(header, b...))
	if err != nil {
		return false, refuse(s, refusal, err)
	}
	if r.kind.keyed() != !p.insecure {
		return false, refuse(s, hintBadRequest, suite.Malformed("a request of type %#02x, which is not offered here", byte(r.kind)))
	}
	if r.kind.isResume() {
		if b, err = suite.Read(s, resumeFieldsSize, "the resume fields"); err != nil {
			return false, err
		}
		if err := r.decodeResumeFields(b); err != nil {
			return false, refuse(s, hintBadRequest, err)
		}
		if r.node != p.node {
			return false, refuse(s, hintElsewhere, fmt.Errorf("%w: it is on node %d", suite.ErrUnknownSession, r.node))
		}
	}
	key, ok := p.key(r)
	if !ok {
		return refuseUnread(s, r, hintUnknownKey, fmt.Errorf("%w: the client wants the key with the hint %x", suite.ErrAuthentication, r.hint))
	}
	switch {
	case r.kind.isNew():
		return false, p.serveNew(s, h, r, key)
	case r.kind.isQuery():
		return false, p.serveQuery(s, h, r, key)
	default:
		return p.serveResume(s, h, r, key)
	}
}

// key returns the server's key that the request names, nil for one of NN.
func (p *Protocol) key(r request) (*serverKey, bool) {
	if !r.kind.keyed() {
		return nil, r.hint == [hintSize]byte{}
	}
	for i := range p.servers {
		if p.servers[i].hint == r.hint {
			return &p.servers[i], true
		}
	}
	return nil, false
}

// refuse sends a hint and returns why.
func refuse(s suite.Stream, refusal hint, reason error) error {
	if err := suite.Write(s, encodeHint(refusal), "the hint"); err != nil {
		return fmt.Errorf("%w; %w", reason, err)
	}
	return reason
}

// refusedPiece is how much of a refused request is read at a time: what a
// handshake's buffer holds anyway.
const refusedPiece = 256

// refuseUnread sends a hint in place of an answer to message 1, which it reads
// because a transport that closes with unread bytes may destroy the hint. sent
// says that the client may have heard it, and may ask once more if the hint is
// of that sort.
func refuseUnread(s suite.Stream, r request, refusal hint, reason error) (sent bool, err error) {
	for left := r.length; left > 0; { // in pieces, of which nothing is kept
		n := min(left, refusedPiece)
		if _, err := suite.Read(s, n, "the rest of a request that is refused"); err != nil {
			return false, fmt.Errorf("%w; %w", reason, err)
		}
		left -= n
	}
	if err := suite.Write(s, encodeHint(refusal), "the hint"); err != nil {
		return false, fmt.Errorf("%w; %w", reason, err)
	}
	return true, reason
}

// open reads Noise message 1 and opens it.
func (p *Protocol) open(s suite.Stream, r request, key *serverKey, psk *secret) (*handshake, []byte, error) {
	b, err := suite.Read(s, r.length, "message 1")
	if err != nil {
		return nil, nil, err
	}
	h, err := newHandshake(r, false, party{static: key, psk: psk, random: p.random})
	if err != nil {
		return nil, nil, err
	}
	payload, _, err := h.read(b)
	if err != nil {
		return nil, nil, refuse(s, hintFailed, fmt.Errorf("message 1: %w", err))
	}
	return h, payload, nil
}

// answer completes a handshake. What is to be sent comes with the keys, because
// the keys must be registered first.
func answer(h *handshake, k kind, payload []byte) ([]byte, *keys, error) {
	least, _ := k.message2()
	switch {
	case k.isNew():
		least -= newPayload2
	case k.isResume():
		least -= resumePayload2
	default:
		least -= queryPayload2
	}
	return h.write(encodeAnswer(least+len(payload)), payload)
}

// serveNew opens a session (New session).
func (p *Protocol) serveNew(s suite.Stream, host suite.Host, r request, key *serverKey) error {
	if full := host.Room(); full != nil {
		_, err := refuseUnread(s, r, hintBusy, full)
		return err
	}
	h, payload, err := p.open(s, r, key, nil)
	if err != nil {
		return err
	}
	peerWindow, err := checkWindow(order.Uint32(payload))
	if err != nil {
		return refuse(s, hintFailed, err)
	}
	message, keys, err := answer(h, r.kind, newAnswer{statusOK, p.node, uint32(p.window)}.encode())
	if err != nil {
		return refuse(s, hintFailed, err)
	}
	own := &kept{resumption: keys.resumption, id: keys.id, pending: true}
	session := &serverSession{
		base:     base{id: keys.session, peerWindow: peerWindow},
		insecure: p.insecure,
		key:      key,
		current:  own,
	}
	if err := host.Offer(session, own.id); err != nil {
		return refuse(s, hintBusy, err)
	}
	if err := suite.Write(s, message, "the answer"); err != nil {
		return err
	}
	codec := newCodec(r.cipher, keys, false, peerWindow)
	record, err := readFirst(s, codec)
	if err != nil {
		return err
	}
	return session.confirm(own, nil, func() error {
		return host.Establish(suite.Link{Codec: codec, Limit: peerWindow, First: record})
	})
}

// serveResume answers one attempt (Resume). Nothing of the session changes for
// the application before the first record has opened, but that early data may
// reach it, which is the same whenever it comes.
func (p *Protocol) serveResume(s suite.Stream, host suite.Host, r request, key *serverKey) (again bool, err error) {
	unknown := func() (bool, error) {
		return refuseUnread(s, r, hintUnknownSession, fmt.Errorf("%w: resume id %x", suite.ErrUnknownSession, r.id))
	}
	target, ok := host.Find(r.id)
	if !ok {
		return unknown()
	}
	session, ok := target.Session().(*serverSession)
	if !ok {
		panic(fmt.Sprintf("relink: internal error: a resume id leads to a %T", target.Session()))
	}
	psk, refusal := session.look(r)
	switch refusal {
	case 0:
	case hintUnknownSession:
		return unknown()
	default:
		return false, refuse(s, refusal, refusedFor(refusal, r))
	}
	h, payload, err := p.open(s, r, key, &psk)
	if err != nil {
		return false, err
	}
	if refusal := session.begin(r, target); refusal != 0 {
		return false, refuse(s, refusal, refusedFor(refusal, r))
	}

	claim := decodeResumeClaim(payload)
	peer := suite.Offsets{Sent: suite.Unknown}
	if peer.Received, err = offset(claim.received); err == nil {
		err = target.Check(peer)
	}
	var start int64
	if err == nil {
		start, err = offset(claim.start)
	}
	if err != nil {
		return false, p.refuseFinally(s, h, r, err)
	}
	target.Early(start, claim.data)
	early := make([]byte, giveEarly)
	early = early[:target.Pending(peer.Received, early)]
	told := target.Claim()
	message, keys, err := answer(h, r.kind, resumeAnswer{statusOK, p.node, uint64(told.Received), early}.encode())
	if err != nil {
		return false, refuse(s, hintFailed, err)
	}
	own := &kept{resumption: keys.resumption, id: keys.id, pending: true}
	if refusal := session.answered(r, own, target); refusal != 0 {
		return false, refuse(s, refusal, refusedFor(refusal, r))
	}
	if err := suite.Write(s, message, "the answer"); err != nil {
		return false, err
	}
	codec := newCodec(r.cipher, keys, false, session.peerWindow)
	record, err := readFirst(s, codec)
	if err != nil {
		return false, err
	}
	if !record.Ack {
		return false, suite.Malformed("the first record of a resumed link acknowledges nothing")
	}
	// The server's data continues where the client's first record says, because
	// the client no longer takes anything from an older link by then.
	peer.Received = record.Received
	return false, session.confirm(own, target, func() error {
		return target.TakeOver(told, suite.Link{Codec: codec, Peer: peer, First: record})
	})
}

// refusedFor is why a resume was refused with a hint.
func refusedFor(refusal hint, r request) error {
	switch refusal {
	case hintStale:
		return fmt.Errorf("%w: attempt %d comes too late", suite.ErrSuperseded, r.attempt)
	case hintUnknownSession:
		return fmt.Errorf("%w: resume id %x", suite.ErrUnknownSession, r.id)
	default:
		return suite.Malformed("a resume of type %#02x for a session of another", byte(r.kind))
	}
}

// refuseFinally answers a resume whose message 1 has opened with the verdict
// that ends the client's session.
func (p *Protocol) refuseFinally(s suite.Stream, h *handshake, r request, reason error) error {
	var ended *suite.EndedError
	a := resumeAnswer{node: p.node}
	switch {
	case errors.As(reason, &ended) && ended.Code == 0:
		a.status, a.number = statusClosed, uint64(ended.Received)
	case errors.As(reason, &ended):
		a.status, a.number = statusAborted, uint64(ended.Code)
	case errors.Is(reason, suite.ErrCounters):
		a.status = statusBadOffset
	default:
		return refuse(s, hintUnknownSession, reason) // it ended in this moment
	}
	message, _, err := answer(h, r.kind, a.encode())
	if err == nil {
		err = suite.Write(s, message, "the verdict")
	}
	if err != nil {
		return fmt.Errorf("%w; %w", reason, err)
	}
	return reason
}

// serveQuery says whether a session exists (Query).
func (p *Protocol) serveQuery(s suite.Stream, host suite.Host, r request, key *serverKey) error {
	h, payload, err := p.open(s, r, key, nil)
	if err != nil {
		return err
	}
	a := queryAnswer{statusOK, p.node}
	reason := fmt.Errorf("relink: a client has asked whether its session is here, and it is")
	id := suite.Key(payload)
	if r.node != p.node {
		a.status = statusElsewhere
		reason = fmt.Errorf("%w: it is on node %d", suite.ErrUnknownSession, r.node)
	} else if _, ok := host.Find(id); !ok {
		a.status = statusUnknown
		reason = fmt.Errorf("%w: resume id %x, confirmed", suite.ErrUnknownSession, id)
	}
	message, _, err := answer(h, r.kind, a.encode())
	if err == nil {
		err = suite.Write(s, message, "the answer to a query")
	}
	if err != nil {
		return fmt.Errorf("%w; %w", reason, err)
	}
	return reason
}

// readFirst reads the record by which a client confirms a handshake.
func readFirst(s suite.Stream, c *codec) (suite.Record, error) {
	b, err := suite.Read(s, recordHeader, "the first record")
	if err != nil {
		return suite.Record{}, err
	}
	l, err := checkHeader(b, maxFirst)
	if err != nil {
		return suite.Record{}, err
	}
	header := [recordHeader]byte(b) // what Read returns is gone with the next
	if b, err = suite.Read(s, l, "the first record"); err != nil {
		return suite.Record{}, err
	}
	r, _, err := c.Open(nil, append(header[:], b...))
	return r, err
}
