package conntest

import (
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
)

// A server that replaces another one passes resumes of the sessions on that it does not
// know. They go on there, with what was under way in both directions; new sessions stay.
func TestPassOn(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		var mu sync.Mutex
		var passed []net.Conn
		var events EventLog
		tw := newTwins(t, s, func(i int, tw *twins, lc *relink.ListenConfig) {
			if i == 0 {
				lc.OnEvent = events.add
				return
			}
			lc.PassOn = func(c net.Conn, read []byte) bool {
				mu.Lock()
				passed = append(passed, c)
				mu.Unlock()
				tw.listeners[0].TakeTransport(c, read, "passed on")
				return true
			}
		})
		RequireExchange(t, tw.client, tw.server, 1000)
		tw.to.Store(1)
		for range 3 {
			tw.client.NetworkChanged()
			RequireExchange(t, tw.client, tw.server, 100_000)
		}
		require.Equal(t, "passed on", tw.server.Label())
		require.Len(t, passed, 3)
		pipe, _ := net.Pipe()
		for _, c := range passed {
			require.IsType(t, pipe, c, "as the inner listener returned it")
		}
		require.Len(t, events.All(relink.EventResumed), 3)
		require.Empty(t, events.All(relink.EventRefused))
		stats := tw.listeners[1].Stats()
		require.Zero(t, stats.Refused.Total())
		require.Zero(t, stats.Handshakes)

		d := relink.Dialer{Suite: s, DialTransport: tw.transport[1].dial}
		client, err := d.DialConn(t.Context(), "tcp", "server")
		require.NoError(t, err)
		server, err := tw.listeners[1].AcceptConn()
		require.NoError(t, err)
		RequireExchange(t, client, server, 1000)
		client.NetworkChanged()
		RequireExchange(t, client, server, 1000)
		require.Len(t, passed, 3)
		_, _ = client.Abort(), server.Abort()
		tw.stop()
	})
}

// Nobody takes it, or the one who should panics: the client hears what it would have heard.
func TestPassOnToNobody(t *testing.T) {
	for what, pass := range map[string]func(net.Conn, []byte) bool{
		"refused": func(net.Conn, []byte) bool { return false },
		"panics":  func(net.Conn, []byte) bool { panic("the test's panic") },
	} {
		t.Run(what, func(t *testing.T) {
			InBubble(t, func(t *testing.T, s Suite) {
				tw := newTwins(t, s, func(_ int, _ *twins, lc *relink.ListenConfig) { lc.PassOn = pass })
				tw.to.Store(1)
				tw.client.NetworkChanged()
				require.Eventually(t, func() bool { return tw.listeners[1].Stats().Refused.Total() > 0 }, time.Minute, time.Millisecond)
				stats := tw.listeners[1].Stats().Refused
				if what == "refused" {
					require.Positive(t, stats.UnknownSession)
				} else {
					require.Positive(t, stats.Other)
				}
				tw.stop()
			})
		})
	}
}

// What a listener is given after its end it closes.
func TestTakeTransportAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewIdle(t, Noise)
		a, b := net.Pipe()
		require.NoError(t, r.Listener.Close())
		r.Listener.TakeTransport(b, []byte{1}, "")
		_, err := a.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)
	})
}
