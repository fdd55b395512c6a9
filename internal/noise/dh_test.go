package noise_test

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/noise"
)

// The standard library's X25519 gives the same keys and secrets, for any bytes.
func TestAgreementIsX25519(t *testing.T) {
	for range 1000 {
		var mine, random noise.PrivateKey
		var theirs noise.PublicKey
		rand.Read(mine[:])
		rand.Read(random[:])
		rand.Read(theirs[:]) // any 32 bytes are a public key, the highest bit of which is ignored

		own, err := ecdh.X25519().NewPrivateKey(mine[:])
		require.NoError(t, err)
		public, err := mine.PublicKey()
		require.NoError(t, err)
		require.Equal(t, own.PublicKey().Bytes(), public[:])

		peer, err := ecdh.X25519().NewPublicKey(theirs[:])
		require.NoError(t, err)
		want, err := own.ECDH(peer)
		require.NoError(t, err)
		got, err := noise.Agree(mine, theirs)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

// The points of low order, from whose multiples an attacker would know the
// secret. They are those of RFC 7748's curve, and two not reduced by the prime.
func TestLowOrderPointsAreRefused(t *testing.T) {
	for _, point := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
		"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"0000000000000000000000000000000000000000000000000000000000000080",
	} {
		b, err := hex.DecodeString(point)
		require.NoError(t, err)
		_, err = noise.Agree(noise.GenerateKey(), noise.PublicKey(b))
		require.Error(t, err, point)
	}
}
