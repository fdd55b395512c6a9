package stream

import (
	"fmt"
	"math"

	"github.com/relink-go/relink/internal/suite"
	"github.com/relink-go/relink/replay"
)

const (
	// maxAckEvery bounds how many bytes may arrive before their acknowledgement is
	// urgent. Ticks make a pending one urgent before long, and a sender that waits
	// for room asks.
	maxAckEvery = 256 << 10

	// FirstWindow is what the peer may send before it was told a limit in a record, if the
	// window is not less.
	FirstWindow = 64 << 10

	// StandbyBound is how much is read ahead of an application that is not reading,
	// on a wire without a window of its own.
	StandbyBound = 256 << 10

	// A window is too small if an application takes crampedWindows of them within
	// crampedTicks ticks: a round trip of a second is not waited for then.
	crampedWindows = 4
	crampedTicks   = 40

	// replayQuiet is how many ticks without a byte end a replay of unknown length. It
	// must begin within that time, a round trip after the answer to the resume.
	replayQuiet = 20
)

// A Receive is the receiving half of a session.
type Receive struct {
	Session suite.Session // constant after Init

	buf        replay.Buffer // decrypted, not yet taken by the application
	granted    int32         // the window: how much is taken beyond what the application has, within buf's limit
	mark       uint32        // the low bits of what the application had taken at some tick: see Cramped
	received   int64         // offset up to which the peer's stream has arrived
	pos        int64         // of the next byte to arrive over the newest link
	drainTo    int64         // the peer replays up to here after a resume
	discarded  int64         // bytes that have arrived and nobody will read
	advertised int64         // the limit that the peer was last told
	ackTold    int64         // the offset that the peer was last told

	// An acknowledgement that is pending is taken along by any record; one that is
	// urgent is worth a record of its own.
	ackPending, ackUrgent bool
	ackLate               bool // pending for a whole tick: nothing has gone out since

	acks          bool // the wire has acknowledgements; constant after Init
	markedFor     int8 // ticks
	quiet         int8 // ticks in a row without a byte, while replayUnknown
	replayUnknown bool // the peer has not told how much it replays
	finReceived   bool // the peer's stream ends at received
	closed        bool // nobody reads any more
	err           error
}

// Init makes an empty half whose buffer holds up to limit bytes, which is the window
// where the wire has one, and whose next byte has the offset.
func (r *Receive) Init(session suite.Session, traits suite.Traits, limit int, offset int64) {
	*r = Receive{
		Session: session, acks: traits.Acks, granted: int32(min(limit, math.MaxInt32)),
		received: offset, mark: uint32(offset), pos: offset, drainTo: offset, advertised: offset + min(int64(limit), FirstWindow, math.MaxInt64-offset),
	}
	r.buf.Reset(limit, offset)
}

// Received is the offset up to which the peer's stream has arrived.
func (r *Receive) Received() int64 { return r.received }

// Consumed is the offset up to which the application has taken it.
func (r *Receive) Consumed() int64 { return r.received - int64(r.buf.Len()) - r.discarded }

// Memory is the bytes of memory that the buffer takes.
func (r *Receive) Memory() int { return r.buf.Memory() }

// Buffered is how many bytes wait for the application.
func (r *Receive) Buffered() int { return r.buf.Len() }

// Err is what the application is told once it has taken everything, if so.
func (r *Receive) Err() error { return r.err }

// Fail sets Err, unless it is set.
func (r *Receive) Fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// FinReceived reports whether all of the peer's stream has arrived.
func (r *Receive) FinReceived() bool { return r.finReceived }

// Take gives the application what is buffered.
func (r *Receive) Take(p []byte) int {
	start := r.buf.Start()
	n := r.buf.CopyTo(p, start)
	r.buf.Free(start + int64(n))
	return n
}

// Limit bounds what is held for an application that is not reading. A replay is
// drained up to the limit of the buffer, because the peer may not read before it has been
// taken. With acknowledgements the window is the bound.
func (r *Receive) Limit() int {
	switch {
	case r.acks:
		return math.MaxInt
	case r.Draining():
		return r.buf.Limit()
	default:
		return min(StandbyBound, r.buf.Limit())
	}
}

