//go:build js && wasm

package browser

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall/js"
	"time"
)

// Network is what the Network method of an [Addr] returns.
const Network = "websocket"

// An Addr is the URL of a WebSocket; a browser tells no other address.
type Addr string

// Network returns "websocket".
func (Addr) Network() string { return Network }

// String returns the URL.
func (a Addr) String() string { return string(a) }

// ErrText is in the error of a Read that met a text message, which no server of ours
// sends but for the end of the stream.
var ErrText = errors.New("the peer has sent a text message: it is no server of a stream")

const (
	// messageSize is the most bytes in a message that is sent.
	messageSize = 16 << 10

	// highWater is how much the browser may hold of what was written. A Write waits
	// while it holds more.
	highWater = 256 << 10

	// lookAgain is how long a Write waits before it looks at that again: a WebSocket
	// has no event for it.
	lookAgain = 5 * time.Millisecond
)

// Status codes of RFC 6455, section 7.4. A page may send 1000 and those from 3000 on.
const (
	statusNormal = 1000
	statusReset  = 4000 // private use: the connection was given up
)

// A Conn is one WebSocket as a stream. All methods may be called from any goroutine.
type Conn struct {
	// Constant after creation.
	ws             js.Value
	url            Addr
	opened, failed chan struct{}
	callbacks      []js.Func

	mu       sync.Mutex // guards the rest
	changed  chan struct{}
	input    [][]byte // what has arrived and was not read
	end      error    // what Read returns after that
	finished bool     // CloseWrite was called
	closed   bool     // Close was called
	over     bool     // the WebSocket is closed
	reset    bool     // SetLinger(0) was called
	readBy   deadline
	writeBy  deadline
}

// A deadline is the time at which a call ends, and what wakes it then.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func newConn(ws js.Value, url string) *Conn {
	c := &Conn{ws: ws, url: Addr(url), opened: make(chan struct{}), failed: make(chan struct{}), changed: make(chan struct{})}
	ws.Set("binaryType", "arraybuffer")
	c.on("open", func(js.Value) { close(c.opened) })
	c.on("message", func(event js.Value) { c.arrived(event.Get("data")) })
	c.on("close", c.wasClosed)
	return c
}

// on listens for an event of the WebSocket. The handler must not block: the browser
// waits for it.
func (c *Conn) on(event string, handle func(event js.Value)) {
	f := js.FuncOf(func(_ js.Value, args []js.Value) any {
		handle(args[0])
		return nil
	})
	c.callbacks = append(c.callbacks, f)
	c.ws.Call("addEventListener", event, f)
}

// release gives up what ties the WebSocket to the program.
func (c *Conn) release() {
	for _, f := range c.callbacks {
		f.Release()
	}
}

// wakeLocked lets all that wait look again.
func (c *Conn) wakeLocked() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// arrived takes a message.
func (c *Conn) arrived(data js.Value) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.end != nil:
		return // nothing comes after an end
	case data.Type() == js.TypeString && data.String() == "end":
		c.end = io.EOF
	case data.Type() == js.TypeString:
		c.end = ErrText
	default:
		array := js.Global().Get("Uint8Array").New(data)
		if array.Length() == 0 {
			return
		}
		b := make([]byte, array.Length())
		js.CopyBytesToGo(b, array)
		c.input = append(c.input, b)
	}
	c.wakeLocked()
}

// wasClosed is told how the WebSocket has ended.
func (c *Conn) wasClosed(event js.Value) {
	select {
	case <-c.opened:
	default:
		close(c.failed)
		return // release is the dialer's
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	if c.end == nil {
		code, reason := event.Get("code").Int(), event.Get("reason").String()
		switch {
		case code == statusNormal:
			c.end = io.EOF
		case reason != "":
			c.end = fmt.Errorf("the connection ended with status %d (%s): %w", code, reason, io.ErrUnexpectedEOF)
		default:
			c.end = fmt.Errorf("the connection ended with status %d: %w", code, io.ErrUnexpectedEOF)
		}
	}
	c.wakeLocked()
	go c.release() // not within a callback
}

// Read returns what has arrived of the stream. It returns [io.EOF] where the peer has
// ended it, and an error that is [io.ErrUnexpectedEOF] where the connection ended
// otherwise.
func (c *Conn) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case len(p) == 0:
			return 0, nil
		case c.closed:
			return 0, c.opError("read", net.ErrClosed)
		case c.readBy.passed():
			return 0, c.opError("read", os.ErrDeadlineExceeded)
		case len(c.input) > 0:
			n := copy(p, c.input[0])
			if c.input[0] = c.input[0][n:]; len(c.input[0]) == 0 {
				c.input[0] = nil
				c.input = c.input[1:]
			}
			return n, nil
		case c.end == io.EOF: //nolint:errorlint // it is never wrapped here
			return 0, io.EOF
		case c.end != nil:
			return 0, c.opError("read", c.end)
		}
		c.waitLocked(nil)
	}
}

