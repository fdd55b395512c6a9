package conntest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"sync"
	"sync/atomic"

	"github.com/relink-go/relink/internal/suite"
)

// RecordProtocol is a protocol of the shape of docs/spec/noise.md without its
// cryptography: records with acknowledgements, a window, pings and ends of
// streams; one round trip to a session, which the client's first record
// confirms; resume keys that change with each completed resume; early data.
// Checksums stand where tags would. It shows that the seam carries such a
// protocol, and gives the tests a place to misbehave from.
type RecordProtocol struct {
	// tamper, if set, may change what a side is about to seal.
	tamper atomic.Pointer[func(id string, client bool, data []byte, k suite.Control) ([]byte, suite.Control)]

	// encrypting, if set, is called by every Encrypt.
	encrypting atomic.Pointer[func()]

	// resuming, if set, is called by every Resume.
	resuming atomic.Pointer[func()]

	// malform makes every record malformed, under a valid sum.
	malform atomic.Bool
}

// newRecords returns the protocol and the suite that speaks it.
func newRecords() (*RecordProtocol, Suite) {
	p := new(RecordProtocol)
	return p, Spoken{p}
}

// The messages, whose sums are keyed with a secret where there is one:
//
//	new      'R' 1 | nonce (8) | sum (4)
//	answer   status (1) | nonce (8) | sum (4)
//	resume   'R' 2 | key (16) | attempt (4) | received (8) | start (8) |
//	         nonce (8) | length (2) | early data | sum (4)
//	answer   status (1) | received (8) | nonce (8) | sum (4)
//	record   length of the rest (2) | sum (4) | flags (2) |
//	         if ack: received (8) consumed (8) limit (8) | if reset: code (2) | data
const (
	recNew    = 1
	recResume = 2

	recNewLen          = 2 + 8 + 4
	recNewAnswerLen    = 1 + 8 + 4
	recResumeHead      = 2 + 16 + 4 + 8 + 8 + 8 + 2
	recResumeAnswerLen = 1 + 8 + 8 + 4
	recHead            = 2 + 4 + 2
	recMaxData         = 16 << 10
	recMaxRecord       = recHead + 24 + 2 + recMaxData
	recMaxEarly        = 4 << 10
)

// The statuses of an answer.
const (
	recOK = iota
	recUnknown
	recStale
	recRefused
	recEnded // the nonce begins with the code
)

var be = binary.BigEndian

// A recSecret is what a real protocol would derive keys from.
type recSecret [32]byte

// next derives the secret of the next handshake.
func (s recSecret) next(client, server []byte) recSecret {
	return sha256.Sum256(append(append(append([]byte("next"), s[:]...), client...), server...))
}

// key is the name under which a server finds a secret.
func (s recSecret) key() suite.Key {
	h := sha256.Sum256(append([]byte("key"), s[:]...))
	return suite.Key(h[:16])
}

// sum is the checksum of b under the secret.
func (s recSecret) sum(b []byte) uint32 {
	return crc32.Update(crc32.ChecksumIEEE(s[:]), crc32.IEEETable, b)
}

// seal appends the sum of b to it.
func (s recSecret) seal(b []byte) []byte { return be.AppendUint32(b, s.sum(b)) }

// open removes the sum.
func (s recSecret) open(b []byte) ([]byte, error) {
	body, sum := b[:len(b)-4], be.Uint32(b[len(b)-4:])
	if s.sum(body) != sum {
		return nil, fmt.Errorf("%w: wrong sum", suite.ErrAuthentication)
	}
	return body, nil
}

func recNonce() []byte {
	b := make([]byte, 8)
	rand.Read(b) // it never fails
	return b
}

// String implements suite.Protocol.
func (p *RecordProtocol) String() string { return "records" }

// Traits implements suite.Protocol.
func (p *RecordProtocol) Traits() suite.Traits {
	return suite.Traits{Acks: true, HalfClose: true, Pings: true}
}

