package main

import (
	"net"
	"sync"

	"github.com/relink-go/relink/internal/faultnet"
)

// sockets are a client's UDP sockets, which fail on command: a reset closes one, as
// when its network goes away, and a black hole leaves it open and lets nothing
// through.
type sockets struct {
	address string // of the server

	mu    sync.Mutex // guards the rest, and the state of each socket
	all   []*socket
	after int64 // the next one is cut when it has sent so much
	kind  faultnet.Kind
	armed bool // after and kind are set
}

// A socket is one of them.
type socket struct {
	*net.UDPConn
	of   *sockets
	left int64 // bytes until it is cut
	kind faultnet.Kind
	arms bool // left and kind are set
	deaf bool
}

func (u *sockets) open() (net.PacketConn, error) {
	conn, err := net.ListenUDP("udp", nil)
	if err != nil {
		return nil, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	s := &socket{UDPConn: conn, of: u, left: u.after, kind: u.kind, arms: u.armed}
	u.armed = false
	u.all = append(u.all, s)
	return packets{s}, nil
}

// Addr returns the server's address: nothing lies between.
func (u *sockets) Addr() string { return u.address }

// Accepted returns the number of sockets so far.
func (u *sockets) Accepted() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return len(u.all)
}

// CutAfter cuts the next socket when it has sent so many bytes.
func (u *sockets) CutAfter(_ faultnet.Dir, offset int64, k faultnet.Kind) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.after, u.kind, u.armed = offset, k, true
}

// Cut cuts all sockets.
func (u *sockets) Cut(k faultnet.Kind) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, s := range u.all {
		s.cutLocked(k)
	}
}

// Close closes all sockets.
func (u *sockets) Close() error {
	u.Cut(faultnet.Reset)
	return nil
}

func (s *socket) cutLocked(k faultnet.Kind) {
	s.arms = false
	if k == faultnet.BlackHole {
		s.deaf = true
		return
	}
	_ = s.Close()
}

// sends counts what is about to be sent, and reports whether it gets through.
func (s *socket) sends(n int) bool {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	if s.left -= int64(n); s.arms && s.left <= 0 {
		s.cutLocked(s.kind)
	}
	return !s.deaf
}

func (s *socket) isDeaf() bool {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	return s.deaf
}

// packets hides the ways around WriteTo and ReadFrom that a UDP socket has.
type packets struct{ net.PacketConn }

// SetReadBuffer is for quic-go.
func (p packets) SetReadBuffer(bytes int) error {
	return p.PacketConn.(*socket).UDPConn.SetReadBuffer(bytes)
}

// SetWriteBuffer is for quic-go.
func (p packets) SetWriteBuffer(bytes int) error {
	return p.PacketConn.(*socket).UDPConn.SetWriteBuffer(bytes)
}

// WriteTo implements net.PacketConn.
func (s *socket) WriteTo(p []byte, to net.Addr) (int, error) {
	if !s.sends(len(p)) {
		return len(p), nil
	}
	return s.UDPConn.WriteTo(p, to)
}

// ReadFrom implements net.PacketConn.
func (s *socket) ReadFrom(p []byte) (int, net.Addr, error) {
	for {
		n, from, err := s.UDPConn.ReadFrom(p)
		if err != nil || !s.isDeaf() {
			return n, from, err
		}
	}
}
