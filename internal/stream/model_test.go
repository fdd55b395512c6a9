package stream_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/relink-go/relink/internal/stream"
	"github.com/relink-go/relink/internal/suite"
	"github.com/relink-go/relink/replay"
)

// A model is a Send and a Receive, joined by links of the test's own, beside the
// trivial reference of both: offsets, and a count for each byte of how many links were
// handed it. What is written is plain, so that where a byte belongs can be told from its
// offset. Every operation is done on both, and everything that can be asked compared.
type model struct {
	t      testing.TB
	rnd    *rand.Rand
	wire   wire
	cipher *cipher // that of both halves
	limit  int     // of both
	base   int64   // the offset of the first byte
	most   int     // of these that the sender may hold now
	keeps  int     // of these that it keeps without acknowledgements
	cap    int     // of a link, in bytes of a wire without acknowledgements
	s      stream.Send
	r      stream.Receive

	// What the sending half knows.

	out                                 *link // nil while there is none
	start, end                          int64 // what is held
	encrypted                           int64
	acked, consumed, peerLimit          int64
	handed                              []bool // some link or handshake was, from base on
	highest, replayed                   int64
	appending, finQueued                bool
	finSent, finOnLink, finAcked        bool
	stopped                             bool
	held                                *holding // what the sender has in hand
	errStop                             error
	kept                                bool // less than half the limit, once
	again, gaps, waited, skipped, early int  // how often what is rare has happened

	// What the receiving half knows.

	in                   *link
	received, taken      int64
	discarded            int64
	window               int   // what the peer may be told
	advertised           int64 // what it was told
	mark                 int64 // what was taken then
	marked               int   // ticks ago
	drainTo              int64
	quiet                int // ticks
	unknown, finReceived bool
	heard, closed        bool
}

// A link carries what it is handed, both ways.
type link struct {
	pos     int64 // of the next byte to arrive
	sent    int64 // of the next byte to be handed
	stream  []byte
	records []record
	acks    []suite.Control // and a Stop, the other way
}

type record struct {
	data []byte
	fin  bool
}

// A holding is what the sender has borrowed, without a lock in real life.
type holding struct {
	loan  replay.Loan
	want  []byte
	on    *link
	plain bool // to be encrypted
}

// A wire is what the suites' are like.
type wire struct {
	name   string
	traits suite.Traits
}

var wires = []wire{
	{"classic", suite.Traits{}},
	{"records with a cipher", suite.Traits{Acks: true, HalfClose: true, Pings: true}},
	{"records", suite.Traits{Acks: true, HalfClose: true, Pings: true, Copies: true}},
	{"a classic wire without a cipher", suite.Traits{Copies: true}},
}

// plain is the byte of the application's stream at an offset.
func plain(offset int64) byte { return byte(offset) ^ byte(offset>>8)*31 ^ byte(offset>>16)*7 }

func plainAt(offset int64, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = plain(offset + int64(i))
	}
	return p
}

// A cipher's key stream never repeats within a test, so that a byte which is encrypted
// twice, not at all or out of turn is seen.
type cipher struct {
	suite.Session
	copies               bool
	encrypted, decrypted int64
}

func newCipher(copies bool, offset int64) *cipher {
	return &cipher{copies: copies, encrypted: offset, decrypted: offset}
}

func (c *cipher) key(offset int64) byte {
	if c.copies {
		return 0
	}
	return byte(uint64(offset) * 0x9e3779b97f4a7c15 >> 56)
}

func (c *cipher) Encrypt(dst, src []byte) {
	for i, b := range src {
		dst[i] = b ^ c.key(c.encrypted+int64(i))
	}
	c.encrypted += int64(len(src))
}

func (c *cipher) Decrypt(dst, src []byte) {
	for i, b := range src {
		dst[i] = b ^ c.key(c.decrypted+int64(i))
	}
	c.decrypted += int64(len(src))
}

