//go:build !unix

package relink

import (
	"net"
	"syscall"
)

// newSocketWriter returns nil: sockets are not in non-blocking mode here.
func newSocketWriter(net.Conn, syscall.Conn) NonblockingWriter { return nil }

// A socketReader reads into buffers of the pool. Here it cannot wait without one.
type socketReader struct{}

func (*socketReader) read(t net.Conn) (b *[copyBuffer]byte, n int, err error) {
	b = copyBuffers.Get().(*[copyBuffer]byte)
	n, err = t.Read(b[:])
	return b, n, err
}

func ofPackageNet(net.Conn) bool { return false }
