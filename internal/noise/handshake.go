package noise

import (
	"crypto/mlkem"
	"crypto/rand"
	"fmt"
	"io"

	"github.com/relink-go/relink/internal/suite"
)

// A party is what one side brings into a handshake.
type party struct {
	private PrivateKey // this side's static key: the server's, or in IK the client's
	public  PublicKey  // that belongs to it
	pinned  PublicKey  // the server's, on a client
	psk     *secret    // where the kind has one
	random  io.Reader  // nil is crypto/rand
}

// A handshake is Noise's HandshakeState (section 5.3) with the tokens of HFS, for
// handshakes of two messages. It is used once.
type handshake struct {
	symmetric
	kind      kind
	initiator bool
	party

	e    PrivateKey
	ePub PublicKey
	re   PublicKey // the peer's ephemeral key
	rs   PublicKey // the peer's static key
	dk   *mlkem.DecapsulationKey768
	ek   *mlkem.EncapsulationKey768
}

// newHandshake prepares a handshake. A client goes on with generate, because its
// request's clear part depends on the ephemeral key, and either side with start.
func newHandshake(k kind, c cipherID, initiator bool, p party) *handshake {
	// A handshake that lacks its secret would run as well, and protect nothing.
	if k.psk() != (p.psk != nil) {
		panic("relink: internal error: a handshake without its secret")
	}
	if p.random == nil {
		p.random = rand.Reader
	}
	return &handshake{symmetric: symmetric{cipher: c}, kind: k, initiator: initiator, party: p, rs: p.pinned}
}

// start mixes in what both sides know: the name, the prologue, and the server's
// static key.
func (h *handshake) start(prologue []byte) {
	h.initialize(h.kind.protocolName(h.cipher))
	h.mixHash(prologue)
	if h.kind.keyed() {
		if h.initiator {
			h.mixHash(h.rs[:])
		} else {
			h.mixHash(h.public[:])
		}
	}
}

// generate makes the ephemeral key.
func (h *handshake) generate() error {
	if _, err := io.ReadFull(h.random, h.e[:]); err != nil {
		return fmt.Errorf("relink: %w", err)
	}
	h.ePub = h.e.public()
	return nil
}

// write appends the next message to dst. With the last one come the keys.
func (h *handshake) write(dst, payload []byte) ([]byte, *keys, error) {
	tokens, _ := h.kind.tokens()
	if !h.initiator {
		_, tokens = h.kind.tokens()
	}
	for _, t := range tokens {
		var err error
		if dst, err = h.writeToken(dst, t); err != nil {
			return nil, nil, fmt.Errorf("%w: %w", suite.ErrAuthentication, err)
		}
	}
	dst = h.encryptAndHash(dst, payload)
	if h.initiator {
		return dst, nil, nil
	}
	return dst, h.derive(), nil
}

func (h *handshake) writeToken(dst []byte, t token) ([]byte, error) {
	switch t {
	case tokenE:
		if !h.initiator {
			if err := h.generate(); err != nil {
				return nil, err
			}
		}
		h.mixEphemeral(h.ePub)
		return append(dst, h.ePub[:]...), nil
	case tokenS:
		return h.encryptAndHash(dst, h.public[:]), nil
	case tokenE1:
		var err error
		if h.dk, err = newDecapsulationKey(h.random); err != nil {
			return nil, err
		}
		return h.encryptAndHash(dst, h.dk.EncapsulationKey().Bytes()), nil
	case tokenEKEM1:
		shared, ciphertext := encapsulate(h.ek)
		dst = h.encryptAndHash(dst, ciphertext)
		h.mixKey(shared)
		return dst, nil
	default:
		return dst, h.mix(t)
	}
}

// read opens the next message, whose length the caller has checked. With the
// last one come the keys.
func (h *handshake) read(message []byte) (payload []byte, k *keys, err error) {
	_, tokens := h.kind.tokens()
	if !h.initiator {
		tokens, _ = h.kind.tokens()
	}
	for _, t := range tokens {
		if message, err = h.readToken(message, t); err != nil {
			return nil, nil, fmt.Errorf("%w: %w", suite.ErrAuthentication, err)
		}
	}
	if payload, err = h.decryptAndHash(message); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", suite.ErrAuthentication, err)
	}
	if !h.initiator {
		return payload, nil, nil
	}
	return payload, h.derive(), nil
}

func (h *handshake) readToken(message []byte, t token) (rest []byte, err error) {
	var size int
	switch t {
	case tokenE:
		size = dhSize
	case tokenS:
		size = dhSize + h.overhead()
	case tokenE1:
		size = encapsulationKeySize + h.overhead()
	case tokenEKEM1:
		size = kemCiphertextSize + h.overhead()
	default:
		return message, h.mix(t)
	}
	part, rest := message[:size], message[size:]
	if t == tokenE {
		h.re = PublicKey(part)
		h.mixEphemeral(h.re)
		return rest, nil
	}
	plain, err := h.decryptAndHash(part)
	if err != nil {
		return nil, err
	}
	switch t {
	case tokenS:
		h.rs = PublicKey(plain)
	case tokenE1:
		if h.ek, err = mlkem.NewEncapsulationKey768(plain); err != nil {
			return nil, errKEMKey
		}
	default: // tokenEKEM1
		shared, err := h.dk.Decapsulate(plain)
		if err != nil {
			return nil, err
		}
		h.mixKey(shared)
	}
	return rest, nil
}

// mixEphemeral is what Noise does with an ephemeral key. A handshake with a PSK
// takes it as a key too, so that two of them never begin with the same one.
func (h *handshake) mixEphemeral(k PublicKey) {
	h.mixHash(k[:])
	if h.kind.psk() {
		h.mixKey(k[:])
	}
}

// mix takes a step that sends nothing.
func (h *handshake) mix(t token) error {
	own, peer := &h.e, &h.re
	switch t {
	case tokenPSK:
		h.mixKeyAndHash(h.psk[:])
		return nil
	case tokenES:
		if h.initiator {
			peer = &h.rs
		} else {
			own = &h.private
		}
	case tokenSE:
		if h.initiator {
			own = &h.private
		} else {
			peer = &h.rs
		}
	case tokenSS:
		own, peer = &h.private, &h.rs
	default: // tokenEE
	}
	shared, err := agree(own, peer)
	if err != nil {
		return err
	}
	h.mixKey(shared[:])
	clear(shared[:])
	return nil
}

// derive completes the handshake.
func (h *handshake) derive() *keys {
	k1, k2 := h.split()
	return deriveKeys(h.h[:], k1, k2)
}

// erase forgets all secrets of a handshake that is over, but those that are not
// its own: the static keys that it was given are copies too, and the PSK is not.
func (h *handshake) erase() {
	h.symmetric = symmetric{}
	h.private, h.e = PrivateKey{}, PrivateKey{}
	h.psk, h.dk = nil, nil
}
