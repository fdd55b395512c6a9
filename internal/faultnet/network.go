package faultnet

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// A DownKind is what a network does to dials.
type DownKind int

// The states of a network.
const (
	NotDown DownKind = iota // dials reach the listener
	Refuse                  // dials fail at once with ECONNREFUSED
	Hang                    // dials block until their context ends or the network is no longer down
)

// ErrTooManyFiles is what Accept returns in a process without free descriptors,
// for Listener.FailNext. It is temporary.
var ErrTooManyFiles error = &net.OpError{
	Op: "accept", Net: serverAddr.Network(), Addr: serverAddr,
	Err: os.NewSyscallError("accept4", syscall.EMFILE),
}

// A Network connects dials to its one listener. All methods can be called at any
// time from any goroutine.
type Network struct {
	mu       sync.Mutex // guards everything below
	opts     Options
	host     string
	port     int
	down     DownKind
	onDial   func(i int, p *Path) error
	attempts int // calls of Dial
	made     int // dials that have made a path
	paths    []*Path
	listener *Listener
	changed  chan struct{} // closed when down changes; nil while no dial hangs
}

// New returns a network without a listener.
func New() *Network { return &Network{host: "10.0.0.1", port: 40000} }

// SetOptions sets the options of the paths dialled from now on.
func (n *Network) SetOptions(o Options) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.opts = o
}

// SetClientHost sets the host of the addresses that dials get from now on, as a
// phone that changes networks gets a new one. The first is "10.0.0.1". Each dial
// has a port of its own, counted up from 40001.
func (n *Network) SetClientHost(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.host = host
}

// SetDown makes the network refuse dials, let them hang, or work again. Paths
// that exist are not touched.
func (n *Network) SetDown(how DownKind) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = how
	if n.changed != nil {
		close(n.changed)
		n.changed = nil
	}
}

// OnDial sets a function that is called with the new path and the number of the
// dial, from 0, before Dial returns and before the listener accepts. It can set
// cuts, stalls and recording, or return an error, which Dial returns in place of
// the path. Dials that SetDown, or a missing listener, makes fail do not count.
// With nil no function is called.
func (n *Network) OnDial(f func(i int, p *Path) error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.onDial = f
}

// Dials returns how often Dial was called, failures included.
func (n *Network) Dials() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.attempts
}

// Paths returns the paths of all successful dials, oldest first.
func (n *Network) Paths() []*Path {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.paths)
}

// Open returns how many ends of paths were handed out, by Dial or by Accept, and
// have not been closed. At the end of a test it must be zero.
func (n *Network) Open() int {
	open := 0
	for _, p := range n.Paths() {
		open += p.openEnds()
	}
	return open
}

// Last returns the path of the last successful dial, or nil.
func (n *Network) Last() *Path {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.paths) == 0 {
		return nil
	}
	return n.paths[len(n.paths)-1]
}

// Dial makes a path to the listener and returns its client end. It does not wait
// for Accept, as a kernel with room in its backlog does not. The network and the
// address can be anything. Without a listener it fails with ECONNREFUSED. The
// end of ctx does nothing to a path that was made.
func (n *Network) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	return n.DialThrough(ctx, nil)
}

// DialThrough is Dial with a function for this dial alone, which gets the new
// path after that of OnDial, and like it can return an error. It tells a test
// with several clients whose path it is. It may be nil.
func (n *Network) DialThrough(ctx context.Context, own func(p *Path) error) (net.Conn, error) {
	n.mu.Lock()
	n.attempts++
	n.mu.Unlock()
	p, err := n.connect(ctx, own)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: serverAddr.Network(), Addr: serverAddr, Err: err}
	}
	p.handOut(p.client)
	return p.clientConn, nil
}

func (n *Network) connect(ctx context.Context, own func(p *Path) error) (*Path, error) {
	n.mu.Lock()
	for n.down == Hang && ctx.Err() == nil {
		if n.changed == nil {
			n.changed = make(chan struct{})
		}
		changed := n.changed
		n.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		n.mu.Lock()
	}
	down, l, o := n.down, n.listener, n.opts
	n.mu.Unlock()

	if err := sleep(ctx, 2*o.Delay); err != nil {
		return nil, err
	}
	if down == Refuse || l == nil {
		return nil, os.NewSyscallError("connect", syscall.ECONNREFUSED)
	}
	n.mu.Lock()
	n.port++
	p := newPath(o, Addr(fmt.Sprintf("%s:%d", n.host, n.port)), serverAddr)
	f, i := n.onDial, n.made
	n.made++
	n.mu.Unlock()
	if f != nil {
		if err := f(i, p); err != nil {
			return nil, err
		}
	}
	if own != nil {
		if err := own(p); err != nil {
			return nil, err
		}
	}
	n.mu.Lock()
	n.paths = append(n.paths, p)
	n.mu.Unlock()
	if !l.push(p) {
		p.Cut(ResetNow)
	}
	return p, nil
}

// sleep waits for d or for the end of ctx, whose error it returns.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 || ctx.Err() != nil {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Listen opens the network's listener. There is one at a time: Listen panics
// while another is open. After Close it can be called again, as a server that
// restarts does.
func (n *Network) Listen() *Listener {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listener != nil {
		panic("faultnet: the network has an open listener")
	}
	n.listener = &Listener{n: n}
	return n.listener
}

// A Listener accepts what is dialled on its network.
type Listener struct {
	n *Network

	mu      sync.Mutex // guards everything below
	backlog []*Path
	errs    []error
	closed  bool
	changed chan struct{} // closed at the next change; nil while nobody waits
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		switch {
		case l.closed:
			return nil, l.opError("accept", net.ErrClosed)
		case len(l.errs) > 0:
			err := l.errs[0]
			l.errs = l.errs[1:]
			return nil, err
		case len(l.backlog) > 0:
			p := l.backlog[0]
			l.backlog = l.backlog[1:]
			p.handOut(p.server)
			return p.serverConn, nil
		}
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		<-changed
		l.mu.Lock()
	}
}

// FailNext makes Accept return these errors, one a call, before it goes on. A
// blocked Accept returns the first at once.
func (l *Listener) FailNext(errs ...error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errs = append(l.errs, errs...)
	l.wakeLocked()
}

// Close implements net.Listener. Paths that were not accepted are reset, those
// that were go on. Dials fail from now on until the next Listen.
func (l *Listener) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return l.opError("close", net.ErrClosed)
	}
	l.closed = true
	backlog := l.backlog
	l.backlog = nil
	l.wakeLocked()
	l.mu.Unlock()

	l.n.mu.Lock()
	l.n.listener = nil
	l.n.mu.Unlock()
	for _, p := range backlog {
		p.Cut(ResetNow)
	}
	return nil
}

// Addr implements net.Listener.
func (l *Listener) Addr() net.Addr { return serverAddr }

// push hands p to Accept and reports whether the listener is still open.
func (l *Listener) push(p *Path) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.backlog = append(l.backlog, p)
	l.wakeLocked()
	return true
}

func (l *Listener) wakeLocked() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

func (l *Listener) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: serverAddr.Network(), Addr: serverAddr, Err: err}
}
