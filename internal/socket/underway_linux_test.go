package socket_test

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/relink-go/relink/internal/socket"
)

// What is written to a reader that stalls, and what a smaller buffer is left as.
func TestBoundUnderWay(t *testing.T) {
	const whole = 1 << 20
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	defer a.Close()
	b, err := l.Accept()
	require.NoError(t, err)
	defer b.Close()
	from, to := a.(*net.TCPConn), b.(*net.TCPConn)

	require.NoError(t, from.SetReadBuffer(8<<10))
	small := receiveBuffer(t, from)
	socket.BoundUnderWay(from, whole)
	require.Equal(t, small, receiveBuffer(t, from), "a smaller one is somebody's choice")

	require.NoError(t, to.SetReadBuffer(4<<20))
	socket.BoundUnderWay(to, whole)
	require.LessOrEqual(t, receiveBuffer(t, to), whole*3/4)

	written, piece := 0, make([]byte, 52<<10)
	for {
		require.NoError(t, from.SetWriteDeadline(time.Now().Add(300*time.Millisecond)))
		n, err := from.Write(piece)
		if written += n; err != nil {
			break
		}
		require.LessOrEqual(t, written, whole)
	}

	require.NoError(t, to.Close())
	socket.BoundUnderWay(to, whole) // does no harm
}

func receiveBuffer(t *testing.T, c *net.TCPConn) (size int) {
	raw, err := c.SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) {
		size, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
	}))
	require.NoError(t, err)
	return size
}
