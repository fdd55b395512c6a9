package relink

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"

	"github.com/relink-go/relink/internal/clock"
	"github.com/relink-go/relink/internal/stream"
	"github.com/relink-go/relink/internal/suite"
)

// How a byte comes in: the holder of the receiver role reads the link's
// transport (receiveLocked), opens records where the link has a codec, accounts
// for what arrived (session.arrived) and decrypts it into the caller's slice or
// into the session's buffer. The role belongs to the application's Read while
// there is one, otherwise to the standby goroutine.

const (
	// standbyChunk is how much a standby reads at a time.
	standbyChunk = 16 << 10

	// firstInput is the first size of a link's record buffer, so that a session
	// that has carried nothing is small. It takes some acknowledgements.
	firstInput = 128

	// minInput is the size of a record buffer as long as records are short.
	minInput = 1 << 10

	// inputStep is how many times as large the buffer becomes that a record's beginning has
	// filled: a length that somebody states allocates nothing.
	inputStep = 4

	// longInput is the size of a record buffer once records are long: several
	// fit, so that one call of the transport brings more than one.
	longInput = 128 << 10

	// maxEmptyReads is how often a transport may return no bytes and no error
	// in a row.
	maxEmptyReads = 100
)

// Read reads data from the stream, across any number of transports. It returns
// io.EOF where the peer has ended the stream, os.ErrDeadlineExceeded (in a
// *net.OpError) when the read deadline has passed, net.ErrClosed after Close,
// and a typed error when the session is lost. Data that has arrived before the
// end of a session is returned first.
func (c *Conn) Read(p []byte) (int, error) {
	c.mu.Lock()
	// The fast path. The transport is read here and not further down: after a system
	// call the processor's return-address predictor is empty, and each call that it is
	// nested in costs.
	if l := c.s.link; c.s.fastRead && c.s.receiver == roleFree && l.inPos == len(l.input) && len(p) > 0 { // in this order: the input is the receiver's
		c.s.takeReceiver()
		c.mu.Unlock()
		k, rerr := l.conn.Read(p)
		c.mu.Lock()
		if c.s.arrivedFast(l, len(p), k, rerr) {
			c.s.recv.Continue(p[:k])
			l.heard = true
			c.s.burst.reset()
			c.s.receiver = roleFree
			c.unlockFast()
			return k, nil
		}
		n := c.takeStreamLocked(l, p, k, rerr)
		if c.s.leaveReceiver(n) {
			c.unlock()
			return n, nil
		}
	}
	l, n, err := c.awaitDataLocked(p)
	for l != nil {
		switch {
		case l.inPos < len(l.input):
			n = c.receiveLocked(l, p)
		case l.framing == nil:
			l.setReadDeadline(c.s.readDeadline)
			c.unlock()
			k, rerr := l.conn.Read(p)
			c.mu.Lock()
			n = c.takeStreamLocked(l, p, k, rerr)
		default:
			l.setReadDeadline(c.s.readDeadline)
			l.giveInputBack()
			room := l.inputSpace()
			l.countInputLocked()
			c.unlock()
			k, rerr := l.conn.Read(room)
			rec, rerr := l.recordIn(p, room, k, rerr)
			c.mu.Lock()
			n = c.recordReadLocked(l, rec, p, rerr)
		}
		if c.s.leaveReceiver(n) {
			break
		}
		l, n, err = c.awaitDataLocked(p)
	}
	c.settleLocked()
	yields := c.s.ackWaits()
	c.mu.Unlock()
	if yields {
		runtime.Gosched()
	}
	if err != nil && err != io.EOF { //nolint:errorlint // io.EOF is returned bare, by definition
		err = c.opError("read", err)
	}
	return n, err
}

// ackWaits reports whether a flusher is to send an acknowledgement and has not
// taken it yet. A Read lets it run then: with a single processor that goroutine would
// begin when the Read waits, which is not before the peer has nothing more to send.
func (s *session) ackWaits() bool { return s.recv.AckUrgent() && s.sender == roleBackground }

// takeReceiver takes the free receiver role for a Read.
func (s *session) takeReceiver() {
	s.receiver = roleInline
	s.backgroundRead = false
	s.readSinceTick = true
}

// leaveReceiver gives the receiver role back after a Read of the link, and reports
// whether it has got anything.
func (s *session) leaveReceiver(n int) bool {
	s.receiver = roleFree
	if n > 0 {
		s.burst.reset()
	}
	return n > 0
}

