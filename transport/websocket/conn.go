package websocket

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// A Conn is one WebSocket as a stream. All methods may be called from any
// goroutine.
type Conn struct {
	// Constant after creation.
	ws            *websocket.Conn
	below         net.Conn  // what the WebSocket runs on, or nil if it is not known
	gather        *gatherer // on the way there, or nil
	local, remote net.Addr
	messageSize   int
	closed        chan struct{} // closed by Close

	// Owned by whoever has the turn of Read.

	message io.Reader     // the rest of the message under way, or nil
	ended   error         // what every further Read returns
	ahead   []byte        // arrived, and not yet taken
	reading chan struct{} // closed when a read that was started has filled ahead; nil if there is none

	// Owned by whoever has the turn of Write.

	finished bool          // CloseWrite was called
	writing  chan struct{} // closed when a write that was started is done; nil if there is none
	writeErr error         // how it ended

	in, out direction

	mu     sync.Mutex // guards the rest
	ending bool       // Close was called
	reset  bool       // SetLinger(0) was called
	broken error      // what has ended the connection from this side, beside Close
}

// aheadSize is how much a read takes that is made for Reads with deadlines.
const aheadSize = 4 << 10

func newConn(messageSize int) *Conn {
	c := &Conn{messageSize: messageSize, closed: make(chan struct{})}
	expired := func() { c.abort(os.ErrDeadlineExceeded) }
	c.in.begin(expired)
	c.out.begin(expired)
	return c
}

// begin gives the Conn the WebSocket's connection, and its addresses.
func (c *Conn) begin(below net.Conn, g *gatherer, local, remote net.Addr) {
	c.ws.SetReadLimit(-1) // messages are read in pieces
	c.below, c.gather, c.local, c.remote = below, g, local, remote
}

// pingReceived says whether a ping is answered. While a Write is under way the
// library would wait for it, and end the connection after five seconds.
func (c *Conn) pingReceived(context.Context, []byte) bool { return !c.out.busy() }

// Read returns what has arrived of the stream. It returns [io.EOF] where the peer
// has ended it, a *[CloseError] if that gives another reason, [ErrText] after a text
// message, and an error that is [io.ErrUnexpectedEOF] where the connection ended
// without a word.
func (c *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := c.in.take(c.closed); err != nil {
		return 0, c.opError("read", err)
	}
	defer c.in.leave()
	var n int
	var err error
	if c.reading != nil || len(c.ahead) > 0 || !c.in.directly(func() { n, err = c.next(p) }) {
		n, err = c.readAhead(p)
	}
	if n > 0 {
		return n, nil
	}
	if err == io.EOF { //nolint:errorlint // it is never wrapped
		return 0, err
	}
	return 0, c.opError("read", err)
}

// readAhead is next for a Read that may be left.
func (c *Conn) readAhead(p []byte) (int, error) {
	if c.reading == nil && len(c.ahead) == 0 {
		read := make(chan struct{})
		c.reading = read
		go func() {
			defer close(read)
			b := make([]byte, aheadSize)
			n, _ := c.next(b) // the error comes again
			c.ahead = b[:n]
		}()
	}
	if c.reading != nil {
		select {
		case <-c.reading:
			c.reading = nil
		case <-c.in.deadline():
			return 0, os.ErrDeadlineExceeded
		case <-c.closed:
			return 0, net.ErrClosed
		}
	}
	n := copy(p, c.ahead)
	c.ahead = c.ahead[n:]
	return n, c.ended
}

// next reads the stream from the library. It returns data or an error, which it
// then returns again and again.
func (c *Conn) next(p []byte) (int, error) {
	for c.ended == nil {
		if c.message == nil {
			kind, message, err := c.ws.Reader(context.Background())
			switch {
			case err != nil:
				c.ended = readError(err)
				continue
			case kind == websocket.MessageText:
				c.ended = c.word(message)
				continue
			}
			c.message = message
		}
		n, err := c.message.Read(p)
		switch {
		case err == nil && n > 0:
			return n, nil
		case err == io.EOF: // the end of the message, or that of the connection, which comes again
			c.message = nil
		case err != nil:
			c.ended = readError(err) // the n bytes may still be masked
		}
	}
	return 0, c.ended
}

// endWord is the text message that ends its direction of the stream. Empty
// binary messages do not, because the library cannot tell one from a longer one
// that was cut off at its beginning.
const endWord = "end"

// word takes a text message and returns what it ends the stream with.
func (c *Conn) word(message io.Reader) error {
	got, err := io.ReadAll(io.LimitReader(message, int64(len(endWord)+1)))
	switch {
	case err != nil:
		return readError(err)
	case string(got) == endWord:
		return io.EOF
	case strings.HasPrefix(endWord, string(got)):
		return readError(io.EOF) // it was cut off
	}
	go func() { _ = c.ws.Close(websocket.StatusUnsupportedData, "only binary messages carry the stream") }()
	return ErrText
}

