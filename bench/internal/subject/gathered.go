package subject

import (
	"context"
	"crypto/cipher"
	"net"
	"sync"
)

// gatheredRC4 is RC4 over TCP with the least that makes small writes cheap: a Write
// copies into a buffer, and a goroutine enciphers and sends what has gathered in
// it. Nothing is kept or counted, there are no deadlines, and it cannot be resumed.
type gatheredRC4 struct{ cipherOverTCP }

func (gatheredRC4) Name() string { return RC4Gathered }

func (gatheredRC4) About() string {
	return "RC4 and the least that makes small writes cheap: a Write copies into one of two buffers of 64 KiB, under a mutex, while a goroutine enciphers and sends the other. " +
		"Nothing is kept. It cannot be resumed: it is what small writes on DH64RC4 are to be measured by."
}

func (gatheredRC4) ConcurrentWrites() bool { return true }

func (s gatheredRC4) Listen() (net.Listener, error) { return newUpgrader(s.secure) }

func (s gatheredRC4) Dial(ctx context.Context, n Network, address string) (net.Conn, error) {
	return dialUpgraded(ctx, n, address, s.secure)
}

func (s gatheredRC4) secure(t net.Conn) (net.Conn, error) {
	key, err := agree(t)
	if err != nil {
		return nil, err
	}
	c, err := s.start(t, key)
	if err != nil {
		return nil, err
	}
	g := &gatheredConn{Conn: t, in: c.in, out: c.out, filling: make([]byte, 0, gatheredBytes)}
	g.changed.L = &g.mu
	go g.send()
	return g, nil
}

// gatheredBytes is the size of either buffer. Writes of 64 bytes are 1 % faster
// with half of it, and slower with more.
const gatheredBytes = 64 << 10

// A gatheredConn deciphers on the caller's goroutine. One goroutine may read.
type gatheredConn struct {
	net.Conn
	in, out cipher.Stream

	mu      sync.Mutex // guards everything below
	changed sync.Cond
	filling []byte
	err     error
}

func (c *gatheredConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.in.XORKeyStream(p[:n], p[:n])
	return n, err
}

func (c *gatheredConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for n < len(p) {
		for len(c.filling) == cap(c.filling) && c.err == nil {
			c.changed.Wait()
		}
		if c.err != nil {
			return n, c.err
		}
		if len(c.filling) == 0 {
			c.changed.Broadcast() // the sender waits
		}
		k := min(len(p)-n, cap(c.filling)-len(c.filling))
		c.filling = append(c.filling, p[n:n+k]...)
		n += k
	}
	return n, nil
}

// send is the goroutine that sends.
func (c *gatheredConn) send() {
	sending := make([]byte, 0, gatheredBytes)
	for {
		c.mu.Lock()
		for len(c.filling) == 0 && c.err == nil {
			c.changed.Wait()
		}
		if c.err != nil {
			c.mu.Unlock()
			return
		}
		c.filling, sending = sending[:0], c.filling
		c.changed.Broadcast()
		c.mu.Unlock()
		c.out.XORKeyStream(sending, sending)
		if _, err := c.Conn.Write(sending); err != nil {
			c.end(err)
			return
		}
	}
}

func (c *gatheredConn) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
	}
	c.changed.Broadcast()
}

// Close gives up what has gathered.
func (c *gatheredConn) Close() error {
	c.end(net.ErrClosed)
	return c.Conn.Close()
}

// NetConn returns the connection below.
func (c *gatheredConn) NetConn() net.Conn { return c.Conn }
