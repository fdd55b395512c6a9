package relink

import (
	"errors"
	"io"
	"math"
	"net"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/relink-go/relink/internal/suite"
)

// Interruptible is implemented by a transport that says of itself whether a
// Read that ended with os.ErrDeadlineExceeded may be repeated without harm. TCP and
// Unix sockets and net.Pipe are known and need not implement it.
//
// An interruptible transport is read by the application's own goroutines. Any other
// (a WebSocket dies of a read deadline) never gets a deadline, and is read by
// goroutines of the library. No transport gets a write deadline: see [NonblockingWriter].
//
// So a wrapper around TCP that says nothing of itself costs: a pair of idle sessions has
// three goroutines and about 24 KiB in place of 9.5. One that passes deadlines on says
// so here, and one that changes nothing in Write says so to [NonblockingWriter].
type Interruptible interface {
	Interruptible() bool
}

// pipeType is the type of net.Pipe's ends, which has no exported name.
var pipeType = sync.OnceValue(func() reflect.Type {
	a, b := net.Pipe()
	_, _ = a.Close(), b.Close()
	return reflect.TypeOf(a)
})

func isInterruptible(t net.Conn) bool {
	switch t := t.(type) {
	case *net.TCPConn, *net.UnixConn:
		return true
	case Interruptible:
		return t.Interruptible()
	default:
		return reflect.TypeOf(t) == pipeType()
	}
}

// A link is one transport of a session, from the end of its handshake to its
// loss. The lock is that of the session.
type link struct {
	// What every Read and Write touches comes first, in one line of the cache: see
	// Conn. It is guarded by the session's lock where it is not constant.

	conn          net.Conn          // constant after creation, like the next
	*framing                        // nil: the wire carries the stream alone
	writer        NonblockingWriter // conn without waiting, or nil; constant
	readDeadline  monoTime          // the transport's
	interruptible bool              // constant after creation, like the next
	fastReads     bool              // interruptible, and without a codec: see fastpath.go
	heard         bool              // something has arrived since the last look
	outstanding   bool              // something was sent that is not known to have arrived
	halfClosed    bool

	// Owned by whoever holds the receiver role.

	input []byte // what has arrived and is not yet taken: input[inPos:]
	inPos int

	probe probe      // guarded by the session's lock, like the next
	trips roundTrips // see roundtrip.go

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
func (l *link) setReadDeadline(m monoTime) {
	if l.interruptible && l.readDeadline != m {
		l.readDeadline = m
		_ = l.conn.SetReadDeadline(m.time()) // fails only on a closed transport, which Read reports
	}
}

// staleDeadline stands for a deadline that the transport says has passed. It is passed on
// again before the next call: where a clock was set back it has not.
const staleDeadline monoTime = math.MinInt64

// close closes the transport in the background, because some transports block
// in Close.
func (l *link) close() { closeTransport(l.conn) }

func closeTransport(t net.Conn) {
	go func() { _ = t.Close() }()
}

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
// peer why, where the wire has a word for it. It returns false where whoever is in the
// transport's Write is to call finishReset when that returns, as it does soon, unless
// the peer has not taken anything for a while and is not to be told anything either.
func (l *link) reset(code suite.ResetCode) (done bool) {
	switch {
	case l.framing == nil, l.writing && l.writingTicks >= stuckTicks:
		l.abort(nil)
	case l.writing:
		l.pendingReset = code
		return false
	default:
		l.abort(l.lastWords(code))
	}
	return true
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

// resetTransport closes a transport without a clean end, where it can do that.
func resetTransport(t net.Conn) {
	if t, ok := t.(interface{ SetLinger(int) error }); ok {
		_ = t.SetLinger(0)
	}
	_ = t.Close()
}

// tcpConn returns the TCP connection below a transport, following NetConn as
// wrappers offer it, or nil.
func tcpConn(t net.Conn) *net.TCPConn {
	if t, ok := t.(*contained); ok {
		return t.tcpConn()
	}
	for range 8 { // wrappers do not nest deeper; a cycle must not hang us
		switch c := t.(type) {
		case *net.TCPConn:
			return c
		case interface{ NetConn() net.Conn }:
			t = c.NetConn()
		default:
			return nil
		}
	}
	return nil
}
