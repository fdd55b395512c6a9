package gaptest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// A role is one of the two ends of a session.
type role int

const (
	client role = iota
	server
)

func (r role) String() string { return [...]string{"client", "server"}[r] }

func (r role) other() role { return 1 - r }

// A moment is just before or just after a side's n-th call of a method of a transport,
// of any of its transports, since its count began; or of another function that the library calls: the
// dial, or Authorize.
type moment struct {
	side  role
	call  string
	n     int
	after bool
}

func (m moment) String() string {
	return fmt.Sprintf("%v.%s.%d.%s", m.side, m.call, m.n, map[bool]string{false: "before", true: "after"}[m.after])
}

func parseMoment(s string) (m moment, ok bool) {
	parts := strings.Split(s, ".")
	if len(parts) != 4 {
		return m, false
	}
	n, err := strconv.Atoi(parts[2])
	m = moment{client, parts[1], n, parts[3] == "after"}
	if parts[0] == "server" {
		m.side = server
	}
	return m, err == nil && m.String() == s
}

// underLock reports whether the library calls the method with its lock held, as it may
// with one that does not wait. Nothing else of the session happens in such a gap: what is
// tried there waits for the lock, and comes next.
func (m moment) underLock() bool { return strings.HasPrefix(m.call, "Set") && m.call != "SetLinger" }

// A gate lies before and behind each call. It counts calls, and holds those for which a
// trap is set.
type gate struct {
	mu     sync.Mutex
	counts map[string]int
	trace  []moment
	traps  []*trap
	live   [2]int // transports that a side has, and has not closed
}

// A trap holds one call.
type trap struct {
	at     moment
	during func() // what happens under the lock; nil elsewhere
	caught bool   // guarded by the gate's lock
	once   sync.Once
	opened chan struct{}
}

// release lets the call go on.
func (t *trap) release() { t.once.Do(func() { close(t.opened) }) }

// begin counts from now on, and forgets what was counted.
func (g *gate) begin() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.counts, g.trace = make(map[string]int), nil
}

// set sets a trap.
func (g *gate) set(at moment, during func()) *trap {
	t := &trap{at: at, during: during, opened: make(chan struct{})}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.traps = append(g.traps, t)
	return t
}

// open lets everything go on.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, t := range g.traps {
		t.release()
	}
}

// holds reports whether the trap has caught its call.
func (g *gate) holds(t *trap) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return t.caught
}

// count returns how often a side has called a method since begin.
func (g *gate) count(side role, call string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.counts[side.String()+call]
}

// lives notes that a side has one transport more, or less.
func (g *gate) lives(side role, n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.live[side] += n
}

// alive returns how many a side has.
func (g *gate) alive(side role) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.live[side]
}

// moments returns those since begin, each once.
func (g *gate) moments() []moment {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]moment(nil), g.trace...)
}

// passing is called before a call, and what it returns behind it.
func (g *gate) passing(side role, call string) (passed func()) {
	g.mu.Lock()
	key := side.String() + call
	if g.counts != nil {
		g.counts[key]++
	}
	m := moment{side, call, g.counts[key], false}
	g.mu.Unlock()
	g.at(m)
	return func() {
		m.after = true
		g.at(m)
	}
}

func (g *gate) at(m moment) {
	g.mu.Lock()
	if m.n == 0 { // its call began before the count
		g.mu.Unlock()
		return
	}
	g.trace = append(g.trace, m)
	for _, t := range g.traps {
		if t.caught || t.at != m {
			continue
		}
		t.caught = true
		g.mu.Unlock()
		if !m.underLock() {
			<-t.opened
			return
		}
		if t.during != nil {
			go t.during()
		}
		for range 100 { // for what waits for the lock to come to it
			runtime.Gosched()
		}
		return
	}
	g.mu.Unlock()
}

// A kind is a kind of transport, which decides who does what.
type kind int

const (
	quick  kind = iota // a Write of the session writes by itself, a Read reads by itself
	plain              // the flusher writes
	opaque             // and goroutines of the library read
	wary               // as quick, and the client suspects a link that is silent
)

// kindsOf returns those of a suite. Without pings these transports give a client nothing
// to suspect them for.
func kindsOf(s suite) []kind {
	if s.noise {
		return append(slices.Clone(kinds), wary)
	}
	return kinds
}

var kinds = []kind{quick, plain, opaque}

func (k kind) String() string { return [...]string{"quick", "plain", "opaque", "wary"}[k] }

// A transport tells the gate of each call.
type transport struct {
	net.Conn
	g      *gate
	side   role
	kind   kind
	closed sync.Once
}

// newTransport wraps one end of a path.
func newTransport(c net.Conn, g *gate, side role, k kind) net.Conn {
	t := &transport{Conn: c, g: g, side: side, kind: k}
	g.lives(side, 1)
	if k == quick || k == wary {
		return quickTransport{t}
	}
	return t
}

func (t *transport) Interruptible() bool { return t.kind != opaque }

func (t *transport) Read(p []byte) (int, error) {
	defer t.g.passing(t.side, "Read")()
	return t.Conn.Read(p)
}

func (t *transport) Write(p []byte) (int, error) {
	defer t.g.passing(t.side, "Write")()
	return t.Conn.Write(p)
}

func (t *transport) Close() error {
	defer t.g.passing(t.side, "Close")()
	t.closed.Do(func() { t.g.lives(t.side, -1) })
	return t.Conn.Close()
}

func (t *transport) CloseWrite() error {
	w, ok := t.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	defer t.g.passing(t.side, "CloseWrite")()
	return w.CloseWrite()
}

func (t *transport) SetDeadline(at time.Time) error {
	defer t.g.passing(t.side, "SetDeadline")()
	return t.Conn.SetDeadline(at)
}

func (t *transport) SetReadDeadline(at time.Time) error {
	defer t.g.passing(t.side, "SetReadDeadline")()
	return t.Conn.SetReadDeadline(at)
}

// A quickTransport is written to without waiting.
type quickTransport struct{ *transport }

func (t quickTransport) WriteNonblock(p []byte) (int, error) {
	defer t.g.passing(t.side, "WriteNonblock")()
	return t.Conn.(relink.NonblockingWriter).WriteNonblock(p)
}

// dial is the network's Dial behind the gate.
func (g *gate) dial(n *faultnet.Network, k kind) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		defer g.passing(client, "Dial")()
		c, err := n.Dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return newTransport(c, g, client, k), nil
	}
}

// A listener's transports are behind the gate.
type listener struct {
	net.Listener
	g *gate
	k kind
}

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.g.passing(server, "Accept") // it waits from one to the next: what matters is when it returns
	return newTransport(c, l.g, server, l.k), nil
}