// waitLocked waits for a change, or for a tick.
func (c *Conn) waitLocked(tick <-chan time.Time) {
	changed := c.changed
	c.mu.Unlock()
	select {
	case <-changed:
	case <-tick:
	}
	c.mu.Lock()
}

// Write hands p to the browser, which keeps a quarter of a megabyte; while it has more,
// Write waits.
func (c *Conn) Write(p []byte) (n int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if err := c.writableLocked(); err != nil {
			return n, c.opError("write", err)
		}
		n += c.sendLocked(p[n:])
		if n == len(p) {
			return n, nil
		}
		timer := time.NewTimer(lookAgain)
		c.waitLocked(timer.C)
		timer.Stop()
	}
}

// WriteNonblock writes as much of p as the browser takes without keeping too much.
func (c *Conn) WriteNonblock(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.writableLocked(); err != nil {
		return 0, c.opError("write", err)
	}
	return c.sendLocked(p), nil
}

func (c *Conn) writableLocked() error {
	switch {
	case c.closed:
		return net.ErrClosed
	case c.finished:
		return errors.New("CloseWrite was called before")
	case c.over && c.end != nil && c.end != io.EOF: //nolint:errorlint // it is never wrapped here
		return c.end
	case c.over:
		return io.ErrClosedPipe
	case c.writeBy.passed():
		return os.ErrDeadlineExceeded
	}
	return nil
}

// sendLocked sends as many messages as the browser has room for, and returns how many
// bytes of p that was.
func (c *Conn) sendLocked(p []byte) (n int) {
	for n < len(p) && c.ws.Get("bufferedAmount").Int() < highWater {
		piece := p[n:min(len(p), n+messageSize)]
		array := js.Global().Get("Uint8Array").New(len(piece))
		js.CopyBytesToJS(array, piece)
		c.ws.Call("send", array)
		n += len(piece)
	}
	return n
}

// CloseWrite ends the stream that is sent. What arrives can still be read.
func (c *Conn) CloseWrite() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.over {
		return c.opError("close", net.ErrClosed)
	}
	if !c.finished {
		c.finished = true
		c.ws.Call("send", "end")
	}
	return nil
}

// SetLinger with 0 makes Close an abort, which the peer sees as an error, and otherwise
// takes that back. It is there for relink; see [net.TCPConn.SetLinger].
func (c *Conn) SetLinger(sec int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reset = sec == 0
	return nil
}

// Close ends the connection. The peer reads what was written and then [io.EOF], or an
// error after SetLinger(0).
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.opError("close", net.ErrClosed)
	}
	c.closed = true
	c.input = nil
	c.readBy.stop()
	c.writeBy.stop()
	if code := statusNormal; c.reset {
		c.ws.Call("close", statusReset, "reset")
	} else {
		c.ws.Call("close", code)
	}
	c.wakeLocked()
	return nil
}

// drop ends a connection that nobody has got. Its events are still heard, and forgotten.
func (c *Conn) drop(reason string) {
	c.ws.Call("close", statusReset, reason)
	go func() {
		select {
		case <-c.failed:
			c.release()
		case <-c.opened: // in the last moment: wasClosed does it
		}
	}()
}

// Interruptible reports that a Read may be repeated after its deadline has passed.
func (c *Conn) Interruptible() bool { return true }

// LocalAddr returns the URL: a browser tells no other address.
func (c *Conn) LocalAddr() net.Addr { return c.url }

// RemoteAddr returns the URL.
func (c *Conn) RemoteAddr() net.Addr { return c.url }

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline sets when Reads end, also one that is under way. Zero means never.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadline(&c.readBy, t) }

// SetWriteDeadline sets when Writes end, also one that is under way. Zero means never.
// What was handed to the browser before counts as written.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadline(&c.writeBy, t) }

func (c *Conn) setDeadline(d *deadline, t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.opError("set", net.ErrClosed)
	}
	d.stop()
	d.at = t
	if left := time.Until(t); !t.IsZero() && left > 0 {
		d.timer = time.AfterFunc(left, func() {
			c.mu.Lock()
			c.wakeLocked()
			c.mu.Unlock()
		})
	}
	c.wakeLocked()
	return nil
}

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}

func (c *Conn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: Network, Source: c.url, Addr: c.url, Err: err}
}