// awaitDataLocked waits until a Read can return, or has the receiver role: then
// it returns the link to read.
func (c *Conn) awaitDataLocked(p []byte) (l *link, n int, err error) {
	for {
		switch {
		case c.s.closed:
			return nil, 0, net.ErrClosed
		case c.s.readDeadline.Expired():
			return nil, 0, os.ErrDeadlineExceeded
		case len(p) == 0:
			return nil, 0, nil
		case c.s.recv.Buffered() > 0:
			c.s.burst.reset()
			return nil, c.s.take(p), nil
		case c.s.recv.FinReceived():
			return nil, 0, io.EOF // whatever became of the session afterwards
		case c.s.recv.Err() != nil:
			return nil, 0, c.s.recv.Err()
		}
		l := c.s.link
		if l != nil && l.interruptible && c.s.receiver == roleFree {
			c.s.takeReceiver()
			return l, 0, nil
		}
		c.waitLocked(&c.s.readers, c.s.readDeadline) // a standby gives the role back
	}
}

// take gives the application data from the session's buffer.
func (s *session) take(p []byte) int {
	n := s.recv.Take(p)
	if s.send.Traits.Acks {
		s.recv.ConsumedMore()
	}
	return n
}

// standby holds the receiver role until a Read wants it, the link is lost, or
// there is no reason for it any more.
func (c *Conn) standby() {
	c.mu.Lock()
	defer c.unlock()
	for !c.s.done && c.s.link != nil && c.s.standbyWanted(c.s.link) {
		c.receiveLocked(c.s.link, nil)
	}
	c.s.receiver = roleFree
}

// chunks are the slices that a standby reads into.
var chunks = sync.Pool{New: func() any { return new([standbyChunk]byte) }}

// receiveLocked reads the link once. Data goes to p and its length is returned,
// or, where p is nil or too small, to the session's buffer. The lock is
// released while the transport is read.
func (c *Conn) receiveLocked(l *link, p []byte) int {
	if p == nil {
		l.setReadDeadline(clock.None)
	} else {
		l.setReadDeadline(c.s.readDeadline)
	}
	if l.framing != nil {
		l.giveInputBack()
		c.unlock()
		rec, err := l.readRecord(p)
		c.mu.Lock()
		return c.recordReadLocked(l, rec, p, err)
	}
	if p != nil {
		c.unlock()
		n, err := l.readStream(p)
		c.mu.Lock()
		return c.takeStreamLocked(l, p, n, err)
	}
	limit := standbyChunk
	if !c.s.closed {
		c.server.sharedBudget().account(&c.s)
		limit = min(limit, max(1, c.s.readAhead()-c.s.recv.Buffered())) // the budget may have run out since it was asked for
	}
	c.unlock()
	chunk := chunks.Get().(*[standbyChunk]byte)
	n, err := l.readStream(chunk[:limit])
	c.mu.Lock()
	skip, broken := c.s.arrived(l, n)
	c.s.recv.Deposit(chunk[skip:n])
	chunks.Put(chunk)
	if broken != nil {
		c.finishLocked(c.s.endBy(broken))
	}
	c.linkLostLocked(l, l.readError(err))
	return 0
}

// takeStreamLocked takes what a Read of the transport has put into p, and
// returns how much of it is for the application. The lock is released while
// much is decrypted.
func (c *Conn) takeStreamLocked(l *link, p []byte, n int, err error) int {
	if brokenRead(p, n, err) {
		c.unlock()
		n, err = l.readAgain(p, n)
		c.mu.Lock()
	}
	skip, broken := c.s.arrived(l, n)
	if broken != nil {
		c.finishLocked(c.s.endBy(broken))
		return 0
	}
	fresh := p[skip:n]
	if skip > 0 {
		copy(p, fresh) // over what had come before
	}
	n = len(fresh)
	if n <= stream.EncryptShort {
		c.s.send.Session.Decrypt(p[:n], p[:n])
	} else {
		c.unlock()
		c.s.send.Session.Decrypt(p[:n], p[:n])
		c.mu.Lock()
	}
	c.linkLostLocked(l, l.readError(err))
	return n
}