func newModel(t testing.TB, seed uint64) *model {
	rnd := rand.New(rand.NewPCG(seed, 1))
	m := &model{t: t, rnd: rnd, wire: wires[seed%uint64(len(wires))], errStop: errors.New("stopped")}
	m.limit = 16 << rnd.IntN(13) // up to 64 KiB
	m.limit += rnd.IntN(m.limit)
	m.cap = 1 + rnd.IntN(m.limit/2)
	if rnd.IntN(4) == 0 {
		m.cap = 4 * m.limit // more can be under way than is kept
	}
	bases := []int64{0, 0, 1<<31 - 3000, 1<<32 - 3000, 1 << 62, math.MaxInt64 - int64(3*m.limit), math.MaxInt64 - int64(m.limit)}
	m.base = bases[rnd.IntN(len(bases))]
	m.cipher = newCipher(m.wire.traits.Copies, m.base)
	m.most, m.keeps, m.window = m.limit, m.limit/2, m.limit
	m.advertised = m.base + min(int64(m.limit), stream.FirstWindow, math.MaxInt64-m.base)
	m.s.Init(m.cipher, m.wire.traits, m.limit, m.base)
	m.r.Init(m.cipher, m.wire.traits, m.limit, m.base)
	m.start, m.end, m.encrypted, m.acked, m.consumed, m.highest = m.base, m.base, m.base, m.base, m.base, m.base
	m.peerLimit = m.base + min(stream.InitialWindow, math.MaxInt64-m.base)
	m.received, m.taken, m.drainTo, m.mark = m.base, m.base, m.base, m.base
	m.check()
	m.attach(m.base, m.base, m.advertised, true)
	return m
}

func (m *model) fatalf(format string, a ...any) {
	m.t.Helper()
	m.t.Fatalf("%s, limit %d, base %d: %s", m.wire.name, m.limit, m.base, fmt.Sprintf(format, a...))
}

func (m *model) equal(what string, got, want any) {
	if got != want {
		m.t.Helper()
		m.fatalf("%s is %v, want %v", what, got, want)
	}
}

// hand marks what a link or a handshake is given, and returns how much of it one was
// given before.
func (m *model) hand(from, to int64) (again int64) {
	for int64(len(m.handed)) < to-m.base {
		m.handed = append(m.handed, false)
	}
	for i := from - m.base; i < to-m.base; i++ {
		if m.handed[i] {
			again++
		}
		m.handed[i] = true
	}
	m.highest = max(m.highest, to)
	return again
}

// freed is what is freed by what the peer holds, on a wire without
// acknowledgements also by what was sent.
func (m *model) freed() {
	until := m.acked
	if m.out != nil {
		until = min(until, m.out.sent)
	}
	m.start = max(m.start, min(until, m.end))
}

func (m *model) trimmed() {
	if !m.wire.traits.Acks {
		m.start = max(m.start, m.out.sent-int64(m.keeps))
	} else {
		m.freed()
	}
}

func (m *model) room() int {
	room := min(int64(m.most)-(m.end-m.start), math.MaxInt64-m.end)
	if m.out != nil && !m.wire.traits.Acks {
		room = min(room, max(0, int64(m.limit/4)-(m.end-m.out.sent)))
	}
	return int(room)
}

// sendable is the offset up to which data may go out, encrypted or not.
func (m *model) sendable() int64 {
	switch {
	case m.stopped:
		return m.out.sent
	case m.wire.traits.Acks:
		return max(m.out.sent, min(m.end, m.peerLimit))
	default:
		return m.end
	}
}

func (m *model) finDue() bool {
	return m.wire.traits.HalfClose && m.finQueued && !m.appending && !m.finAcked && !m.finOnLink && !m.stopped && m.out.sent == m.end
}

