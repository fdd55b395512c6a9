package relink_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// After the peer has closed there is nobody to whom a stream could be ended.
func TestCloseWriteAfterThePeerClosed(t *testing.T) {
	inAckBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s)
		r.exchange(100)
		require.NoError(t, r.server.Close())
		requireEOF(t, r.client)
		require.ErrorIs(t, r.client.CloseWrite(), relink.ErrPeerClosed)
		require.NoError(t, r.client.Close())
		r.stop()
	})
}

// What a listener remembers of ended sessions goes when its time is up.
func TestEndedSessionsAreForgotten(t *testing.T) {
	inAckBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s)
		for range 20 {
			c, server := r.open()
			require.NoError(t, c.Close())
			require.NoError(t, server.Close())
			<-c.Done()
			<-server.Done()
			require.LessOrEqual(t, relink.Remembered(r.l), 4)
			time.Sleep(defaultResumeTimeout/3 + time.Second)
		}
		time.Sleep(defaultResumeTimeout)
		require.Zero(t, relink.Remembered(r.l)) // their keys are not to be kept
		c, server := r.open()
		require.NoError(t, c.Abort())
		require.NoError(t, server.Abort())
		require.Equal(t, 1, relink.Remembered(r.l))
		require.NoError(t, r.l.Close())
		require.Zero(t, relink.Remembered(r.l))
		r.stop()
	})
}

// What a listener remembers of ended sessions is bounded: the oldest give way.
func TestRememberedSessionsAreBounded(t *testing.T) {
	inAckBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s)
		relink.Bury(r.l, relink.MaxTombstones+100)
		require.Equal(t, relink.MaxTombstones, relink.Remembered(r.l))
		r.suspend(faultnet.Refuse, faultnet.Reset)
		require.NoError(t, r.server.Abort())
		require.Equal(t, relink.MaxTombstones, relink.Remembered(r.l))
		r.net.SetDown(faultnet.NotDown)
		_, err := r.client.Read(make([]byte, 1))
		require.ErrorIs(t, err, relink.ErrSessionLost) // it was the newest
		time.Sleep(defaultResumeTimeout)
		require.Zero(t, relink.Remembered(r.l))
		r.stop()
	})
}

// Abort during a Write that is encrypting: the Write returns, and the memory is
// given back although the Write had it in hand.
func TestAbortDuringWrite(t *testing.T) {
	inRecordBubble(t, func(t *testing.T, p *records, s testSuite) {
		r := newRig(t, s)
		gate := make(chan struct{})
		wait := func() { <-gate }
		p.encrypting.Store(&wait)
		done := background(func() (int, error) { return r.client.Write(rigData(5000)) })
		stillBlocked(t, done)
		require.NoError(t, r.client.Abort())
		p.encrypting.Store(nil)
		close(gate)
		o := <-done
		require.Zero(t, o.n)
		require.ErrorIs(t, o.err, errClosed)
		require.Zero(t, r.client.Stats().Memory)
		r.stop()
	})
}

// A client of a wire without a close message closes, and its server leaves the
// transport open: after CloseTimeout the client is done, and nothing says that
// bytes were lost.
func TestCloseTimeoutWithATransport(t *testing.T) {
	for _, s := range []testSuite{dh64rc4Suite, scpSuite} {
		t.Run(s.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, s)
				r.exchange(100)
				start := time.Now()
				require.NoError(t, r.client.Close())
				<-r.client.Done()
				require.Equal(t, defaultCloseTimeout, time.Since(start))
				require.NoError(t, r.clientEvents.all(relink.EventClosed)[0].Err)
				r.stop()
			})
		})
	}
}
