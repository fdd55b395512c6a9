package kcp

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/xtaci/kcp-go/v5"
)

// ErrSilent is the error of a connection whose peer has owed an answer for
// Config.Timeout.
var ErrSilent = errors.New("kcp: the peer does not answer")

// lingerTime bounds how long a closed connection goes on sending.
const lingerTime = 5 * time.Second

// testLingerTime is the lingerTime of tests, if it is not zero.
var testLingerTime atomic.Int64

// pieceSize is how much KCP is given at a time: it takes all of what it takes,
// whatever its window.
const pieceSize = 16 << 10

// A Conn is a connection. It is interruptible: a deadline that has passed does no
// harm.
type Conn struct {
	// Constant after creation.
	s     *kcp.UDPSession
	t     *track
	cfg   *Config
	ask   func(datagram []byte)
	leave func()        // gives the socket back, once
	limit time.Duration // of an idle peer's silence where it cannot be asked, or zero

	writing sync.Mutex // held by the Write that is under way

	mu      sync.Mutex // guards everything below
	written int64      // bytes
	closed  bool       // Close was called
	abrupt  bool       // and is not to linger
	failure error      // why it has ended by itself
	over    bool       // s is closed
	watch   *time.Timer
	linger  *time.Timer
}

// looks is how often within Timeout a connection is looked at.
const looks = 4

func newConn(s *kcp.UDPSession, t *track, cfg *Config, ask func([]byte), leave func(), limit time.Duration) *Conn {
	cfg.apply(s)
	c := &Conn{s: s, t: t, cfg: cfg, ask: ask, leave: leave, limit: limit}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watch = time.AfterFunc(cfg.Timeout/looks, c.look)
	return c
}

// look finds a peer that is gone, and asks one that is quiet.
func (c *Conn) look() {
	owed, silent := c.t.silence()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.over:
		return
	case owed >= c.cfg.Timeout, c.limit > 0 && silent >= c.limit:
		c.failure = ErrSilent
		c.endLocked()
		return
	case silent >= c.cfg.Timeout/2 && !c.cfg.corrects():
		c.ask(c.t.question(c.cfg.RecvWindow))
	}
	c.watch.Reset(c.cfg.Timeout / looks)
}

// endLocked closes the session of kcp-go and gives the socket back.
func (c *Conn) endLocked() {
	if c.over {
		return
	}
	c.over = true
	c.watch.Stop()
	if c.linger != nil {
		c.linger.Stop()
	}
	go func() { // kcp-go may be in the middle of calling us
		c.leave() // first, lest it take what still comes for a new connection
		_ = c.s.Close()
	}()
}

// Read reads what has arrived. It never returns io.EOF: KCP has no end.
func (c *Conn) Read(p []byte) (int, error) {
	if err := c.state(); err != nil {
		return 0, c.opError("read", err)
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := c.s.Read(p)
	if err != nil {
		err = c.opError("read", err)
	}
	return n, err
}

// Write hands p to KCP, and waits while its window is full.
func (c *Conn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.state(); err != nil {
		return 0, c.opError("write", err)
	}
	done := 0
	for done < len(p) {
		n, err := c.s.Write(p[done:min(done+pieceSize, len(p))])
		done += n
		c.mu.Lock()
		c.written += int64(n)
		c.mu.Unlock()
		if err != nil {
			return done, c.opError("write", err)
		}
	}
	return done, nil
}

// state returns why the connection can no longer be used.
func (c *Conn) state() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return net.ErrClosed
	case c.failure != nil:
		return c.failure
	}
	return nil
}

// opError says what has happened, which kcp-go may not know.
func (c *Conn) opError(op string, err error) error {
	var timeout interface{ Timeout() bool }
	if state := c.state(); state != nil {
		err = state
	} else if errors.As(err, &timeout) && timeout.Timeout() {
		err = os.ErrDeadlineExceeded
	} else if c.isOver() {
		err = net.ErrClosed
	}
	return &net.OpError{Op: op, Net: "kcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

func (c *Conn) isOver() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.over
}

// endSoonLocked ends a connection that has delivered everything, once the last
// acknowledgements of what has come from the peer are out: it may linger too.
func (c *Conn) endSoonLocked() {
	if c.linger != nil {
		c.linger.Stop()
	}
	c.linger = time.AfterFunc(2*c.cfg.Interval, c.expire)
}

// Close ends the connection. It returns at once; what was written goes on being
// sent until the peer has it, or for five seconds.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return &net.OpError{Op: "close", Net: "kcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: net.ErrClosed}
	}
	c.closed = true
	if c.over || c.abrupt {
		c.endLocked()
		return nil
	}
	// What is blocked in it returns; KCP goes on.
	_ = c.s.SetDeadline(time.Unix(1, 0))
	limit := lingerTime
	if t := testLingerTime.Load(); t != 0 {
		limit = time.Duration(t)
	}
	c.linger = time.AfterFunc(limit, c.expire)
	c.t.notify(c.arrived)
	if c.t.delivered(c.written) {
		c.endSoonLocked()
	}
	return nil
}

// expire ends the lingering.
func (c *Conn) expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endLocked()
}

// arrived is called while the connection lingers and the peer says that something
// has arrived.
func (c *Conn) arrived() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.over && c.t.delivered(c.written) {
		c.t.notify(nil)
		c.endSoonLocked()
	}
}

// SetLinger with zero makes Close stop at once and give up what is under way. Any
// other number makes it linger, for the time that it has.
func (c *Conn) SetLinger(seconds int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.abrupt = seconds == 0
	return nil
}

// Interruptible reports that a deadline does no harm.
func (c *Conn) Interruptible() bool { return true }

// LocalAddr returns the address of the socket.
func (c *Conn) LocalAddr() net.Addr { return c.s.LocalAddr() }

// RemoteAddr returns the address of the peer, a *net.UDPAddr.
func (c *Conn) RemoteAddr() net.Addr { return c.s.RemoteAddr() }

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error { return c.set(t, c.s.SetDeadline) }

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.set(t, c.s.SetReadDeadline) }

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.set(t, c.s.SetWriteDeadline) }

func (c *Conn) set(t time.Time, f func(time.Time) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return &net.OpError{Op: "set", Net: "kcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: net.ErrClosed}
	}
	return f(t)
}