// check compares everything that can be asked.
func (m *model) check() {
	m.t.Helper()
	s, r := &m.s, &m.r
	m.equal("End", s.End(), m.end)
	m.equal("Acked", s.Acked(), m.acked)
	m.equal("Consumed by the peer", s.Consumed(), m.consumed)
	m.equal("Highest", s.Highest(), m.highest)
	m.equal("Replayed", s.Replayed(), m.replayed)
	m.equal("Fit", s.Fit(), m.encrypted)
	m.equal("Room", s.Room(), m.room())
	m.equal("Full", s.Full() != nil, m.end == math.MaxInt64)
	m.equal("Appending", s.Appending(), m.appending)
	m.equal("FinQueued", s.Fin.Queued(), m.finQueued)
	m.equal("Stopped", s.Fin.Stopped(), m.stopped)
	m.equal("Finished", s.Fin.Finished(), m.finAcked || m.stopped)
	m.equal("Delivered", s.Delivered(), m.acked >= m.end)
	m.equal("NothingUnderWay", s.NothingUnderWay(), m.acked == m.highest && m.acked == m.end)
	m.equal("Unacknowledged", s.Unacknowledged(), m.acked < m.highest || m.finOnLink && !m.finAcked)
	if m.stopped {
		m.equal("the error of the sending half", s.Err(), m.errStop)
	} else {
		m.equal("the error of the sending half", s.Err(), error(nil))
	}
	if held := int(m.end - m.start); s.Buffer.Memory() < held {
		m.fatalf("%d bytes of memory for %d held", s.Buffer.Memory(), held)
	}
	if m.out != nil {
		m.equal("HandedTo", s.HandedTo(), m.out.sent)
		m.equal("Pending", s.Pending(), m.end-m.out.sent)
		m.equal("Allowed", s.Allowed(), m.peerLimit-m.out.sent)
		m.equal("Due", s.Due(), m.out.sent < m.sendable() || m.finDue())
		m.equal("Unencrypted", s.Unencrypted(), !m.wire.traits.Acks && m.out.sent == m.encrypted)
		m.equal("AllSent", s.AllSent(), m.finQueued && !m.appending && m.out.sent == m.end)
		m.equal("Quiet", s.Quiet(), !m.appending && !m.finQueued && !m.stopped && m.out.sent == m.end && m.highest == m.end)
		if got, want := max(0, s.Sendable()), max(0, min(m.sendable(), m.encrypted)-m.out.sent); got != want {
			m.fatalf("Sendable is %d, want %d", got, want)
		}
	} else {
		m.equal("Pending", s.Pending(), m.end-m.highest)
		m.equal("Due", s.Due(), false)
		m.equal("AllSent", s.AllSent(), false)
		m.equal("Quiet", s.Quiet(), false)
	}

	m.equal("Received", r.Received(), m.received)
	m.equal("Consumed", r.Consumed(), m.taken)
	m.equal("Buffered", int64(r.Buffered()), m.received-m.taken-m.discarded)
	m.equal("FinReceived", r.FinReceived(), m.finReceived)
	m.equal("Waiting", r.Waiting(), r.Buffered() == 0 && !m.finReceived)
	m.equal("Draining", r.Draining(), m.drainTo > m.received)
	m.equal("ReplayUnknown", r.ReplayUnknown(), m.unknown)
	if r.Memory() < r.Buffered() {
		m.fatalf("%d bytes of memory for %d buffered", r.Memory(), r.Buffered())
	}
}

// write appends up to n bytes in the way that its owner would, in one of several.
func (m *model) write(n int) {
	n = min(n, m.room())
	if n <= 0 || m.stopped || m.finQueued && !m.appending {
		return
	}
	p := plainAt(m.end, n)
	switch way := m.rnd.IntN(3); {
	case m.s.Quiet() && m.held == nil && way > 0 && (!m.wire.traits.Acks || int64(n) <= m.s.Allowed()):
		m.writeFast(p)
	case m.s.Defers(n, m.held != nil):
		m.equal("what was appended", m.s.Append(p), n)
		m.end += int64(n)
		if m.wire.traits.Copies {
			m.encrypted = m.end
		}
	case way == 1:
		loan := m.s.Extend(p)
		if len(loan.Bytes()) > 0 {
			m.s.Return(loan)
			m.end += int64(n)
			m.encrypted = m.end
		}
	default:
		b := m.s.Reserve(n)
		if len(b) == 0 || len(b) > n {
			m.fatalf("Reserve(%d) gave %d bytes", n, len(b))
		}
		m.cipher.Encrypt(b, p[:len(b)])
		if m.rnd.IntN(4) == 0 { // what happens while there is no lock
			m.appending = true
			m.s.BeginAppend()
			m.otherwise()
			m.s.EndAppend()
			m.appending = false
		}
		m.s.Commit(len(b))
		m.end += int64(len(b))
		m.encrypted = m.end
	}
}

