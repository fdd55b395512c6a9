package relink

import (
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/relink-go/relink/internal/clock"
	"github.com/relink-go/relink/internal/stream"
	"github.com/relink-go/relink/internal/suite"
	"github.com/relink-go/relink/replay"
)

// How a byte goes out: Write encrypts it straight into the buffer of the sending half
// (internal/stream), or leaves the cipher to the sender; the holder of the sender
// role takes it from there to the link's transport, sealed into records where the
// link has a codec. A Write that finds the role free makes one attempt that does not
// wait, and leaves. What the transport has not taken, and what comes in a row of
// Writes, is for a flusher goroutine (flush), which exists only then and may
// wait for the peer as long as it likes.

const (
	// encryptStep is how much a Write encrypts before the sender gets at it.
	encryptStep = 16 << 10

	// batchSize is the most data that the transport is handed at once, in as many
	// records as that needs. More than 64 KiB brings nothing, and a little more, or
	// 64 KiB with what records and headers add, does harm: the kernel sends the
	// rest by itself (docs/performance.md). A fifth of the replay buffer's largest
	// chunk, rounded up, leaves no short piece at its end. After a link that carried
	// nothing it is less: see internal/headway.
	batchSize = 52 << 10

	// burstWrites Writes in a row, each within burstGap of the one before and
	// with no Read between, are a burst: they are handed to the flusher.
	burstWrites = 4
	burstGap    = 8 * time.Microsecond
)

// A burstDetector recognises bursts of Writes. A request that waits for its answer
// never pays for a clock here, and neither does a Write whose bytes somebody else
// will send: reading the clock can take as long as all the rest of it.
type burstDetector struct {
	n    int
	last clock.Time // when the sender role became free
}

// begin is called at the start of a Write that finds the sender role free, and
// says whether it belongs to a burst.
func (s *burstDetector) begin() bool {
	if s.n >= 2 && s.last.Since() > burstGap {
		s.n = 0
	}
	s.n++
	return s.n >= burstWrites
}

// end is called when a Write or a flusher has left the sender role free.
func (s *burstDetector) end() {
	if s.n >= 2 {
		s.last = clock.Now()
	}
}

func (s *burstDetector) reset() { s.n = 0 }

// Write takes p into the session's buffer and returns as soon as all of it is there.
// It neither changes p nor keeps it. Bytes in the buffer count as written: they are
// sent, encrypted, and delivered over this transport or the next. Write waits for
// nothing but room: while the buffer is full (while suspended: when ReplayLimit is
// reached) it blocks until there is room, the write deadline passes, or the session
// ends; then it returns how many bytes were taken. It may be larger than the buffer.
// Writes of several goroutines do not interleave. See [Conn.TryWrite] for one that
// never blocks.
func (c *Conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	if c.s.sender != roleFree {
		if c.s.writeBeside(p) {
			c.unlockFast()
			return len(p), nil
		}
	} else if c.s.fastWrite && c.s.burst.n == 0 && len(p) <= stream.EncryptShort {
		// The fast path. The transport is written here and not further down, as in
		// Read.
		l := c.s.link
		if loan, control := c.s.beginFastWrite(l, p); len(loan.Bytes()) > 0 { // else there is no room in one piece
			c.mu.Unlock()
			out := l.seal(loan.Bytes(), control)
			k, err := l.writer.WriteNonblock(out)
			c.mu.Lock()
			if err == nil && k == len(out) && c.s.fastWrite && c.s.link == l {
				c.s.endFastWrite(l, loan)
				c.unlockFast()
			} else {
				c.endSendLocked(l, loan, k, err)
				c.unlock()
			}
			return len(p), nil
		}
	}
	l, n, err := c.writeLocked(p)
	c.trySendLocked(l)
	if c.s.sender == roleFree {
		c.s.burst.end()
	}
	c.mu.Unlock()
	if err != nil {
		err = c.opError("write", err)
	}
	return n, err
}

// trySendLocked hands what is next to the transport of a link that takeSender or takePart has
// returned, if there is one, in an attempt that does not wait. It settles the session.
func (c *Conn) trySendLocked(l *link) {
	if l != nil {
		next := c.s.next(l)
		c.unlock()
		n, err := l.writer.WriteNonblock(l.seal(next.loan.Bytes(), next.control))
		c.mu.Lock()
		c.endSendLocked(l, next.loan, n, err)
	}
	c.settleLocked()
}

