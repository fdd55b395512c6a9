package relink_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/conntest"
	"github.com/relink-go/relink/internal/faultnet"
)

// What a listener remembers of ended sessions goes when its time is up.
func TestEndedSessionsAreForgotten(t *testing.T) {
	conntest.InAckBubble(t, func(t *testing.T, s conntest.Suite) {
		r := conntest.New(t, s)
		for range 20 {
			c, server := r.Open()
			require.NoError(t, c.Close())
			require.NoError(t, server.Close())
			<-c.Done()
			<-server.Done()
			require.LessOrEqual(t, relink.Remembered(r.Listener), 4)
			time.Sleep(conntest.DefaultResumeTimeout/3 + time.Second)
		}
		time.Sleep(conntest.DefaultResumeTimeout)
		require.Zero(t, relink.Remembered(r.Listener)) // their keys are not to be kept
		c, server := r.Open()
		require.NoError(t, c.Abort())
		require.NoError(t, server.Abort())
		require.Equal(t, 1, relink.Remembered(r.Listener))
		require.NoError(t, r.Listener.Close())
		require.Zero(t, relink.Remembered(r.Listener))
		r.Stop()
	})
}

// What a listener remembers of ended sessions is bounded: the oldest give way.
func TestRememberedSessionsAreBounded(t *testing.T) {
	conntest.InAckBubble(t, func(t *testing.T, s conntest.Suite) {
		r := conntest.New(t, s)
		relink.Bury(r.Listener, relink.MaxTombstones+100)
		require.Equal(t, relink.MaxTombstones, relink.Remembered(r.Listener))
		r.Suspend(faultnet.Refuse, faultnet.Reset)
		require.NoError(t, r.Server.Abort())
		require.Equal(t, relink.MaxTombstones, relink.Remembered(r.Listener))
		r.Net.SetDown(faultnet.NotDown)
		_, err := r.Client.Read(make([]byte, 1))
		require.ErrorIs(t, err, relink.ErrSessionLost) // it was the newest
		time.Sleep(conntest.DefaultResumeTimeout)
		require.Zero(t, relink.Remembered(r.Listener))
		r.Stop()
	})
}
