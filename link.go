package relink

import (
	"errors"
	"io"
	"math"
	"net"
	"sync/atomic"
	"time"

	"github.com/relink-go/relink/internal/clock"
	"github.com/relink-go/relink/internal/suite"
)

// A link is one transport of a session, from the end of its handshake to its
// loss. The lock is that of the session.
type link struct {
	// What every Read and Write touches comes first, in one line of the cache: see
	// Conn. It is guarded by the session's lock where it is not constant.

	conn          net.Conn          // constant after creation, like the next
	*framing                        // nil: the wire carries the stream alone
	writer        NonblockingWriter // conn without waiting, or nil; constant
	readDeadline  clock.Time        // the transport's
	interruptible bool              // constant after creation, like the next
	fastReads     bool              // interruptible, and without a codec: see fastpath.go
	heard         bool              // something has arrived since the last look
	outstanding   bool              // something was sent that is not known to have arrived
	halfClosed    bool

	// Owned by whoever holds the receiver role.

	input []byte // what has arrived and is not yet taken: input[inPos:]
	inPos int

	probe probe      // guarded by the session's lock, like the next
	trips roundTrips // see liveness.go

	suspicion *suspicion // nil where nothing comes of it: see suspicion.go
}

// A framing is what a link has whose wire carries records. It is one line of the
// cache.
type framing struct {
	codec suite.Codec

	// Owned by whoever holds the receiver role.

	long      *[]byte      // what the link's input lies in while records are long, or nil
	lastRead  int32        // bytes that the transport last had
	session   *Conn        // whose link it is; constant
	inputGrew bool         // and is not counted yet
	inputSize atomic.Int32 // of the link's input; read by whoever counts

	// Owned by whoever holds the sender role.

	wirePos int32   // what the transport has taken of wire
	wire    *[]byte // sealed records that must go out next, or nil

	// Guarded by the session's lock: for base, recordCap and counted see startPace.

	base         int64    // the peer had acknowledged up to here when the link began, which sends from here
	counted      int64    // the offset acknowledged at the last tick
	recordCap    int32    // data in a record while the network counts as slow, or zero
	inputUse     inputUse // whether long is in use, and is still wanted
	writing      bool     // the sender seals records, or the transport is taking them
	writingTicks uint8    // how many ticks it has been so, up to stuckTicks
	stopSent     bool
	closedSaid   bool            // the peer was told that the session is over
	pendingReset suite.ResetCode // what the peer is still to be told, by whoever writes
	idleAcks     uint32          // ticks in a row at which the peer has acknowledged nothing more
	silentFor    uint8           // of these, since the peer was last heard
	ackAsked     bool            // a ping is under way for the sake of its acknowledgement
}

// stuckTicks is how many ticks find a transport at the same Write until it counts as stuck.
const stuckTicks = 2

// tickWriting notes how long the transport has had what it was given.
func (f *framing) tickWriting() {
	if f.writing && f.writingTicks < stuckTicks {
		f.writingTicks++
	}
}

// An inputUse says what is known of a link's long record buffer.
type inputUse uint8

const (
	inputShort    inputUse = iota // there is none, or it is about to be given back
	inputLong                     // records have come through it
	inputUnwanted                 // and nothing after them: it is to be given back
)

// giveInputBack makes the next inputSpace give back an unwanted buffer.
// The caller holds the receiver role.
func (f *framing) giveInputBack() {
	if f.inputUse == inputUnwanted {
		f.inputUse, f.lastRead = inputShort, 0
	}
}

// sealed reports whether records wait to go out.
func (f *framing) sealed() bool { return f != nil && f.wire != nil }

// unsent returns the records that wait to go out.
func (f *framing) unsent() []byte { return (*f.wire)[f.wirePos:] }

// newLink makes a link of a transport whose handshake is complete. rest is what
// had arrived beyond the handshake.
func newLink(t net.Conn, rest []byte, sl suite.Link) *link {
	l := &link{conn: t, writer: nonblockingWriter(t), interruptible: isInterruptible(t)}
	l.fastReads = l.interruptible && sl.Codec == nil
	if sl.Codec != nil {
		l.framing = &framing{codec: sl.Codec}
	}
	if l.interruptible {
		_ = t.SetDeadline(time.Time{}) // one that a dialer has left behind would never end
	}
	if len(rest) > 0 {
		l.input = append([]byte(nil), rest...)
	}
	return l
}

// setReadDeadline passes a deadline to an interruptible transport.
func (l *link) setReadDeadline(m clock.Time) {
	if l.interruptible && l.readDeadline != m {
		l.readDeadline = m
		_ = l.conn.SetReadDeadline(m.Std()) // fails only on a closed transport, which Read reports
	}
}

// staleDeadline stands for a deadline that the transport says has passed. It is passed on
// again before the next call: where a clock was set back it has not.
const staleDeadline clock.Time = math.MinInt64

// close closes the transport in the background, because some transports block
// in Close.
func (l *link) close() { closeTransport(l.conn) }

// lastWordsTime bounds how long a reset may take to leave.
const lastWordsTime = 100 * time.Millisecond

