package websocket

import (
	"context"
	"net"

	"github.com/coder/websocket"
)

// WriteIsStuck reports whether a Write has the turn.
func (c *Conn) WriteIsStuck() bool { return c.out.busy() }

// ReadIsStuck reports whether a Read waits in the library.
func (c *Conn) ReadIsStuck() bool {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	return c.in.direct
}

// Ping sends a ping as others may.
func (c *Conn) Ping(ctx context.Context) error { return c.ws.Ping(ctx) }

// BreakServer ends the server as an accident would.
func (l *Listener) BreakServer() error { return l.server.http.Shutdown(context.Background()) }

// Library returns the connection as the library makes a net.Conn of it.
func (c *Conn) Library() net.Conn {
	return websocket.NetConn(context.Background(), c.ws, websocket.MessageBinary)
}