// Draining reports whether the peer is replaying.
func (r *Receive) Draining() bool { return r.drainTo > r.received }

// ReplayUnknown reports whether it is not known how much.
func (r *Receive) ReplayUnknown() bool { return r.replayUnknown }

// Waiting reports whether the application can only wait: nothing is buffered, and
// neither the end nor an error is known.
func (r *Receive) Waiting() bool { return r.buf.Len() == 0 && !r.finReceived && r.err == nil }

// Continues reports whether n bytes that have come over the newest link are all new, and
// no replay is under way.
func (r *Receive) Continues(n int) bool {
	return r.pos == r.received && int64(n) <= math.MaxInt64-r.pos && !r.Draining()
}

// Continue accounts for such bytes and decrypts them in place.
func (r *Receive) Continue(p []byte) {
	r.pos += int64(len(p))
	r.received = r.pos
	r.Session.Decrypt(p, p)
}

// Arrived accounts for n bytes of the peer's stream that came over the newest link, and
// returns how many of them, at the front, are not to be taken: those that had arrived
// before, over an older link. An error ends the session.
func (r *Receive) Arrived(n int) (skip int, err error) {
	if r.pos == r.received && int64(n) <= math.MaxInt64-r.pos {
		r.pos += int64(n)
		r.received = r.pos
		return 0, nil
	}
	return r.acceptOverlap(n)
}

// acceptOverlap is Arrived where not everything is new.
func (r *Receive) acceptOverlap(n int) (skip int, err error) {
	if int64(n) > math.MaxInt64-r.pos {
		return n, fmt.Errorf("%w: the stream passes offset 2^63", suite.ErrCounters)
	}
	skip = int(min(int64(n), r.received-r.pos)) // came over an older link
	r.pos += int64(n)
	r.received = max(r.received, r.pos)
	return skip, nil
}

// Overrun says whether data that has just arrived was more than the peer may send, or
// behind its end.
func (r *Receive) Overrun() error {
	if r.finReceived || r.received > r.advertised {
		return fmt.Errorf("%w: data beyond the limit or the end of the stream", suite.ErrProtocol)
	}
	return nil
}

// Deposit puts data that Arrived has counted into the buffer, decrypted.
func (r *Receive) Deposit(data []byte) {
	if len(data) == 0 || r.closed {
		r.discarded += int64(len(data))
		return
	}
	r.Session.Decrypt(data, data)
	if r.buf.Append(data) != len(data) {
		panic(fmt.Sprintf("relink: internal error: no room for %d bytes beside %d", len(data), r.buf.Len()))
	}
}

// Early takes data that came with a handshake. What has arrived before is skipped, and
// what cannot be taken dropped: it comes again. It returns how much was new.
func (r *Receive) Early(offset int64, data []byte) int {
	skip := r.received - offset
	if r.finReceived || offset > r.received || skip >= int64(len(data)) {
		return 0
	}
	data = data[skip:]
	data = data[:min(int64(len(data)), int64(r.buf.Room()), r.early())]
	r.received += int64(len(data))
	r.Deposit(append([]byte(nil), data...))
	r.ackPending = r.ackPending || r.acks && len(data) > 0
	return len(data)
}

// early is how much may come with a handshake.
func (r *Receive) early() int64 {
	if !r.acks {
		return math.MaxInt64
	}
	return max(0, r.advertised-r.received)
}

// Fin notes that the peer's stream ends at what the link has brought.
func (r *Receive) Fin() error {
	if r.pos != r.received {
		return fmt.Errorf("%w: the stream ends at offset %d, and %d bytes have arrived", suite.ErrProtocol, r.pos, r.received)
	}
	r.finReceived = true
	r.ackNow()
	return nil
}

// Attach begins a link over which the peer sends from told on, which it was told, and
// replays up to peerSent: what has arrived since then, over the old link, comes again.
func (r *Receive) Attach(told, peerSent int64) {
	r.pos = told
	r.quiet, r.replayUnknown = 0, peerSent == suite.Unknown
	if r.drainTo = peerSent; r.replayUnknown { // until ticks find the peer quiet
		r.drainTo = told + min(int64(r.buf.Limit()), math.MaxInt64-told)
	}
	if r.acks {
		r.ackNow() // tells the limit
	}
}

