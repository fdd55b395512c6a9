package relink_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// Shutdown of an http.Server closes its listener first. The requests under way are
// answered all the same, through cuts.
func TestAcceptorUnderHTTP(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		n := faultnet.New()
		inner := n.Listen()
		cfg := setup{}
		l, err := relink.NewListener(inner, cfg.listener(s))
		require.NoError(t, err)
		body := rigData(100_000)
		slow := make(chan struct{})
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(body[:len(body)/2])
			_ = http.NewResponseController(w).Flush()
			<-slow
			_, _ = w.Write(body[len(body)/2:])
		})}
		served := make(chan error, 1)
		go func() { served <- server.Serve(l.Acceptor()) }()
		d := &relink.Dialer{Suite: s, Config: cfg.shared(), DialTransport: n.Dial}
		transport := &http.Transport{DialContext: d.DialContext}
		response, err := (&http.Client{Transport: transport}).Get("http://server/")
		require.NoError(t, err)
		got := make([]byte, len(body)/2)
		_, err = io.ReadFull(response.Body, got)
		require.NoError(t, err)

		stopped := background(func() (int, error) { return 0, server.Shutdown(context.Background()) })
		stillBlocked(t, stopped)
		require.ErrorIs(t, <-served, http.ErrServerClosed)
		for range 3 {
			n.Last().Cut(faultnet.Reset)
			synctest.Wait()
		}
		close(slow)
		rest, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, body, append(got, rest...))
		require.NoError(t, (<-stopped).err)

		transport.CloseIdleConnections()
		require.NoError(t, l.Shutdown(t.Context()))
		_, err = inner.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
		time.Sleep(5 * time.Minute) // through what lingers
	})
}

// Close of an Acceptor ends accepting, and what nobody has accepted; everything else
// goes on.
func TestAcceptorClose(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		c := newCrowd(t, s, withClient(func(cfg *relink.Dialer) { cfg.ResumeTimeout = 5 * time.Second }))
		a := c.l.Acceptor()
		require.Equal(t, c.l.Addr(), a.Addr())
		unaccepted, err := a.Accept()
		require.NoError(t, err)
		_, ok := unaccepted.(*relink.Conn)
		require.True(t, ok)
		defer unaccepted.(*relink.Conn).Abort()
		c.net.SetDown(faultnet.NotDown)
		other, err := c.dialer.DialConn(t.Context(), "tcp", "server")
		require.NoError(t, err)
		defer other.Abort()
		if !isClassic(s) {
			requireSent(t, other)
		}
		synctest.Wait()
		require.Equal(t, 1, c.l.Stats().Backlog)

		requireInstant(t, func() { require.NoError(t, a.Close()) })
		require.Zero(t, c.l.Stats().Backlog)
		require.ErrorIs(t, a.Close(), net.ErrClosed)
		for _, l := range []net.Listener{a, c.l, c.l.Acceptor()} {
			_, err = l.Accept()
			require.ErrorIs(t, err, net.ErrClosed)
		}
		_, err = other.Read(make([]byte, 1)) // its client learns it
		require.Error(t, err)
		require.NotErrorIs(t, err, relink.ErrExpired)

		// Live and suspended sessions resume.
		c.suspendedClient.NetworkChanged()
		requireExchange(t, c.suspendedClient, c.suspended, 100)
		for range 3 {
			c.client.NetworkChanged()
			c.exchange(1000)
		}
		// New ones are refused.
		fresh, err := c.dialer.DialConn(t.Context(), "tcp", "server")
		if err == nil { // a client may believe in its session until it hears more
			_, err = fresh.Read(make([]byte, 1))
			_ = fresh.Abort()
		}
		require.Error(t, err)
		require.Positive(t, c.l.Stats().Refused.ShuttingDown)

		require.NoError(t, c.l.Close())
		require.NoError(t, c.l.Acceptor().Close()) // a server may stop later
		c.stop()
	})
}

// An Accept that waits ends with the Acceptor.
func TestAcceptorCloseWakesAccept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := relink.NewListener(faultnet.New().Listen(), relink.ListenConfig{Suites: []relink.ServerSuite{scpSuite}})
		require.NoError(t, err)
		a := l.Acceptor()
		accepting := background(func() (int, error) { _, err := a.Accept(); return 0, err })
		stillBlocked(t, accepting)
		requireInstant(t, func() {
			require.NoError(t, a.Close())
			require.ErrorIs(t, (<-accepting).err, net.ErrClosed)
		})
		require.NoError(t, l.Shutdown(t.Context()))
	})
}
