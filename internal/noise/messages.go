package noise

import (
	"encoding/binary"
	"fmt"

	"github.com/relink-go/relink/internal/suite"
)

// order is the byte order of all integers but those inside an AEAD's nonce.
var order = binary.BigEndian

// The wire's constants (First flight, Limits).
const (
	magic   = 0x52
	version = 0x01

	headerSize       = 15 // of every request
	resumeFieldsSize = 20 // behind the header of a resume
	answerHeaderSize = 5

	// maxBody is the longest that any request has behind its header.
	maxBody = resumeFieldsSize + dhSize + tagSize + resumePayload1 + maxEarly

	dhSize  = 32 // an X25519 public key
	tagSize = 16

	newPayload1    = 6 // and the name of a target
	newPayload2    = 15
	resumePayload1 = 16 // and early data
	resumePayload2 = 13 // and early data
	queryPayload1  = 16
	queryPayload2  = 9

	maxTarget = 80

	maxEarly  = 16384
	giveEarly = 11 << 10 // what is given of it: in 10 segments of TCP's there is room for it, however small they are (4.1)
	maxWindow = 1 << 30

	// firstLimit is what a peer takes at first, if its window is not less.
	firstLimit = 1 << 16

	maxOffset = 1<<63 - 1

	// maxKeys bounds the server keys of one side, and maxRequests follows from
	// it: on one transport a client may try each of them, and another version.
	maxKeys     = 4
	maxRequests = maxKeys + 1
	maxPSKs     = 16
)

// A request is the clear part of what a client sends first. All of it is the
// prologue of the handshake.
type request struct {
	version byte
	highest byte // that the client speaks
	length  int  // of Noise message 1
	kind    kind
	cipher  cipherID
	hint    [hintSize]byte
	node    uint32
	id      suite.Key // of a resume
	attempt uint32    // of a resume
}

func (r request) encode() []byte {
	body := r.length
	if r.kind.isResume() {
		body += resumeFieldsSize
	}
	b := make([]byte, 0, headerSize+body)
	b = append(b, magic, r.version, r.highest)
	b = order.AppendUint16(b, uint16(body))
	b = append(b, byte(r.kind), byte(r.cipher))
	b = append(b, r.hint[:]...)
	b = order.AppendUint32(b, r.node)
	if r.kind.isResume() {
		b = append(b, r.id[:]...)
		b = order.AppendUint32(b, r.attempt)
	}
	return b
}

// decodeVersions decodes the part of headerSize bytes that no version changes.
// The request's length is all that follows the header.
func decodeVersions(b []byte) (r request, err error) {
	r = request{version: b[1], highest: b[2], length: int(order.Uint16(b[3:]))}
	if r.version < 1 || r.highest < r.version || r.length > maxBody {
		return r, suite.Malformed("version %d of %d, with %d bytes", r.version, r.highest, r.length)
	}
	return r, nil
}

// decodeHeader decodes the rest.
func (r *request) decodeHeader(b []byte) error {
	r.kind = kind(b[5])
	r.cipher = cipherID(b[6])
	r.hint = [hintSize]byte(b[7:])
	r.node = order.Uint32(b[11:])
	switch {
	case !r.kind.known():
		return suite.Malformed("a request of type %#02x", b[5])
	case !r.cipher.known():
		return suite.Malformed("cipher %#02x", b[6])
	}
	if r.kind.isResume() {
		r.length -= resumeFieldsSize
	}
	if least, most := r.kind.message1(); r.length < least || r.length > most {
		return suite.Malformed("a first message of %d bytes in a request of type %#02x", r.length, b[5])
	}
	return nil
}

// decodeResumeFields decodes resumeFieldsSize bytes.
func (r *request) decodeResumeFields(b []byte) error {
	r.id = suite.Key(b[:16])
	r.attempt = order.Uint32(b[16:])
	if r.attempt == 0 {
		return suite.Malformed("attempt 0")
	}
	return nil
}

// encodeAnswer returns an answer whose message 2 is to be appended.
func encodeAnswer(version byte, length int) []byte {
	b := make([]byte, 0, answerHeaderSize+length)
	b = append(b, magic, version, 0)
	return order.AppendUint16(b, uint16(length))
}

// A refusal is a hint with the highest version that the server speaks.
type refusal struct {
	hint    hint
	version byte
}

// encode returns an answer that carries a hint and nothing else.
func (r refusal) encode() []byte { return []byte{magic, r.version, byte(r.hint), 0, 0} }

