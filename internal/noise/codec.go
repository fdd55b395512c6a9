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
	lengthSize   = 2
	flagsSize    = 1
	ackSize      = 16
	resetSize    = 2
	minRecord    = flagsSize + tagSize // by its length field
	maxRecord    = math.MaxUint16
	maxData      = maxRecord - tagSize - flagsSize - ackSize - resetSize
	maxFirstData = 16384
	// maxFirst is the longest record by which a client confirms a handshake.
	maxFirst = flagsSize + ackSize + resetSize + maxFirstData + tagSize

	// recordsPerKey is how many records are sealed before a rekey.
	recordsPerKey = 1 << 20
)

// The flags of a record.
const (
	flagAck    = 0x01
	flagFinAck = 0x02
	flagFin    = 0x04
	flagStop   = 0x08
	flagPing   = 0x10
	flagPong   = 0x20
	flagReset  = 0x40
	flagDrain  = 0x80 // of the second half

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

// aead returns the cipher under a key.
func (c cipherID) aead(key *secret) cipher.AEAD {
	var a cipher.AEAD
	var err error
	if c == cipherAESGCM {
		var b cipher.Block
		if b, err = aes.NewCipher(key[:]); err == nil {
			a, err = cipher.NewGCM(b)
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
	cipher cipherID
	aead   cipher.AEAD
	key    secret
	n      uint64
	rekeys int
	limit  uint64 // recordsPerKey, but in tests
	nonce  [12]byte
}

func newDirection(c cipherID, key secret) direction {
	return direction{cipher: c, aead: c.aead(&key), key: key, limit: recordsPerKey}
}

// at returns the nonce with the counter n, as Noise lays it out.
func (d *direction) at(n uint64) []byte {
	if d.cipher == cipherAESGCM {
		binary.BigEndian.PutUint64(d.nonce[4:], n)
	} else {
		binary.LittleEndian.PutUint64(d.nonce[4:], n)
	}
	return d.nonce[:]
}

// advance follows each record.
func (d *direction) advance() {
	if d.n++; d.n == d.limit {
		d.rekey()
	}
}

// rekey is Noise's REKEY.
func (d *direction) rekey() {
	var zeros [secretSize]byte
	b := d.aead.Seal(nil, d.at(math.MaxUint64), zeros[:], nil)
	copy(d.key[:], b)
	clear(b)
	d.aead = d.cipher.aead(&d.key)
	d.n = 0
	d.rekeys++
}

// A codec seals and opens the records of one link.
type codec struct {
	out, in    direction
	peerWindow int64
	client     bool
}

var _ suite.Codec = (*codec)(nil)

// newCodec returns the codec of one side of a link.
func newCodec(c cipherID, k *keys, client bool, peerWindow int64) *codec {
	toServer, toClient := newDirection(c, k.toServer), newDirection(c, k.toClient)
	if client {
		return &codec{out: toServer, in: toClient, peerWindow: peerWindow, client: true}
	}
	return &codec{out: toClient, in: toServer, peerWindow: peerWindow}
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
func (c *codec) MaxRecord() int { return lengthSize + maxRecord }

// Seal implements [suite.Codec]. The control's Consumed is not sent: it is
// Limit less the window that the handshake told.
func (c *codec) Seal(dst, data []byte, k suite.Control) []byte {
	if len(data) > c.MaxData() {
		panic(fmt.Sprintf("relink: internal error: %d bytes for one record", len(data)))
	}
	start := len(dst)
	dst = slices.Grow(dst, lengthSize+flagsSize+ackSize+resetSize+len(data)+tagSize)
	dst = append(dst, 0, 0)
	dst = appendControl(dst, k)
	dst = append(dst, data...)
	plain := dst[start+lengthSize:]
	order.PutUint16(dst[start:], uint16(len(plain)+tagSize))
	sealed := c.out.aead.Seal(plain[:0], c.out.at(c.out.n), plain, nil)
	c.out.advance()
	return dst[:start+lengthSize+len(sealed)]
}

// Open implements [suite.Codec]. A record that is not authentic is an
// [suite.ErrAuthentication], and one that is but breaks the protocol an
// [suite.ErrProtocol].
func (c *codec) Open(in []byte) (r suite.Record, n int, err error) {
	if len(in) < lengthSize {
		return r, 0, nil
	}
	l := int(order.Uint16(in))
	if l < minRecord {
		return r, 0, fmt.Errorf("%w: a record of %d bytes", suite.ErrAuthentication, l)
	}
	n = lengthSize + l
	if len(in) < n {
		return r, 0, nil
	}
	sealed := in[lengthSize:n]
	plain, err := c.in.aead.Open(sealed[:0], c.in.at(c.in.n), sealed, nil)
	if err != nil {
		return r, 0, fmt.Errorf("%w: record %d of the link does not open", suite.ErrAuthentication, c.in.n)
	}
	c.in.advance()
	if r, err = c.decode(plain); err != nil {
		return suite.Record{}, 0, err
	}
	return r, n, nil
}

// appendControl appends the flags and what they announce.
func appendControl(b []byte, k suite.Control) []byte {
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
	b = append(b, flags)
	if k.Ack {
		b = order.AppendUint64(b, uint64(k.Received))
		b = order.AppendUint64(b, uint64(k.Limit))
	}
	if k.Reset != 0 {
		b = order.AppendUint16(b, uint16(k.Reset))
	}
	return b
}

// decode decodes the plain text of a record, which has at least flagsSize
// bytes.
func (c *codec) decode(b []byte) (r suite.Record, err error) {
	flags := b[0]
	b = b[flagsSize:]
	if flags&^flagsKnown != 0 {
		return r, suite.Malformed("a record with the flags %#02x", flags)
	}
	if flags&flagAck != 0 {
		if len(b) < ackSize {
			return r, suite.Malformed("an acknowledgement cut short")
		}
		received, limit := order.Uint64(b), order.Uint64(b[8:])
		b = b[ackSize:]
		w := uint64(c.peerWindow)
		if received > maxOffset || limit < received || limit < w || limit-received > w {
			return r, suite.Malformed("an acknowledgement of %d bytes with the limit %d and a window of %d", received, limit, w)
		}
		r.Ack, r.Received, r.Limit = true, int64(received), int64(min(limit, maxOffset))
		r.Consumed = int64(limit - w)
	}
	if flags&flagReset != 0 {
		if len(b) < resetSize {
			return r, suite.Malformed("a reset cut short")
		}
		r.Reset = max(suite.ResetAborted, suite.ResetCode(order.Uint16(b))) // a code of 0 is no code
		b = b[resetSize:]
	}
	r.FinReceived = flags&flagFinAck != 0
	if r.FinReceived && !r.Ack {
		return suite.Record{}, suite.Malformed("the acknowledgement of an end, and of nothing else")
	}
	r.Fin = flags&flagFin != 0
	r.Stop = flags&flagStop != 0
	r.Ping = flags&flagPing != 0
	r.Pong = flags&flagPong != 0
	r.Data = b
	return r, nil
}