// writeFast appends and hands over in one.
func (m *model) writeFast(p []byte) {
	loan := m.s.Extend(p)
	b := loan.Bytes()
	if len(b) == 0 {
		return
	}
	m.end += int64(len(p))
	m.encrypted = m.end
	if m.wire.traits.Acks {
		m.out.records = append(m.out.records, record{data: append([]byte(nil), b...)})
		m.advance(len(b))
		m.s.Return(loan)
		return
	}
	n := min(len(b), m.cap-len(m.out.stream))
	m.out.stream = append(m.out.stream, b[:n]...)
	if n == len(b) {
		m.s.Sent(loan)
		m.replayed += m.hand(m.out.sent, m.end)
		m.out.sent = m.end
		m.trimmed()
		return
	}
	m.s.Return(loan)
	m.advance(n)
}

// advance tells the half that the link has n more bytes.
func (m *model) advance(n int) {
	again := m.hand(m.out.sent, m.out.sent+int64(n))
	m.out.sent += int64(n)
	m.replayed += again
	m.again += int(min(again, 1))
	m.equal("how much goes out again", m.s.Advance(n), again)
	m.trimmed()
}

// send begins what the sender does, or ends it.
func (m *model) send(most int) {
	if h := m.held; h != nil {
		m.held = nil
		if string(h.loan.Bytes()) != string(h.want) {
			m.fatalf("a loan has changed")
		}
		m.sendHeld(h)
		return
	}
	if m.out == nil || !m.s.Due() {
		return
	}
	if m.s.Unencrypted() {
		m.borrow(m.s.LendPlain(), true)
		return
	}
	loan := m.s.Lend(most)
	b := loan.Bytes()
	if want := max(0, min(m.sendable(), m.encrypted)-m.out.sent); int64(len(b)) > min(want, int64(most)) || (len(b) == 0) != (want == 0) {
		m.fatalf("Lend gave %d bytes of %d, at most %d", len(b), want, most)
	}
	if !m.wire.traits.Acks {
		m.borrow(loan, false)
		return
	}
	data := append([]byte(nil), b...)
	m.advance(len(b))
	fin := m.finDue()
	m.equal("TakeFin", m.s.TakeFin(), fin)
	if fin {
		m.finSent, m.finOnLink = true, true
	}
	m.out.records = append(m.out.records, record{data, fin})
	if len(b) == 0 {
		m.s.Return(loan)
		return
	}
	m.borrow(loan, false) // until it is sealed
}

func (m *model) borrow(loan replay.Loan, plain bool) {
	m.held = &holding{loan, append([]byte(nil), loan.Bytes()...), m.out, plain}
}

// sendHeld is what the sender does with what it has borrowed.
func (m *model) sendHeld(h *holding) {
	b := h.loan.Bytes()
	switch {
	case h.plain:
		m.cipher.Encrypt(b, b)
		m.encrypted += int64(len(b))
		m.s.Encrypted(h.loan)
	case m.wire.traits.Acks:
		m.s.Return(h.loan)
	default:
		n := m.rnd.IntN(min(len(b), max(0, m.cap-len(h.on.stream))) + 1)
		m.s.Return(h.loan)
		if m.out == h.on { // else it has been cut, or will not be read any more
			h.on.stream = append(h.on.stream, h.want[:n]...)
			m.advance(n)
		}
	}
}