// decodeAnswer decodes answerHeaderSize bytes. It returns the length of message
// 2, or the server's refusal.
func decodeAnswer(r request, b []byte) (length int, no refusal, err error) {
	if b[0] != magic {
		return 0, no, suite.Malformed("the answer begins with %#02x", b[0])
	}
	length = int(order.Uint16(b[3:]))
	if b[2] != 0 {
		if length != 0 {
			return 0, no, suite.Malformed("a hint with %d bytes behind it", length)
		}
		return 0, refusal{hint(b[2]), b[1]}, nil
	}
	if b[1] != r.version {
		return 0, no, suite.Malformed("an answer of version %d", b[1])
	}
	if least, most := r.kind.message2(); length < least || length > most {
		return 0, no, suite.Malformed("a second message of %d bytes", length)
	}
	return length, no, nil
}

// checkWindow judges a window that the peer states.
func checkWindow(n uint32) (int64, error) {
	if n < 1 || n > maxWindow {
		return 0, suite.Malformed("a window of %d bytes", n)
	}
	return int64(n), nil
}

// offset judges an offset that the peer states.
func offset(n uint64) (int64, error) {
	if n > maxOffset {
		return 0, fmt.Errorf("%w: offset %d, which no stream reaches", suite.ErrCounters, n)
	}
	return int64(n), nil
}

// A newClaim is payload 1 of a new session.
type newClaim struct {
	window       uint32
	capabilities uint16 // of the client
	target       string
}

func (c newClaim) encode() []byte {
	b := make([]byte, 0, newPayload1+len(c.target))
	b = order.AppendUint32(b, c.window)
	b = order.AppendUint16(b, c.capabilities)
	return append(b, c.target...)
}

func decodeNewClaim(b []byte) newClaim {
	return newClaim{order.Uint32(b), order.Uint16(b[4:]), string(b[newPayload1:])}
}

// A newAnswer is payload 2 of a new session.
type newAnswer struct {
	status       status
	node         uint32
	window       uint32
	capabilities uint16 // of the server
	instance     uint32
}

func (a newAnswer) encode() []byte {
	b := order.AppendUint32([]byte{byte(a.status)}, a.node)
	b = order.AppendUint32(b, a.window)
	b = order.AppendUint16(b, a.capabilities)
	return order.AppendUint32(b, a.instance)
}

func decodeNewAnswer(b []byte) newAnswer {
	return newAnswer{status(b[0]), order.Uint32(b[1:]), order.Uint32(b[5:]), order.Uint16(b[9:]), order.Uint32(b[11:])}
}

// A resumeClaim is payload 1 of a resume.
type resumeClaim struct {
	received uint64 // of the server's stream
	start    uint64 // of the early data in the client's
	data     []byte
}

func (c resumeClaim) encode() []byte {
	b := make([]byte, 0, resumePayload1+len(c.data))
	b = order.AppendUint64(b, c.received)
	b = order.AppendUint64(b, c.start)
	return append(b, c.data...)
}

func decodeResumeClaim(b []byte) resumeClaim {
	return resumeClaim{order.Uint64(b), order.Uint64(b[8:]), b[resumePayload1:]}
}

// A resumeAnswer is payload 2 of a resume. number is what the server has
// received of the client's stream, or the code of a session that was aborted.
// The data stands in the server's stream where the client's claim ends.
type resumeAnswer struct {
	status status
	node   uint32
	number uint64
	data   []byte
}

func (a resumeAnswer) encode() []byte {
	b := make([]byte, 0, resumePayload2+len(a.data))
	b = append(b, byte(a.status))
	b = order.AppendUint32(b, a.node)
	b = order.AppendUint64(b, a.number)
	return append(b, a.data...)
}

func decodeResumeAnswer(b []byte) resumeAnswer {
	return resumeAnswer{status(b[0]), order.Uint32(b[1:]), order.Uint64(b[5:]), b[resumePayload2:]}
}

// A queryAnswer is payload 2 of a query.
type queryAnswer struct {
	status   status
	node     uint32
	instance uint32
}

func (a queryAnswer) encode() []byte {
	return order.AppendUint32(order.AppendUint32([]byte{byte(a.status)}, a.node), a.instance)
}

func decodeQueryAnswer(b []byte) queryAnswer {
	return queryAnswer{status(b[0]), order.Uint32(b[1:]), order.Uint32(b[5:])}
}
