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
		return false, p.refuse(s, hintBadRequest, suite.Malformed("the first byte is %#02x", begin))
	}
	header := append(make([]byte, 0, headerSize), begin)
	b, err := suite.Read(s, headerSize-1, "the request")
	if err != nil {
		return false, err
	}
	header = append(header, b...)
	r, err := decodeVersions(header)
	if err != nil {
		return false, p.refuse(s, hintBadRequest, err)
	}
	if r.version < p.lowest || r.version > p.highest {
		return p.refuseUnread(s, r, hintBadVersion, suite.Malformed("version %d, which is not spoken here", r.version))
	}
	if err := r.decodeHeader(header); err != nil {
		return false, p.refuse(s, hintBadRequest, err)
	}
	if best := min(r.highest, p.highest); r.kind.isNew() && r.version != best {
		return p.refuseUnread(s, r, hintBadVersion, suite.Malformed("version %d of a client that speaks version %d as well", r.version, best))
	}
	ring := p.ring.Load()
	if !p.offers(r.kind, ring) {
		return false, p.refuse(s, hintBadRequest, suite.Malformed("a request of type %#02x, which is not offered here", byte(r.kind)))
	}
	switch {
	case r.kind.isNew():
		return p.serveNew(s, h, r, ring)
	case r.kind.isQuery():
		return p.serveQuery(s, h, r, ring)
	}
	if b, err = suite.Read(s, resumeFieldsSize, "the resume fields"); err != nil {
		return false, err
	}
	if err := r.decodeResumeFields(b); err != nil {
		return false, p.refuse(s, hintBadRequest, err)
	}
	if r.node != p.node {
		return false, p.refuse(s, hintElsewhere, fmt.Errorf("%w: it is on node %d", suite.ErrUnknownSession, r.node))
	}
	return p.serveResume(s, h, r)
}

// An opened is message 1 of a new session or a query, with the keys that it
// named.
type opened struct {
	*handshake
	key     *serverKey
	psk     *PresharedKey
	payload []byte
}

// receive reads message 1 of a new session or a query and opens it.
func (p *Protocol) receive(s suite.Stream, r request, ring *keyring) (o opened, again bool, err error) {
	b, err := suite.Read(s, r.length, "message 1")
	if err != nil {
		return o, false, err
	}
	var ok bool
	if o.key, o.psk, ok = ring.find(r, PublicKey(b[:dhSize])); !ok {
		err := fmt.Errorf("%w: the client wants the key with the hint %x", suite.ErrAuthentication, r.hint)
		return o, true, p.refuse(s, hintUnknownKey, err)
	}
	o.handshake, o.payload, err = p.open(s, r, o.key, (*secret)(o.psk), b)
	return o, false, err
}