// deliver lets up to n bytes arrive, or a record. direct says that the application
// waits for them.
func (m *model) deliver(n int, direct bool) {
	l := m.in
	if l == nil {
		return
	}
	direct = direct && !m.closed && m.r.Buffered() == 0
	if m.wire.traits.Acks {
		m.deliverRecord(l, n, direct)
		return
	}
	n = min(n, len(l.stream))
	if !direct && !m.closed {
		n = min(n, m.r.Limit()-m.r.Buffered())
	}
	if n <= 0 {
		return
	}
	p := l.stream[:n:n]
	l.stream = l.stream[n:]
	if direct && m.r.Continues(n) {
		m.equal("Continues beside a replay", m.drainTo > m.received || l.pos != m.received, false)
		m.r.Continue(p)
		m.arrive(l, n)
		m.take(p)
		return
	}
	fresh := p[m.arrived(l, n):]
	if direct {
		m.cipher.Decrypt(fresh, fresh)
		m.take(fresh)
	} else {
		m.deposit(fresh)
	}
}

func (m *model) deliverRecord(l *link, n int, direct bool) {
	if len(l.records) == 0 {
		return
	}
	rec := l.records[0]
	l.records = l.records[1:]
	fresh := rec.data[m.arrived(l, len(rec.data)):]
	if len(fresh) > 0 {
		if err := m.r.Overrun(); err != nil {
			m.fatalf("%v", err)
		}
		if direct {
			n = min(n, len(fresh))
			m.cipher.Decrypt(fresh[:n], fresh[:n])
			m.take(fresh[:n])
			fresh = fresh[n:]
		}
		m.deposit(fresh)
		m.r.DataArrived()
		m.equal("AckPending", m.r.AckPending(), true)
		m.r.ConsumedMore()
	}
	if rec.fin {
		if err := m.r.Fin(); err != nil {
			m.fatalf("%v", err)
		}
		m.finReceived = true
	}
}

// arrived is told of n bytes, of which some had come over the link before.
func (m *model) arrived(l *link, n int) int {
	want := int(max(0, min(int64(n), m.received-l.pos)))
	skip, err := m.r.Arrived(n)
	if err != nil {
		m.fatalf("%v", err)
	}
	m.equal("what is skipped", skip, want)
	m.skipped += min(skip, 1)
	m.arrive(l, n)
	return skip
}

func (m *model) arrive(l *link, n int) {
	l.pos += int64(n)
	m.received = max(m.received, l.pos)
	m.heard = true
}

func (m *model) deposit(data []byte) {
	m.r.Deposit(data)
	if m.closed {
		m.discarded += int64(len(data))
	}
}

// take is the application's look at what it has got.
func (m *model) take(p []byte) {
	for i, b := range p {
		if b != plain(m.taken+int64(i)) {
			m.fatalf("the byte at offset %d is wrong", m.taken+int64(i))
		}
	}
	m.taken += int64(len(p))
}

// read takes up to n bytes from the buffer.
func (m *model) read(n int) {
	p := make([]byte, n)
	k := m.r.Take(p)
	m.equal("what is taken", k, min(n, int(m.received-m.taken-m.discarded)))
	m.take(p[:k])
	if m.wire.traits.Acks {
		m.r.ConsumedMore()
	}
}

// acknowledge sends an acknowledgement back that is pending, or only if it is urgent.
func (m *model) acknowledge(urgent bool) {
	if !m.wire.traits.Acks || m.in == nil || !m.r.AckPending() && !m.r.AckUrgent() || urgent && !m.r.AckUrgent() && !m.closed {
		return
	}
	k := suite.Control{Stop: m.closed}
	m.r.TakeAck(&k)
	m.advertised = max(m.advertised, m.taken+min(int64(m.window), math.MaxInt64-m.taken))
	want := suite.Control{Ack: true, Received: m.received, Consumed: m.taken, Limit: m.advertised, FinReceived: m.finReceived, Stop: m.closed}
	m.equal("the acknowledgement", k, want)
	m.equal("AckPending", m.r.AckPending() || m.r.AckUrgent(), false)
	m.in.acks = append(m.in.acks, k)
}

