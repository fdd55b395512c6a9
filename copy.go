package relink

import (
	"io"
	"net"
	"runtime"
	"sync"
	"syscall"
)

// A proxy has two copies for each of its sessions, and most sessions are idle most
// of the time. So the buffer of a copy is taken from a pool when something has
// arrived, and given back when it has been passed on. Where it cannot be known
// that something has arrived without reading it, which is so on any transport but a
// socket, and below the session's own buffer, a copy holds one while it waits, as io.Copy
// does.

// copyBuffer is the size of a copy's buffer: that of io.Copy.
const copyBuffer = 32 << 10

var copyBuffers = sync.Pool{New: func() any { return new([copyBuffer]byte) }}

// WriteTo reads the stream to its end and writes it to w, as io.Copy has it, which
// calls it. It returns nil at the end of the stream, else the error of the first Read or
// of w's Write. A session that waits here over TCP or a Unix socket, and one on Noise over
// any transport, holds no buffer for it (on Windows, one on a classic suite does).
func (c *Conn) WriteTo(w io.Writer) (n int64, err error) {
	var s socketReader
	for {
		b, k, err := c.readPooled(&s)
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
				copyBuffers.Put(b)
				return n, werr
			}
		}
		if b != nil {
			copyBuffers.Put(b)
		}
		if err == io.EOF { //nolint:errorlint // io.EOF is returned bare, by definition
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// readPooled is Read into a buffer of the pool, which it takes as late as it can.
// It stays the caller's, if it is not nil.
func (c *Conn) readPooled(s *socketReader) (b *[copyBuffer]byte, n int, err error) {
	var first [64]byte // of what has arrived already
	c.mu.Lock()
	l, n, err := c.awaitDataLocked(first[:])
	for l != nil {
		switch {
		case l.inPos < len(l.input):
			b = copyBuffers.Get().(*[copyBuffer]byte)
			n = c.receiveLocked(l, b[:])
		case l.framing == nil:
			l.setReadDeadline(c.s.readDeadline)
			c.unlock()
			var k int
			var rerr error
			b, k, rerr = s.read(l.conn)
			c.mu.Lock()
			n = c.takeStreamLocked(l, b[:], k, rerr)
		default:
			l.setReadDeadline(c.s.readDeadline)
			l.giveInputBack()
			room := l.inputSpace()
			c.unlock()
			k, rerr := l.conn.Read(room)
			b = copyBuffers.Get().(*[copyBuffer]byte)
			rec, rerr := l.recordIn(b[:], room, k, rerr)
			c.mu.Lock()
			n = c.recordReadLocked(l, rec, b[:], rerr)
		}
		if c.s.leaveReceiver(n) {
			break
		}
		copyBuffers.Put(b)
		b = nil
		l, n, err = c.awaitDataLocked(first[:])
	}
	if b == nil && n > 0 {
		b = copyBuffers.Get().(*[copyBuffer]byte)
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

// ReadFrom writes what it reads from r, to its end, as io.Copy has it, which calls
// it. It returns the error of the first Read, unless that is io.EOF, or Write. While it waits for
// a TCP connection or a Unix socket of package net it holds no buffer, except on Windows.
func (c *Conn) ReadFrom(r io.Reader) (n int64, err error) {
	if other, ok := r.(*Conn); ok {
		return other.WriteTo(writerOnly{c})
	}
	t, ok := r.(net.Conn)
	if !ok || !isSocket(t) {
		b := copyBuffers.Get().(*[copyBuffer]byte)
		defer copyBuffers.Put(b)
		return io.CopyBuffer(writerOnly{c}, readerOnly{r}, b[:])
	}
	var s socketReader
	for {
		b, k, err := s.read(t)
		if k > 0 {
			var m int
			m, werr := c.Write(b[:k])
			n += int64(m)
			if werr != nil {
				copyBuffers.Put(b)
				return n, werr
			}
		}
		copyBuffers.Put(b)
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

// isSocket reports whether t is a stream socket of package net, as itself or as
// that package hands it to io.Copy, and no wrapper, which may have read more from
// the socket than it has passed on.
func isSocket(t net.Conn) bool {
	if _, ok := t.(syscall.Conn); !ok || !ofPackageNet(t) {
		return false
	}
	switch t.LocalAddr().(type) {
	case *net.TCPAddr:
		return true
	case *net.UnixAddr:
		return t.LocalAddr().Network() == "unix"
	default:
		return false
	}
}
