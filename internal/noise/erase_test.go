package noise_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/noise"
)

// What a server has kept for a resume is overwritten when it keeps it no longer: a
// secret that was replaced, an answer that was not taken, and one that is pushed out.
func TestReplacedSecretsAreErased(t *testing.T) {
	each(t, func(t *testing.T, p *pair) {
		c, s, _ := p.open()
		first := noise.KeptSecrets(s.session)
		require.Len(t, first, 1)
		require.NotZero(t, *first[0])
		lost := func(message int, b []byte) ([]byte, bool) { return nil, false } // the answer
		var unconfirmed []*[32]byte
		for i := range 4 {
			_, _, err, _ := p.resume(c, nil, lost)
			require.Error(t, err)
			kept := noise.KeptSecrets(s.session)
			require.Len(t, kept, 1+min(i+1, 2))
			unconfirmed = append(unconfirmed, kept[len(kept)-1])
		}
		require.Zero(t, *unconfirmed[0])
		require.Zero(t, *unconfirmed[1])
		require.NotZero(t, *unconfirmed[2])
		require.NotZero(t, *first[0])

		_, _, clientErr, serverErr := p.resume(c, nil, nil)
		require.NoError(t, clientErr)
		require.NoError(t, serverErr)
		require.Zero(t, *first[0])
		for _, k := range unconfirmed {
			require.Zero(t, *k)
		}
		kept := noise.KeptSecrets(s.session)
		require.Len(t, kept, 1)
		require.Equal(t, noise.SecretsOf(c.session).Resumption, *kept[0])
	})
}
