package stream

import (
	"fmt"
	"math"

	"github.com/relink-go/relink/internal/suite"
	"github.com/relink-go/relink/replay"
)

const (
	// InitialWindow is how much either side may send before it knows the other's
	// limit. It is within every limit.
	InitialWindow = 1 << 10

	// MaxPending bounds, on a wire without acknowledgements, the bytes that wait
	// for a link that is there.
	MaxPending = 256 << 10

	// EncryptShort is the most that is worth encrypting under a lock: for less,
	// giving it up and taking it again costs more than it spares anybody.
	EncryptShort = 1 << 10

	// deferShort is the longest piece whose encryption is left to whoever sends it.
	// A longer one saves less than the second pass over its bytes costs.
	deferShort = 512

	// deferStep is how much is encrypted at a time of what was left: it is in the
	// processor's first cache when the kernel copies it.
	deferStep = 32 << 10
)

// A Send is the sending half of a session. What its buffer holds from encrypted on is
// the application's and must reach no link. Usually that is nothing: whoever appends
// encrypts. But while somebody else is sending, a short piece is only copied, and
// the sender encrypts what has gathered, in place. The cipher thus belongs to
// whoever appends as long as all is encrypted, and otherwise to the sender. Where
// Session only copies ([suite.Traits.Copies]) nothing is ever left.
type Send struct {
	Session suite.Session // constant after Init, like the next

	Traits suite.Traits

	Buffer Buffer // what the wire carries, sent or not

	encrypted int64 // what the buffer holds from here on is the application's
	sent      int64 // the next byte to hand to the link
	highest   int64 // what any link or handshake was ever handed
	acked     int64 // the peer has received up to here
	consumed  int64 // and its application has taken up to here
	peerLimit int64 // data must not pass this offset
	replayed  int64 // bytes handed over more than once

	Fin       Fin
	linked    bool // there is a link, and sent is its
	appending bool // somebody appends, and may be encrypting
	holding   bool // nothing is freed: see Hold
	err       error
}

// Init makes an empty half whose buffer holds up to limit bytes and whose next byte has
// the offset. The peer has everything before it.
func (s *Send) Init(session suite.Session, traits suite.Traits, limit int, offset int64) {
	*s = Send{
		Session: session, Traits: traits, Buffer: Buffer{most: limit, history: limit / 2},
		encrypted: offset, sent: offset, highest: offset, acked: offset, consumed: offset, peerLimit: offset + min(InitialWindow, math.MaxInt64-offset),
	}
	s.Buffer.buf.Reset(limit, offset)
}

// End is the offset behind the last byte appended.
func (s *Send) End() int64 { return s.Buffer.buf.End() }

// Acked is the offset up to which the peer is known to have received the stream.
func (s *Send) Acked() int64 { return s.acked }

// Consumed is the offset up to which the peer's application has taken it.
func (s *Send) Consumed() int64 { return s.consumed }

// Highest is the offset up to which any link or handshake was handed it.
func (s *Send) Highest() int64 { return s.highest }

// Replayed is how many bytes a link was handed that another had been handed.
func (s *Send) Replayed() int64 { return s.replayed }

// KeepLess has history give way at half of a limit, on a wire without acknowledgements, and
// makes the buffer's limit that, as far as it can be.
func (s *Send) KeepLess(limit int) {
	s.Buffer.history = min(s.Buffer.history, limit/2)
	if s.linked && !s.Traits.Acks {
		s.trim()
	}
	s.Buffer.SetLimit(min(limit, s.Buffer.Limit()))
}

// Pending is how many bytes no link has, or where there is a link, that one has not.
func (s *Send) Pending() int64 {
	if s.linked {
		return s.Buffer.buf.End() - s.sent
	}
	return s.Buffer.buf.End() - s.highest
}

// HandedTo is the offset up to which the present link was handed the stream.
func (s *Send) HandedTo() int64 { return s.sent }

// Err is why nothing may be appended any more, if so.
func (s *Send) Err() error { return s.err }

// Fail sets Err, unless it is set.
func (s *Send) Fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

// errEndOfOffsets is why the last offset of all is the end of a stream.
var errEndOfOffsets = fmt.Errorf("%w: the stream has reached offset 2^63-1, which is its end", suite.ErrCounters)

