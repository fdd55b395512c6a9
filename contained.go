package relink

import (
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"sync/atomic"
	"time"
)

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
		_ = t.SetDeadline(longAgo.time()) // all that is left to try
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
