package websocket_test

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/transport/transporttest"
	"github.com/relink-go/relink/transport/websocket"
)

// Dialling again takes a round trip of HTTP, and with TLS one more, beside TCP's own
// and before relink's, as the documentation has it.
func TestRoundTrips(t *testing.T) {
	for _, c := range []struct {
		name string
		open func(testing.TB, websocket.Config) place
		want int
	}{{"ws", openHandler, 1}, {"wss", openTLS, 2}} {
		t.Run(c.name, func(t *testing.T) {
			p := c.open(t, websocket.Config{})
			var last *turns
			p.dialer.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := new(net.Dialer).DialContext(ctx, network, address)
				last = &turns{Conn: conn}
				return last, err
			}
			for range 2 {
				client, server := p.pair(t)
				require.Equal(t, c.want, last.count())
				transporttest.RequireEcho(t, client, server)
			}
		})
	}
}

// turns counts how often something was read after something was written.
type turns struct {
	net.Conn

	mu    sync.Mutex // guards the rest
	wrote bool
	n     int
}

func (c *turns) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.wrote = true
	c.mu.Unlock()
	return c.Conn.Write(p)
}

func (c *turns) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if n > 0 && c.wrote {
		c.n, c.wrote = c.n+1, false
	}
	return n, err
}

func (c *turns) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}
