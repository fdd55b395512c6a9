package conntest

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// A twins is two listeners with the same key, and a client that is led to one of them.
type twins struct {
	listeners [2]*relink.Listener
	transport [2]*pipeListener
	to        atomic.Int32
	client    *relink.Conn
	server    *relink.Conn // of the first
}

func newTwins(t *testing.T, s Suite, options ...func(i int, tw *twins, lc *relink.ListenConfig)) *twins {
	tw := new(twins)
	for i := range tw.listeners {
		tw.transport[i] = newPipeListener()
		lc := relink.ListenConfig{Suites: []relink.ServerSuite{s}}
		for _, o := range options {
			o(i, tw, &lc)
		}
		l, err := relink.NewListener(tw.transport[i], lc)
		require.NoError(t, err)
		tw.listeners[i] = l
	}
	d := relink.Dialer{Suite: s}
	d.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
		return tw.transport[tw.to.Load()].dial(ctx, network, address)
	}
	var err error
	tw.client, err = d.DialConn(t.Context(), "tcp", "server")
	require.NoError(t, err)
	tw.server, err = tw.listeners[0].AcceptConn()
	require.NoError(t, err)
	return tw
}

func (tw *twins) stop() {
	_, _ = tw.client.Abort(), tw.server.Abort()
	for _, l := range tw.listeners {
		_ = l.Close()
	}
}

func inBubbleOfNoise(t *testing.T, f func(t *testing.T, s Suite)) {
	for _, s := range []Suite{Noise, InsecureNoise} {
		t.Run(s.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, s) })
		})
	}
}

// The client of a server that was restarted learns it after some seconds, and not only
// after ResumeTimeout; it may have been another server that has answered.
func TestRestartedServer(t *testing.T) {
	inBubbleOfNoise(t, func(t *testing.T, s Suite) {
		tw := newTwins(t, s)
		tw.to.Store(1)
		start := time.Now()
		tw.client.NetworkChanged()
		_, err := tw.client.Read(make([]byte, 1))
		require.ErrorIs(t, err, relink.ErrSessionLost)
		require.NotErrorIs(t, err, relink.ErrExpired)
		require.ErrorContains(t, err, "another instance")
		require.InDelta(t, 10, time.Since(start).Seconds(), 0.1)
		tw.stop()
	})
}

// Whoever leads resumes to another server with the same key for a while does not end the
// session, however often: a new link makes everything well.
func TestLedAstray(t *testing.T) {
	inBubbleOfNoise(t, func(t *testing.T, s Suite) {
		tw := newTwins(t, s)
		for range 3 {
			tw.to.Store(1)
			tw.client.NetworkChanged()
			time.Sleep(9 * time.Second)
			require.NotEqual(t, relink.StateConnected, tw.client.State())
			tw.to.Store(0)
			RequireExchange(t, tw.client, tw.server, 1000)
		}
		tw.stop()
	})
}

// The instance that has made a session is believed at once: here the session has expired.
func TestUnknownToItsOwnInstance(t *testing.T) {
	inBubbleOfNoise(t, func(t *testing.T, s Suite) {
		r := New(t, s, WithServer(func(lc *relink.ListenConfig) { lc.ResumeTimeout = time.Second }))
		r.Suspend(faultnet.Refuse, faultnet.Reset)
		time.Sleep(2 * time.Second)
		r.Net.SetDown(faultnet.NotDown)
		start := time.Now()
		r.Client.NetworkChanged()
		_, err := r.Client.Read(make([]byte, 1))
		require.ErrorIs(t, err, relink.ErrSessionLost)
		require.NotErrorIs(t, err, relink.ErrExpired)
		require.Less(t, time.Since(start), time.Second)
		r.Stop()
	})
}
