package relink

import (
	"errors"
	"fmt"
	"net"
	"reflect"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/relink-go/relink/internal/clock"
	"github.com/relink-go/relink/internal/socket"
)

// Interruptible is implemented by a transport that says of itself whether a
// Read that ended with os.ErrDeadlineExceeded may be repeated without harm. TCP and
// Unix sockets and net.Pipe are known and need not implement it.
//
// An interruptible transport is read by the application's own goroutines. Any other
// (a WebSocket dies of a read deadline) never gets a deadline, and is read by
// goroutines of the library. No transport gets a write deadline: see [NonblockingWriter].
//
// So a wrapper around TCP that says nothing of itself costs: a pair of idle sessions has
// three goroutines and about 24 KiB in place of 9.5. One that passes deadlines on says
// so here, and one that changes nothing in Write says so to [NonblockingWriter].
type Interruptible interface {
	Interruptible() bool
}

// pipeType is the type of net.Pipe's ends, which has no exported name.
var pipeType = sync.OnceValue(func() reflect.Type {
	a, b := net.Pipe()
	_, _ = a.Close(), b.Close()
	return reflect.TypeOf(a)
})

func isInterruptible(t net.Conn) bool {
	switch t := t.(type) {
	case *net.TCPConn, *net.UnixConn:
		return true
	case Interruptible:
		return t.Interruptible()
	default:
		return reflect.TypeOf(t) == pipeType()
	}
}

// NonblockingWriter is implemented by a transport that can be written to without
// waiting for its peer. A Write of the session then hands its bytes to the transport
// itself, in one attempt, and leaves the rest to a goroutine of the library.
// Over any other transport all is sent by that goroutine, so that no Write ever
// waits for a peer that does not read. *net.TCPConn and *net.UnixConn are known and
// need not implement it, except on Windows, where they count as any other.
//
// A type that embeds a NonblockingWriter and has a Write of its own must have a
// WriteNonblock of its own too: otherwise bytes would go past its Write. A wrapper
// whose Write is that of the connection below, with nothing added, may have a method
// WritesThrough() net.Conn that returns this connection, and counts as it does.
type NonblockingWriter interface {
	// WriteNonblock writes as much of p as the transport takes at once, which may be
	// nothing, and returns how much that was. That it is less than all is no error. It
	// neither changes p nor keeps it, and is never called beside a Write or beside itself.
	WriteNonblock(p []byte) (n int, err error)
}

// nonblockingWriter returns how to write to the transport without waiting, or nil
// where there is no way. Sockets are taken only as themselves and never from below a
// wrapper, which may do something else with what it is given, as crypto/tls does,
// unless it says that it does not.
func nonblockingWriter(t net.Conn) NonblockingWriter {
	if t, ok := t.(*contained); ok {
		return t.nonblockingWriter()
	}
	for range 8 { // as in tcpConn
		w, ok := t.(interface{ WritesThrough() net.Conn })
		if !ok {
			break
		}
		t = w.WritesThrough()
	}
	switch t := t.(type) {
	case *net.TCPConn:
		return socket.NewWriter(t, t)
	case *net.UnixConn:
		return socket.NewWriter(t, t)
	case NonblockingWriter:
		return t
	default:
		return nil
	}
}

// A TransportPanicError says that a method of a transport has panicked. The transport
// counts as lost, whatever the method was, and the session goes on over another one.
type TransportPanicError struct {
	Call  string // the method, "Read" for instance
	Value any    // what it panicked with
	Stack []byte // of the goroutine then, for people
}

// Error names the method and what it panicked with.
func (e *TransportPanicError) Error() string {
	return fmt.Sprintf("relink: the transport's %s panicked: %v", e.Call, e.Value)
}

// A contained is a transport of a type that is not package net's own. A panic in any of
// its methods is its failure, and nobody else's.
type contained struct {
	net.Conn
	writer  NonblockingWriter // of Conn, or nil; set before the link is
	failure atomic.Pointer[TransportPanicError]
}

// contain wraps a transport. Sockets of package net stay as they are, so that their way
// is as short as it was.
func contain(t net.Conn) net.Conn {
	switch t.(type) {
	case *net.TCPConn, *net.UnixConn:
		return t
	default:
		return &contained{Conn: t}
	}
}

// caught is deferred around each call. Whoever gets an error closes the transport. After
// a panic in a call that returns none, or of which nobody looks at it, it is closed here,
// so that calls which wait in it return.
func (t *contained) caught(call string, err *error) {
	p := recover()
	if p == nil {
		return
	}
	failure := &TransportPanicError{call, p, debug.Stack()}
	first := t.failure.CompareAndSwap(nil, failure)
	if err != nil {
		*err = failure
	}
	switch call {
	case "Read", "Write", "WriteNonblock", "CloseWrite":
	default:
		if first {
			go t.giveUp(call)
		}
	}
}