// hearAck is what the sender hears.
func (m *model) hearAck() {
	if m.out == nil || len(m.out.acks) == 0 {
		return
	}
	k := m.out.acks[0]
	m.out.acks = m.out.acks[1:]
	if err := m.s.Acknowledge(k); err != nil {
		m.fatalf("%v", err)
	}
	if k.Limit > m.peerLimit && m.peerLimit < m.end {
		m.waited++
	}
	m.acked, m.consumed = max(m.acked, k.Received), max(m.consumed, k.Consumed)
	m.peerLimit = max(m.peerLimit, k.Limit)
	m.finAcked = m.finAcked || k.FinReceived
	m.freed()
	if k.Stop {
		m.s.Stop(m.errStop)
		m.stopped = true
	}
}

// cut is how a link ends: somewhere, and each side hears of it when it likes.
func (m *model) cut() {
	switch m.rnd.IntN(3) {
	case 0:
		m.detach()
	case 1:
		m.in = nil
	default:
		m.detach()
		m.in = nil
	}
}

// detach lets the sender know, and loses some of what is under way.
func (m *model) detach() {
	if l := m.out; l != nil {
		l.stream = l.stream[:m.rnd.IntN(len(l.stream)+1)]
		l.records = l.records[:m.rnd.IntN(len(l.records)+1)]
		m.out = nil
		m.s.Detach()
	}
}

// resume joins the halves by a new link. While the handshake is under way the old one
// may still bring something to whoever has not left it. It returns false if the
// stream cannot go on.
func (m *model) resume() bool {
	senderIsClient := m.rnd.IntN(2) == 0
	if senderIsClient {
		m.detach()
	} else {
		m.in = nil
	}
	m.earlyData(senderIsClient)
	if m.rnd.IntN(5) == 0 {
		return true // the handshake fails
	}
	told, sent := m.received, m.end
	for range m.rnd.IntN(4) {
		m.deliver(m.size(), m.rnd.IntN(2) == 0)
		m.send(m.size())
		m.hearAck()
		m.acknowledge(false)
	}
	if !m.wire.traits.Acks && m.rnd.IntN(2) == 0 {
		sent = suite.Unknown
	}
	if err := m.s.Check(told); m.start > told && !m.wire.traits.Acks {
		if !errors.Is(err, suite.ErrReplayGap) || m.cap <= m.keeps && m.keeps == m.limit/2 && !m.kept {
			m.fatalf("%v, and %d bytes can be under way", err, m.cap)
		}
		m.gaps++
		return false
	} else if err != nil {
		m.fatalf("%v", err)
	}
	if err := errors.Join(m.s.CheckFreed(told), m.r.Check(sent)); err != nil {
		m.fatalf("%v", err)
	}
	m.attach(told, sent, 0, false)
	return true
}

// earlyData goes with a handshake, if it arrives.
func (m *model) earlyData(senderIsClient bool) {
	if !m.wire.traits.Acks || m.rnd.IntN(2) == 0 {
		return
	}
	offset := m.received
	if senderIsClient {
		offset = m.acked
	}
	p := make([]byte, m.rnd.IntN(2000))
	n := m.s.Early(p, offset)
	want := int64(0)
	if !m.stopped && offset >= m.start {
		want = max(0, min(int64(len(p)), min(m.end, m.peerLimit)-offset))
	}
	m.equal("early data", int64(n), want)
	if senderIsClient {
		m.s.EarlySent(offset + int64(n))
		m.hand(offset, offset+int64(n))
	}
	if m.rnd.IntN(3) == 0 {
		return
	}
	fresh := min(max(0, offset+int64(n)-m.received), int64(m.limit-m.r.Buffered()))
	if m.wire.traits.Acks {
		fresh = min(fresh, m.advertised-m.received)
	}
	if m.finReceived {
		fresh = 0
	}
	m.equal("what is new of early data", int64(m.r.Early(offset, p[:n])), fresh)
	m.received += fresh
	if m.closed {
		m.discarded += fresh
	}
	m.early += int(min(fresh, 1))
}