// Match implements suite.Protocol.
func (p *RecordProtocol) Match(first []byte) suite.Match {
	if first[0] == 'R' {
		return suite.MatchYes
	}
	return suite.MatchNo
}

// Open implements suite.Protocol.
func (p *RecordProtocol) Open(s suite.Stream) (suite.Session, suite.Link, error) {
	nonce := recNonce()
	if _, err := s.Write(recSecret{}.seal(append([]byte{'R', recNew}, nonce...))); err != nil {
		return nil, suite.Link{}, err
	}
	b, err := s.Next(recNewAnswerLen)
	if err != nil {
		return nil, suite.Link{}, err
	}
	if b, err = (recSecret{}).open(b); err != nil {
		return nil, suite.Link{}, err
	}
	secret := recSecret{}.next(nonce, b[1:])
	rs := &recSession{p: p, id: secret.id(), current: recKept{secret: secret}}
	return rs, suite.Link{Codec: newRecCodec(rs, secret, true)}, nil
}

// id is what the session of a first secret is called.
func (s recSecret) id() string {
	h := sha256.Sum256(append([]byte("id"), s[:]...))
	return hex.EncodeToString(h[:8])
}

// Serve implements suite.Protocol.
func (p *RecordProtocol) Serve(s suite.Stream, h suite.Host) error {
	b, err := s.Next(2)
	if err != nil {
		return err
	}
	switch {
	case b[0] == 'R' && b[1] == recNew:
		return p.serveNew(s, h)
	case b[0] == 'R' && b[1] == recResume:
		return p.serveResume(s, h)
	default:
		return suite.Malformed("it begins with % x", b)
	}
}

func (p *RecordProtocol) serveNew(s suite.Stream, h suite.Host) error {
	b, err := s.Next(recNewLen - 2)
	if err != nil {
		return err
	}
	if b, err = (recSecret{}).open(append([]byte{'R', recNew}, b...)); err != nil {
		return err
	}
	nonce := recNonce()
	secret := recSecret{}.next(b[2:], nonce)
	rs := &recSession{p: p, id: secret.id(), current: recKept{secret: secret}}
	if err := h.Offer(rs, secret.key()); err != nil {
		return err
	}
	if _, err := s.Write(recSecret{}.seal(append([]byte{recOK}, nonce...))); err != nil {
		return err
	}
	codec := newRecCodec(rs, secret, false)
	first, err := codec.first(s)
	if err != nil {
		return err
	}
	return h.Establish(suite.Link{Codec: codec, First: first})
}

// A recRequest is a client's wish to resume.
type recRequest struct {
	key             suite.Key
	attempt         uint32
	received, start int64
	nonce           []byte
	early           []byte
	message         []byte
}

// readRecRequest reads it from behind its first two bytes.
func readRecRequest(s suite.Stream) (recRequest, error) {
	b, err := s.Next(recResumeHead - 2)
	if err != nil {
		return recRequest{}, err
	}
	m := append([]byte{'R', recResume}, b...)
	n := int(be.Uint16(m[recResumeHead-2:]))
	if n > recMaxEarly {
		return recRequest{}, suite.Malformed("%d bytes of early data", n)
	}
	if b, err = s.Next(n + 4); err != nil {
		return recRequest{}, err
	}
	m = append(m, b...)
	return recRequest{
		key:      suite.Key(m[2:18]),
		attempt:  be.Uint32(m[18:]),
		received: int64(be.Uint64(m[22:])),
		start:    int64(be.Uint64(m[30:])),
		nonce:    m[38:46],
		early:    m[recResumeHead : recResumeHead+n],
		message:  m,
	}, nil
}

