package socket

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// ReadInfo asks the kernel. It fails on a closed connection.
func ReadInfo(t *net.TCPConn) (Info, bool) {
	raw, err := t.SyscallConn()
	if err != nil {
		return Info{}, false
	}
	var info *unix.TCPInfo
	if cerr := raw.Control(func(fd uintptr) {
		info, err = unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	}); cerr != nil || err != nil {
		return Info{}, false
	}
	return Info{
		Unacked:     info.Unacked,
		Unsent:      info.Notsent_bytes,
		Retransmits: info.Retransmits,
		Probes:      info.Probes,
		SilentFor:   time.Duration(info.Last_ack_recv) * time.Millisecond,
		SentFor:     time.Duration(info.Last_data_sent) * time.Millisecond,
		ReceivedFor: time.Duration(info.Last_data_recv) * time.Millisecond,
		RoundTrip:   time.Duration(info.Rtt) * time.Microsecond,
		Variation:   time.Duration(info.Rttvar) * time.Microsecond,
	}, true
}
