// Package faultnet is a network that fails on command. Relink's deterministic
// tests run on it.
//
// [Network] gives a dialler and a listener in memory. Every dial makes a
// [Path], which is the wire between the two ends: a test cuts it at an exact
// byte, stalls it, and counts what has passed. [Pair] makes a path without a
// network. Nothing here does real input or output, and nothing starts a
// goroutine; blocked calls wait on channels that are made when the wait begins,
// and a timer exists only while a call is blocked that has a deadline or waits
// for a delayed byte. All of it therefore works inside testing/synctest bubbles.
//
// [Relay] does over loopback TCP what a Path does in memory, as far as TCP
// allows.
//
// # Data path
//
// A byte enters a direction when a Write has put it into that direction's
// buffer. It has been delivered when a Read at the other end has returned it.
// Without a buffer the two are one moment. Offsets count the bytes that have
// entered, so a cut at offset n lets exactly the first n bytes through, however
// they were split into writes.
//
// # What a cut leaves
//
// Whatever entered before the cut stays readable, in both directions and for
// every [Kind] but [ResetNow]; after that a Read finds what the kind says. A
// Write that runs over the offset returns the number of bytes before it together
// with the error, except at a black hole, which takes the rest and loses it.
package faultnet

import "time"

// A Dir is a direction of a path.
type Dir int

// The two directions.
const (
	Up   Dir = iota // client to server
	Down            // server to client
)

// String returns "up" or "down".
func (d Dir) String() string {
	if d == Up {
		return "up"
	}
	return "down"
}

// A Kind is a way in which a path ends.
type Kind int

// The kinds of cut.
const (
	// Reset fails both ends with ECONNRESET in a *net.OpError: writes at once,
	// reads after the bytes that had entered before.
	Reset Kind = iota
	// ResetNow is Reset that also discards the unread bytes of both directions,
	// stalled ones included.
	ResetNow
	// End is a clean FIN at both ends: reads return the bytes that had entered
	// before and then io.EOF, writes fail with EPIPE.
	End
	// BlackHole is silence in both directions: nothing that is sent afterwards
	// arrives, neither bytes nor the news that an end has closed. Writes are
	// taken until the buffer is full and then block; reads block.
	BlackHole
	// BlackHoleUp is silence from the client to the server only.
	BlackHoleUp
	// BlackHoleDown is silence from the server to the client only.
	BlackHoleDown
	// EndUp is a clean FIN from the client to the server only, as a relay sends
	// it that has lost one of its two sides: the server reads io.EOF after the
	// bytes that had entered before, what the client sends afterwards is taken
	// and lost, and the other direction goes on.
	EndUp
	// EndDown is EndUp from the server to the client.
	EndDown
)

// String returns the name of the constant.
func (k Kind) String() string {
	switch k {
	case Reset:
		return "Reset"
	case ResetNow:
		return "ResetNow"
	case End:
		return "End"
	case BlackHole:
		return "BlackHole"
	case BlackHoleUp:
		return "BlackHoleUp"
	case BlackHoleDown:
		return "BlackHoleDown"
	case EndUp:
		return "EndUp"
	case EndDown:
		return "EndDown"
	}
	return "Kind(?)"
}

// DefaultBuffer is the capacity of one direction in bytes where Options.Buffer
// is zero.
const DefaultBuffer = 64 << 10

// Options say how a path behaves while it is whole. The zero value is a fast,
// well-behaved path.
type Options struct {
	// Buffer is the number of bytes that a direction holds before a Write
	// blocks. Zero means DefaultBuffer. A negative value means none: a Write
	// returns when its bytes have been read, as with net.Pipe.
	Buffer int
	// Segment is the most that one Read returns, in bytes. Zero means no limit.
	Segment int
	// Delay is the time that a byte, a FIN and the news of a closed end take to
	// the other end. A dial takes twice as long.
	Delay time.Duration
	// Opaque hands out conns as a transport over TLS or WebSocket is: without
	// Interruptible and CloseWrite, and broken for good in a direction whose
	// deadline has passed, whether or not a call was waiting then.
	Opaque bool
	// ResetOnUnread makes Close with unread inbound bytes a reset, as TCP does,
	// and so too a Write to an end that has closed. The reset discards what the
	// other end has not read yet, unless that is stalled.
	ResetOnUnread bool
	// ShortWrites makes every third Write of a direction take only the first
	// half of its bytes and return that number without an error.
	ShortWrites bool
	// EOFWithData makes the Read that empties a direction after its FIN has
	// arrived return its bytes together with io.EOF.
	EOFWithData bool
}
