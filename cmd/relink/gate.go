package main

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// A socket is a listening one of package net.
type socket interface {
	net.Listener
	syscall.Conn
	SetDeadline(t time.Time) error
}

// A gate is a listening socket that can stop accepting without being closed, so that
// another process goes on with it. What is on top of it notices nothing.
type gate struct {
	socket
	carrier carrier // as it is configured
	systemd bool    // systemd has opened the socket, and keeps it

	mu        sync.Mutex // guards what follows
	changed   sync.Cond
	accepting int // calls under way
	paused    bool
	closed    bool
}

func newGate(l socket, c carrier) *gate {
	g := &gate{socket: l, carrier: c}
	g.changed.L = &g.mu
	return g
}

// Accept waits while the gate is paused.
func (g *gate) Accept() (net.Conn, error) {
	for {
		g.mu.Lock()
		for g.paused && !g.closed {
			g.changed.Wait()
		}
		if g.closed {
			g.mu.Unlock()
			return nil, net.ErrClosed
		}
		g.accepting++
		g.mu.Unlock()
		c, err := g.socket.Accept()
		g.mu.Lock()
		g.accepting--
		g.changed.Broadcast()
		again := g.paused && errors.Is(err, os.ErrDeadlineExceeded)
		g.mu.Unlock()
		if !again {
			return c, err
		}
	}
}

// Close ends Accept.
func (g *gate) Close() error {
	g.mu.Lock()
	g.closed = true
	g.changed.Broadcast()
	g.mu.Unlock()
	return g.socket.Close()
}

// pause returns when nothing is accepted any more. Connections wait in the kernel.
func (g *gate) pause() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.paused = true
	_ = g.SetDeadline(time.Unix(1, 0)) // of a closed socket, which accepts nothing either
	for g.accepting > 0 {
		g.changed.Wait()
	}
}

// resume accepts again.
func (g *gate) resume() {
	g.mu.Lock()
	defer g.mu.Unlock()
	_ = g.SetDeadline(time.Time{})
	g.paused = false
	g.changed.Broadcast()
}

// release closes the socket, which is another process's, and leaves Accept waiting.
func (g *gate) release() {
	if u, ok := g.socket.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	_ = g.socket.Close()
}
