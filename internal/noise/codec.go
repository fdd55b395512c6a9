package noise

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/relink-go/relink/internal/suite"
)

// The wire of a record (Records).
const (
	recordHeader = 3 // kind and length
	flagsSize    = 1
	ackSize      = 16
	resetSize    = 2
	maxControl   = flagsSize + ackSize + resetSize
	minRecord    = 1 + tagSize // by its length field
	maxRecord    = math.MaxUint16
	maxData      = 32768
	maxFirstData = 16384
	// maxFirst is the longest record by which a client confirms a handshake.
	maxFirst = maxFirstData + maxControl + tagSize

	// recordsPerKey is how many records are sealed before a rekey.
	recordsPerKey = 1 << 20
)

// The kinds of records.
const (
	recordData    = 0 // data alone
	recordControl = 1 // data, which may be empty, fields and flags
)

// The flags of a record of control.
const (
	flagAck    = 0x01
	flagFinAck = 0x02
	flagFin    = 0x04
	flagStop   = 0x08
	flagPing   = 0x10
	flagPong   = 0x20
	flagReset  = 0x40
	flagDrain  = 0x80 // never from a peer that was told no such capability

	flagsKnown = flagAck | flagFinAck | flagFin | flagStop | flagPing | flagPong | flagReset
)

// A cipherID names an AEAD on the wire.
type cipherID byte

// The ciphers.
const (
	cipherAESGCM     cipherID = 1
	cipherChaChaPoly cipherID = 2
)

func (c cipherID) known() bool { return c == cipherAESGCM || c == cipherChaChaPoly }

// String returns Noise's name of the cipher.
func (c cipherID) String() string {
	if c == cipherAESGCM {
		return "AESGCM"
	}
	return "ChaChaPoly"
}

// putNonce writes the nonce with the counter n, as Noise lays it out.
func (c cipherID) putNonce(nonce *[12]byte, n uint64) {
	if c == cipherAESGCM {
		binary.BigEndian.PutUint64(nonce[4:], n)
	} else {
		binary.LittleEndian.PutUint64(nonce[4:], n)
	}
}

// aead returns the cipher under a key.
func (c cipherID) aead(key *secret) cipher.AEAD {
	var a cipher.AEAD
	var err error
	if c == cipherAESGCM {
		var b cipher.Block
		if b, err = aes.NewCipher(key[:]); err == nil {
			a, err = cipher.NewGCM(b) // which has its own copy of the key
			eraseAEAD(b)
		}
	} else {
		a, err = chacha20poly1305.New(key[:])
	}
	if err != nil {
		panic("relink: internal error: " + err.Error())
	}
	return a
}

// A direction is one direction of a link: a key, and the counter that is the
// nonce. It has one owner, and the counter only grows, so that no nonce is used
// twice under a key.
type direction struct {
	aead   cipher.AEAD
	n      uint64
	limit  uint32 // recordsPerKey, but in tests
	rekeys uint32
	nonce  [12]byte
	cipher cipherID
	key    *trafficKey // with aead in it, and not touched until the next
}

func newDirection(c cipherID, key secret) direction {
	k := &trafficKey{secret: key, aead: c.aead(&key)}
	return direction{cipher: c, aead: k.aead, key: k, limit: recordsPerKey}
}

// at returns the nonce with the counter n.
func (d *direction) at(n uint64) []byte {
	d.cipher.putNonce(&d.nonce, n)
	return d.nonce[:]
}

// advance follows each record.
func (d *direction) advance() {
	if d.n++; d.n == uint64(d.limit) {
		d.rekey()
	}
}

// rekey is Noise's REKEY.
func (d *direction) rekey() {
	var zeros [secretSize]byte
	b := d.aead.Seal(nil, d.at(math.MaxUint64), zeros[:], nil)
	eraseAEAD(d.aead)
	copy(d.key.secret[:], b)
	clear(b)
	d.key.aead = d.cipher.aead(&d.key.secret)
	d.aead = d.key.aead
	d.n = 0
	d.rekeys++
}

// A codec seals and opens the records of one link. What either takes is in one
// line of the processor's cache.
type codec struct {
	out    direction
	client bool

	in         direction
	peerWindow int64
}

var _ suite.Codec = (*codec)(nil)

// newCodec returns the codec of one side of a link.
func newCodec(c cipherID, k *keys, client bool, peerWindow int64) *codec {
	l := &codec{out: newDirection(c, k.toClient), in: newDirection(c, k.toServer), peerWindow: peerWindow, client: client}
	if client {
		l.out, l.in = l.in, l.out
	}
	eraseWithLink(l)
	return l
}

// MaxData returns less for the record by which a client confirms a handshake,
// because the server reads it as a part of the handshake.
func (c *codec) MaxData() int {
	if c.client && c.out.n == 0 && c.out.rekeys == 0 {
		return maxFirstData
	}
	return maxData
}

// MaxRecord implements [suite.Codec].
func (c *codec) MaxRecord() int { return recordHeader + maxRecord }

