package faultnet

import (
	"bytes"
	"fmt"
	"net"
	"slices"
	"sort"
	"sync"
	"syscall"
	"time"
)

// A Path is one connection: its two ends and the wire between them. All methods
// can be called at any time from any goroutine.
type Path struct {
	opts           Options
	client, server *conn
	clientConn     net.Conn // what is handed out: client or a wrapper of it
	serverConn     net.Conn

	mu     sync.Mutex // guards everything below and the state of both conns
	halves [2]half    // indexed by Dir
}

// A half is one direction of a path. It is guarded by Path.mu.
type half struct {
	queue   []segment // entered and not yet read, oldest first
	size    int       // what fills the buffer: the queue and what a black hole took
	offer   []byte    // without a buffer: what the Write under way has left
	offerAt time.Time // when the offer can be read
	writing bool      // a Write has its turn
	writes  int       // Writes so far, for Options.ShortWrites

	sent, delivered int64
	cuts            []cut // to come, by offset; all offsets are above sent
	stalled         bool
	silent          bool // a black hole: nothing more enters the queue

	end          ending // what a Read finds behind the queue
	endAt        time.Time
	writeErr     syscall.Errno // what a cut makes of every Write
	readerGone   bool          // the reading end has closed
	readerGoneAt time.Time     // when the writing end can know of it

	recording bool
	recorded  []byte

	changed chan struct{} // closed at the next change; nil while nobody waits
}

// A segment is the bytes of one Write, or a part of them, on their way.
type segment struct {
	data []byte
	at   time.Time // when it can be read
}

// A cut is to happen when the direction has carried offset bytes.
type cut struct {
	offset int64
	kind   Kind
}

// insertCut returns cuts with c in its place: by offset, then by time of call.
func insertCut(cuts []cut, c cut) []cut {
	if c.offset < 0 {
		panic(fmt.Sprintf("faultnet: cut at negative offset %d", c.offset))
	}
	i := sort.Search(len(cuts), func(i int) bool { return cuts[i].offset > c.offset })
	return slices.Insert(cuts, i, c)
}

// An ending is how a direction ends for its reader.
type ending int

const (
	open ending = iota
	fin
	reset
)

// Pair returns the two ends of a path of its own.
func Pair(o Options) (client, server net.Conn, p *Path) {
	p = newPath(o, Addr("10.0.0.1:40001"), serverAddr)
	return p.clientConn, p.serverConn, p
}

func newPath(o Options, clientAddr, serverAddr Addr) *Path {
	if o.Buffer == 0 {
		o.Buffer = DefaultBuffer
	}
	p := &Path{opts: o}
	p.client = &conn{p: p, in: &p.halves[Down], out: &p.halves[Up], local: clientAddr, remote: serverAddr}
	p.server = &conn{p: p, in: &p.halves[Up], out: &p.halves[Down], local: serverAddr, remote: clientAddr}
	p.clientConn, p.serverConn = p.client, p.server
	if o.Opaque {
		p.clientConn, p.serverConn = &opaqueConn{p.client}, &opaqueConn{p.server}
	}
	return p
}

// handOut notes that an end has got an owner, who has to close it.
func (p *Path) handOut(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.owned = true
}

// openEnds returns how many ends have an owner and are not closed.
func (p *Path) openEnds() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range []*conn{p.client, p.server} {
		if c.owned && !c.closed {
			n++
		}
	}
	return n
}

// Client returns the end that was dialled. It is the same value at each call.
func (p *Path) Client() net.Conn { return p.clientConn }

// Server returns the end that was, or is to be, accepted. It is the same value
// at each call.
func (p *Path) Server() net.Conn { return p.serverConn }

// Cut cuts the path now. A later cut can sharpen an earlier one: a black hole
// can still be reset, and what has ended can be reset, but never the reverse.
func (p *Path) Cut(k Kind) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cutLocked(k)
}

// CutAt cuts the path, both directions of it as k says, as soon as offset bytes
// have entered direction d: at once if they have already, so offset 0 cuts
// before the first byte. Several cuts can be set.
func (p *Path) CutAt(d Dir, offset int64, k Kind) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := &p.halves[d]
	h.cuts = insertCut(h.cuts, cut{offset, k})
	p.fireLocked(h)
}

// Stall holds back direction d: bytes enter but cannot be read until Release,
// and neither can the FIN or the reset behind them, even if the writing end
// closes or the path is cut meanwhile. Only ResetNow ends a stall. Where there
// is no buffer a Write blocks instead.
func (p *Path) Stall(d Dir) { p.setStalled(d, true) }

// Release lets direction d go on after Stall.
func (p *Path) Release(d Dir) { p.setStalled(d, false) }

func (p *Path) setStalled(d Dir, stalled bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.halves[d].stalled = stalled
	p.wakeLocked()
}

// SetDelay changes [Options.Delay] for what is written from now on. Nothing overtakes
// what was written before.
func (p *Path) SetDelay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.opts.Delay = d
}

// Sent returns how many bytes have entered direction d, those that a black hole
// took included.
func (p *Path) Sent(d Dir) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.halves[d].sent
}

// Delivered returns how many bytes of direction d have been read.
func (p *Path) Delivered(d Dir) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.halves[d].delivered
}