// giveUp ends whatever waits in a transport that has panicked.
func (t *contained) giveUp(call string) {
	if call == "Close" {
		_ = t.SetDeadline(clock.LongAgo.Std()) // all that is left to try
		return
	}
	_ = t.Close()
}

// failed returns the error of a transport that has panicked.
func (t *contained) failed() error {
	if f := t.failure.Load(); f != nil {
		return f
	}
	return nil
}

func (t *contained) Read(p []byte) (n int, err error) {
	if err := t.failed(); err != nil {
		return 0, err
	}
	defer t.caught("Read", &err)
	n, err = t.Conn.Read(p)
	return n, t.because(err)
}

func (t *contained) Write(p []byte) (n int, err error) {
	if err := t.failed(); err != nil {
		return 0, err
	}
	defer t.caught("Write", &err)
	n, err = t.Conn.Write(p)
	return n, t.because(err)
}

// WriteNonblock is called only where there is a writer.
func (t *contained) WriteNonblock(p []byte) (n int, err error) {
	if err := t.failed(); err != nil {
		return 0, err
	}
	defer t.caught("WriteNonblock", &err)
	n, err = t.writer.WriteNonblock(p)
	return n, t.because(err)
}

// because returns why a call has failed: where another one has panicked meanwhile, that
// is the reason, and not that the transport was closed for it.
func (t *contained) because(err error) error {
	if err == nil {
		return nil
	}
	if f := t.failed(); f != nil {
		return f
	}
	return err
}

func (t *contained) Close() (err error) {
	defer t.caught("Close", &err)
	return t.Conn.Close()
}

func (t *contained) CloseWrite() (err error) {
	defer t.caught("CloseWrite", &err)
	if c, ok := t.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (t *contained) SetLinger(seconds int) (err error) {
	defer t.caught("SetLinger", &err)
	if c, ok := t.Conn.(interface{ SetLinger(seconds int) error }); ok {
		return c.SetLinger(seconds)
	}
	return errors.ErrUnsupported
}

func (t *contained) SetDeadline(at time.Time) (err error) {
	defer t.caught("SetDeadline", &err)
	return t.Conn.SetDeadline(at)
}

func (t *contained) SetReadDeadline(at time.Time) (err error) {
	defer t.caught("SetReadDeadline", &err)
	return t.Conn.SetReadDeadline(at)
}

// An unknownAddr is that of a transport which has none, or panics when it is asked.
type unknownAddr struct{}

func (unknownAddr) Network() string { return "unknown" }
func (unknownAddr) String() string  { return "unknown" }

func (t *contained) LocalAddr() net.Addr  { return known(t.ask("LocalAddr", t.Conn.LocalAddr)) }
func (t *contained) RemoteAddr() net.Addr { return known(t.ask("RemoteAddr", t.Conn.RemoteAddr)) }

// ask returns nil if get panics.
func (t *contained) ask(call string, get func() net.Addr) net.Addr {
	defer t.caught(call, nil)
	return get()
}

// known returns an address in place of none.
func known(a net.Addr) net.Addr {
	if a == nil {
		return unknownAddr{}
	}
	return a
}

func (t *contained) Interruptible() bool {
	defer t.caught("Interruptible", nil)
	return isInterruptible(t.Conn)
}

// nonblockingWriter is [nonblockingWriter] of the transport below.
func (t *contained) nonblockingWriter() NonblockingWriter {
	defer t.caught("WritesThrough", nil)
	if t.writer = nonblockingWriter(t.Conn); t.writer == nil {
		return nil
	}
	return t
}

// tcpConn is [tcpConn] of the transport below.
func (t *contained) tcpConn() *net.TCPConn {
	defer t.caught("NetConn", nil)
	return tcpConn(t.Conn)
}

// closeTransport closes a transport in the background, because some block in Close.
func closeTransport(t net.Conn) {
	go func() { _ = t.Close() }()
}

// resetTransport closes a transport without a clean end, where it can do that.
func resetTransport(t net.Conn) {
	if t, ok := t.(interface{ SetLinger(int) error }); ok {
		_ = t.SetLinger(0)
	}
	_ = t.Close()
}

// tcpConn returns the TCP connection below a transport, following NetConn as
// wrappers offer it, or nil.
func tcpConn(t net.Conn) *net.TCPConn {
	if t, ok := t.(*contained); ok {
		return t.tcpConn()
	}
	for range 8 { // wrappers do not nest deeper; a cycle must not hang us
		switch c := t.(type) {
		case *net.TCPConn:
			return c
		case interface{ NetConn() net.Conn }:
			t = c.NetConn()
		default:
			return nil
		}
	}
	return nil
}
