package faultnet

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// A Relay is a TCP relay on loopback that fails on command. It does what a Path
// does as far as TCP allows: the kernels' buffers hold bytes on both sides of
// it, so a cut's offset counts what the relay has forwarded, and a Reset may
// overtake forwarded bytes that the receiving kernel had no room for. All
// methods can be called at any time from any goroutine.
type Relay struct {
	listener *net.TCPListener
	dialling context.Context // ends with Close
	cancel   context.CancelFunc
	wg       sync.WaitGroup // the accepting goroutine and all connections' goroutines

	mu        sync.Mutex // guards everything below and the state of links
	target    string
	released  *sync.Cond // a stall, a link or the relay has ended
	closed    bool
	buffers   int
	accepted  int
	stalled   [2]bool  // indexed by Dir, like the next three
	stallAt   [2]int64 // in forwarded; 0 is never
	forwarded [2]int64
	next      [2][]cut // for the next connection
	links     map[*link]struct{}
}

// A link is one relayed connection. Its state is guarded by Relay.mu.
type link struct {
	legs      [2]*net.TCPConn // indexed by the Dir that is read from it; nil where the dial failed
	silent    [2]bool
	over      bool // both legs are closed
	forwarded [2]int64
	cuts      [2][]cut
	pumps     int // directions that have not ended
}

// errCut ends a direction that a cut has ended.
var errCut = errors.New("faultnet: cut")

// NewRelay starts a relay to the TCP address target.
func NewRelay(target string) (*Relay, error) {
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	r := &Relay{target: target, listener: l, links: make(map[*link]struct{})}
	r.released = sync.NewCond(&r.mu)
	r.dialling, r.cancel = context.WithCancel(context.Background())
	r.wg.Go(r.accept)
	return r, nil
}

// Addr returns the address to dial in place of the target.
func (r *Relay) Addr() string { return r.listener.Addr().String() }

// SetTarget sets where connections go from now on.
func (r *Relay) SetTarget(target string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.target = target
}

// SetBuffers sets the size in bytes of the socket buffers of both legs of the
// connections from now on. Zero leaves the system's choice.
func (r *Relay) SetBuffers(bytes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.buffers = bytes
}

// Cut cuts all connections that exist. Reset and ResetNow are the same here. A
// black hole stops reading and forwarding and leaves the sockets open until a
// later Reset, End or Close. On Linux one in both directions also drops what
// arrives, so that nothing is acknowledged and keep-alives go unanswered.
func (r *Relay) Cut(k Kind) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for l := range r.links {
		r.cutLocked(l, k)
	}
}

// CutAfter cuts the next connection when offset bytes have been forwarded in
// direction d. Offset 0 cuts it before the first byte; with Reset that may be
// before the client's dial has returned, which then fails. It can be called
// several times for one connection.
func (r *Relay) CutAfter(d Dir, offset int64, k Kind) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next[d] = insertCut(r.next[d], cut{offset, k})
}

// Stall holds back direction d of all connections, those to come included, until
// Release.
func (r *Relay) Stall(d Dir) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stalled[d] = true
}

// StallAfter does the same once offset bytes, at least 1, have been forwarded in
// direction d over all connections. It takes the place of a Stall or StallAfter before.
func (r *Relay) StallAfter(d Dir, offset int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stalled[d], r.stallAt[d] = false, offset
	r.released.Broadcast()
}

// Release lets direction d go on after Stall and StallAfter. What the kernels have kept of it is
// delivered, even where the sending end has closed meanwhile.
func (r *Relay) Release(d Dir) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stalled[d], r.stallAt[d] = false, 0
	r.released.Broadcast()
}

// Forwarded returns the number of bytes forwarded in direction d, over all
// connections.
func (r *Relay) Forwarded(d Dir) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.forwarded[d]
}

// Accepted returns the number of connections that have reached the relay.
func (r *Relay) Accepted() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.accepted
}

// Live returns the number of connections that the relay holds, those in a black
// hole included.
func (r *Relay) Live() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.links)
}

// Close ends the relay and its connections, and returns when no goroutine of it
// is left.
func (r *Relay) Close() error {
	r.mu.Lock()
	r.closed = true
	for l := range r.links {
		r.dropLocked(l, false)
	}
	r.released.Broadcast()
	r.mu.Unlock()
	r.cancel()
	err := r.listener.Close()
	r.wg.Wait()
	return err
}

// accept starts a link for every connection.
func (r *Relay) accept() {
	for {
		client, err := r.listener.AcceptTCP()
		if err != nil {
			return
		}
		r.mu.Lock()
		r.accepted++
		l := &link{legs: [2]*net.TCPConn{Up: client}, cuts: r.next, pumps: 2}
		r.next = [2][]cut{}
		target := r.target
		r.mu.Unlock()
		r.wg.Go(func() { r.begin(l, target) })
	}
}

