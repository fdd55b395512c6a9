package snet

import (
	"crypto/md5"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/relink-go/relink/internal/suite"
)

// The first byte of a conversation (docs/spec/snet.md, Messages).
const (
	typeNew    = 0x00
	typeResume = 0xff
)

// The sizes of the messages in bytes (docs/spec/snet.md, Messages). The type
// is the first byte of a client hello and of a resume request, and the body
// what follows it.
const (
	typeSize          = 1
	clientHelloSize   = typeSize + clientHelloBody
	clientHelloBody   = 8
	serverHelloSize   = 24
	proofSize         = macSize
	resumeRequestSize = typeSize + resumeRequestBody
	resumeRequestBody = claimSize + macSize
	resumeAnswerSize  = 24
	refusalSize       = resumeAnswerSize

	claimSize     = 24 // what the MAC of a resume request covers
	challengeSize = 8
	keySize       = 8
	macSize       = md5.Size
)

// order is that of every integer on this wire.
var order = binary.LittleEndian

// A secret is the agreed DH64 secret as it keys the ciphers and the MACs.
type secret [keySize]byte

func newSecret(agreed uint64) (k secret) {
	order.PutUint64(k[:], agreed)
	return k
}

// mac returns MD5(x ‖ k). x is at most claimSize long.
func (k secret) mac(x []byte) [macSize]byte {
	var buf [claimSize + keySize]byte
	n := copy(buf[:claimSize], x)
	n += copy(buf[n:], k[:])
	return md5.Sum(buf[:n])
}

// verify says, in constant time, whether got is the MAC of x.
func (k secret) verify(x, got []byte) bool {
	want := k.mac(x)
	return subtle.ConstantTimeCompare(want[:], got) == 1
}

// A challenge is what the peer of a server has to return the MAC of. The
// number zero is none: it would make an answer of zeros look like a refusal.
type challenge [challengeSize]byte

// A clientHello is message 1 of a new session: step 1, which is its type, and
// step 2.
type clientHello struct {
	public uint64
}

func (m clientHello) encode() []byte {
	b := make([]byte, 0, clientHelloSize)
	b = append(b, typeNew)
	return order.AppendUint64(b, m.public)
}

// decodeClientHello decodes the clientHelloBody bytes behind the type.
func decodeClientHello(body []byte) clientHello {
	return clientHello{public: order.Uint64(body)}
}

// A serverHello is the server's answer to a clientHello, step 3.
type serverHello struct {
	public    uint64
	sealedID  [8]byte // the session's id under the first bytes of the key stream
	challenge challenge
}

func (m serverHello) encode() []byte {
	b := make([]byte, 0, serverHelloSize)
	b = order.AppendUint64(b, m.public)
	b = append(b, m.sealedID[:]...)
	return append(b, m.challenge[:]...)
}

// decodeServerHello decodes serverHelloSize bytes.
func decodeServerHello(b []byte) serverHello {
	return serverHello{
		public:    order.Uint64(b),
		sealedID:  [8]byte(b[8:16]),
		challenge: challenge(b[16:24]),
	}
}

// A resumeRequest is message 1 of a resume: step 1, which is its type, and
// step 2. The numbers are the wire's, which knows no bound.
type resumeRequest struct {
	id             uint64
	sent, received uint64
}

// encode returns the message with its MAC.
func (m resumeRequest) encode(k secret) []byte {
	b := make([]byte, 0, resumeRequestSize)
	b = append(b, typeResume)
	b = order.AppendUint64(b, m.id)
	b = order.AppendUint64(b, m.sent)
	b = order.AppendUint64(b, m.received)
	mac := k.mac(b[typeSize:])
	return append(b, mac[:]...)
}

// decodeResumeRequest decodes the resumeRequestBody bytes behind the type.
// The MAC is not checked: its key is known only once the id is.
func decodeResumeRequest(body []byte) resumeRequest {
	return resumeRequest{
		id:       order.Uint64(body),
		sent:     order.Uint64(body[8:]),
		received: order.Uint64(body[16:]),
	}
}

// authentic says whether the body of a resume request carries the right MAC.
func authentic(k secret, body []byte) bool {
	return k.verify(body[:claimSize], body[claimSize:])
}

// A resumeAnswer is the server's answer to a resumeRequest, step 3. The one
// that is all zero is the refusal.
type resumeAnswer struct {
	sent, received uint64
	challenge      challenge
}

func (m resumeAnswer) encode() []byte {
	b := make([]byte, 0, resumeAnswerSize)
	b = order.AppendUint64(b, m.sent)
	b = order.AppendUint64(b, m.received)
	return append(b, m.challenge[:]...)
}

// decodeResumeAnswer decodes resumeAnswerSize bytes.
func decodeResumeAnswer(b []byte) resumeAnswer {
	return resumeAnswer{
		sent:      order.Uint64(b),
		received:  order.Uint64(b[8:]),
		challenge: challenge(b[16:24]),
	}
}

// refusal reports whether the answer is the server's final no.
func (m resumeAnswer) refusal() bool { return m == resumeAnswer{} }

// offsets converts the counts of a peer. No stream has passed 2^63-1 bytes, so
// that a count beyond cannot be true; it must not become a negative one.
func offsets(sent, received uint64) (suite.Offsets, error) {
	if sent > math.MaxInt64 || received > math.MaxInt64 {
		return suite.Offsets{}, fmt.Errorf("%w: it claims to have sent %d and received %d, which no stream can have",
			suite.ErrCounters, sent, received)
	}
	return suite.Offsets{Sent: int64(sent), Received: int64(received)}, nil
}
