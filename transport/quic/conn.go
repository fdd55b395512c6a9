package quic

import (
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
)

// Network is what errors of this package name as the network.
const Network = "quic"

// A Conn is one stream. All methods may be called from any goroutine.
type Conn struct {
	stream *quic.Stream // constant after creation, like the next
	shared *connection

	writing chan struct{} // holds one token while a Write or CloseWrite is under way

	mu       sync.Mutex // guards the rest
	closed   bool
	reset    bool // SetLinger(0) was called
	finished bool // CloseWrite was called
}

// newConn returns the Conn of a stream, which counts for its connection.
func newConn(stream *quic.Stream, shared *connection) *Conn {
	return &Conn{stream: stream, shared: shared, writing: make(chan struct{}, 1)}
}

// Read returns what has arrived. It returns [io.EOF] where the peer has ended the
// stream, and otherwise an error of quic-go in a *[net.OpError].
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.stream.Read(p)
	if n > 0 || err == nil {
		return n, nil // an error comes again
	}
	if err == io.EOF && !c.isClosed() { //nolint:errorlint // quic-go does not wrap it
		return 0, err
	}
	return 0, c.opError("read", err)
}

// Write sends p.
func (c *Conn) Write(p []byte) (int, error) {
	c.writing <- struct{}{} // whoever has it obeys the deadline, as quic-go does then
	defer func() { <-c.writing }()
	if c.isFinished() {
		return 0, c.opError("write", errFinished)
	}
	n, err := c.stream.Write(p)
	if err != nil {
		return n, c.opError("write", err)
	}
	return n, nil
}

// errFinished is what Write returns after CloseWrite.
var errFinished = errors.New("write after CloseWrite")

// CloseWrite ends this side's stream: the peer reads what was written and then
// io.EOF. The other direction goes on.
func (c *Conn) CloseWrite() error {
	c.writing <- struct{}{}
	defer func() { <-c.writing }()
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return c.opError("close", net.ErrClosed)
	}
	c.finished = true
	c.mu.Unlock()
	if err := c.stream.Close(); err != nil {
		return c.opError("close", err)
	}
	return nil
}

// Close ends both directions: the peer reads what was written and then [io.EOF],
// and what it still writes fails. It returns at once. The connection below stays
// long enough to send the rest. If SetLinger(0) was called the peer gets an error
// instead.
func (c *Conn) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return c.opError("close", net.ErrClosed)
	}
	c.closed = true
	reset := c.reset
	c.mu.Unlock()
	if reset {
		c.stream.CancelWrite(codeAborted)
	} else {
		_ = c.stream.SetWriteDeadline(past) // a Write that is blocked returns
		c.writing <- struct{}{}
		_ = c.stream.Close() // fails where the stream has ended already
		<-c.writing
	}
	c.stream.CancelRead(codeAborted)
	c.shared.release()
	return nil
}

// past is a deadline that has passed.
var past = time.Unix(1, 0)

// SetLinger with 0 makes Close an abort, which the peer sees as an error, and
// otherwise takes that back. It is there for relink; see [net.TCPConn.SetLinger].
func (c *Conn) SetLinger(sec int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.opErrorLocked("set", net.ErrClosed)
	}
	c.reset = sec == 0
	return nil
}

// Interruptible says to relink that deadlines do no harm.
func (c *Conn) Interruptible() bool { return true }

// LocalAddr returns the address of the socket, which need not say where it is on
// the network.
func (c *Conn) LocalAddr() net.Addr { return c.shared.conn.LocalAddr() }

// RemoteAddr returns the peer's address, which changes when a client's connection
// migrates.
func (c *Conn) RemoteAddr() net.Addr { return c.shared.conn.RemoteAddr() }

// SetDeadline sets the deadlines of Read and Write.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline sets the deadline of Read.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.opErrorLocked("set", net.ErrClosed)
	}
	return c.stream.SetReadDeadline(t)
}

// SetWriteDeadline sets the deadline of Write.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.opErrorLocked("set", net.ErrClosed)
	}
	return c.stream.SetWriteDeadline(t)
}

func (c *Conn) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

func (c *Conn) isFinished() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.finished
}

func (c *Conn) opError(op string, err error) error {
	if errors.Is(err, quic.Err0RTTRejected) {
		c.shared.reject()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.opErrorLocked(op, err)
}

// opErrorLocked wraps an error. After Close quic-go reports what Close has done.
func (c *Conn) opErrorLocked(op string, err error) error {
	if c.closed {
		err = net.ErrClosed
	}
	return &net.OpError{Op: op, Net: Network, Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}
