package relink

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// readTCPInfo asks the kernel. It fails on a closed connection.
func readTCPInfo(t *net.TCPConn) (tcpInfo, bool) {
	raw, err := t.SyscallConn()
	if err != nil {
		return tcpInfo{}, false
	}
	var info *unix.TCPInfo
	if cerr := raw.Control(func(fd uintptr) {
		info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	}); cerr != nil || err != nil {
		return tcpInfo{}, false
	}
	return tcpInfo{
		unacked:     info.Unacked,
		unsent:      info.Notsent_bytes,
		retransmits: info.Retransmits,
		probes:      info.Probes,
		silentFor:   time.Duration(info.Last_ack_recv) * time.Millisecond,
		sentFor:     time.Duration(info.Last_data_sent) * time.Millisecond,
		receivedFor: time.Duration(info.Last_data_recv) * time.Millisecond,
		roundTrip:   time.Duration(info.Rtt) * time.Microsecond,
		variation:   time.Duration(info.Rttvar) * time.Microsecond,
	}, true
}