// Close drops what has arrived and was not read, and what will. It does not count as
// taken by the application.
func (r *Receive) Close() {
	r.closed = true
	r.discarded += int64(r.buf.Len())
	r.buf.Reset(r.buf.Limit(), r.buf.End())
}

// Check says whether the stream can go on from a peer that says it has sent so much.
func (r *Receive) Check(peerSent int64) error {
	if peerSent != suite.Unknown && peerSent < r.received {
		return fmt.Errorf("%w: it has sent %d bytes of %d received", suite.ErrCounters, peerSent, r.received)
	}
	return nil
}

// Tick decides when a peer that does not tell how much it replays has replayed it all:
// when it has been silent for a while. heard says that something has arrived since the
// last tick.
func (r *Receive) Tick(heard bool) {
	if r.quiet++; heard {
		r.quiet = 0
	}
	if r.replayUnknown && r.Draining() && r.quiet >= replayQuiet {
		r.replayUnknown = false
		r.drainTo = 0
	}
	if r.markedFor++; r.markedFor >= crampedTicks {
		r.mark, r.markedFor = uint32(r.Consumed()), 0
	}
	// An acknowledgement that has been pending since the tick before becomes urgent. One
	// tick is not enough: where messages go both ways, most are answered within it.
	r.ackUrgent = r.ackUrgent || r.ackLate
	r.ackLate = r.ackPending
}

// DataArrived notes that data is to be acknowledged.
func (r *Receive) DataArrived() {
	r.ackPending = true
	r.ackUrgent = r.ackUrgent || r.received-r.ackTold >= r.ackEvery()
}

func (r *Receive) ackNow() { r.ackPending, r.ackUrgent = true, true }

// ConsumedMore asks for a new limit to be told once the application has taken enough
// for it to matter to the peer.
func (r *Receive) ConsumedMore() {
	if limit := r.window(); limit-r.advertised >= r.ackEvery() {
		r.ackNow()
	} else if limit > r.advertised {
		r.ackPending = true
	}
}

// window is the offset that the peer's data must not pass.
func (r *Receive) window() int64 {
	consumed := r.Consumed()
	return max(r.advertised, consumed+min(int64(r.granted), math.MaxInt64-consumed))
}

// Window is how many bytes the peer may be told to send beyond what the application has
// taken, and MostWindow the greatest that this may be.
func (r *Receive) Window() int { return int(r.granted) }

// MostWindow is the greatest window that the half may be given.
func (r *Receive) MostWindow() int { return r.buf.Limit() }

// SetWindow changes the window, within MostWindow. What the peer was told stands.
func (r *Receive) SetWindow(n int) {
	r.granted = int32(min(n, r.buf.Limit()))
	r.mark, r.markedFor = uint32(r.Consumed()), 0
	if r.acks {
		r.ConsumedMore()
	}
}

// Promised is how many bytes the peer can make this half hold, by what it was told.
func (r *Receive) Promised() int {
	if !r.acks {
		return 0
	}
	return int(r.advertised - r.Consumed())
}

// Cramped reports whether a larger window would help: the application has taken so many of
// them in so short a time that the peer may be waiting for round trips.
func (r *Receive) Cramped() bool {
	return r.acks && r.Window() < r.buf.Limit() && uint32(r.Consumed())-r.mark >= crampedWindows*uint32(r.granted)
}

// ackEvery is how many bytes may arrive before their acknowledgement is urgent: few
// enough that the peer does not run out of room.
func (r *Receive) ackEvery() int64 { return int64(min(maxAckEvery, r.granted/4)) }

// AckPending reports whether an acknowledgement waits to be carried by any record.
func (r *Receive) AckPending() bool { return r.ackPending }

// AckUrgent reports whether it is worth a record of its own.
func (r *Receive) AckUrgent() bool { return r.ackUrgent }

// TakeAck puts an acknowledgement into k.
func (r *Receive) TakeAck(k *suite.Control) {
	k.Ack, k.Received, k.FinReceived = true, r.received, r.finReceived
	k.Consumed = r.Consumed()
	k.Limit = r.window()
	r.advertised = k.Limit
	r.ackTold, r.ackPending, r.ackUrgent, r.ackLate = r.received, false, false, false
}
