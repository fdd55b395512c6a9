package relink_test

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
)

// A weighed transport remembers the longest Write. It takes its time, so that
// data gathers.
type weighed struct {
	net.Conn
	longest atomic.Int64
}

func (c *weighed) Interruptible() bool { return true }

func (c *weighed) Write(p []byte) (int, error) {
	if n := int64(len(p)); n > c.longest.Load() {
		c.longest.Store(n) // one goroutine writes at a time
	}
	time.Sleep(time.Millisecond)
	return c.Conn.Write(p)
}

// However much is written, the transport is handed large pieces that fit into one
// segment of Linux's loopback, the largest there is.
func TestTransportIsHandedPieces(t *testing.T) {
	const segment = 65_483
	inBubble(t, func(t *testing.T, s testSuite) {
		for _, size := range []int{64 << 10, 256 << 10, 1 << 20} {
			writes := 2 << 20 / size // enough for long chunks in the buffer, which no piece crosses
			var transport *weighed
			r := newRig(t, s, func(r *rig, _ *relink.ListenConfig) {
				r.dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
					c, err := r.net.Dial(ctx, network, address)
					transport = &weighed{Conn: c}
					return transport, err
				}
			})
			go func() {
				for range writes {
					_, _ = r.client.Write(make([]byte, size))
				}
			}()
			_, err := io.CopyN(io.Discard, r.server, int64(writes*size))
			require.NoError(t, err)
			require.Greater(t, transport.longest.Load(), int64(48<<10))
			require.LessOrEqual(t, transport.longest.Load(), int64(segment))
			r.stop()
			time.Sleep(time.Second) // for what goes out at last
		}
	})
}
