package noise_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/noise"
	"github.com/relink-go/relink/internal/suite"
)

// A server with the same key that has not made the session cannot say for good that it
// is unknown, not even under the same node number; who has made it can, whatever the
// other has said before.
func TestOnlyTheInstanceThatMadeASessionIsFinal(t *testing.T) {
	for _, node := range []int64{0, 7} {
		p := newPair(t, false)
		options := noise.Options{ServerKeys: []noise.PrivateKey{p.key}, Node: node}
		own, other := protocol(t, options, true), protocol(t, options, true)
		p.server = own
		c, _, _ := p.open()
		_, _, clientErr, serverErr := p.resume(c, nil, nil) // a resume changes nothing about it
		require.NoError(t, clientErr)
		require.NoError(t, serverErr)

		p.host, p.server = newHost(), other
		for range 2 {
			_, w, clientErr, serverErr := p.resume(c, nil, nil)
			require.ErrorIs(t, clientErr, suite.ErrOtherInstance)
			require.NotErrorIs(t, clientErr, suite.ErrRefused)
			require.ErrorIs(t, serverErr, suite.ErrUnknownSession)
			require.Len(t, w.client, 2) // a resume and a query
		}
		p.server = own
		_, _, clientErr, _ = p.resume(c, nil, nil)
		require.ErrorIs(t, clientErr, suite.ErrRefused)
		require.NotErrorIs(t, clientErr, suite.ErrOtherInstance)
	}
}

// The number is drawn for each server that is configured, not for the options.
func TestInstancesDiffer(t *testing.T) {
	p := newPair(t, false)
	q, err := noise.New(noise.Options{ServerKeys: []noise.PrivateKey{p.key}})
	require.NoError(t, err)
	seen := make(map[uint32]bool)
	for range 8 {
		s, err := q.Configure(true, window)
		require.NoError(t, err)
		seen[noise.InstanceOf(s)] = true
	}
	require.Greater(t, len(seen), 6) // two may be the same once in 2^32
}
