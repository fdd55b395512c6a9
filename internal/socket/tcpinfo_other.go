//go:build !linux

package socket

import "net"

// ReadInfo is not available: this system leaves the detection of a silent
// drop under data to its own retransmission time-out.
func ReadInfo(*net.TCPConn) (Info, bool) { return Info{}, false }