// Write sends p, in messages of at most MessageSize.
func (c *Conn) Write(p []byte) (int, error) {
	if err := c.out.take(c.closed); err != nil {
		return 0, c.opError("write", err)
	}
	defer c.out.leave()
	if c.finished {
		return 0, c.opError("write", errFinished)
	}
	var n int
	var err error
	if c.writing != nil || c.writeErr != nil || !c.out.directly(func() { n, err = c.sendGathered(p) }) {
		n, err = c.sendAll(p, c.sendAhead)
	}
	if err != nil {
		return n, c.opError("write", err)
	}
	return n, nil
}

// sendAll sends p in messages. It returns how many bytes were handed over, which
// may have been sent, all or some.
func (c *Conn) sendAll(p []byte, send func(websocket.MessageType, []byte) error) (n int, err error) {
	for n < len(p) && err == nil {
		piece := p[n:min(len(p), n+c.messageSize)]
		if err = send(websocket.MessageBinary, piece); !errors.Is(err, os.ErrDeadlineExceeded) {
			n += len(piece)
		}
	}
	return n, err
}

// sendGathered is sendAll with few calls of the connection.
func (c *Conn) sendGathered(p []byte) (int, error) {
	if c.gather == nil || len(p) < gatherFrom {
		return c.sendAll(p, c.send)
	}
	c.gather.hold()
	n, err := c.sendAll(p, c.send)
	if ferr := c.gather.flush(); err == nil {
		err = ferr
	}
	return n, err
}

// errFinished is what Write returns after CloseWrite.
var errFinished = errors.New("write after CloseWrite")

// CloseWrite ends this side's stream: the peer reads what was written and then
// io.EOF. The other direction goes on.
func (c *Conn) CloseWrite() error {
	if err := c.out.take(c.closed); err != nil {
		return c.opError("close", err)
	}
	defer c.out.leave()
	if c.finished {
		return nil
	}
	c.finished = true
	var err error
	if c.writing != nil || c.writeErr != nil || !c.out.directly(func() { err = c.send(websocket.MessageText, []byte(endWord)) }) {
		err = c.sendAhead(websocket.MessageText, []byte(endWord))
	}
	if err != nil {
		return c.opError("close", err)
	}
	return nil
}

// send sends one message.
func (c *Conn) send(kind websocket.MessageType, p []byte) error {
	return c.ws.Write(context.Background(), kind, p)
}

// sendAhead is send for a call that may be left. It gives the message to a
// goroutine, once the one before is out, and returns when this one is, or the
// deadline has passed: what a goroutine was given counts as sent.
func (c *Conn) sendAhead(kind websocket.MessageType, p []byte) error {
	if err := c.sent(); err != nil {
		return err
	}
	done := make(chan struct{})
	c.writing = done
	p = append([]byte(nil), p...)
	go func() {
		defer close(done)
		c.writeErr = c.send(kind, p)
	}()
	if err := c.sent(); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return nil
}

// sent waits until the message that a goroutine was given is out.
func (c *Conn) sent() error {
	if c.writing != nil {
		select {
		case <-c.writing:
			c.writing = nil
		case <-c.out.deadline():
			return os.ErrDeadlineExceeded
		case <-c.closed:
			return net.ErrClosed
		}
	}
	return c.writeErr
}

// LocalAddr returns the address of this end of the TCP connection.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns the address of the other end of the TCP connection, and on a
// server behind a trusted proxy that of the client, with port 0 if the proxy does
// not tell it. If it is not known it is the URL, an [Addr].
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets the deadlines of Read and Write. See the package
// documentation.
func (c *Conn) SetDeadline(t time.Time) error { return c.setDeadline(t, &c.in, &c.out) }

// SetReadDeadline sets the deadline of Read.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadline(t, &c.in) }

// SetWriteDeadline sets the deadline of Write. What a Write that times out says
// was written is sent nevertheless.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadline(t, &c.out) }

func (c *Conn) setDeadline(t time.Time, directions ...*direction) error {
	select {
	case <-c.closed:
		return c.opError("set", net.ErrClosed)
	default:
	}
	for _, d := range directions {
		d.setDeadline(t)
	}
	return nil
}

// opError wraps an error. What has ended the connection from this side is told
// instead of what the library makes of it.
func (c *Conn) opError(op string, err error) error {
	c.mu.Lock()
	switch {
	case c.ending:
		err = net.ErrClosed
	case c.broken != nil:
		err = c.broken
	}
	c.mu.Unlock()
	return &net.OpError{Op: op, Net: Network, Source: c.local, Addr: c.remote, Err: err}
}
