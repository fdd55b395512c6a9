package rc4pair_test

import (
	"bytes"
	"crypto/rc4" //nolint:gosec // the other implementation to compare with
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/rc4pair"
	"github.com/relink-go/relink/rc4stream"
)

// TestAgainstCryptoRC4 runs both directions at once, in pieces of all sizes,
// from before the states move until well behind it.
func TestAgainstCryptoRC4(t *testing.T) {
	t.Parallel()
	key := []byte("8 bytes.")
	for seed := range uint64(20) {
		var p rc4pair.Pair
		require.NoError(t, p.Init(key))
		var wg sync.WaitGroup
		for i, direction := range []func(dst, src []byte){p.Encrypt, p.Decrypt} {
			wg.Go(func() {
				random := rand.New(rand.NewPCG(seed, uint64(i)))
				want, err := rc4.NewCipher(key) //nolint:gosec // see above
				if err != nil {
					panic(err)
				}
				for done := 0; done < 2*rc4pair.Much; {
					data := make([]byte, random.IntN(rc4pair.Much/3))
					for k := range data {
						data[k] = byte(random.Uint32())
					}
					expected := make([]byte, len(data))
					want.XORKeyStream(expected, data)
					direction(data, data)
					if !bytes.Equal(expected, data) {
						t.Errorf("seed %d, direction %d: wrong within %d bytes behind %d", seed, i, len(data), done)
						return
					}
					done += len(data)
				}
			})
		}
		wg.Wait()
		require.GreaterOrEqual(t, p.Distance(), rc4pair.FetchedAhead)
	}
}

// TestOneDirectionStays: a direction that carries little stays where it is.
func TestOneDirectionStays(t *testing.T) {
	t.Parallel()
	var p, q rc4pair.Pair
	require.NoError(t, p.Init([]byte("key")))
	require.NoError(t, q.Init([]byte("key")))
	message := bytes.Repeat([]byte("message"), rc4pair.Much)
	sealed := make([]byte, len(message))
	p.Encrypt(sealed, message)
	q.Decrypt(sealed, sealed)
	require.Equal(t, message, sealed)
	answer := []byte("answer")
	q.Encrypt(answer, answer)
	p.Decrypt(answer, answer)
	require.Equal(t, "answer", string(answer))
	require.Equal(t, [2]bool{true, false}, p.Moved())
	require.Equal(t, [2]bool{false, true}, q.Moved())
}

func TestInit(t *testing.T) {
	t.Parallel()
	var p rc4pair.Pair
	require.Equal(t, rc4stream.KeySizeError(0), p.Init(nil))
	require.Panics(t, func() { p.Encrypt(make([]byte, 1), make([]byte, 1)) })
	require.Panics(t, func() { p.Decrypt(make([]byte, 1), make([]byte, 1)) })
}