// writeLocked takes p into the buffer and sees to it that it is sent. If it
// returns a link, that is for the caller to do, by trySendLocked.
func (c *Conn) writeLocked(p []byte) (l *link, n int, err error) {
	for c.s.send.Appending() {
		if err := c.s.mayWrite(); err != nil {
			return nil, 0, err
		}
		c.waitLocked(&c.s.writers, c.s.writeDeadline)
	}
	if len(p) == 0 {
		return nil, 0, c.s.mayWrite()
	}
	c.s.send.BeginAppend()
	burst := c.s.sender == roleFree && c.s.burst.begin()
	for n < len(p) && err == nil {
		var k int
		if k, err = c.appendLocked(p[n:]); k > 0 {
			n += k
			if n < len(p) {
				c.trySendLocked(c.s.takePart())
			}
		}
	}
	return c.s.appended(n, burst && n <= encryptStep), n, err
}

// appended ends what has appended n bytes, and returns what takeSender does.
func (s *session) appended(n int, burst bool) *link {
	s.send.EndAppend()
	if s.done {
		s.send.Release()
	}
	if n > 0 && !s.send.Fin.Queued() { // else a flusher sends it with the end
		return s.takeSender(burst)
	}
	return nil
}

// TryWrite takes all of p into the session's buffer, as [Conn.Write] does, or nothing of
// it, and never waits. It returns false without an error where there is not enough
// room now, or where another goroutine is in a Write. A server that broadcasts what is
// soon out of date calls it, and drops what a client that is away has no room for.
// More than can fit while connected (ReplayLimit, and on a wire without acknowledgements
// a quarter of it or 256 KiB, if that is less) is an error. So is what [Conn.Write]
// would return one for before it waits.
func (c *Conn) TryWrite(p []byte) (bool, error) {
	c.mu.Lock()
	ok, err := c.s.fits(len(p))
	if !ok && err == nil && !c.s.send.Appending() {
		c.server.grow(c, len(p))
		ok, err = c.s.fits(len(p))
	}
	var sends *link
	if ok && len(p) > 0 {
		c.s.send.BeginAppend()
		burst := c.s.sender == roleFree && c.s.burst.begin()
		for n := 0; n < len(p); {
			k := c.encryptLocked(p[n:min(n+encryptStep, len(p))])
			if c.s.done {
				ok, err = false, c.s.writeEnd()
				break
			}
			if n += k; n < len(p) {
				c.trySendLocked(c.s.takePart())
			}
		}
		sends = c.s.appended(len(p), burst && len(p) <= encryptStep)
	}
	c.trySendLocked(sends)
	if c.s.sender == roleFree {
		c.s.burst.end()
	}
	c.mu.Unlock()
	if err != nil {
		err = c.opError("write", err)
	}
	return ok, err
}

// fits reports whether there is room for n bytes now, and nobody else appends. The error
// is why there never will be, or why nothing may be written.
func (s *session) fits(n int) (bool, error) {
	if err := s.mayWrite(); err != nil {
		return false, err
	}
	if most := s.send.Buffer.MaxRoom(s.send.Traits.Acks); n > most {
		return false, fmt.Errorf("relink: TryWrite of %d bytes, and at most %d fit while connected: use Write, or raise ReplayLimit", n, most)
	}
	return !s.send.Appending() && n <= s.send.Room(), nil
}

// Room returns how many bytes a Write would take now without waiting: as many as
// [Conn.TryWrite] takes, unless another goroutine writes first. It is 0 where a Write
// would fail.
func (c *Conn) Room() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.s.send.Appending() || c.s.mayWrite() != nil {
		return 0
	}
	return c.server.sharedBudget().room(&c.s)
}

// mayWrite says why a Write cannot go on, if so.
func (s *session) mayWrite() error {
	switch {
	case s.closed || s.send.Fin.Queued():
		return net.ErrClosed
	case s.send.Err() != nil:
		return s.send.Err()
	case s.writeDeadline.Expired():
		return os.ErrDeadlineExceeded
	default:
		return s.send.Full()
	}
}