// Seal implements [suite.Codec]. Data without control is sealed from where it
// lies.
func (c *codec) Seal(dst, data []byte, k suite.Control) []byte {
	if len(data) > c.MaxData() {
		panic(fmt.Sprintf("relink: internal error: %d bytes for one record", len(data)))
	}
	dst = slices.Grow(dst, recordHeader+len(data)+maxControl+tagSize)
	start := len(dst)
	body := start + recordHeader
	if k.Empty() && len(data) > 0 {
		dst = appendHeader(dst, recordData, len(data)+tagSize)
		dst = c.out.aead.Seal(dst, c.out.at(c.out.n), data, dst[start:body])
	} else {
		dst = append(dst[:body], data...)
		dst = appendControl(dst, k)
		appendHeader(dst[:start], recordControl, len(dst)-body+tagSize)
		dst = c.out.aead.Seal(dst[:body], c.out.at(c.out.n), dst[body:], dst[start:body])
	}
	c.out.advance()
	return dst
}

// appendHeader appends what a record begins with. It is the associated data of
// the rest.
func appendHeader(b []byte, kind byte, length int) []byte {
	return order.AppendUint16(append(b, kind), uint16(length))
}

// checkHeader returns the length of what follows a header.
func checkHeader(b []byte, longest int) (int, error) {
	l := int(order.Uint16(b[1:]))
	if b[0] > recordControl || l < minRecord || l > longest {
		return 0, fmt.Errorf("%w: a record of kind %d and %d bytes", suite.ErrAuthentication, b[0], l)
	}
	return l, nil
}

// Open implements [suite.Codec]. A record that is not authentic is an
// [suite.ErrAuthentication], and one that is but breaks the protocol an
// [suite.ErrProtocol].
func (c *codec) Open(dst, in []byte) (r suite.Record, n int, err error) {
	if len(in) < recordHeader {
		return r, 0, nil
	}
	l, err := checkHeader(in, maxRecord)
	if err != nil {
		return r, 0, err
	}
	n = recordHeader + l
	if len(in) < n {
		return r, 0, nil
	}
	header, sealed := in[:recordHeader], in[recordHeader:n]
	if len(dst) < l-tagSize {
		dst = sealed // in place
	}
	plain, err := c.in.aead.Open(dst[:0], c.in.at(c.in.n), sealed, header)
	if err != nil {
		return r, 0, fmt.Errorf("%w: record %d of the link does not open", suite.ErrAuthentication, c.in.n)
	}
	c.in.advance()
	if header[0] == recordData {
		r.Data = plain
		return r, n, nil
	}
	if r, err = c.decode(plain); err != nil {
		return suite.Record{}, 0, err
	}
	return r, n, nil
}

// appendControl appends what the flags announce, and the flags.
func appendControl(b []byte, k suite.Control) []byte {
	if k.Ack {
		b = order.AppendUint64(b, uint64(k.Received))
		b = order.AppendUint32(b, uint32(k.Received-k.Consumed))
		b = order.AppendUint32(b, uint32(k.Limit-k.Received))
	}
	if k.Reset != 0 {
		b = order.AppendUint16(b, uint16(k.Reset))
	}
	var flags byte
	for _, f := range [...]struct {
		set  bool
		flag byte
	}{
		{k.Ack, flagAck},
		{k.Ack && k.FinReceived, flagFinAck},
		{k.Fin, flagFin},
		{k.Stop, flagStop},
		{k.Ping, flagPing},
		{k.Pong, flagPong},
		{k.Reset != 0, flagReset},
	} {
		if f.set {
			flags |= f.flag
		}
	}
	return append(b, flags)
}

// decode decodes the plain text of a record of control, which has at least
// flagsSize bytes, from its end.
func (c *codec) decode(b []byte) (r suite.Record, err error) {
	flags, b := cut(b, flagsSize)
	f := flags[0]
	if f&^flagsKnown != 0 {
		return r, suite.Malformed("a record with the flags %#02x", f)
	}
	if f&flagReset != 0 {
		if len(b) < resetSize {
			return r, suite.Malformed("a reset cut short")
		}
		var code []byte
		code, b = cut(b, resetSize)
		r.Reset = max(suite.ResetAborted, suite.ResetCode(order.Uint16(code))) // a code of 0 is no code
	}
	if f&flagAck != 0 {
		if len(b) < ackSize {
			return r, suite.Malformed("an acknowledgement cut short")
		}
		var ack []byte
		ack, b = cut(b, ackSize)
		received, unread, credit := order.Uint64(ack), uint64(order.Uint32(ack[8:])), uint64(order.Uint32(ack[12:]))
		if received > maxOffset || unread > received || unread+credit > uint64(c.peerWindow) {
			return r, suite.Malformed("an acknowledgement of %d bytes, %d of them unread, and %d more in a window of %d", received, unread, credit, c.peerWindow)
		}
		r.Ack, r.Received, r.Consumed = true, int64(received), int64(received-unread)
		r.Limit = int64(min(received+credit, maxOffset))
	}
	r.FinReceived = f&flagFinAck != 0
	if r.FinReceived && !r.Ack {
		return r, suite.Malformed("the acknowledgement of an end, and of nothing else")
	}
	r.Fin = f&flagFin != 0
	r.Stop = f&flagStop != 0
	r.Ping = f&flagPing != 0
	r.Pong = f&flagPong != 0
	r.Data = b
	return r, nil
}

// cut takes the last n bytes off b.
func cut(b []byte, n int) (last, rest []byte) {
	return b[len(b)-n:], b[:len(b)-n]
}