// Full is the error of a stream that has no offsets left.
func (s *Send) Full() error {
	if s.Buffer.buf.End() == math.MaxInt64 {
		return errEndOfOffsets
	}
	return nil
}

// BeginAppend and EndAppend enclose the appending of one piece, which may take
// several calls. One goes on at a time: Appending says whether one does.
func (s *Send) BeginAppend() { s.appending = true }

// EndAppend ends what BeginAppend began.
func (s *Send) EndAppend() { s.appending = false }

// Appending reports whether somebody appends.
func (s *Send) Appending() bool { return s.appending }

// Room is how much may be appended now. Without acknowledgements, only so much may
// wait for a link that is there; without a link nothing gives way.
func (s *Send) Room() int {
	if s.Traits.Acks || !s.linked {
		return s.Buffer.buf.Room() // mostly, and then without a call
	}
	return s.pendingRoom()
}

func (s *Send) pendingRoom() int { return min(s.Buffer.buf.Room(), s.roomPending()) }

// roomPending is how much more may wait for a link that is there, without acknowledgements.
func (s *Send) roomPending() int {
	return int(max(0, int64(maxPending(s.Buffer.most))-(s.Buffer.buf.End()-s.sent)))
}

// RoomWithin is what Room would be with the limit.
func (s *Send) RoomWithin(limit int) int {
	room := int(min(int64(max(0, limit-s.Buffer.buf.Len())), math.MaxInt64-s.Buffer.buf.End()))
	if !s.Traits.Acks && s.linked {
		room = min(room, s.roomPending())
	}
	return room
}

// maxPending is how much may wait for a link that is there, on a wire without
// acknowledgements, of a buffer with the limit.
func maxPending(limit int) int { return min(MaxPending, limit/4) }

// Defers reports whether n bytes are to be appended by [Send.Append], without being
// encrypted by whoever appends them. Behind what was left already they must be: the
// cipher goes through the stream in order. beside says that somebody is sending.
func (s *Send) Defers(n int, beside bool) bool {
	if s.Traits.Copies {
		return n <= EncryptShort // there is no cipher, and nothing to do without a lock
	}
	if s.encrypted < s.Buffer.buf.End() {
		return true
	}
	return n <= deferShort && beside && s.linked && !s.Traits.Acks
}

// Append appends some of p as it is, and returns how much.
func (s *Send) Append(p []byte) int {
	n := s.Buffer.buf.Append(p)
	if s.Traits.Copies {
		s.encrypted = s.Buffer.buf.End()
	}
	return n
}

// Reserve returns a place for up to n bytes at the end, for which there is room. The
// caller encrypts into it, by Session, and calls Commit. It may be shorter than n.
func (s *Send) Reserve(n int) []byte { return s.Buffer.buf.Reserve(n) }

// Commit appends the first n bytes of what Reserve returned.
func (s *Send) Commit(n int) {
	s.Buffer.buf.Commit(n)
	s.encrypted = s.Buffer.buf.End()
}

// Extend encrypts p into the buffer in one piece and lends it. The Loan is empty, and
// nothing has changed, if there is no room for p in one piece.
func (s *Send) Extend(p []byte) replay.Loan {
	loan := s.Buffer.buf.Extend(len(p))
	if b := loan.Bytes(); len(b) > 0 {
		s.Session.Encrypt(b, p)
		s.encrypted = s.Buffer.buf.End()
	}
	return loan
}

// Return gives back a Loan.
func (s *Send) Return(loan replay.Loan) { s.Buffer.buf.Return(loan) }

// Quiet reports whether the link has been handed all there is, and the buffer holds
// nothing that was handed to no link but that.
func (s *Send) Quiet() bool {
	return s.linked && !s.appending && !s.Fin.queued && s.err == nil &&
		s.sent == s.Buffer.buf.End() && s.sent == s.highest
}

// Allowed is how many bytes the peer takes beyond what the link was handed.
func (s *Send) Allowed() int64 { return s.peerLimit - s.sent }

// Sent notes that the link has taken all that was appended, the loan last.
func (s *Send) Sent(loan replay.Loan) {
	s.Buffer.buf.Return(loan)
	s.sent = s.Buffer.buf.End()
	s.highest = s.sent
	if !s.Traits.Acks {
		s.trim()
	}
}

