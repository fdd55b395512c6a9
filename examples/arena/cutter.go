package main

import (
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// A cutter cuts the transports that it has accepted, for the show. A server has none.
type cutter struct {
	mu    sync.Mutex // guards the rest
	conns []net.Conn
	cuts  int
}

// A cutListener remembers what it accepts, and hands it on as it is.
type cutListener struct {
	net.Listener
	cutter *cutter
}

func (l cutListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.cutter.mu.Lock()
		l.cutter.conns = append(l.cutter.conns, c)
		l.cutter.mu.Unlock()
	}
	return c, err
}

// cut cuts one of the transports. Some of them are dead already.
func (c *cutter) cut() {
	c.mu.Lock()
	if len(c.conns) == 0 {
		c.mu.Unlock()
		return
	}
	i := rand.IntN(len(c.conns))
	conn := c.conns[i]
	c.conns[i] = c.conns[len(c.conns)-1]
	c.conns = c.conns[:len(c.conns)-1]
	c.cuts++
	c.mu.Unlock()
	if l, ok := conn.(interface{ SetLinger(int) error }); ok {
		_ = l.SetLinger(0) // no goodbye
	}
	_ = conn.Close()
}

// run cuts one after each interval, until done is closed.
func (c *cutter) run(every time.Duration, done <-chan struct{}) {
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	for {
		select {
		case <-ticks.C:
			c.cut()
		case <-done:
			return
		}
	}
}
