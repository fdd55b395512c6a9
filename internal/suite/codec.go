package suite

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