// attach begins a link over which the sender goes on from told.
func (m *model) attach(told, sent, limit int64, first bool) {
	again := max(0, m.highest-max(told, m.acked))
	m.equal("how much goes out again", m.s.Attach(told, limit, first), again)
	m.r.Attach(told, sent)
	l := &link{pos: told, sent: told}
	m.out, m.in = l, l
	m.finOnLink = false
	m.hand(m.base, told)
	m.acked = max(m.acked, told)
	if first {
		m.peerLimit = limit
	}
	m.freed()
	m.unknown, m.quiet, m.drainTo = sent == suite.Unknown, 0, sent
	if m.unknown {
		m.drainTo = told + min(int64(m.limit), math.MaxInt64-told)
	}
}

func (m *model) tick() {
	m.r.Tick(m.heard)
	m.quiet++
	if m.heard {
		m.quiet = 0
	}
	m.heard = false
	if m.marked++; m.marked >= 40 {
		m.mark, m.marked = m.taken, 0
	}
	if m.unknown && m.drainTo > m.received && m.quiet >= 20 {
		m.unknown, m.drainTo = false, 0
	}
}

func (m *model) close() {
	m.r.Close()
	m.closed = true
	m.discarded = m.received - m.taken
}

// size is mostly short, sometimes all there is room for.
func (m *model) size() int {
	switch m.rnd.IntN(4) {
	case 0:
		return 1 + m.rnd.IntN(20)
	case 1:
		return 1 + m.rnd.IntN(2000)
	case 2:
		return 1 + m.rnd.IntN(m.limit)
	default:
		return 2 * m.limit
	}
}

// otherwise does something that whoever appends has no part in.
func (m *model) otherwise() {
	way := m.rnd.IntN(15)
	if m.cap > m.limit && m.rnd.IntN(4) > 0 {
		way = 0 // so that much is under way
	}
	switch way {
	case 0, 1, 2:
		m.send(m.size())
	case 3, 4:
		m.deliver(m.size(), true)
	case 5, 6:
		m.deliver(m.size(), false)
	case 7:
		m.read(m.size())
	case 8:
		m.acknowledge(m.rnd.IntN(2) == 0)
	case 9, 10:
		m.hearAck()
	case 11:
		m.tick()
	case 12:
		for range 25 * m.rnd.IntN(2) {
			m.tick()
		}
	case 13:
		m.budget()
	default:
		if m.rnd.IntN(4) == 0 {
			m.cut()
		}
	}
	m.check()
}

// budget changes how much either half may hold.
func (m *model) budget() {
	if m.appending { // what is reserved counts as held
		return
	}
	n := 1 + m.rnd.IntN(2*m.limit)
	switch m.rnd.IntN(5) {
	case 0, 1:
		m.s.Buffer.SetLimit(n)
		m.most = max(min(n, m.limit), int(m.end-m.start))
	case 2:
		m.s.KeepLess(n)
		m.keeps = min(m.keeps, n/2)
		if m.keeps < m.limit/2 {
			m.kept = true
		}
		if m.out != nil && !m.wire.traits.Acks {
			m.trimmed()
		}
		m.most = max(min(n, m.most), int(m.end-m.start))
	case 3:
		m.s.Buffer.KeepAll()
		m.keeps = m.limit / 2
	case 4:
		m.r.SetWindow(n)
		m.window = min(n, m.limit)
		m.mark, m.marked = m.taken, 0
	}
	m.equal("KeepsLess", m.s.Buffer.KeepsLess(), m.keeps < m.limit/2)
	m.equal("Limit", m.s.Buffer.Limit(), m.most)
	m.equal("Most", m.s.Buffer.Most(), m.limit)
	m.equal("RoomWithin", m.s.RoomWithin(m.most), m.room())
	m.equal("Held", m.s.Buffer.Held(), int(m.end-m.start))
	m.equal("Window", m.r.Window(), m.window)
	m.equal("MostWindow", m.r.MostWindow(), m.limit)
	if m.wire.traits.Acks {
		m.equal("Promised", int64(m.r.Promised()), m.advertised-m.taken)
		m.equal("Cramped", m.r.Cramped(), m.window < m.limit && m.taken-m.mark >= 4*int64(m.window))
	}
}

