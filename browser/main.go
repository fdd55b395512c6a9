//go:build js && wasm

// Command browser is relink in a page: what relink.js calls. See README.md beside it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall/js"
	"time"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/transport/browser"
)

func main() {
	// relink.js waits for it.
	js.Global().Call("relinkIsReady", map[string]any{
		"connect":        js.FuncOf(connect),
		"read":           method(read),
		"write":          method(write),
		"closeWrite":     method(func(c *connection, _ []js.Value) (any, error) { return nil, c.CloseWrite() }),
		"flush":          method(flush),
		"close":          method(closeGracefully),
		"abort":          method(func(c *connection, _ []js.Value) (any, error) { return nil, c.Abort() }),
		"tryWrite":       immediate(tryWrite),
		"room":           immediate(func(c *connection, _ []js.Value) (any, error) { return c.Room(), nil }),
		"networkChanged": immediate(func(c *connection, _ []js.Value) (any, error) { c.NetworkChanged(); return nil, nil }),
		"cut":            immediate(func(c *connection, _ []js.Value) (any, error) { c.cut(); return nil, nil }),
		"state":          immediate(func(c *connection, _ []js.Value) (any, error) { return c.State().String(), nil }),
		"stats":          immediate(stats),
		"forget":         js.FuncOf(forget),
	})
	select {} // the page is the rest of the program
}

// A connection is what a page has connected.
type connection struct {
	*relink.Conn

	mu        sync.Mutex // guards transport
	transport *browser.Conn
}

// The connections of the page by number: what JavaScript holds in place of a pointer.
var (
	connections = map[int]*connection{}
	last        int
	tableMu     sync.Mutex
)

// byNumber returns a connection. One that is unknown was forgotten.
func byNumber(number js.Value) (*connection, error) {
	tableMu.Lock()
	defer tableMu.Unlock()
	if number.Type() == js.TypeNumber {
		if c := connections[number.Int()]; c != nil {
			return c, nil
		}
	}
	return nil, argument("there is no such connection")
}

// connect (url, options, onstate) returns a promise of a connection's number and id.
func connect(_ js.Value, args []js.Value) any {
	return promise(func() (any, error) {
		url, onstate := args[0], args[2]
		if url.Type() != js.TypeString {
			return nil, argument("the URL is a %s and not a string", url.Type())
		}
		o, err := parseOptions(args[1])
		if err != nil {
			return nil, err
		}
		c := new(connection)
		inner := browser.Dialer{Subprotocol: o.subprotocol}
		o.dialer.DialTransport = func(ctx context.Context, network, address string) (t transport, err error) {
			if t, err = inner.DialTransport(ctx, network, address); err == nil {
				c.mu.Lock()
				c.transport = t.(*browser.Conn)
				c.mu.Unlock()
			}
			return t, err
		}
		if onstate.Type() == js.TypeFunction {
			o.dialer.OnEvent = func(e relink.Event) { tell(onstate, e) }
		}
		ctx, cancel := context.WithTimeout(context.Background(), o.connectTimeout)
		defer cancel()
		if c.Conn, err = o.dialer.DialConn(ctx, browser.Network, url.String()); err != nil {
			return nil, err
		}
		if o.watch {
			stop := browser.Watch(c.NetworkChanged)
			go func() {
				<-c.Done()
				stop()
			}()
		}
		tableMu.Lock()
		defer tableMu.Unlock()
		last++
		connections[last] = c
		return map[string]any{"number": last, "id": c.ID(), "suite": c.Suite()}, nil
	})
}

// forget (number) lets go of a connection that JavaScript has lost or closed.
func forget(_ js.Value, args []js.Value) any {
	tableMu.Lock()
	defer tableMu.Unlock()
	delete(connections, args[0].Int())
	return nil
}

// cut drops the transport, as a network does.
func (c *connection) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.transport != nil {
		_ = c.transport.SetLinger(0)
		_ = c.transport.Close()
	}
}

