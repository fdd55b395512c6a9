package kcp_test

import (
	"math/rand/v2"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// A relay passes datagrams on as badly as it is told.
type relay struct {
	socket *net.UDPConn
	wg     sync.WaitGroup

	mu      sync.Mutex // guards everything below
	target  string
	paths   map[string]*net.UDPConn // by client
	silent  bool                    // of all paths that there are, and of new ones
	deaf    map[string]bool         // clients in a black hole
	loss    float64                 // of all datagrams, in both directions
	random  *rand.Rand
	passed  int
	dropped int
}

func newRelay(t testing.TB, target string) *relay {
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	_ = socket.SetReadBuffer(4 << 20)
	r := &relay{socket: socket, target: target, paths: make(map[string]*net.UDPConn), deaf: make(map[string]bool), random: rand.New(rand.NewPCG(1, 2))}
	r.wg.Go(r.run)
	t.Cleanup(r.close)
	return r
}

func (r *relay) addr() string { return r.socket.LocalAddr().String() }

func (r *relay) close() {
	_ = r.socket.Close()
	r.mu.Lock()
	for _, p := range r.paths {
		_ = p.Close()
	}
	r.mu.Unlock()
	r.wg.Wait()
}

// cut puts all clients that there are in a black hole. Those that come later are
// let through.
func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for client := range r.paths {
		r.deaf[client] = true
	}
}

// set changes the share of datagrams that are lost.
func (r *relay) set(loss float64, silent bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.loss, r.silent = loss, silent
}

// run passes on what clients send.
func (r *relay) run() {
	b := make([]byte, 2048)
	for {
		n, from, err := r.socket.ReadFromUDP(b)
		if err != nil {
			return
		}
		client := from.String()
		r.mu.Lock()
		p := r.paths[client]
		if p == nil {
			c, err := net.Dial("udp4", r.target)
			if err != nil {
				r.mu.Unlock()
				return
			}
			p = c.(*net.UDPConn)
			_ = p.SetReadBuffer(4 << 20)
			r.paths[client] = p
			r.wg.Go(func() { r.back(p, from) })
		}
		r.mu.Unlock()
		r.pass(client, b[:n], func(b []byte) { _, _ = p.Write(b) })
	}
}

// back passes on what the server sends to one client.
func (r *relay) back(p *net.UDPConn, to *net.UDPAddr) {
	b := make([]byte, 2048)
	for {
		n, err := p.Read(b)
		if err != nil {
			return
		}
		r.pass(to.String(), b[:n], func(b []byte) { _, _ = r.socket.WriteToUDP(b, to) })
	}
}

// pass sends a datagram, or loses it, or sends it twice.
func (r *relay) pass(client string, b []byte, send func([]byte)) {
	r.mu.Lock()
	x := r.random.Float64()
	lost := r.silent || r.deaf[client] || x < r.loss
	twice := r.loss > 0 && x > 1-r.loss/2
	if lost {
		r.dropped++
	} else {
		r.passed++
	}
	r.mu.Unlock()
	if lost {
		return
	}
	send(b)
	if twice {
		send(b)
	}
}
