//go:build unix

package socket

import (
	"io"
	"net"
	"os"
	"reflect"
	"syscall"
)

// A writer writes to a socket of package net, which is in non-blocking mode.
// The holder of the sender role uses it.
type writer struct {
	conn net.Conn
	raw  syscall.RawConn
	once func(fd uintptr) bool // write, which as a closure for each call would allocate

	// For the call under way.

	p   []byte
	n   int
	err error
}

// NewWriter returns how to write to a socket without waiting, or nil if it is closed.
func NewWriter(t net.Conn, s syscall.Conn) Writer {
	raw, err := s.SyscallConn()
	if err != nil {
		return nil // closed, which its first Read reports
	}
	w := &writer{conn: t, raw: raw}
	w.once = w.write
	return w
}

// WriteNonblock implements [Writer].
func (w *writer) WriteNonblock(p []byte) (int, error) {
	w.p, w.n, w.err = p, 0, nil
	err := w.raw.Write(w.once)
	w.p = nil
	if err == nil && w.err != nil {
		err = &net.OpError{
			Op: "write", Net: w.conn.LocalAddr().Network(), Source: w.conn.LocalAddr(), Addr: w.conn.RemoteAddr(),
			Err: os.NewSyscallError("write", w.err),
		}
	}
	return w.n, err
}

// write never asks to be called again, for which it would have to wait.
func (w *writer) write(fd uintptr) bool {
	n, err := syscall.Write(int(fd), w.p)
	for err == syscall.EINTR {
		n, err = syscall.Write(int(fd), w.p)
	}
	switch {
	case err == nil:
		w.n = n
	case err != syscall.EAGAIN:
		w.err = err
	}
	return true
}

// A Reader reads from sockets into buffers of the pool, which it takes when
// something has arrived. One goroutine uses it.
type Reader struct {
	conn net.Conn // of raw
	raw  syscall.RawConn
	once func(fd uintptr) bool // attempt, which as a closure for each call would allocate

	// For the call under way.

	b   *Buffer
	n   int
	err error
}

// Read reads from t once. It always returns a buffer.
func (s *Reader) Read(t net.Conn) (b *Buffer, n int, err error) {
	if s.conn != t {
		s.conn, s.raw = t, nil
		if IsStream(t) {
			s.raw, _ = t.(syscall.Conn).SyscallConn() // fails only on a closed one, which Read reports
		}
		s.once = s.attempt
	}
	if s.raw == nil {
		b = TakeBuffer()
		n, err = t.Read(b[:])
		return b, n, err
	}
	s.b, s.n, s.err = nil, 0, nil
	err = s.raw.Read(s.once)
	if b, s.b = s.b, nil; b == nil { // it was not called
		b = TakeBuffer()
	}
	switch {
	case err != nil:
	case s.err != nil:
		err = &net.OpError{
			Op: "read", Net: t.LocalAddr().Network(), Source: t.LocalAddr(), Addr: t.RemoteAddr(),
			Err: os.NewSyscallError("read", s.err),
		}
	case s.n == 0:
		err = io.EOF
	}
	return b, s.n, err
}

// attempt reads if something has arrived. Otherwise it gives the buffer back and
// asks to be called again then.
func (s *Reader) attempt(fd uintptr) bool {
	s.b = TakeBuffer()
	n, err := syscall.Read(int(fd), s.b[:])
	for err == syscall.EINTR {
		n, err = syscall.Read(int(fd), s.b[:])
	}
	switch err {
	case nil:
		s.n = n
	case syscall.EAGAIN:
		s.b.Give()
		s.b = nil
		return false
	default:
		s.err = err
	}
	return true
}

// ofPackageNet reports whether the type is one of package net.
func ofPackageNet(t net.Conn) bool {
	typ := reflect.TypeOf(t)
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	return typ.PkgPath() == "net"
}