// Due reports whether there is data to hand to the link, or the end of the stream.
func (s *Send) Due() bool { return s.linked && (s.sent < s.sendEnd() || s.finDue()) }

// AllSent reports whether the link has been handed everything, and nothing more comes.
func (s *Send) AllSent() bool {
	return s.linked && s.Fin.queued && !s.appending && s.sent == s.Buffer.buf.End()
}

// sendEnd is the offset up to which data may be sent now.
func (s *Send) sendEnd() int64 {
	switch {
	case s.Fin.stopped:
		return 0
	case s.Traits.Acks:
		return min(s.Buffer.buf.End(), s.peerLimit)
	default:
		return s.Buffer.buf.End()
	}
}

// finDue reports whether the end of the stream is known and is what the link is to be
// given next. Whoever appends moves it.
func (s *Send) finDue() bool {
	return s.Traits.HalfClose && s.Fin.queued && !s.appending && !s.Fin.acked && !s.Fin.onLink && !s.Fin.stopped && s.sent == s.Buffer.buf.End()
}

// Unencrypted reports whether what is to be sent next must be encrypted before, on a
// wire that carries the buffer.
func (s *Send) Unencrypted() bool { return !s.Traits.Acks && s.sent == s.encrypted }

// LendPlain lends some of what was left unencrypted. The caller, who is the sender,
// encrypts it in place and calls Encrypted.
func (s *Send) LendPlain() replay.Loan { return s.Buffer.buf.Lend(s.encrypted, deferStep) }

// Encrypted takes back what LendPlain lent.
func (s *Send) Encrypted(loan replay.Loan) {
	s.Buffer.buf.Return(loan)
	s.encrypted += int64(len(loan.Bytes()))
}

// Sendable is how many bytes may be handed to the link now and are fit to be.
func (s *Send) Sendable() int64 { return min(s.sendEnd(), s.encrypted) - s.sent }

// Fit is the offset up to which the buffer holds what may be sent.
func (s *Send) Fit() int64 { return s.encrypted }

// Lend lends up to most bytes of what is to be handed to the link next, in one piece.
func (s *Send) Lend(most int) replay.Loan {
	n := min(s.Sendable(), int64(most))
	if n <= 0 {
		return replay.Loan{}
	}
	return s.Buffer.buf.Lend(s.sent, int(n))
}

// TakeFin reports whether the end of the stream goes with the data that was just
// handed over, and notes it.
func (s *Send) TakeFin() bool {
	if !s.finDue() {
		return false
	}
	s.Fin.onLink, s.Fin.sent = true, true
	return true
}

// Advance notes that the link was handed n more bytes, and returns how many of them some
// link was handed before.
func (s *Send) Advance(n int) (again int64) {
	offset := s.sent + int64(n)
	again = max(0, min(offset, s.highest)-s.sent)
	s.replayed += again
	s.sent = offset
	s.highest = max(s.highest, offset)
	if s.Traits.Acks {
		s.free()
	} else {
		s.trim()
	}
	return again
}

// trim lets history give way on a wire without acknowledgements: all but half the
// greatest limit, which is what can be missing after a cut. Only what waits to be sent shares
// the other half.
func (s *Send) trim() { s.Buffer.buf.Free(s.sent - int64(s.Buffer.history)) }

// Received notes what the peer is known to hold.
func (s *Send) Received(offset int64) {
	s.acked = max(s.acked, offset)
	s.free()
}

// free frees what the peer holds. Bytes that the link has still to send stay: the
// peer got them over the link before, after it had said where this one begins, and
// counts from there.
func (s *Send) free() {
	if s.holding {
		return
	}
	offset := s.acked
	if s.linked {
		offset = min(offset, s.sent)
	}
	if offset > s.Buffer.buf.Start() {
		s.Buffer.buf.Free(offset)
	}
}

// Hold keeps what is not freed yet until a link begins or Unhold is called, whatever
// the peer acknowledges meanwhile: an attempt beside the link has said where it stood, and
// the answer may be older than what the link brings.
func (s *Send) Hold() { s.holding = true }

// Unhold ends what Hold began, without a link.
func (s *Send) Unhold() {
	s.holding = false
	s.free()
}

// least is the lowest offset that a link can begin at, where the wire has
// acknowledgements.
func (s *Send) least() int64 {
	if s.holding {
		return min(s.acked, s.Buffer.buf.Start())
	}
	return s.acked
}

