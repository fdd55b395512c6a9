//go:build !linux

package socket

import "net"

// BoundUnderWay does nothing: this system has no such bounds, or they were not studied.
func BoundUnderWay(*net.TCPConn, int) {}
