//go:build !unix

package socket

import (
	"net"
	"syscall"
)

// NewWriter returns nil: sockets are not in non-blocking mode here.
func NewWriter(net.Conn, syscall.Conn) Writer { return nil }

// A Reader reads into buffers of the pool. Here it cannot wait without one.
type Reader struct{}

// Read reads from t once. It always returns a buffer.
func (*Reader) Read(t net.Conn) (b *Buffer, n int, err error) {
	b = TakeBuffer()
	n, err = t.Read(b[:])
	return b, n, err
}

func ofPackageNet(net.Conn) bool { return false }
