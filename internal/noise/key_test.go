package noise_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/noise"
	"github.com/relink-go/relink/internal/suite"
)

func TestKeys(t *testing.T) {
	k := noise.GenerateKey()
	require.NotEqual(t, k, noise.GenerateKey())
	again, err := noise.ParsePrivateKey(k.Encode())
	require.NoError(t, err)
	require.Equal(t, k, again)
	public, err := k.PublicKey()
	require.NoError(t, err)
	parsed, err := noise.ParsePublicKey(public.String())
	require.NoError(t, err)
	require.Equal(t, public, parsed)
	require.Len(t, public.String(), 44)

	// What other implementations of X25519 make of this key.
	k = noise.PrivateKey(bytes.Repeat([]byte{0x11}, 32))
	public, err = k.PublicKey()
	require.NoError(t, err)
	require.Equal(t, "7b4e909bbe7ffe44c465a220037d608ee35897d31ef972f07f74892cb0f73f13", hex.EncodeToString(public[:]))
}

func TestBadKeys(t *testing.T) {
	zero := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for _, s := range []string{"", "x", zero, zero[:40], zero + "AAAA", hex.EncodeToString(make([]byte, 32)), " " + noise.GenerateKey().Encode()} {
		_, err := noise.ParsePrivateKey(s)
		require.Error(t, err)
		_, err = noise.ParsePublicKey(s)
		require.Error(t, err)
		if s != "" && s != "x" && s != " " {
			require.NotContains(t, err.Error(), s)
		}
	}
	_, err := noise.PrivateKey{}.PublicKey()
	require.Error(t, err)
}

func TestBadOptions(t *testing.T) {
	key := noise.GenerateKey()
	public, err := key.PublicKey()
	require.NoError(t, err)
	for _, o := range []noise.Options{
		{Insecure: true, ServerKeys: []noise.PrivateKey{key}},
		{Insecure: true, PinnedKeys: []noise.PublicKey{public}},
		{ServerKeys: []noise.PrivateKey{key, key}},
		{ServerKeys: []noise.PrivateKey{{}}},
		{PinnedKeys: []noise.PublicKey{{}}},
		{PinnedKeys: make([]noise.PublicKey, 5)},
		{Node: -1},
		{Node: 1 << 32},
	} {
		_, err := noise.New(o)
		require.Error(t, err)
	}
	p, err := noise.New(noise.Options{PinnedKeys: []noise.PublicKey{public}})
	require.NoError(t, err)
	_, err = p.Configure(true, window)
	require.Error(t, err)
	p, err = noise.New(noise.Options{ServerKeys: []noise.PrivateKey{key}})
	require.NoError(t, err)
	_, err = p.Configure(false, window)
	require.Error(t, err)
	for _, w := range []int64{-1, 0, 1<<30 + 1} {
		_, err = p.Configure(true, w)
		require.Error(t, err)
	}
	require.Equal(t, "Noise", p.String())
	require.Equal(t, suite.MatchYes, p.Match([]byte{0x52}))
	require.Equal(t, suite.MatchNo, p.Match([]byte{0, 0x52}))
}
