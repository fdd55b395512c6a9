// Package rc4pair has the two RC4 states of a session, one for each direction.
// Both begin with the same key, as the protocols that use it have it.
//
// # Why they move apart
//
// A state is 256 bytes in which each byte of the stream loads three elements
// and stores two. The first is always the one behind the last, and so the
// processor fetches ahead: beyond the end of the state, up to 512 bytes. If
// another state lies there that another processor works with, its lines are
// taken away from there all the time. Two states with less than 512 bytes
// between them run at half the speed (see docs/performance.md); a whole session
// takes little more.
//
// Most sessions never notice, and there are very many of them. So the states lie
// side by side at first. A direction that has carried much gets a state of its
// own, with as much space around it as it needs. Its session holds far more than
// that in its buffers by then.
package rc4pair

import (
	"sync/atomic"

	"github.com/relink-go/relink/rc4stream"
)

const (
	// much is how many bytes a direction carries before its state moves.
	much = 128 << 10

	// fetchedAhead is how far beyond a state the processor looks.
	fetchedAhead = 512
)

// A Pair encrypts one direction of a stream and decrypts the other. One goroutine
// at a time may call Encrypt, and one Decrypt. The zero value has no key, and
// panics.
type Pair struct {
	// Where they have not moved, with the pointer between them, so that it is in a
	// line of the cache that either direction needs.

	out   rc4stream.Cipher
	apart atomic.Pointer[apart]
	in    rc4stream.Cipher
}

// An apart has room for both, because what is written is usually answered.
// Behind it comes another of its size.
type apart struct {
	outs bool // out is here
	out  rc4stream.Cipher
	_    [fetchedAhead]byte
	ins  bool // in is here
	in   rc4stream.Cipher
	_    [fetchedAhead]byte
}

// Init gives both directions the key. It must be 1 to 256 bytes long, else the
// error is an [rc4stream.KeySizeError].
func (p *Pair) Init(key []byte) error {
	if err := p.out.Init(key); err != nil {
		return err
	}
	p.in = p.out
	return nil
}

// Encrypt XORs src with the key stream of the direction that goes out. The slices
// are those of [rc4stream.Cipher.XORKeyStream].
func (p *Pair) Encrypt(dst, src []byte) {
	if a := p.apart.Load(); a != nil && a.outs {
		a.out.XORKeyStream(dst, src)
		return
	}
	p.out.XORKeyStream(dst, src)
	if p.out.Position() > much {
		a := p.room()
		a.out, a.outs = p.out, true
		p.out = rc4stream.Cipher{}
	}
}

// Decrypt XORs src with the key stream of the direction that comes in.
func (p *Pair) Decrypt(dst, src []byte) {
	if a := p.apart.Load(); a != nil && a.ins {
		a.in.XORKeyStream(dst, src)
		return
	}
	p.in.XORKeyStream(dst, src)
	if p.in.Position() > much {
		a := p.room()
		a.in, a.ins = p.in, true
		p.in = rc4stream.Cipher{}
	}
}

// room returns the room for states that move, which the first direction makes.
func (p *Pair) room() *apart {
	if a := p.apart.Load(); a != nil {
		return a
	}
	p.apart.CompareAndSwap(nil, new(apart))
	return p.apart.Load()
}