// appendLocked takes some of p into the buffer, waiting for room. The lock is
// released while it encrypts.
func (c *Conn) appendLocked(p []byte) (int, error) {
	for {
		if err := c.s.mayWrite(); err != nil {
			return 0, err
		}
		c.server.grow(c, min(len(p), encryptStep))
		if room := min(c.s.send.Room(), encryptStep); room > 0 {
			n := c.encryptLocked(p[:min(room, len(p))])
			if n == 0 {
				return 0, c.s.writeEnd()
			}
			return n, nil
		}
		if l := c.s.link; c.s.send.Traits.Acks && l != nil {
			if !l.ackAsked { // the peer, whose window may be larger, need not hurry by itself
				l.ackAsked, c.s.pingDue = true, true
			}
			c.s.hearAcks()
		}
		c.s.wantsRoom = true
		c.waitLocked(&c.s.writers, c.s.writeDeadline)
		c.s.wantsRoom = false
	}
}

// encryptLocked puts at least some of p, for which there is room, into the buffer,
// encrypted or not, and returns how much. The lock may be released meanwhile: it
// returns 0 if the session has ended then.
func (c *Conn) encryptLocked(p []byte) int {
	if c.s.send.Defers(len(p), c.s.sender != roleFree) {
		return c.s.send.Append(p)
	}
	b := c.s.send.Reserve(len(p))
	if len(b) <= stream.EncryptShort {
		c.s.send.Session.Encrypt(b, p[:len(b)])
	} else {
		c.unlock()
		c.s.send.Session.Encrypt(b, p[:len(b)])
		c.mu.Lock()
		if c.s.done {
			c.s.send.Commit(0)
			return 0
		}
	}
	c.s.send.Commit(len(b))
	return len(b)
}

// writeEnd is the error of a Write that found the session at its end.
func (s *session) writeEnd() error {
	if s.closed {
		return net.ErrClosed
	}
	return s.send.Err()
}

// takeSender takes the sender role to hand over what was appended, if a Write is to do
// that, and returns the link.
func (s *session) takeSender(burst bool) *link {
	l := s.link
	if burst || l == nil || l.writer == nil || s.sender != roleFree || !s.mustSend() {
		return nil
	}
	s.sender = roleInline
	return l
}

// takePart takes the sender role for what a Write has appended so far, so that it is sent while
// the rest is encrypted: where there is nothing to seal, and for what a call of the transport is
// worth. Else a flusher sends it, so that encrypting and sealing each have a processor.
func (s *session) takePart() *link {
	l := s.link
	if l == nil || l.writer == nil || l.framing != nil || s.sender != roleFree || s.send.Sendable() < int64(s.ended.piece()) {
		return nil
	}
	s.sender = roleInline
	return l
}

// endSendLocked ends what a Write has done as the sender: it accounts for what an
// attempt has come to, goes on as long as the transport takes all that it is given,
// and gives the role back. The rest is for a flusher.
func (c *Conn) endSendLocked(l *link, loan replay.Loan, n int, err error) {
	for left := c.s.send.Sendable(); ; {
		all := n == len(loan.Bytes())
		left -= int64(n)
		c.linkLostLocked(l, c.s.written(l, loan, n, err))
		if !all || c.s.link != l || c.s.closed || l.framing != nil || left <= 0 {
			break
		}
		loan = c.s.send.Lend(int(min(left, int64(c.s.ended.piece()))))
		c.unlock()
		n, err = l.writer.WriteNonblock(loan.Bytes())
		c.mu.Lock()
	}
	c.s.sender = roleFree
}

// flush is the flusher's goroutine: it sends over whatever link there is until nothing
// is left, and gives the sender role back. The lock is released while it encrypts and
// while the transport is written.
func (c *Conn) flush() {
	c.mu.Lock()
	defer c.unlock()
	for !c.s.done && c.s.mustSend() {
		l := c.s.link
		switch {
		case c.s.halfCloseDue(l) && !l.sealed():
			// The classic wires say so that nothing more comes. What the peer still sends is
			// drained, so that the kernel does not answer it with a reset, which would
			// destroy what is under way. Where the transport cannot do it, whether all
			// arrives is left to that: a resume could ask, but it would take the session
			// over and so destroy what is under way.
			l.halfClosed = true
			c.unlock()
			err := l.closeWrite()
			c.mu.Lock()
			c.linkLostLocked(l, err)
		case c.s.send.Unencrypted(): // what Writes have left
			loan := c.s.send.LendPlain()
			c.unlock()
			c.s.send.Session.Encrypt(loan.Bytes(), loan.Bytes())
			c.mu.Lock()
			c.s.send.Encrypted(loan)
		default:
			next := c.s.next(l)
			c.unlock()
			data := l.seal(next.loan.Bytes(), next.control)
			n, err := l.conn.Write(data)
			if n == 0 && err == nil && len(data) > 0 {
				err = io.ErrShortWrite // or it would be asked for ever
			}
			c.mu.Lock()
			c.linkLostLocked(l, c.s.written(l, next.loan, n, err))
		}
	}
	c.s.sender = roleFree
	c.s.burst.end()
}