// refuse sends a hint and returns why.
func (p *Protocol) refuse(s suite.Stream, h hint, reason error) error {
	if err := suite.Write(s, refusal{h, p.highest}.encode(), "the hint"); err != nil {
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
func (p *Protocol) refuseUnread(s suite.Stream, r request, h hint, reason error) (sent bool, err error) {
	for left := r.length; left > 0; { // in pieces, of which nothing is kept
		n := min(left, refusedPiece)
		if _, err := suite.Read(s, n, "the rest of a request that is refused"); err != nil {
			return false, fmt.Errorf("%w; %w", reason, err)
		}
		left -= n
	}
	if err := suite.Write(s, refusal{h, p.highest}.encode(), "the hint"); err != nil {
		return false, fmt.Errorf("%w; %w", reason, err)
	}
	return true, reason
}

// open opens message 1.
func (p *Protocol) open(s suite.Stream, r request, key *serverKey, psk *secret, message []byte) (*handshake, []byte, error) {
	us := party{psk: psk, random: p.random}
	if key != nil {
		us.private, us.public = key.private, key.public
	}
	h := newHandshake(r.kind, r.cipher, false, us)
	h.start(r.encode())
	payload, _, err := h.read(message)
	if err != nil {
		h.erase()
		return nil, nil, p.refuse(s, hintFailed, fmt.Errorf("message 1: %w", err))
	}
	return h, payload, nil
}

// answer completes a handshake. What is to be sent comes with the keys, because
// the keys must be registered first.
func answer(h *handshake, r request, payload []byte) ([]byte, *keys, error) {
	return h.write(encodeAnswer(r.version, r.kind.overhead2()+len(payload)), payload)
}

// serveNew opens a session (New session).
func (p *Protocol) serveNew(s suite.Stream, host suite.Host, r request, ring *keyring) (again bool, err error) {
	if full := host.MayOpen(); full != nil {
		_, err := p.refuseUnread(s, r, hintBusy, full)
		return false, err
	}
	o, again, err := p.receive(s, r, ring)
	if err != nil {
		return again, err
	}
	defer o.erase()
	claim := decodeNewClaim(o.payload)
	peerWindow, err := checkWindow(claim.window)
	if err != nil {
		return false, p.refuse(s, hintFailed, err)
	}
	if checkTarget(claim.target) != nil {
		return false, p.refuse(s, hintFailed, suite.Malformed("%w", errTarget))
	}
	session := &serverSession{
		base: base{
			version: r.version, kind: r.kind,
			guest: newGuest(r.kind, o.rs, o.psk, claim.target), peerWindow: peerWindow,
		},
		key: o.key,
	}
	if err := host.Authorize(session.Peer()); err != nil {
		if !errors.Is(err, suite.ErrDenied) {
			return false, p.refuse(s, hintBusy, err)
		}
		return false, p.deny(s, o.handshake, r, newAnswer{status: statusDenied, node: p.node}.encode(), err)
	}
	message, keys, err := answer(o.handshake, r, newAnswer{status: statusOK, node: p.node, window: uint32(p.window), instance: p.instance}.encode())
	if err != nil {
		return false, p.refuse(s, hintFailed, err)
	}
	defer keys.erase()
	own := &kept{resumption: keys.resumption, id: keys.id, pending: true}
	session.id, session.binding, session.current = keys.session, keys.binding, own
	if err := host.Offer(session, own.id); err != nil {
		own.erase()
		return false, p.refuse(s, hintBusy, err)
	}
	if err := suite.Write(s, message, "the answer"); err != nil {
		return false, err
	}
	codec := newCodec(r.cipher, keys, false, peerWindow)
	record, err := readFirst(s, codec)
	if err != nil {
		return false, err
	}
	return false, session.confirm(own, nil, func() error {
		return host.Establish(suite.Link{Codec: codec, Limit: min(peerWindow, firstLimit), First: record})
	})
}

// deny answers with a verdict in message 2, and returns why.
func (p *Protocol) deny(s suite.Stream, h *handshake, r request, verdict []byte, reason error) error {
	message, _, err := answer(h, r, verdict)
	if err == nil {
		err = suite.Write(s, message, "the verdict")
	}
	if err != nil {
		return fmt.Errorf("%w; %w", reason, err)
	}
	return reason
}

// serveResume answers one attempt (Resume). Nothing of the session changes for
// the application before the first record has opened, but that early data may
// reach it, which is the same whenever it comes.
func (p *Protocol) serveResume(s suite.Stream, host suite.Host, r request) (again bool, err error) {
	unknown := func() (bool, error) {
		return p.refuseUnread(s, r, hintUnknownSession, fmt.Errorf("%w: resume id %x", suite.ErrUnknownSession, r.id))
	}
	target, ok := host.Find(r.id)
	if !ok {
		if err := host.PassOn(); err != nil {
			return false, err
		}
		return unknown()
	}
	session, ok := target.Session().(*serverSession)
	if !ok {
		panic(fmt.Sprintf("relink: internal error: a resume id leads to a %T", target.Session()))
	}
	psk, refusal := session.look(r)
	defer clear(psk[:])
	switch refusal {
	case 0:
	case hintUnknownSession:
		return unknown()
	default:
		return false, p.refuse(s, refusal, refusedFor(refusal, r))
	}
	b, err := suite.Read(s, r.length, "message 1")
	if err != nil {
		return false, err
	}
	h, payload, err := p.open(s, r, session.key, &psk, b)
	if err != nil {
		return false, err
	}
	defer h.erase()
	if refusal := session.begin(r, target); refusal != 0 {
		return false, p.refuse(s, refusal, refusedFor(refusal, r))
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
	if err == nil {
		if err = target.Authorize(session.Peer()); err != nil && !errors.Is(err, suite.ErrDenied) {
			return false, err // nobody could be asked: no verdict
		}
	}
	if err != nil {
		return false, p.refuseFinally(s, h, r, err)
	}
	target.Early(start, claim.data)
	early := make([]byte, giveEarly)
	early = early[:target.Pending(peer.Received, early)]
	told := target.Claim()
	message, keys, err := answer(h, r, resumeAnswer{statusOK, p.node, uint64(told.Received), early}.encode())
	if err != nil {
		return false, p.refuse(s, hintFailed, err)
	}
	defer keys.erase()
	own := &kept{resumption: keys.resumption, id: keys.id, pending: true}
	if refusal := session.answered(r, own, target); refusal != 0 {
		own.erase() // nobody was given it
		return false, p.refuse(s, refusal, refusedFor(refusal, r))
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
	case errors.Is(reason, suite.ErrDenied):
		a.status = statusDenied
	default:
		return p.refuse(s, hintUnknownSession, reason) // it ended in this moment
	}
	return p.deny(s, h, r, a.encode(), reason)
}

// serveQuery says whether a session exists (Query).
func (p *Protocol) serveQuery(s suite.Stream, host suite.Host, r request, ring *keyring) (again bool, err error) {
	o, again, err := p.receive(s, r, ring)
	if err != nil {
		return again, err
	}
	defer o.erase()
	a := queryAnswer{statusOK, p.node, p.instance}
	reason := fmt.Errorf("relink: a client has asked whether its session is here, and it is")
	id := suite.Key(o.payload)
	if r.node != p.node {
		a.status = statusElsewhere
		reason = fmt.Errorf("%w: it is on node %d", suite.ErrUnknownSession, r.node)
	} else if _, ok := host.Find(id); !ok {
		if err := host.PassOn(); err != nil {
			return false, err
		}
		a.status = statusUnknown
		reason = fmt.Errorf("%w: resume id %x, confirmed", suite.ErrUnknownSession, id)
	}
	return false, p.deny(s, o.handshake, r, a.encode(), reason)
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
