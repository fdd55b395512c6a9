//go:build !unix

package relink

import (
	"net"
	"syscall"
)

// newSocketWriter returns nil: sockets are not in non-blocking mode here.
func newSocketWriter(net.Conn, syscall.Conn) NonblockingWriter { return nil }