// begin dials the target for l, registers l and starts to forward. Where the
// target cannot be reached the client is reset.
func (r *Relay) begin(l *link, target string) {
	var d net.Dialer
	server, err := d.DialContext(r.dialling, "tcp", target)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.links[l] = struct{}{}
	if err == nil {
		l.legs[Down] = server.(*net.TCPConn)
	}
	if err != nil || r.closed {
		r.dropLocked(l, true)
		return
	}
	if r.buffers > 0 {
		for _, leg := range l.legs {
			_ = leg.SetReadBuffer(r.buffers) // A hint: the kernel may round it.
			_ = leg.SetWriteBuffer(r.buffers)
		}
	}
	for d := range l.cuts {
		r.fireLocked(l, Dir(d))
	}
	if l.over {
		return
	}
	for _, d := range []Dir{Up, Down} {
		r.wg.Go(func() { r.pump(l, d) })
	}
}

// pump forwards direction d until it ends, and ends the link with the second
// direction. At a black hole it leaves the sockets as they are.
func (r *Relay) pump(l *link, d Dir) {
	from, to := l.legs[d], l.legs[1-d]
	buf := make([]byte, 32<<10)
	var readErr, writeErr error
	for readErr == nil && writeErr == nil {
		var n int
		n, readErr = from.Read(buf)
		writeErr = r.forward(l, d, to, buf[:n])
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if l.over || l.silent[d] || writeErr != nil && l.silent[1-d] {
		return // In the last case the news would have to come back through a black hole.
	}
	if writeErr != nil || !errors.Is(readErr, io.EOF) {
		r.dropLocked(l, true)
		return
	}
	_ = to.CloseWrite() // It fails where the leg is gone, and then its pump sees that.
	if l.pumps--; l.pumps == 0 {
		r.dropLocked(l, false)
	}
}

// forward writes b to the leg to, cut by cut. It waits while d is stalled, also
// with an empty b: an end of stream is held back too.
func (r *Relay) forward(l *link, d Dir, to *net.TCPConn, b []byte) error {
	for first := true; first || len(b) > 0; first = false {
		r.mu.Lock()
		for r.holdsBackLocked(d) && !l.over && !l.silent[d] {
			r.released.Wait()
		}
		if l.over || l.silent[d] {
			r.mu.Unlock()
			return errCut
		}
		n := len(b)
		if len(l.cuts[d]) > 0 {
			n = int(min(int64(n), l.cuts[d][0].offset-l.forwarded[d]))
		}
		if at := r.stallAt[d]; at > 0 {
			n = int(min(int64(n), at-r.forwarded[d]))
		}
		r.mu.Unlock()

		n, err := to.Write(b[:n])
		b = b[n:]
		r.mu.Lock()
		l.forwarded[d] += int64(n)
		r.forwarded[d] += int64(n)
		r.fireLocked(l, d)
		r.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *Relay) holdsBackLocked(d Dir) bool {
	return r.stalled[d] || r.stallAt[d] > 0 && r.forwarded[d] >= r.stallAt[d]
}

// fireLocked makes the cuts whose offset direction d of l has reached.
func (r *Relay) fireLocked(l *link, d Dir) {
	for len(l.cuts[d]) > 0 && l.cuts[d][0].offset <= l.forwarded[d] {
		k := l.cuts[d][0].kind
		l.cuts[d] = l.cuts[d][1:]
		r.cutLocked(l, k)
	}
}

func (r *Relay) cutLocked(l *link, k Kind) {
	switch k {
	case Reset, ResetNow:
		r.dropLocked(l, true)
	case End:
		r.dropLocked(l, false)
	case BlackHole:
		r.silenceLocked(l, Up)
		r.silenceLocked(l, Down)
		for _, leg := range l.legs {
			deafen(leg)
		}
	case BlackHoleUp:
		r.silenceLocked(l, Up)
	case BlackHoleDown:
		r.silenceLocked(l, Down)
	case EndUp:
		r.endLocked(l, Up)
	case EndDown:
		r.endLocked(l, Down)
	}
}

// silenceLocked makes the pump of direction d leave for good.
func (r *Relay) silenceLocked(l *link, d Dir) {
	if l.over {
		return
	}
	l.silent[d] = true
	past := time.Unix(1, 0)
	_ = l.legs[d].SetReadDeadline(past) // It fails only on a closed socket.
	_ = l.legs[1-d].SetWriteDeadline(past)
	r.released.Broadcast()
}

// endLocked ends direction d for its reader alone.
func (r *Relay) endLocked(l *link, d Dir) {
	if l.over || l.silent[d] {
		return
	}
	r.silenceLocked(l, d)
	_ = l.legs[1-d].CloseWrite() // It fails only on a closed socket.
}

// dropLocked closes both legs, with a reset or as cleanly as unread bytes allow.
func (r *Relay) dropLocked(l *link, reset bool) {
	if l.over {
		return
	}
	l.over = true
	delete(r.links, l)
	for _, leg := range l.legs {
		if leg == nil {
			continue
		}
		if reset {
			_ = leg.SetLinger(0)
		} else {
			_ = leg.CloseWrite() // So the FIN goes out even if Close makes a reset of unread bytes.
		}
		_ = leg.Close()
	}
	r.released.Broadcast()
}
