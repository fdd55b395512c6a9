package suite

import "fmt"

// A Codec frames the data of one transport and holds its keys. Seal is called
// by one goroutine at a time and so is Open, but the two may run at once.
type Codec interface {
	// MaxData is the most data that one record carries, in bytes.
	MaxData() int

	// MaxRecord is the length of the longest record on the wire, in bytes.
	MaxRecord() int

	// Seal appends one record to dst that carries the data, which may be
	// empty, and the control.
	Seal(dst, data []byte, c Control) []byte

	// Open decodes the record at the beginning of in and returns it with its
	// length on the wire. n is 0 while the record is not complete. The record's
	// data lies at the beginning of dst if there was enough room for it, and
	// otherwise in in. Open may use all of dst, and of in what the record takes,
	// as scratch space. An error ends the link; one that is [ErrProtocol], from
	// an authentic record that says what is forbidden, ends the session.
	Open(dst, in []byte) (r Record, n int, err error)
}

// A Record is one unit of a link with a [Codec]. Its data continues the
// sender's stream where the link's last record left it, or at the receiver's
// Offsets.Received if it is the first one.
type Record struct {
	Data []byte
	Control
}

// Control is what travels in a record beside the data.
type Control struct {
	// Ack says that Received, Consumed, Limit and FinReceived are valid.
	Ack bool
	// Received is the offset up to which the sender of this record holds the
	// other's stream.
	Received int64
	// Consumed is the offset up to which its application has taken it.
	Consumed int64
	// Limit is the offset that the other's data must not pass.
	Limit int64
	// FinReceived says that the sender of this record knows the end of the
	// other's stream and holds all of it.
	FinReceived bool

	// Fin ends the sender's stream behind this record's data.
	Fin bool
	// Stop says that the sender's application reads no more.
	Stop bool
	// Reset, if not zero, ends the session at once.
	Reset ResetCode

	// Ping asks for a Pong, which carries an acknowledgement.
	Ping, Pong bool

	// Drain, if not nil, asks a client to move. It goes only to a client whose
	// [Peer] says Moves.
	Drain *Drain
}

// A Drain asks a client to move to another transport.
type Drain struct {
	// Within is the time in which it is to choose a moment, in milliseconds, and at most
	// [MaxDrain].
	Within uint32
	// Address is where to, as host:port or :port in printable ASCII, at most
	// [MaxDrainAddress] bytes; or empty for the address in use.
	Address string
}

// The bounds of a [Drain].
const (
	MaxDrain        = 24 * 60 * 60 * 1000
	MaxDrainAddress = 255
)

// Check returns what is wrong with a Drain.
func (d Drain) Check() error {
	if d.Within > MaxDrain {
		return fmt.Errorf("a drain within %d milliseconds, and %d are the most", d.Within, MaxDrain)
	}
	if len(d.Address) > MaxDrainAddress {
		return fmt.Errorf("a drain to an address of %d bytes, and %d are the most", len(d.Address), MaxDrainAddress)
	}
	for i := range len(d.Address) {
		if c := d.Address[i]; c <= ' ' || c > '~' {
			return fmt.Errorf("a drain to the address %q, which is not printable ASCII", d.Address)
		}
	}
	return nil
}

// Empty reports whether the control says nothing.
func (c *Control) Empty() bool { return *c == Control{} }

// A ResetCode says why a session was ended at once. Zero means that it was
// not.
type ResetCode uint16

// The reset codes.
const (
	ResetAborted  ResetCode = 1 // the application called Abort
	ResetProtocol ResetCode = 2 // the peer broke the protocol
	ResetLinger   ResetCode = 3 // closed, and not delivered in time
	ResetDenied   ResetCode = 4 // the server does not admit the client any more
	ResetClosed   ResetCode = 6 // closed: the peer has everything, or reads no more
)
