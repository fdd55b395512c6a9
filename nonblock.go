package relink

import "net"

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
		return newSocketWriter(t, t)
	case *net.UnixConn:
		return newSocketWriter(t, t)
	case NonblockingWriter:
		return t
	default:
		return nil
	}
}
