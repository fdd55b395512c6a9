package subject_test

import (
	"bytes"
	"context"
	"net"
	"sync"

	"github.com/relink-go/relink/bench/internal/subject"
)

// A tap is the loopback network, and keeps what clients send.
type tap struct {
	subject.Loopback

	mu   sync.Mutex // guards sent
	sent []byte
}

func (t *tap) DialTCP(ctx context.Context, address string) (net.Conn, error) {
	c, err := t.Loopback.DialTCP(ctx, address)
	if err != nil {
		return nil, err
	}
	return &tapped{c, t}, nil
}

func (t *tap) saw(b []byte) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return bytes.Contains(t.sent, b)
}

type tapped struct {
	net.Conn
	tap *tap
}

func (c *tapped) Write(p []byte) (int, error) {
	c.tap.mu.Lock()
	c.tap.sent = append(c.tap.sent, p...)
	c.tap.mu.Unlock()
	return c.Conn.Write(p)
}
