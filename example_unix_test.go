//go:build unix

package relink_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"sync/atomic"
	"syscall"

	"github.com/relink-go/relink"
)

// A meteredConn is a transport that counts what TCP takes, however it is written.
type meteredConn struct {
	*net.TCPConn
	raw  syscall.RawConn
	sent atomic.Int64
}

func (c *meteredConn) Write(p []byte) (int, error) {
	c.sent.Add(int64(len(p))) // before the peer can have it
	return c.TCPConn.Write(p)
}

func (c *meteredConn) WriteNonblock(p []byte) (n int, err error) {
	var werr error
	err = c.raw.Write(func(fd uintptr) bool {
		n, werr = syscall.Write(int(fd), p)
		return true // once is enough
	})
	n = max(n, 0)
	c.sent.Add(int64(n))
	if errors.Is(werr, syscall.EAGAIN) || errors.Is(werr, syscall.EINTR) {
		werr = nil // no room now
	}
	return n, errors.Join(err, werr)
}

func (c *meteredConn) Interruptible() bool { return true }

var _ relink.NonblockingWriter = (*meteredConn)(nil)

func ExampleNonblockingWriter() {
	l := echo(relink.DH64RC4Server{})
	defer l.Close()
	var metered *meteredConn
	d := relink.Dialer{
		Suite: relink.DH64RC4Client{},
		DialTransport: func(ctx context.Context, network, address string) (net.Conn, error) {
			t, err := new(net.Dialer).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			metered = &meteredConn{TCPConn: t.(*net.TCPConn)}
			metered.raw, err = metered.SyscallConn()
			return metered, err
		},
	}
	conn, err := d.DialConn(context.Background(), "tcp", l.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Abort()
	fmt.Fprint(conn, "hello")
	io.ReadFull(conn, make([]byte, 5))
	fmt.Println(metered.sent.Load(), "bytes, of which the handshake had 25")
	// Output: 30 bytes, of which the handshake had 25
}