func (p *RecordProtocol) serveResume(s suite.Stream, h suite.Host) error {
	r, err := readRecRequest(s)
	if err != nil {
		return err
	}
	t, ok := h.Find(r.key)
	if !ok {
		if err := h.PassOn(); err != nil {
			return err
		}
		_, err := s.Write(recHint(recUnknown))
		return errors.Join(suite.ErrUnknownSession, err)
	}
	rs := t.Session().(*recSession)
	claim, secret, err := rs.answer(t, r)
	if _, werr := s.Write(secret.answer); err != nil || werr != nil {
		return errors.Join(err, werr)
	}
	codec := newRecCodec(rs, secret.next, false)
	first, err := codec.first(s)
	if err != nil {
		return err
	}
	if err := rs.confirmed(t, secret.next); err != nil {
		return err
	}
	peer := suite.Offsets{Sent: suite.Unknown, Received: r.received}
	if first.Ack { // more may have come over the older link
		peer.Received = first.Received
	}
	return t.TakeOver(claim, suite.Link{
		Codec: codec,
		Peer:  peer,
		First: first,
	})
}

// A recKept is a secret with the highest attempt that was made under it.
type recKept struct {
	secret  recSecret
	highest uint32
}

// A recSession is one side's secrets.
type recSession struct {
	p  *RecordProtocol // constant, like the id
	id string

	mu          sync.Mutex // guards the fields below
	current     recKept
	unconfirmed []recKept // server: the two latest answers to current, the newer last
}

// Peer implements suite.Session.
func (*recSession) Peer() suite.Peer { return suite.Peer{Suite: "records"} }

// ID implements suite.Session.
func (rs *recSession) ID() string { return rs.id }

// Encrypt implements suite.Session: the replay buffer holds plain text.
func (rs *recSession) Encrypt(dst, src []byte) {
	if f := rs.p.encrypting.Load(); f != nil {
		(*f)()
	}
	copy(dst, src)
}

// Decrypt implements suite.Session.
func (rs *recSession) Decrypt(dst, src []byte) { copy(dst, src) }

// Resume implements suite.Session.
func (rs *recSession) Resume(s suite.Stream, c suite.Client) (suite.Link, error) {
	rs.mu.Lock()
	rs.current.highest++
	secret, attempt := rs.current.secret, rs.current.highest
	rs.mu.Unlock()

	if f := rs.p.resuming.Load(); f != nil {
		(*f)()
	}
	key, nonce, own := secret.key(), recNonce(), c.Offsets()
	early := make([]byte, recMaxEarly)
	start, n := c.Pending(early)
	b := append([]byte{'R', recResume}, key[:]...)
	b = be.AppendUint32(b, attempt)
	b = be.AppendUint64(b, uint64(own.Received))
	b = be.AppendUint64(b, uint64(start))
	b = append(b, nonce...)
	b = be.AppendUint16(b, uint16(n))
	b = append(b, early[:n]...)
	if _, err := s.Write(secret.seal(b)); err != nil {
		return suite.Link{}, err
	}

	b, err := s.Next(recResumeAnswerLen)
	if err != nil {
		return suite.Link{}, err
	}
	switch b[0] {
	case recOK, recEnded:
	case recStale:
		return suite.Link{}, errors.New("records: stale attempt")
	default:
		return suite.Link{}, fmt.Errorf("%w: status %d", suite.ErrRefused, b[0])
	}
	if b, err = secret.open(b); err != nil {
		return suite.Link{}, err
	}
	peer := suite.Offsets{Sent: suite.Unknown, Received: int64(be.Uint64(b[1:]))}
	if b[0] == recEnded {
		return suite.Link{}, &suite.EndedError{Code: suite.ResetCode(be.Uint16(b[9:])), Received: peer.Received}
	}
	if err := c.Check(peer); err != nil {
		return suite.Link{}, err
	}
	next := secret.next(nonce, b[9:17])
	rs.mu.Lock()
	rs.current = recKept{secret: next}
	rs.mu.Unlock()
	return suite.Link{Codec: newRecCodec(rs, next, true), Peer: peer}, nil
}

// recHint is an answer without a sum.
func recHint(status byte) []byte {
	b := make([]byte, recResumeAnswerLen)
	b[0] = status
	return b
}

// A recAnswer is what a server says to a resume, and the secret that follows.
type recAnswer struct {
	next   recSecret
	answer []byte
}

