package socket

import (
	"net"

	"golang.org/x/sys/unix"
)

// BoundUnderWay has this end of a connection do its part that no more than whole bytes
// are under way in a direction, written at one end and not read at the other: as the sender
// it leaves less unsent, as the receiver it keeps less unread. Where the other end does the
// same, the bound holds. A receive buffer whose size somebody has set already only becomes
// smaller. An error means a closed connection, which its first Read reports.
func BoundUnderWay(t *net.TCPConn, whole int) {
	unread, unsent := shares(whole)
	raw, err := t.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent)
		// Not TCP_WINDOW_CLAMP: the kernel overrides it when it next makes the buffer larger.
		locked, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BUF_LOCK)
		size, _ := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
		if err == nil && locked&unix.SOCK_RCVBUF_LOCK != 0 && size <= unread {
			return
		}
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, unread/2) // of which it makes twice as much
	})
}