// abort closes the transport so that the peer sees an error and not a clean
// end, where the transport can do that. last is sent before, if possible.
func (l *link) abort(last []byte) {
	if t, ok := l.conn.(*net.TCPConn); ok && len(last) == 0 {
		// At once, lest a program that exits now have its kernel end it cleanly.
		_ = t.SetLinger(0)
	}
	go func() {
		if len(last) > 0 {
			timer := time.AfterFunc(lastWordsTime, func() { resetTransport(l.conn) })
			defer timer.Stop()
			if n, err := l.conn.Write(last); err == nil && n == len(last) {
				_ = l.conn.Close()
				return
			}
		}
		resetTransport(l.conn)
	}()
}

// reset closes the transport of a link that is no session's any more, and tells the
// peer why, where the wire has a word for it. Where somebody is in the
// transport's Write, finishReset is called when that returns, or soon, unless
// the peer has not taken anything for a while and is not to be told anything either.
func (l *link) reset(code suite.ResetCode) {
	switch {
	case l.framing == nil, l.writing && l.writingTicks >= stuckTicks:
		l.abort(nil)
	case l.writing:
		l.pendingReset = code
		time.AfterFunc(lastWordsTime, l.resetLate)
	default:
		l.abort(l.lastWords(code))
	}
}

// resetLate ends what reset has left, if the transport's Write has not returned.
func (l *link) resetLate() {
	l.session.mu.Lock()
	defer l.session.unlock()
	if l.pendingReset != 0 {
		l.finishReset(false)
	}
}

// finishReset ends what reset has left, and tells the peer if the transport goes on.
func (l *link) finishReset(goesOn bool) {
	var last []byte
	if goesOn {
		last = l.lastWords(l.pendingReset)
	}
	l.pendingReset = 0
	l.abort(last)
}

// lastWords returns a record that resets the session, behind what is half sent. The
// sender role is free, or the caller's.
func (l *link) lastWords(code suite.ResetCode) (b []byte) {
	if l.sealed() {
		b = append(b, l.unsent()...)
	}
	return l.codec.Seal(b, nil, suite.Control{Reset: code})
}

// closeWrite ends the transport's outgoing direction. The error is io.EOF where the
// transport cannot do that.
func (l *link) closeWrite() error {
	err := errors.ErrUnsupported // which is also how a wrapper says it
	if w, ok := l.conn.(interface{ CloseWrite() error }); ok {
		err = w.CloseWrite()
	}
	if errors.Is(err, errors.ErrUnsupported) {
		return io.EOF
	}
	return err
}

// On a slow network a long record takes longer than the peer may be silent, and
// it acknowledges only whole ones. A link that follows one which died for want
// of acknowledgements therefore begins with short records, which grow as fast
// as it turns out that the network carries them.

// And on any network a link begins with short records, because a record opens
// when the whole of it is there, and TCP begins with some 14 KB under way: the
// rest would come a round trip later.

const (
	// slowRecord is the data in a record on a network that counts as slow, and
	// fastRecord the most on one that does not yet count as fast.
	slowRecord = 1 << 10
	fastRecord = 32 << 10

	// firstRecord is the most data in a link's first record. Each one after it may
	// be longer by what was sent before.
	firstRecord = 8 << 10
)

// startPace says how long the records of a new link may be, which begins at base and on
// which the peer has acknowledged the stream up to the other offset.
func (f *framing) startPace(base, acked int64, slowNetwork bool) {
	f.base, f.counted = base, acked
	if slowNetwork {
		f.recordCap = slowRecord
	}
}

// mostData is the most data that a sender may take along next: that of one record
// where the network counts as slow, and at first, when it says where the link
// stands; later as much as the transport takes well at once. sent is what the link was
// handed so far. The caller holds the sender role.
func (l *link) mostData(sent int64) int {
	most := l.codec.MaxData()
	if l.recordCap > 0 {
		return min(int(l.recordCap), most)
	}
	if sent == 0 || sent+firstRecord < int64(most) {
		return min(firstRecord+int(sent), most)
	}
	return max(batchSize, most)
}

// ackPatience is how many times LivenessTimeout a peer may go on without acknowledging
// anything more.
const ackPatience = 4

// mostSilence is how many ticks without a word count at most, between two at which the peer was
// heard.
const mostSilence = 50

// tickAcks reports whether the peer is alive and does not acknowledge what it has been
// sent, which would be kept for it as long as it likes. It goes by the ticks of one link
// on which the peer was heard: silence is a matter of liveness.
func (l *link) tickAcks(acked int64, unacknowledged, heard bool) bool {
	if !unacknowledged || acked != l.counted {
		l.idleAcks = 0
		return false
	}
	timeout := l.probe.timeout
	if timeout <= 0 {
		timeout = defaultLivenessTimeout
	}
	if l.silentFor++; heard {
		l.silentFor = 0
	}
	if l.silentFor > mostSilence {
		l.silentFor = mostSilence
		return false // whatever it says next may be an acknowledgement
	}
	l.idleAcks++
	return heard && l.idleAcks >= uint32(min(ackPatience*timeout/tickEvery, math.MaxUint32))
}

// tickPace lets records grow where a whole one was acknowledged within a tick.
func (f *framing) tickPace(acked int64) {
	if f.recordCap != 0 && acked-f.counted >= int64(f.recordCap) {
		if f.recordCap *= 2; f.recordCap > fastRecord {
			f.recordCap = 0
		}
	}
	f.counted = acked
}