// step does something. It returns false if the stream cannot go on.
func (m *model) step() bool {
	switch m.rnd.IntN(12) {
	case 0, 1, 2:
		m.write(m.size())
	case 3:
		if m.out == nil || m.in == nil || m.rnd.IntN(8) == 0 {
			if !m.resume() {
				return false
			}
		}
	case 4:
		switch m.rnd.IntN(200) {
		case 0:
			m.s.Fin.Queue()
			m.finQueued = true
		case 1:
			m.s.Fin.Repeat()
			m.finAcked, m.finOnLink = false, false
		case 2:
			m.close()
		default:
		}
	default:
		m.otherwise()
	}
	m.check()
	return true
}

// release gives up all memory, of which nothing is left if no loan was forgotten.
func (m *model) release() {
	if h := m.held; h != nil {
		m.held = nil
		m.s.Return(h.loan)
	}
	m.s.Release()
	m.equal("what is held after a release", m.s.Buffer.Memory(), 0)
	m.r.Close()
	m.equal("what is held after Close", m.r.Memory(), 0)
}

// finish ends the stream and lets everything arrive. Nothing is acknowledged that is
// not urgent.
func (m *model) finish() {
	m.s.Fin.Queue()
	m.finQueued = true
	for range 10000 {
		for m.out == nil || m.out != m.in {
			if !m.resume() {
				return
			}
		}
		m.send(2 * m.limit)
		m.send(2 * m.limit)
		m.deliver(2*m.limit, m.rnd.IntN(2) == 0)
		m.read(2 * m.limit)
		m.tick()
		m.acknowledge(true)
		m.hearAck()
		m.check()
		switch {
		case m.held != nil || m.s.Due():
		case !m.wire.traits.Acks && m.received == m.end && (m.closed || m.taken == m.end):
			m.equal("AllSent", m.s.AllSent(), true)
			return
		case m.wire.traits.Acks && m.s.Fin.Finished() && (m.stopped || m.taken == m.end):
			if !m.stopped {
				m.equal("what is held after the end", m.s.Buffer.Memory(), 0)
				m.equal("Consumed by the peer, at most", m.s.Consumed() <= m.taken, true)
			}
			return
		}
	}
	m.fatalf("the stream does not end: %d of %d bytes have arrived, %d are taken; the peer's limit is %d", m.received, m.end, m.taken, m.peerLimit)
}

// seeds is how many TestModel runs; RELINK_SEED in the environment names a single one.
const seeds = 400

func TestModel(t *testing.T) {
	first, n := uint64(0), uint64(seeds)
	if s := os.Getenv("RELINK_SEED"); s != "" {
		var err error
		if first, err = strconv.ParseUint(s, 0, 64); err != nil {
			t.Fatal(err)
		}
		n = 1
	}
	var again, gaps, waited, skipped, early int
	for seed := first; seed < first+n; seed++ {
		m := newModel(t, seed)
		done := false
		func() {
			defer func() {
				if !done {
					t.Logf("RELINK_SEED=%d", seed)
				}
			}()
			goesOn := true
			for range 600 {
				if goesOn = m.step(); !goesOn {
					break
				}
			}
			if goesOn {
				m.finish()
			}
			m.release()
			done = true
		}()
		again, gaps, waited, skipped, early = again+m.again, gaps+m.gaps, waited+m.waited, skipped+m.skipped, early+m.early
	}
	t.Logf("%d replays, %d gaps, %d waits for the window, %d overlaps, %d early data", again, gaps, waited, skipped, early)
	if n == seeds && (again == 0 || gaps == 0 || waited == 0 || skipped == 0 || early == 0) {
		t.Error("something that is to be tested has never happened")
	}
}
