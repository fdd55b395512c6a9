//go:build !linux

package relink

import "net"

// readTCPInfo is not available: this system leaves the detection of a silent
// drop under data to its own retransmission time-out.
func readTCPInfo(*net.TCPConn) (tcpInfo, bool) { return tcpInfo{}, false }
