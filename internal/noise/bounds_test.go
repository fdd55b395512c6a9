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
		_, err := newKeyring(keys, nil)
		require.Equal(t, ok, err == nil, "%d keys: %v", n, err)
	}
	for window, ok := range map[int64]bool{0: false, 1: true, maxWindow: true, maxWindow + 1: false} {
		p, err := New(Options{Insecure: true})
		require.NoError(t, err)
		_, err = p.Configure(false, window)
		require.Equal(t, ok, err == nil, "a window of %d: %v", window, err)
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