// Acknowledge takes an acknowledgement of the peer. An error is a violation of the
// protocol.
func (s *Send) Acknowledge(k suite.Control) error {
	if k.Received < 0 || k.Received > s.highest || k.Consumed > k.Received || k.FinReceived && !s.Fin.sent {
		return fmt.Errorf("%w: the peer acknowledges %d bytes of %d sent", suite.ErrProtocol, k.Received, s.highest)
	}
	s.Received(k.Received)
	s.consumed = max(s.consumed, k.Consumed)
	s.peerLimit = max(s.peerLimit, k.Limit)
	s.Fin.acked = s.Fin.acked || k.FinReceived
	return nil
}

// Stop notes that the peer's application reads no more.
func (s *Send) Stop(err error) {
	s.Fin.stopped = true
	s.Fail(err)
}

// Unacknowledged reports whether the peer has not acknowledged all that it was handed,
// the end of the stream included.
func (s *Send) Unacknowledged() bool { return s.acked < s.highest || s.Fin.onLink && !s.Fin.acked }

// Delivered reports whether the peer is known to have all that was appended.
func (s *Send) Delivered() bool { return s.acked >= s.Buffer.buf.End() }

// NothingUnderWay reports whether no link was ever handed what the peer is not known to
// have, and all was handed over.
func (s *Send) NothingUnderWay() bool { return s.highest == s.acked && s.acked == s.Buffer.buf.End() }

// Check says whether the stream can go on for a peer that has received it up to the
// offset: [suite.ErrCounters] or [suite.ErrReplayGap] if not.
func (s *Send) Check(received int64) error {
	switch {
	case received < 0 || received > s.encrypted: // nothing beyond that was ever handed over
		return fmt.Errorf("%w: it has received %d bytes of %d that were there to be sent", suite.ErrCounters, received, s.encrypted)
	case !s.Traits.Acks && received < s.Buffer.buf.Start():
		return fmt.Errorf("%w: it has received %d bytes, and the buffer begins at %d: raise ReplayLimit (%d bytes) or lower the socket buffers",
			suite.ErrReplayGap, received, s.Buffer.buf.Start(), s.Buffer.buf.Limit())
	default:
		return nil
	}
}

// CheckFreed says whether a link can begin at the peer's count. What was acknowledged
// is freed, so that a link cannot begin below it; a peer that wants that contradicts
// itself.
func (s *Send) CheckFreed(received int64) error {
	if least := s.least(); s.Traits.Acks && received < least {
		return fmt.Errorf("%w: it has received %d bytes and acknowledged %d before", suite.ErrCounters, received, least)
	}
	return nil
}

// Attach begins a link over which the stream goes on from what the peer has received.
// limit, if not zero, is what the handshake told of the peer's; in the handshake of
// the session, which is the first, it can be less than what is assumed without. It
// returns how many bytes go out again.
func (s *Send) Attach(received, limit int64, first bool) (again int64) {
	s.linked, s.Fin.onLink = true, false
	s.sent = max(received, s.least())
	s.holding = false
	again = max(0, s.highest-s.sent)
	s.highest = max(s.highest, s.sent)
	s.Received(s.sent)
	if first && limit > 0 {
		s.peerLimit = limit
	}
	s.peerLimit = max(s.peerLimit, limit)
	return again
}

// Detach ends the link.
func (s *Send) Detach() { s.linked = false }

// Early copies data into p that a handshake may carry, from the offset on, and returns
// how much. The offset is at least that of what the buffer holds.
func (s *Send) Early(p []byte, offset int64) int {
	if offset < s.Buffer.buf.Start() {
		return 0
	}
	if most := min(s.sendEnd(), s.encrypted) - offset; int64(len(p)) > most {
		p = p[:max(0, most)]
	}
	return s.Buffer.buf.CopyTo(p, offset)
}

// EarlySent notes that a handshake carries data up to the offset, which may yet be
// delivered although the handshake fails.
func (s *Send) EarlySent(offset int64) { s.highest = max(s.highest, offset) }

// Release gives the buffer's memory back, but for what is lent. Nothing can be
// appended any more.
func (s *Send) Release() { s.Buffer.buf.Reset(0, s.Buffer.buf.End()) }