// arrived accounts for n bytes of the peer's stream that came over the link, and
// returns how many of them, at the front, are not to be taken: those that had arrived
// before, over an older link; all of them if the link has been superseded, because
// then they come again. What a link brings that was lost in the same moment counts,
// unless there is a new one: the less is dropped here, the less the peer must still
// have. An error ends the session.
func (s *session) arrived(l *link, n int) (skip int, err error) {
	if n == 0 || s.done || s.link != l && (s.link != nil || s.lost.link != l) {
		return n, nil
	}
	if skip, err = s.recv.Arrived(n); err != nil {
		return n, err
	}
	l.heard = true
	return skip, nil
}

// readError judges an error of the transport's Read. An expired deadline
// is not the loss of a link.
func (l *link) readError(err error) error {
	if l.interruptible && errors.Is(err, os.ErrDeadlineExceeded) {
		l.readDeadline = staleDeadline
		return nil
	}
	return err
}

// readStream reads from what the handshake left over, then from the transport.
func (l *link) readStream(p []byte) (int, error) {
	if l.inPos < len(l.input) {
		n := copy(p, l.input[l.inPos:])
		if l.inPos += n; l.inPos == len(l.input) {
			l.input, l.inPos = nil, 0
		}
		return n, nil
	}
	return readTransport(l.conn, p)
}

// brokenRead reports whether what a Read into p has returned breaks the contract
// of io.Reader, or is nothing at all.
func brokenRead(p []byte, n int, err error) bool {
	return n <= 0 && err == nil || n < 0 || n > len(p)
}

// readAgain replaces a Read of the transport that broke the contract of
// io.Reader, or returned nothing at all.
func (l *link) readAgain(p []byte, n int) (int, error) {
	if n != 0 {
		return 0, fmt.Errorf("relink: the transport's Read returned %d for a slice of %d bytes", n, len(p))
	}
	return readTransport(l.conn, p)
}

type reader interface{ Read(p []byte) (int, error) }

// readTransport reads at least one byte, or returns an error. It holds the
// transport to the contract of io.Reader.
func readTransport(t reader, p []byte) (int, error) {
	for range maxEmptyReads {
		n, err := t.Read(p)
		if n > 0 && n <= len(p) || n == 0 && err != nil {
			return n, err
		}
		if n != 0 {
			return 0, fmt.Errorf("relink: the transport's Read returned %d for a slice of %d bytes", n, len(p))
		}
	}
	return 0, io.ErrNoProgress
}

// recordReadLocked takes the record that was read, or judges why there is none.
func (c *Conn) recordReadLocked(l *link, rec suite.Record, p []byte, err error) int {
	n := 0
	if err == nil {
		if l.inputUse = inputShort; cap(l.input) > minInput {
			l.inputUse = inputLong
		}
		if n, err = c.s.takeRecord(l, rec, p); err != nil {
			c.finishLocked(c.s.endBy(err))
		}
		c.server.sharedBudget().growWindow(&c.s)
	} else if errors.Is(err, suite.ErrAuthentication) {
		c.linkLostLocked(l, err) // a damaged path must not end a session
	} else if errors.Is(err, suite.ErrProtocol) {
		if c.s.link == l {
			c.finishLocked(c.s.endBy(err))
		}
	} else {
		c.linkLostLocked(l, l.readError(err))
	}
	return n
}

// readRecord returns the next record of the link. Its data lies in p, if there
// is room, and otherwise is valid until the next call.
func (l *link) readRecord(p []byte) (suite.Record, error) {
	for {
		if l.inPos < len(l.input) {
			rec, n, err := l.codec.Open(p, l.input[l.inPos:])
			if err != nil || n > 0 {
				l.inPos += n
				return rec, err
			}
		}
		room := l.inputSpace()
		l.countInput()
		n, err := readTransport(l.conn, room)
		if n == 0 {
			return suite.Record{}, err
		}
		l.inputArrived(n)
	}
}

// recordIn is readRecord after the caller has read the transport into room,
// which inputSpace gave.
func (l *link) recordIn(p, room []byte, n int, err error) (suite.Record, error) {
	if brokenRead(room, n, err) {
		n, err = l.readAgain(room, n)
	}
	if n == 0 {
		return suite.Record{}, err
	}
	l.inputArrived(n)
	return l.readRecord(p)
}

// inputs are the buffers of links that receive long records.
var inputs = sync.Pool{New: func() any { return new([]byte) }}

