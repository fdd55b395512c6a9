package websocket

import (
	"net"
	"time"

	"github.com/coder/websocket"
)

const (
	// closeWait is how long Close waits for the peer.
	closeWait = 250 * time.Millisecond

	// stuckAfter is how long Close waits for a Read or Write that is under way.
	// relink resumes when that has returned.
	stuckAfter = 20 * time.Millisecond

	// lingerTime is how long the connection stays for the peer's answer to a
	// close frame, so that what is under way is not destroyed by a reset.
	lingerTime = 5 * time.Second
)

// past is a deadline that has passed.
var past = time.Unix(1, 0)

// Close ends the connection, and a Read that is blocked. The peer reads what was
// written and then [io.EOF]. Close waits a quarter of a second at most for its
// answer, and leaves the rest, five seconds at most, to a goroutine. If a Write is
// blocked, or SetLinger(0) was called, the peer gets an error instead, and the
// connection ends at once.
func (c *Conn) Close() error {
	c.mu.Lock()
	if c.ending {
		c.mu.Unlock()
		return c.opError("close", net.ErrClosed)
	}
	c.ending = true
	reset := c.reset || c.broken != nil
	c.mu.Unlock()
	close(c.closed)
	c.in.stop()
	c.out.stop()
	if reset || !c.lastWrite() || !c.lastRead() {
		c.drop()
		return nil
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		force := time.AfterFunc(lingerTime, c.dropBelow)
		defer force.Stop()
		_ = c.ws.Close(websocket.StatusNormalClosure, "")
	}()
	timer := time.NewTimer(closeWait)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
	}
	return nil
}

// lastWrite takes the turn of Write for good and reports whether nothing is
// stuck there.
func (c *Conn) lastWrite() bool {
	timer := time.NewTimer(stuckAfter)
	defer timer.Stop()
	select {
	case c.out.turn <- struct{}{}:
	case <-timer.C:
		return false
	}
	if c.writing == nil {
		return true
	}
	select {
	case <-c.writing:
		return true
	case <-timer.C:
		return false
	}
}

// lastRead takes the turn of Read for good, and ends what is blocked there. After
// that the library has lost its place in the stream, so that the peer's answer
// cannot be told from what else comes: all is discarded, until the peer ends the
// connection. It returns false where the blocked Read cannot be ended.
func (c *Conn) lastRead() bool {
	took := false
	select {
	case c.in.turn <- struct{}{}:
		if took = true; c.reading == nil {
			return true
		}
	default:
	}
	if c.gather == nil {
		return false
	}
	c.gather.drain.Store(true)
	_ = c.below.SetReadDeadline(past)
	timer := time.NewTimer(stuckAfter)
	defer timer.Stop()
	if !took {
		select {
		case c.in.turn <- struct{}{}:
		case <-timer.C:
			return false
		}
	}
	if c.reading != nil {
		select {
		case <-c.reading:
		case <-timer.C:
			return false
		}
	}
	_ = c.below.SetReadDeadline(time.Time{})
	return true
}

// SetLinger with 0 makes Close an abort, which the peer sees as an error, and
// otherwise takes that back. It is there for relink; see [net.TCPConn.SetLinger].
func (c *Conn) SetLinger(sec int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending {
		return &net.OpError{Op: "set", Net: Network, Source: c.local, Addr: c.remote, Err: net.ErrClosed}
	}
	c.reset = sec == 0
	return nil
}

// abort ends the connection without a word because of err.
func (c *Conn) abort(err error) {
	c.mu.Lock()
	if c.broken == nil {
		c.broken = err
	}
	c.mu.Unlock()
	c.drop()
}

// drop ends the connection with a reset where it runs on TCP.
func (c *Conn) drop() {
	if t := tcpBelow(c.below); t != nil {
		_ = t.SetLinger(0)
		_ = t.Close() // before TLS would say goodbye
	}
	c.dropBelow()
	_ = c.ws.CloseNow()
}

// dropBelow closes what the WebSocket runs on, if it is known.
func (c *Conn) dropBelow() {
	if c.below != nil {
		_ = c.below.Close()
	}
}

// tcpBelow returns the TCP connection below, or nil.
func tcpBelow(conn net.Conn) *net.TCPConn {
	for range 8 { // wrappers do not nest deeper
		switch t := conn.(type) {
		case *net.TCPConn:
			return t
		case interface{ NetConn() net.Conn }:
			conn = t.NetConn()
		default:
			return nil
		}
	}
	return nil
}
