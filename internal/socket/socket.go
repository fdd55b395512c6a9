// Package socket does with the sockets of package net what their methods do not offer: it writes
// without waiting, reads into a buffer that it takes when something has arrived, and asks the
// kernel what it knows of a connection.
package socket

import (
	"errors"
	"net"
	"sync"
	"syscall"
)

// A Writer writes without waiting. Only one goroutine at a time may use it.
type Writer interface {
	// WriteNonblock writes what the socket takes at once and returns how much that was.
	WriteNonblock(p []byte) (n int, err error)
}

// BufferSize is the size of a copy's buffer: that of io.Copy.
const BufferSize = 32 << 10

// A Buffer is what a [Reader] reads into.
type Buffer [BufferSize]byte

var buffers = sync.Pool{New: func() any { return new(Buffer) }}

// TakeBuffer takes one from the pool.
func TakeBuffer() *Buffer { return buffers.Get().(*Buffer) }

// Give gives a buffer back to the pool.
func (b *Buffer) Give() { buffers.Put(b) }

// IsStream reports whether t is a stream socket of package net, as itself or as
// that package hands it to io.Copy, and no wrapper, which may have read more from
// the socket than it has passed on.
func IsStream(t net.Conn) bool {
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

// Temporary reports whether Accept may work again: the process or the system
// is short of something, or a connection was gone before it was accepted.
func Temporary(err error) bool {
	for _, e := range temporaryErrors {
		if errors.Is(err, e) {
			return true
		}
	}
	var temporary interface{ Temporary() bool } // what net/http goes by
	return errors.As(err, &temporary) && temporary.Temporary() && !errors.Is(err, net.ErrClosed)
}
