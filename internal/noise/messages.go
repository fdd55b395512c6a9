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

	headerSize       = 14 // of every request
	resumeFieldsSize = 20 // behind the header of a resume
	answerHeaderSize = 5

	dhSize  = 32 // an X25519 public key
	tagSize = 16

	newPayload1    = 4
	newPayload2    = 9
	resumePayload1 = 16 // and early data
	resumePayload2 = 13 // and early data
	queryPayload1  = 16
	queryPayload2  = 5

	maxEarly  = 16384
	giveEarly = 11 << 10 // what is given of it: in 10 segments of TCP's there is room for it, however small they are (4.1)
	maxWindow = 1 << 30
	maxOffset = 1<<63 - 1

	// maxKeys bounds the keys of one side, and maxRequests follows from it: a
	// client may try each of them on one transport.
	maxKeys     = 4
	maxRequests = 4
)

// A kind is the type of a request.
type kind byte

// The kinds of requests.
const (
	newNK    kind = 0x01
	newNN    kind = 0x02
	resumeNK kind = 0x11
	resumeNN kind = 0x12
	queryNK  kind = 0x21
	queryNN  kind = 0x22
)

func (k kind) isNew() bool    { return k == newNK || k == newNN }
func (k kind) isResume() bool { return k == resumeNK || k == resumeNN }
func (k kind) isQuery() bool  { return k == queryNK || k == queryNN }
func (k kind) known() bool    { return k.isNew() || k.isResume() || k.isQuery() }

// keyed reports whether the server's static key is part of the handshake.
func (k kind) keyed() bool { return k == newNK || k == resumeNK || k == queryNK }

// message1 returns the bounds of the length of Noise message 1.
func (k kind) message1() (least, most int) {
	overhead := dhSize + tagSize
	if !k.keyed() && !k.isResume() {
		overhead = dhSize // the payload of NN's first message is in clear
	}
	switch {
	case k.isNew():
		return overhead + newPayload1, overhead + newPayload1
	case k.isResume():
		return overhead + resumePayload1, overhead + resumePayload1 + maxEarly
	default:
		return overhead + queryPayload1, overhead + queryPayload1
	}
}

// message2 returns the bounds of the length of Noise message 2.
func (k kind) message2() (least, most int) {
	const overhead = dhSize + tagSize
	switch {
	case k.isNew():
		return overhead + newPayload2, overhead + newPayload2
	case k.isResume():
		return overhead + resumePayload2, overhead + resumePayload2 + maxEarly
	default:
		return overhead + queryPayload2, overhead + queryPayload2
	}
}

// A request is the clear part of what a client sends first. All of it is the
// prologue of the handshake.
type request struct {
	kind    kind
	cipher  cipherID
	hint    [hintSize]byte
	node    uint32
	length  int       // of Noise message 1
	id      suite.Key // of a resume
	attempt uint32    // of a resume
}

func (r request) encode() []byte {
	b := make([]byte, 0, headerSize+resumeFieldsSize+r.length)
	b = append(b, magic, version, byte(r.kind), byte(r.cipher))
	b = append(b, r.hint[:]...)
	b = order.AppendUint32(b, r.node)
	b = order.AppendUint16(b, uint16(r.length))
	if r.kind.isResume() {
		b = append(b, r.id[:]...)
		b = order.AppendUint32(b, r.attempt)
	}
	return b
}

// decodeHeader decodes headerSize bytes and says what to refuse them with.
func decodeHeader(b []byte) (r request, refusal hint, err error) {
	if b[1] != version {
		return r, hintBadVersion, suite.Malformed("version %d", b[1])
	}
	r = request{
		kind:   kind(b[2]),
		cipher: cipherID(b[3]),
		hint:   [hintSize]byte(b[4:8]),
		node:   order.Uint32(b[8:]),
		length: int(order.Uint16(b[12:])),
	}
	switch {
	case !r.kind.known():
		return r, hintBadRequest, suite.Malformed("a request of type %#02x", b[2])
	case !r.cipher.known():
		return r, hintBadRequest, suite.Malformed("cipher %#02x", b[3])
	}
	if least, most := r.kind.message1(); r.length < least || r.length > most {
		return r, hintBadRequest, suite.Malformed("a first message of %d bytes in a request of type %#02x", r.length, b[2])
	}
	return r, 0, nil
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
func encodeAnswer(length int) []byte {
	b := make([]byte, 0, answerHeaderSize+length)
	b = append(b, magic, version, 0)
	return order.AppendUint16(b, uint16(length))
}

// encodeHint returns an answer that carries a hint and nothing else.
func encodeHint(h hint) []byte { return []byte{magic, version, byte(h), 0, 0} }

// decodeAnswer decodes answerHeaderSize bytes. It returns the length of message
// 2, or the server's hint.
func decodeAnswer(k kind, b []byte) (length int, h hint, err error) {
	if b[0] != magic {
		return 0, 0, suite.Malformed("the answer begins with %#02x", b[0])
	}
	length = int(order.Uint16(b[3:]))
	if b[2] != 0 {
		if length != 0 {
			return 0, 0, suite.Malformed("a hint with %d bytes behind it", length)
		}
		return 0, hint(b[2]), nil
	}
	if b[1] != version {
		return 0, 0, suite.Malformed("an answer of version %d", b[1])
	}
	if least, most := k.message2(); length < least || length > most {
		return 0, 0, suite.Malformed("a second message of %d bytes", length)
	}
	return length, 0, nil
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

// A newAnswer is payload 2 of a new session.
type newAnswer struct {
	status status
	node   uint32
	window uint32
}

func (a newAnswer) encode() []byte {
	b := order.AppendUint32([]byte{byte(a.status)}, a.node)
	return order.AppendUint32(b, a.window)
}

func decodeNewAnswer(b []byte) newAnswer {
	return newAnswer{status(b[0]), order.Uint32(b[1:]), order.Uint32(b[5:])}
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
	status status
	node   uint32
}

func (a queryAnswer) encode() []byte {
	return order.AppendUint32([]byte{byte(a.status)}, a.node)
}

func decodeQueryAnswer(b []byte) queryAnswer {
	return queryAnswer{status(b[0]), order.Uint32(b[1:])}
}
