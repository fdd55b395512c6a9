package websocket

import (
	"net"
	"sync"
	"sync/atomic"
)

const (
	// gatherSize is the most that is handed to the connection at once.
	gatherSize = 64 << 10

	// gatherFrom is the length from which a Write is gathered. The library's own
	// buffer holds what is shorter.
	gatherFrom = 4000
)

// A gatherer lies between the library, which hands a message over in pieces of
// 4 KiB, and the connection. Between hold and flush it gathers them, and several
// messages, because each call of the kernel costs more than the copy.
type gatherer struct {
	net.Conn

	drain atomic.Bool // what arrives is discarded: see lastRead

	mu   sync.Mutex // held while writing: it keeps the bytes in order
	held *[]byte    // nil when writes pass through
}

// gathers are the buffers of gatherers.
var gathers = sync.Pool{New: func() any { b := make([]byte, 0, gatherSize); return &b }}

// NetConn returns what is below.
func (g *gatherer) NetConn() net.Conn { return g.Conn }

// hold begins to gather.
func (g *gatherer) hold() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held = gathers.Get().(*[]byte)
}

// flush hands over what was gathered.
func (g *gatherer) flush() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	held := g.held
	g.held = nil
	_, err := g.Conn.Write(*held)
	*held = (*held)[:0]
	gathers.Put(held)
	return err
}

// Write takes p, or passes it on.
func (g *gatherer) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held == nil {
		return g.Conn.Write(p)
	}
	n := 0
	for n < len(p) {
		if len(*g.held) == cap(*g.held) {
			if _, err := g.Conn.Write(*g.held); err != nil {
				return n, err
			}
			*g.held = (*g.held)[:0]
		}
		k := min(len(p)-n, cap(*g.held)-len(*g.held))
		*g.held = append(*g.held, p[n:n+k]...)
		n += k
	}
	return n, nil
}

// Read reads, or waits for the end of the connection.
func (g *gatherer) Read(p []byte) (int, error) {
	for {
		n, err := g.Conn.Read(p)
		if err != nil || !g.drain.Load() {
			return n, err
		}
	}
}