// inputSpace returns room behind the input for the transport to read into. The
// buffer grows with what the transport has brought, to one of long records when they
// come, and shrinks when there is little, so that an idle link holds little.
func (l *link) inputSpace() []byte {
	rest := l.input[l.inPos:]
	switch size := cap(l.input); {
	case len(rest) == 0 && l.long != nil && l.lastRead < minInput:
		inputs.Put(l.long)
		l.long = nil
		l.input = make([]byte, 0, minInput)
	case len(rest) == 0 && size > minInput && l.long == nil && l.lastRead < minInput:
		l.input = make([]byte, 0, minInput)
	case len(rest) == 0 && size < firstInput:
		l.input = make([]byte, 0, firstInput)
	case len(rest) == 0 && size < minInput && int(l.lastRead) == size:
		l.input = make([]byte, 0, minInput)
	case len(rest) == size && size < minInput:
		l.input = append(make([]byte, 0, minInput), rest...)
	case len(rest) < size && (len(l.input) < size || size <= minInput || l.long != nil): // and not filled by one Read, which more may be waiting for
		l.input = l.input[:copy(l.input[:cap(l.input)], rest)]
	case inputStep*size < longInput:
		l.input = append(make([]byte, 0, inputStep*size), rest...)
	default:
		l.long = inputs.Get().(*[]byte)
		if size := max(longInput, l.codec.MaxRecord()); cap(*l.long) < size {
			*l.long = make([]byte, size)
		}
		l.input = append((*l.long)[:0], rest...)
	}
	l.inPos = 0
	if size := int32(cap(l.input)); size != l.inputSize.Load() {
		l.inputGrew = size > l.inputSize.Load() && size > minInput
		l.inputSize.Store(size)
	}
	return l.input[len(l.input):cap(l.input)]
}

// countInput is countInputLocked for a caller without the lock.
func (l *link) countInput() {
	if l.inputGrew {
		l.session.mu.Lock()
		l.countInputLocked()
		l.session.mu.Unlock()
	}
}

// countInputLocked has a server's session count an input that has grown, before whoever reads
// waits for more. The caller holds the receiver role.
func (l *link) countInputLocked() {
	if l.inputGrew {
		l.session.server.sharedBudget().account(&l.session.s)
	}
	l.inputGrew = false
}

// inputArrived takes n bytes that the transport has put there.
func (l *link) inputArrived(n int) { l.input, l.lastRead = l.input[:len(l.input)+n], int32(n) }

// takeRecord takes one record's data and control. It returns how much of the data is
// in p; the rest is buffered. An error ends the session: see endBy.
func (s *session) takeRecord(l *link, rec suite.Record, p []byte) (n int, err error) {
	if s.link != l {
		return 0, nil
	}
	l.heard = true
	skip, err := s.arrived(l, len(rec.Data))
	if err != nil {
		return 0, err
	}
	data := rec.Data[skip:]
	if skip > 0 {
		data = rec.Data[:copy(rec.Data, data)] // which may lie in p
	}
	if len(data) > 0 {
		if err := s.recv.Overrun(); err != nil {
			return 0, err
		}
		if p != nil && s.recv.Buffered() == 0 && !s.closed {
			n = min(len(p), len(data))
			s.send.Session.Decrypt(p[:n], data[:n])
			data = data[n:]
		}
		s.recv.Deposit(data)
		s.recv.DataArrived()
		s.recv.ConsumedMore()
	}
	return n, s.takeControl(l, rec.Control)
}

// takeControl does what a record's control says.
func (s *session) takeControl(l *link, k suite.Control) error {
	if k.Reset != 0 && k.Reset != suite.ResetClosed {
		return fmt.Errorf("%w: %w", ErrSessionLost, &suite.EndedError{Code: k.Reset})
	}
	if k.Ack {
		if err := s.send.Acknowledge(k); err != nil {
			return err
		}
	}
	if k.Fin {
		if err := s.recv.Fin(); err != nil {
			return err
		}
		s.backgroundRead = true // no Read asks the link any more, and the peer's last word is to be heard
	}
	if k.Stop {
		s.send.Stop(ErrPeerClosed)
	}
	if k.Ping {
		s.pongDue = true
	}
	if k.Pong {
		l.ackAsked = false
		l.trips.answer()
	}
	switch {
	case k.Reset == suite.ResetClosed:
		return errSaidClosed
	case k.Pong && s.leaving: // to the ping of this link's first record
		return errKnowsEnd
	default:
		return nil
	}
}
