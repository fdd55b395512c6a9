package noise

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/suite"
)

// What is just inside a bound is taken, and what is just outside is not.
func TestBounds(t *testing.T) {
	for c, known := range map[cipherID]bool{0: false, cipherAESGCM: true, cipherChaChaPoly: true, 3: false} {
		require.Equal(t, known, c.known(), "cipher %d", c)
	}
	for n, ok := range map[uint32]bool{0: false, 1: true, maxWindow: true, maxWindow + 1: false} {
		_, err := checkWindow(n)
		require.Equal(t, ok, err == nil, "a window of %d", n)
	}
	for n, ok := range map[uint64]bool{0: true, maxOffset: true, maxOffset + 1: false} {
		_, err := offset(n)
		require.Equal(t, ok, err == nil, "offset %d", n)
	}
	for length, ok := range map[int]bool{0: true, maxBody: true, maxBody + 1: false} {
		_, err := decodeVersions([]byte{0, 1, 1, byte(length >> 8), byte(length)})
		require.Equal(t, ok, err == nil, "a request of %d bytes", length)
	}
	for n, ok := range map[int]bool{maxKeys: true, maxKeys + 1: false} {
		keys := make([]PrivateKey, n)
		for i := range keys {
			keys[i] = GenerateKey()
		}
		_, err := newKeyring("NoiseServer", keys, nil)
		require.Equal(t, ok, err == nil, "%d keys: %v", n, err)
	}
	for window, ok := range map[int64]bool{0: false, 1: true, maxWindow: true, maxWindow + 1: false} {
		p, err := New(Options{Insecure: true})
		require.NoError(t, err)
		_, err = p.Configure(false, window)
		require.Equal(t, ok, err == nil, "a window of %d: %v", window, err)
	}
}

// A limit is compared as the specification has it (Conventions, 9.2): one that passes the
// last offset means that, an acknowledgement of a greater offset is none, and what a side states
// itself never passes it.
func TestLimitsAtTheLastOffset(t *testing.T) {
	const peer = 1 << 16
	c := &codec{peerWindow: peer}
	ack := func(received uint64, unread, credit uint32) []byte {
		b := order.AppendUint64(nil, received)
		b = order.AppendUint32(order.AppendUint32(b, unread), credit)
		return append(b, flagAck)
	}
	for _, tt := range []struct {
		received       uint64
		unread, credit uint32
		limit          int64 // or -1 for a violation
	}{
		{0, 0, 0, 0},
		{0, 0, peer, peer},
		{0, 0, peer + 1, -1},
		{0, 1, 0, -1},
		{1, 1, peer - 1, peer},
		{1, 1, peer, -1},
		{peer, peer, 0, peer},
		{peer, peer, 1, -1},
		{0, 0, 1<<32 - 1, -1},
		{1 << 32, 1<<32 - 1, 1<<32 - 1, -1}, // they are not added as 32 bits
		{1 << 32, 1, 1<<32 - 1, -1},
		{maxOffset - peer, 0, peer - 1, maxOffset - 1},
		{maxOffset - peer, 0, peer, maxOffset},
		{maxOffset - peer + 1, 0, peer, maxOffset},
		{maxOffset - 1, 0, peer, maxOffset},
		{maxOffset, 0, 0, maxOffset},
		{maxOffset, 0, peer, maxOffset},
		{maxOffset, peer, 0, maxOffset},
		{maxOffset + 1, 0, 0, -1},
		{maxOffset + 1, peer, 0, -1},
		{1<<64 - 1, 0, 0, -1},
		{1<<64 - 1, 0, 1, -1}, // it does not wrap around
	} {
		r, err := c.decode(ack(tt.received, tt.unread, tt.credit))
		if tt.limit < 0 {
			require.ErrorIs(t, err, suite.ErrProtocol, "%+v", tt)
			continue
		}
		require.NoError(t, err, "%+v", tt)
		require.Equal(t, tt.limit, r.Limit, "%+v", tt)
		require.Equal(t, int64(tt.received), r.Received)
		require.Equal(t, int64(tt.received)-int64(tt.unread), r.Consumed)
		require.Equal(t, max(0, maxOffset-int64(tt.received)) < int64(tt.credit), r.Limit-r.Received < int64(tt.credit))

		// And stated again it is the same, of what there is.
		again, err := c.decode(appendControl(nil, r.Control))
		require.NoError(t, err)
		require.Equal(t, r, again)
	}
}

// A record's header is judged as soon as it is there.
func TestHeaderAlone(t *testing.T) {
	c, _ := NewCodecs(byte(cipherAESGCM), 1, 1<<10, 1<<10)
	_, n, err := c.Open(nil, []byte{255, 0})
	require.NoError(t, err)
	require.Zero(t, n)
	_, _, err = c.Open(nil, []byte{255, 0, 99})
	require.ErrorIs(t, err, suite.ErrAuthentication)
}

// Nothing decrypts to nothing.
func TestDecryptNothing(*testing.T) { new(base).Decrypt(nil, nil) }
