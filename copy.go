package relink

import (
	"io"
	"net"
	"runtime"

	"github.com/relink-go/relink/internal/socket"
	"github.com/relink-go/relink/internal/suite"
)

// A proxy has two copies for each of its sessions, and most sessions are idle most
// of the time. So the buffer of a copy is taken from a pool when something has
// arrived, and given back when it has been passed on. Where it cannot be known
// that something has arrived without reading it, which is so on any transport but a
// socket, and below the session's own buffer, a copy holds one while it waits, as io.Copy
// does.

// WriteTo reads the stream to its end and writes it to w, as io.Copy has it, which
// calls it. It returns nil at the end of the stream, else the error of the first Read or
// of w's Write. A session that waits here over TCP or a Unix socket, and one on Noise over
// any transport, holds no buffer for it (on Windows, one on a classic suite does).
func (c *Conn) WriteTo(w io.Writer) (n int64, err error) {
	in := pooledReader{c: c}
	for {
		b, k, err := in.next()
		if k > 0 {
			var m int
			m, werr := w.Write(b[:k])
			if m < 0 || m > k {
				m = 0
			}
			n += int64(m)
			if werr == nil && m < k {
				werr = io.ErrShortWrite
			}
			if werr != nil {
				b.Give()
				return n, werr
			}
		}
		if b != nil {
			b.Give()
		}
		if err == io.EOF { //nolint:errorlint // io.EOF is returned bare, by definition
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// A pooledReader reads from a Conn for a copy.
type pooledReader struct {
	c      *Conn
	socket socket.Reader
}

// next is Read into a buffer of the pool, which it takes as late as it can.
// It stays the caller's, if it is not nil.
func (r *pooledReader) next() (b *socket.Buffer, n int, err error) {
	c := r.c
	var first [64]byte // of what has arrived already
	c.mu.Lock()
	l, n, err := c.awaitDataLocked(first[:])
	for l != nil {
		switch {
		case l.framing == nil && l.inPos < len(l.input):
			b = socket.TakeBuffer()
			n = c.receiveLocked(l, b[:])
		case l.framing == nil:
			l.setReadDeadline(c.s.readDeadline)
			c.unlock()
			var k int
			var rerr error
			b, k, rerr = r.socket.Read(l.conn)
			c.mu.Lock()
			n = c.takeStreamLocked(l, b[:], k, rerr)
		default:
			l.setReadDeadline(c.s.readDeadline)
			l.giveInputBack()
			c.unlock()
			var rec suite.Record
			var rerr error
			b, rec, rerr = l.readPooledRecord()
			var p []byte
			if b != nil {
				p = b[:]
			}
			c.mu.Lock()
			n = c.recordReadLocked(l, rec, p, rerr)
		}
		if c.s.leaveReceiver(n) {
			break
		}
		if b != nil {
			b.Give()
			b = nil
		}
		l, n, err = c.awaitDataLocked(first[:])
	}
	if b == nil && n > 0 {
		b = socket.TakeBuffer()
		copy(b[:], first[:n])
		if c.s.recv.Buffered() > 0 {
			n += c.s.take(b[n:])
		}
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
	return b, n, err
}

// readPooledRecord is readRecord into a buffer of the pool, which is held only while what
// has arrived is opened: whoever sends the beginning of a record and no more has none.
func (l *link) readPooledRecord() (*socket.Buffer, suite.Record, error) {
	for {
		if l.inPos < len(l.input) {
			b := socket.TakeBuffer()
			rec, n, err := l.codec.Open(b[:], l.input[l.inPos:])
			if err != nil || n > 0 {
				l.inPos += n
				return b, rec, err
			}
			b.Give()
		}
		room := l.inputSpace()
		l.countInput()
		n, err := readTransport(l.conn, room)
		if n == 0 {
			return nil, suite.Record{}, err
		}
		l.inputArrived(n)
	}
}

// ReadFrom writes what it reads from r, to its end, as io.Copy has it, which calls
// it. It returns the error of the first Read, unless that is io.EOF, or Write. While it waits for
// a TCP connection or a Unix socket of package net it holds no buffer, except on Windows.
func (c *Conn) ReadFrom(r io.Reader) (n int64, err error) {
	if other, ok := r.(*Conn); ok {
		return other.WriteTo(writerOnly{c})
	}
	t, ok := r.(net.Conn)
	if !ok || !socket.IsStream(t) {
		b := socket.TakeBuffer()
		defer b.Give()
		return io.CopyBuffer(writerOnly{c}, readerOnly{r}, b[:])
	}
	var s socket.Reader
	for {
		b, k, err := s.Read(t)
		if k > 0 {
			var m int
			m, werr := c.Write(b[:k])
			n += int64(m)
			if werr != nil {
				b.Give()
				return n, werr
			}
		}
		b.Give()
		if err == io.EOF { //nolint:errorlint // io.EOF is returned bare, by definition
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// writerOnly and readerOnly keep io.CopyBuffer from calling what calls it.
type (
	writerOnly struct{ io.Writer }
	readerOnly struct{ io.Reader }
)
