package noise_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/noise"
	"github.com/relink-go/relink/internal/suite"
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

// A session whose secrets were erased answers no request, at whatever step of it that
// happens, and asks none: nothing is ever done under a secret of zeros.
func TestErasedSessions(t *testing.T) {
	each(t, func(t *testing.T, p *pair) {
		zero := func(kept []*[32]byte) {
			t.Helper()
			for _, k := range kept {
				require.Zero(t, *k)
			}
		}
		c, s, _ := p.open()
		_, _, err, _ := p.resume(c, nil, func(int, []byte) ([]byte, bool) { return nil, false })
		require.Error(t, err)
		kept := noise.KeptSecrets(s.session)
		require.Len(t, kept, 2)
		s.session.(suite.Eraser).Erase()
		zero(kept)
		require.NotZero(t, s.session.ID())
		unknown := []byte{0x52, 1, 4, 0, 0} // the hint, after which the client asks whether it is so
		_, w, err, _ := p.resume(c, nil, nil)
		require.Error(t, err)
		require.Equal(t, unknown, w.server[0])
		require.Empty(t, s.links[1:])

		// Within a request.
		c, s, _ = p.open()
		p.host.asking = s.session.(suite.Eraser).Erase
		_, w, err, _ = p.resume(c, nil, nil)
		require.Error(t, err)
		require.Equal(t, unknown, w.server[0])
		zero(noise.KeptSecrets(s.session))
		require.Empty(t, s.links[1:])
		p.host.asking = nil

		// On a client, before and within an attempt.
		for _, within := range []bool{false, true} {
			c, s, _ = p.open()
			erase := c.session.(suite.Eraser).Erase
			if !within {
				erase()
			}
			_, w, err, _ := p.resume(c, nil, func(_ int, b []byte) ([]byte, bool) { erase(); return b, true })
			require.Error(t, err)
			require.Zero(t, noise.SecretsOf(c.session).Resumption)
			require.Equal(t, within, len(w.client) > 0)
			require.Empty(t, s.links[1:])
		}
	})
}