// answer judges a request. Nothing of the stream changes but for early data.
func (rs *recSession) answer(t suite.Target, r recRequest) (suite.Claim, recAnswer, error) {
	refuse := func(status byte, why error) (suite.Claim, recAnswer, error) {
		return suite.Claim{}, recAnswer{answer: recHint(status)}, why
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	kept := rs.findLocked(r.key)
	if kept == nil {
		return refuse(recUnknown, suite.ErrUnknownSession)
	}
	if _, err := kept.secret.open(r.message); err != nil {
		return refuse(recStale, err) // a damaged request is no reason to end a session
	}
	if r.attempt <= kept.highest {
		return refuse(recStale, fmt.Errorf("%w: attempt %d", suite.ErrSuperseded, r.attempt))
	}
	kept.highest = r.attempt
	if err := rs.promoteLocked(t, kept.secret); err != nil {
		return refuse(recUnknown, err)
	}
	err := t.Check(suite.Offsets{Sent: suite.Unknown, Received: r.received})
	var ended *suite.EndedError
	switch {
	case errors.As(err, &ended):
		b := be.AppendUint64([]byte{recEnded}, uint64(ended.Received))
		b = append(be.AppendUint16(b, uint16(ended.Code)), make([]byte, 6)...)
		return suite.Claim{}, recAnswer{answer: rs.current.secret.seal(b)}, err
	case err != nil:
		return refuse(recRefused, err)
	}
	t.Early(r.start, r.early)
	claim := t.Claim()
	nonce := recNonce()
	next := rs.current.secret.next(r.nonce, nonce)
	rs.unconfirmed = append(rs.unconfirmed, recKept{secret: next})
	if len(rs.unconfirmed) > 2 {
		rs.unconfirmed = rs.unconfirmed[1:]
	}
	if err := rs.setKeysLocked(t); err != nil {
		return refuse(recUnknown, err)
	}
	b := be.AppendUint64([]byte{recOK}, uint64(claim.Received))
	return claim, recAnswer{next, rs.current.secret.seal(append(b, nonce...))}, nil
}

// confirmed notes that the client has the secret.
func (rs *recSession) confirmed(t suite.Target, secret recSecret) error {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.findLocked(secret.key()) == nil {
		return suite.ErrSuperseded
	}
	return rs.promoteLocked(t, secret)
}

func (rs *recSession) findLocked(k suite.Key) *recKept {
	if rs.current.secret.key() == k {
		return &rs.current
	}
	for i := range rs.unconfirmed {
		if rs.unconfirmed[i].secret.key() == k {
			return &rs.unconfirmed[i]
		}
	}
	return nil
}

// promoteLocked makes a kept secret the current one.
func (rs *recSession) promoteLocked(t suite.Target, secret recSecret) error {
	if rs.current.secret == secret {
		return nil
	}
	rs.current, rs.unconfirmed = *rs.findLocked(secret.key()), nil
	return rs.setKeysLocked(t)
}

func (rs *recSession) setKeysLocked(t suite.Target) error {
	keys := []suite.Key{rs.current.secret.key()}
	for _, u := range rs.unconfirmed {
		keys = append(keys, u.secret.key())
	}
	return t.SetKeys(keys...)
}

// A recCodec is one end of one link.
type recCodec struct {
	session   *recSession
	client    bool
	out, in   recSecret // they differ, so that a record never opens at its sender
	outN, inN uint64
}

func newRecCodec(rs *recSession, secret recSecret, client bool) *recCodec {
	up, down := secret.next([]byte("up"), nil), secret.next([]byte("down"), nil)
	if client {
		return &recCodec{session: rs, client: true, out: up, in: down}
	}
	return &recCodec{session: rs, out: down, in: up}
}

// first reads the record that confirms a handshake.
func (c *recCodec) first(s suite.Stream) (suite.Record, error) {
	b, err := s.Next(2)
	if err != nil {
		return suite.Record{}, err
	}
	n := int(be.Uint16(b))
	if n > recMaxRecord-2 {
		return suite.Record{}, suite.Malformed("a record of %d bytes", n)
	}
	if b, err = s.Next(n); err != nil {
		return suite.Record{}, err
	}
	r, _, err := c.Open(nil, append(be.AppendUint16(nil, uint16(n)), b...))
	return r, err
}

// MaxData implements suite.Codec.
func (c *recCodec) MaxData() int { return recMaxData }

// MaxRecord implements suite.Codec.
func (c *recCodec) MaxRecord() int { return recMaxRecord }

// The flags of a record, in the order of suite.Control.
const (
	recFlagAck = 1 << iota
	recFlagFinReceived
	recFlagFin
	recFlagStop
	recFlagReset
	recFlagPing
	recFlagPong
	recFlagEnd // the first that is not one
)

// Seal implements suite.Codec.
func (c *recCodec) Seal(dst, data []byte, k suite.Control) []byte {
	if f := c.session.p.tamper.Load(); f != nil {
		data, k = (*f)(c.session.id, c.client, data, k)
	}
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0, 0, 0)
	var flags uint16
	for i, set := range []bool{k.Ack, k.FinReceived, k.Fin, k.Stop, k.Reset != 0, k.Ping, k.Pong} {
		if set {
			flags |= 1 << i
		}
	}
	if c.session.p.malform.Load() {
		flags |= recFlagEnd
	}
	dst = be.AppendUint16(dst, flags)
	if k.Ack {
		dst = be.AppendUint64(dst, uint64(k.Received))
		dst = be.AppendUint64(dst, uint64(k.Consumed))
		dst = be.AppendUint64(dst, uint64(k.Limit))
	}
	if k.Reset != 0 {
		dst = be.AppendUint16(dst, uint16(k.Reset))
	}
	dst = append(dst, data...)
	b := dst[start:]
	be.PutUint16(b, uint16(len(b)-2))
	be.PutUint32(b[2:], c.out.sum(b[6:])+uint32(c.outN))
	c.outN++
	return dst
}