// tell calls the page's handler of events.
func tell(onstate js.Value, e relink.Event) {
	event := map[string]any{
		"kind":     e.Kind.String(),
		"time":     float64(e.Time.UnixMilli()),
		"gap":      float64(e.Gap.Milliseconds()),
		"replayed": float64(e.Replayed),
		"dropped":  e.Dropped,
	}
	if e.Err != nil {
		event["error"] = errorValue(e.Err)
	}
	defer func() {
		if thrown := recover(); thrown != nil {
			js.Global().Get("console").Call("error", fmt.Sprintf("relink: onstate has thrown: %v", thrown))
		}
	}()
	onstate.Invoke(event)
}

// maxRead bounds what one read returns, in bytes.
const maxRead = 1 << 20

// read (number, max) returns a promise of a Uint8Array, or of null at the end.
func read(c *connection, args []js.Value) (any, error) {
	size := 64 << 10
	if args[0].Type() == js.TypeNumber {
		if size = args[0].Int(); size < 1 || size > maxRead {
			return nil, argument("read: %d is not between 1 and %d", size, maxRead)
		}
	}
	b := make([]byte, size)
	n, err := c.Read(b)
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	array := js.Global().Get("Uint8Array").New(n)
	js.CopyBytesToJS(array, b[:n])
	return array, nil
}

// write (number, data) returns a promise that is kept when data is in the buffer.
func write(c *connection, args []js.Value) (any, error) {
	b, err := bytesOf("write", args[0])
	if err != nil {
		return nil, err
	}
	_, err = c.Write(b)
	return nil, err
}

// tryWrite (number, data) returns whether data was taken.
func tryWrite(c *connection, args []js.Value) (any, error) {
	b, err := bytesOf("tryWrite", args[0])
	if err != nil {
		return nil, err
	}
	return c.TryWrite(b)
}

// bytesOf copies a Uint8Array; relink.js makes one of anything else.
func bytesOf(call string, v js.Value) ([]byte, error) {
	if !v.InstanceOf(js.Global().Get("Uint8Array")) {
		return nil, argument("%s: the data is a %s and not a Uint8Array or a string", call, v.Type())
	}
	b := make([]byte, v.Length())
	js.CopyBytesToGo(b, v)
	return b, nil
}

// flush (number, milliseconds) returns a promise that is kept when all has arrived.
func flush(c *connection, args []js.Value) (any, error) {
	ctx, cancel, err := limited(args[0])
	if err != nil {
		return nil, err
	}
	defer cancel()
	return nil, c.Flush(ctx)
}

// closeGracefully (number, milliseconds) returns a promise that is kept when all has
// arrived and the session is over.
func closeGracefully(c *connection, args []js.Value) (any, error) {
	ctx, cancel, err := limited(args[0])
	if err != nil {
		return nil, err
	}
	defer cancel()
	return nil, c.CloseContext(ctx)
}

// limited returns a ctx that ends after so many milliseconds, 5,000 by default.
func limited(milliseconds js.Value) (context.Context, context.CancelFunc, error) {
	d := 5 * time.Second
	if milliseconds.Type() == js.TypeNumber {
		d = time.Duration(milliseconds.Float() * float64(time.Millisecond))
	}
	if d <= 0 {
		return nil, nil, argument("the time limit is %v: use a positive number of milliseconds", d)
	}
	ctx, cancel := context.WithTimeout(context.Background(), d)
	return ctx, cancel, nil
}

// stats (number) returns the session's counts.
func stats(c *connection, _ []js.Value) (any, error) {
	s := c.Stats()
	return map[string]any{
		"bytesRead":    float64(s.BytesRead),
		"bytesWritten": float64(s.BytesWritten),
		"bytesPending": float64(s.BytesPending),
		"resumes":      float64(s.Resumes),
		"replayed":     float64(s.Replayed),
		"longestGap":   float64(s.LongestGap.Milliseconds()),
		"memory":       float64(s.Memory),
	}, nil
}
