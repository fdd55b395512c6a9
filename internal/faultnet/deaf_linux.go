package faultnet

import (
	"net"

	"golang.org/x/sys/unix"
)

// deafen makes the kernel drop every packet that arrives for the connection, as
// a path that has vanished does: neither data nor keep-alives nor probes of a
// closed window are answered any more. A socket filter needs no privileges.
func deafen(t *net.TCPConn) {
	raw, err := t.SyscallConn()
	if err != nil {
		return // closed
	}
	drop := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &drop})
	})
}
