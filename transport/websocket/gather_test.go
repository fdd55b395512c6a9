package websocket_test

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/transport/transporttest"
	"github.com/relink-go/relink/transport/websocket"
)

// A long Write takes few calls of the connection below, and a short one a single.
func TestWritesAreGathered(t *testing.T) {
	p := openListen(t, websocket.Config{})
	counter := new(countedConn)
	p.dialer.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		counter.Conn = c
		return counter, err
	}
	client, server := p.pair(t)
	for size, calls := range map[int]int64{1: 1, 3900: 1, 4000: 1, 52 << 10: 1, 128 << 10: 3, 1 << 20: 17} {
		before := counter.writes.Load()
		data := transporttest.Data(size)
		go func() { _, _ = client.Write(data) }()
		got := make([]byte, size)
		_, err := io.ReadFull(server, got)
		require.NoError(t, err)
		require.Equal(t, data, got)
		require.Equal(t, calls, counter.writes.Load()-before, "a Write of %d bytes", size)
	}
}

type countedConn struct {
	net.Conn
	writes atomic.Int64
}

func (c *countedConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}
