//go:build unix

package relink

import (
	"net"
	"os"
	"syscall"
)

// A socketWriter writes to a socket of package net, which is in non-blocking mode.
// The holder of the sender role uses it.
type socketWriter struct {
	conn net.Conn
	raw  syscall.RawConn
	once func(fd uintptr) bool // write, which as a closure for each call would allocate

	// For the call under way.

	p   []byte
	n   int
	err error
}

func newSocketWriter(t net.Conn, s syscall.Conn) NonblockingWriter {
	raw, err := s.SyscallConn()
	if err != nil {
		return nil // closed, which its first Read reports
	}
	w := &socketWriter{conn: t, raw: raw}
	w.once = w.write
	return w
}

// WriteNonblock implements [NonblockingWriter].
func (w *socketWriter) WriteNonblock(p []byte) (int, error) {
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
func (w *socketWriter) write(fd uintptr) bool {
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
