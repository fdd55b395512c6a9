//go:build unix

package relink

import (
	"io"
	"net"
	"os"
	"reflect"
	"syscall"
)

// A socketReader reads from sockets into buffers of the pool, which it takes when
// something has arrived. One goroutine uses it.
type socketReader struct {
	conn net.Conn // of raw
	raw  syscall.RawConn
	once func(fd uintptr) bool // attempt, which as a closure for each call would allocate

	// For the call under way.

	b   *[copyBuffer]byte
	n   int
	err error
}

// read reads from t once. It always returns a buffer.
func (s *socketReader) read(t net.Conn) (b *[copyBuffer]byte, n int, err error) {
	if s.conn != t {
		s.conn, s.raw = t, nil
		if isSocket(t) {
			s.raw, _ = t.(syscall.Conn).SyscallConn() // fails only on a closed one, which Read reports
		}
		s.once = s.attempt
	}
	if s.raw == nil {
		b = copyBuffers.Get().(*[copyBuffer]byte)
		n, err = t.Read(b[:])
		return b, n, err
	}
	s.b, s.n, s.err = nil, 0, nil
	err = s.raw.Read(s.once)
	if b, s.b = s.b, nil; b == nil { // it was not called
		b = copyBuffers.Get().(*[copyBuffer]byte)
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
func (s *socketReader) attempt(fd uintptr) bool {
	s.b = copyBuffers.Get().(*[copyBuffer]byte)
	n, err := syscall.Read(int(fd), s.b[:])
	for err == syscall.EINTR {
		n, err = syscall.Read(int(fd), s.b[:])
	}
	switch err {
	case nil:
		s.n = n
	case syscall.EAGAIN:
		copyBuffers.Put(s.b)
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