// Record begins to keep what enters both directions, for Bytes.
func (p *Path) Record() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.halves {
		p.halves[i].recording = true
	}
}

// Bytes returns a copy of what has entered direction d since Record, as an
// observer on the sender's side of any cut would see it.
func (p *Path) Bytes(d Dir) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return bytes.Clone(p.halves[d].recorded)
}

// cutLocked does what k says to both directions.
func (p *Path) cutLocked(k Kind) {
	now := time.Now()
	for d := range p.halves {
		h := &p.halves[d]
		switch k {
		case Reset, ResetNow:
			h.end, h.endAt, h.writeErr = reset, now, syscall.ECONNRESET
			if k == ResetNow {
				h.queue, h.stalled = nil, false
			}
		case End:
			if h.end == open {
				h.end, h.endAt = fin, now
			}
			if h.writeErr == 0 {
				h.writeErr = syscall.EPIPE
			}
		case BlackHole:
			h.silent = true
		case BlackHoleUp:
			h.silent = h.silent || Dir(d) == Up
		case BlackHoleDown:
			h.silent = h.silent || Dir(d) == Down
		case EndUp, EndDown:
			if h.end == open && !h.silent && (Dir(d) == Up) == (k == EndUp) {
				h.end, h.endAt, h.silent = fin, now, true
			}
		default:
			panic(fmt.Sprintf("faultnet: unknown kind of cut %d", int(k)))
		}
	}
	p.wakeLocked()
}

// fireLocked makes the cuts whose offset h has reached.
func (p *Path) fireLocked(h *half) {
	for len(h.cuts) > 0 && h.cuts[0].offset <= h.sent {
		k := h.cuts[0].kind
		h.cuts = h.cuts[1:]
		p.cutLocked(k)
	}
}

// wakeLocked lets every blocked call look again.
func (p *Path) wakeLocked() {
	for i := range p.halves {
		if h := &p.halves[i]; h.changed != nil {
			close(h.changed)
			h.changed = nil
		}
	}
}

// waitLocked waits for a change of h or for the earliest of those times that
// are set. It gives up the lock meanwhile.
func (p *Path) waitLocked(h *half, times ...time.Time) {
	var first time.Time
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	var alarm <-chan time.Time
	if !first.IsZero() {
		t := time.NewTimer(time.Until(first))
		defer t.Stop()
		alarm = t.C
	}
	if h.changed == nil {
		h.changed = make(chan struct{})
	}
	changed := h.changed
	p.mu.Unlock()
	defer p.mu.Lock()
	select {
	case <-changed:
	case <-alarm:
	}
}

// enterLocked puts the first bytes of b into h, as far as the buffer has room
// and up to the next cut, which it makes. It returns their number.
func (p *Path) enterLocked(h *half, b []byte) int {
	n := min(len(b), p.opts.Buffer-h.size)
	if n <= 0 || h.writeErr != 0 { // a Write that waited for room finds the path cut
		return 0
	}
	n = h.beforeCut(n)
	h.size += n
	if !h.silent && !h.readerGone {
		h.queue = append(h.queue, segment{bytes.Clone(b[:n]), time.Now().Add(p.opts.Delay)})
	}
	h.countLocked(b[:n])
	p.fireLocked(h)
	p.wakeLocked()
	return n
}

// beforeCut returns n, or less if a cut comes before.
func (h *half) beforeCut(n int) int {
	if len(h.cuts) > 0 {
		return int(min(int64(n), h.cuts[0].offset-h.sent))
	}
	return n
}

// countLocked notes that b has entered.
func (h *half) countLocked(b []byte) {
	h.sent += int64(len(b))
	if h.recording {
		h.recorded = append(h.recorded, b...)
	}
}

// takeLocked moves readable bytes of h into b and returns their number, or 0
// and the time, if it is known, at which there is something to find.
func (p *Path) takeLocked(h *half, b []byte, now time.Time) (n int, next time.Time) {
	if p.opts.Segment > 0 && len(b) > p.opts.Segment {
		b = b[:p.opts.Segment]
	}
	if h.stalled {
		return 0, time.Time{}
	}
	for len(h.queue) > 0 && n < len(b) {
		s := &h.queue[0]
		if s.at.After(now) {
			next = s.at
			break
		}
		k := copy(b[n:], s.data)
		n += k
		if s.data = s.data[k:]; len(s.data) == 0 {
			h.queue = h.queue[1:]
		}
	}
	h.size -= n
	if len(h.offer) > 0 && n == 0 && h.end == open && !h.silent {
		if h.offerAt.After(now) {
			return 0, h.offerAt
		}
		n = h.beforeCut(min(len(b), len(h.offer)))
		copy(b, h.offer[:n])
		h.countLocked(h.offer[:n])
		h.offer = h.offer[n:]
		p.fireLocked(h)
	}
	if n > 0 {
		h.delivered += int64(n)
		p.wakeLocked()
		return n, time.Time{}
	}
	return 0, next
}

// endedLocked reports whether a reader of h has come to its end.
func (h *half) endedLocked(now time.Time) bool {
	return h.end != open && !h.stalled && len(h.queue) == 0 && !h.endAt.After(now)
}