// An outgoing is what the link's transport is handed next, as far as the
// session's lock is needed for it.
type outgoing struct {
	loan    replay.Loan   // data, which a link with a codec has still to seal
	control suite.Control // and what goes with it in the last of its records
}

// next chooses what the transport is handed next: what lies in one piece
// in the buffer, as far as it may go. On a link with a codec all control that
// waits goes with it, unless there are records that the transport has not taken.
func (s *session) next(l *link) (next outgoing) {
	if l.framing == nil {
		return outgoing{loan: s.send.Lend(s.ended.piece())}
	}
	l.writing, l.writingTicks = true, 0
	if !l.sealed() {
		next.control = s.collectControl(l)
		next.loan = s.send.Lend(l.mostData(s.send.HandedTo() - l.base))
		s.send.Advance(len(next.loan.Bytes()))
		next.control.Fin = s.send.TakeFin()
	}
	return next
}

// written accounts for what the transport's Write of what next gave has returned. What
// it has not taken is due again. The error is why the link is lost, if it is.
func (s *session) written(l *link, loan replay.Loan, n int, err error) error {
	size := len(loan.Bytes())
	if l.framing != nil {
		size = len(l.unsent())
	}
	n, err = checkWrite(n, size, err)
	s.send.Return(loan)
	if l.framing != nil {
		l.writing = false
		if l.wirePos += int32(n); int(l.wirePos) == len(*l.wire) {
			l.releaseWire()
		}
		if l.pendingReset != 0 {
			l.finishReset(err == nil)
			return nil
		}
	} else if s.link == l {
		s.send.Advance(n)
	}
	if n > 0 {
		l.outstanding = true
	}
	return err
}

// writeTransport writes to a transport and holds it to the contract of
// io.Writer.
func writeTransport(t io.Writer, b []byte) (int, error) {
	n, err := t.Write(b)
	if n == 0 && len(b) > 0 && err == nil {
		return 0, io.ErrShortWrite
	}
	return checkWrite(n, len(b), err)
}

// checkWrite holds what a transport's Write returned to the contract of io.Writer,
// but that it may take less than it was given without an error.
func checkWrite(n, size int, err error) (int, error) {
	if n < 0 || n > size {
		return 0, fmt.Errorf("relink: the transport's Write returned %d for a slice of %d bytes", n, size)
	}
	return n, err
}

// wires are the buffers that records are sealed into.
var wires = sync.Pool{New: func() any { return new([]byte) }}

func (l *link) releaseWire() {
	wires.Put(l.wire)
	l.wire, l.wirePos = nil, 0
}

// seal returns what the transport is to have: data as it is or, where the link has
// a codec, in records, the last of them with the control; or what the transport
// has left of records before. The caller holds the sender role, and not the
// session's lock: sealing can take long.
func (l *link) seal(data []byte, k suite.Control) []byte {
	if l.framing == nil {
		return data
	}
	if !l.sealed() {
		l.wire = wires.Get().(*[]byte)
		*l.wire = l.records((*l.wire)[:0], data, k)
	}
	return l.unsent()
}

// records appends data in records, the last of them with the control.
func (f *framing) records(b, data []byte, k suite.Control) []byte {
	for most := f.codec.MaxData(); len(data) > most; {
		b = f.codec.Seal(b, data[:most], suite.Control{})
		data = data[most:]
	}
	return f.codec.Seal(b, data, k)
}

// collectControl takes the control that waits to be carried.
func (s *session) collectControl(l *link) suite.Control {
	var k suite.Control
	if s.recv.AckPending() || s.recv.AckUrgent() || s.pongDue {
		s.recv.TakeAck(&k)
	}
	if k.Ping, k.Pong = s.pingDue, s.pongDue; k.Ping {
		l.trips.ask()
	}
	s.pingDue, s.pongDue = false, false
	if s.closed {
		k.Stop, l.stopSent = true, true
	}
	if s.saysClosed(l) {
		s.recv.TakeAck(&k)
		k.Reset, l.closedSaid = suite.ResetClosed, true
	}
	return k
}
