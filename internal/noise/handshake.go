package noise

import (
	"fmt"
	"io"

	"github.com/flynn/noise"

	"github.com/relink-go/relink/internal/suite"
)

// cipherFunc returns the library's cipher.
func (c cipherID) cipherFunc() noise.CipherFunc {
	if c == cipherAESGCM {
		return noise.CipherAESGCM
	}
	return noise.CipherChaChaPoly
}

// lazyCipher makes the cipher of a key when it encrypts for the first time. Half
// of a handshake's keys never do, those of Split among them.
type lazyCipher struct{ noise.CipherFunc }

func (l lazyCipher) Cipher(k [32]byte) noise.Cipher { return &keyedCipher{of: l.CipherFunc, key: k} }

type keyedCipher struct {
	of   noise.CipherFunc
	key  [32]byte
	made noise.Cipher
}

func (k *keyedCipher) cipher() noise.Cipher {
	if k.made == nil {
		k.made = k.of.Cipher(k.key)
	}
	return k.made
}

func (k *keyedCipher) Encrypt(out []byte, n uint64, ad, plaintext []byte) []byte {
	return k.cipher().Encrypt(out, n, ad, plaintext)
}

func (k *keyedCipher) Decrypt(out []byte, n uint64, ad, ciphertext []byte) ([]byte, error) {
	return k.cipher().Decrypt(out, n, ad, ciphertext)
}

// A handshake is one Noise handshake of two messages. It is used once.
type handshake struct {
	state *noise.HandshakeState
}

// A party is what one side brings into a handshake.
type party struct {
	static *serverKey // the server's, in a keyed kind
	pinned PublicKey  // the client's, in a keyed kind
	psk    *secret    // in a resume
	random io.Reader
}

// newHandshake begins the handshake of a request, whose clear part is the
// prologue.
func newHandshake(r request, initiator bool, p party) (*handshake, error) {
	return beginHandshake(r.kind, r.cipher, r.encode(), initiator, p)
}

func beginHandshake(k kind, cipher cipherID, prologue []byte, initiator bool, p party) (*handshake, error) {
	c := noise.Config{
		CipherSuite: noise.NewCipherSuite(dh{}, lazyCipher{cipher.cipherFunc()}, noise.HashSHA256),
		Random:      p.random,
		Pattern:     noise.HandshakeNN,
		Initiator:   initiator,
		Prologue:    prologue,
	}
	if k.keyed() {
		c.Pattern = noise.HandshakeNK
		if initiator {
			c.PeerStatic = p.pinned[:]
		} else {
			c.StaticKeypair = noise.DHKey{Private: p.static.private[:], Public: p.static.public[:]}
		}
	}
	// The library runs silently without a pre-shared key that it was not
	// given, so that it must not be able to be missing here.
	if k.isResume() != (p.psk != nil) {
		panic("relink: internal error: a resume without its secret")
	}
	if p.psk != nil {
		c.PresharedKey = p.psk[:]
	}
	state, err := noise.NewHandshakeState(c)
	if err != nil {
		return nil, fmt.Errorf("relink: %w", err)
	}
	return &handshake{state}, nil
}

// write appends the next message to dst. With the last one come the keys.
func (h *handshake) write(dst, payload []byte) ([]byte, *keys, error) {
	b, c1, c2, err := h.state.WriteMessage(dst, payload)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", suite.ErrAuthentication, err)
	}
	return b, h.derive(c1, c2), nil
}

// read opens the next message, whose length the caller has checked. With the
// last one come the keys.
func (h *handshake) read(message []byte) (payload []byte, k *keys, err error) {
	payload, c1, c2, err := h.state.ReadMessage(nil, message)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", suite.ErrAuthentication, err)
	}
	return payload, h.derive(c1, c2), nil
}

func (h *handshake) derive(c1, c2 *noise.CipherState) *keys {
	if c1 == nil {
		return nil
	}
	return deriveKeys(h.state.ChannelBinding(), c1.UnsafeKey(), c2.UnsafeKey())
}