// Open implements suite.Codec.
func (c *recCodec) Open(dst, in []byte) (r suite.Record, n int, err error) {
	if len(in) < 2 {
		return r, 0, nil
	}
	n = 2 + int(be.Uint16(in))
	if n > recMaxRecord || n < recHead {
		return r, 0, fmt.Errorf("%w: a record of %d bytes", suite.ErrAuthentication, n)
	}
	if len(in) < n {
		return r, 0, nil
	}
	b := in[6:n]
	if be.Uint32(in[2:]) != c.in.sum(b)+uint32(c.inN) {
		return r, 0, fmt.Errorf("%w: record %d has a wrong sum", suite.ErrAuthentication, c.inN)
	}
	c.inN++
	flags := be.Uint16(b)
	b = b[2:]
	if flags >= recFlagEnd {
		return r, 0, suite.Malformed("flags %#x", flags)
	}
	r.Ack, r.FinReceived = flags&recFlagAck != 0, flags&recFlagFinReceived != 0
	r.Fin, r.Stop = flags&recFlagFin != 0, flags&recFlagStop != 0
	r.Ping, r.Pong = flags&recFlagPing != 0, flags&recFlagPong != 0
	if r.Ack {
		if len(b) < 24 {
			return r, 0, suite.Malformed("a short acknowledgement")
		}
		r.Received, r.Consumed, r.Limit = int64(be.Uint64(b)), int64(be.Uint64(b[8:])), int64(be.Uint64(b[16:]))
		b = b[24:]
	}
	if flags&recFlagReset != 0 {
		if len(b) < 2 {
			return r, 0, suite.Malformed("a short reset")
		}
		r.Reset = max(1, suite.ResetCode(be.Uint16(b)))
		b = b[2:]
	}
	r.Data = b
	if len(dst) >= len(b) {
		r.Data = dst[:copy(dst, b)]
	}
	return r, n, nil
}

var (
	_ suite.Protocol = (*RecordProtocol)(nil)
	_ suite.Session  = (*recSession)(nil)
	_ suite.Codec    = (*recCodec)(nil)
)
