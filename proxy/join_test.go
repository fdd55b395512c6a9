package proxy_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
	"github.com/relink-go/relink/proxy"
)

// A pair is a suite with both sides' options.
type pair struct {
	server relink.ServerSuite
	client relink.ClientSuite
}

func noise() pair {
	k := relink.GenerateKey()
	return pair{relink.NoiseServer{Keys: []relink.PrivateKey{k}}, relink.NoiseClient{ServerKeys: []relink.PublicKey{k.PublicKey()}}}
}

var classic = pair{relink.DH64RC4Server{}, relink.DH64RC4Client{}}

// session opens a session over a network in memory, within the caller's bubble.
func session(t *testing.T, p pair) (client, server *relink.Conn) {
	t.Helper()
	network := faultnet.New()
	l, err := relink.NewListener(network.Listen(), relink.ListenConfig{Suites: []relink.ServerSuite{p.server}})
	require.NoError(t, err)
	d := relink.Dialer{Suite: p.client, DialTransport: network.Dial}
	client, err = d.DialConn(t.Context(), "tcp", "server")
	require.NoError(t, err)
	server, err = l.AcceptConn()
	require.NoError(t, err)
	t.Cleanup(func() { _, _, _ = client.Abort(), server.Abort(), l.Close() })
	return client, server
}

// backEnd is a connection in memory that can be half-closed.
func backEnd(t *testing.T) (near, far net.Conn) {
	t.Helper()
	near, far, _ = faultnet.Pair(faultnet.Options{})
	t.Cleanup(func() { _, _ = near.Close(), far.Close() })
	return near, far
}

func join(session *relink.Conn, other io.ReadWriteCloser, limits proxy.Limits) <-chan error {
	done := make(chan error, 1)
	go func() { done <- proxy.Join(context.Background(), session, other, limits) }()
	return done
}

func closeWrite(t *testing.T, c net.Conn) {
	t.Helper()
	require.NoError(t, c.(interface{ CloseWrite() error }).CloseWrite())
}

// A half-close goes through, and the answer to it comes back.
func TestHalfClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := session(t, noise())
		near, far := backEnd(t)
		done := join(server, near, proxy.Limits{})

		_, err := io.WriteString(client, "question")
		require.NoError(t, err)
		require.NoError(t, client.CloseWrite())
		got, err := io.ReadAll(far)
		require.NoError(t, err)
		require.Equal(t, "question", string(got))

		_, err = io.WriteString(far, "answer")
		require.NoError(t, err)
		require.NoError(t, far.Close())
		got, err = io.ReadAll(client)
		require.NoError(t, err)
		require.Equal(t, "answer", string(got))
		require.NoError(t, client.Close())
		require.NoError(t, <-done)
	})
}

// The other direction goes on when the server has ended first.
func TestHalfCloseByServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := session(t, noise())
		near, far := backEnd(t)
		done := join(server, near, proxy.Limits{})
		closeWrite(t, far)
		_, err := client.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err)
		_, err = io.WriteString(client, "late")
		require.NoError(t, err)
		require.NoError(t, client.Close())
		got, err := io.ReadAll(far)
		require.NoError(t, err)
		require.Equal(t, "late", string(got))
		require.NoError(t, <-done)
	})
}

// A connection without CloseWrite is closed at the end of the stream.
func TestWithoutCloseWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := session(t, noise())
		near, far := net.Pipe()
		done := join(server, near, proxy.Limits{})
		_, err := io.WriteString(client, "all")
		require.NoError(t, err)
		require.NoError(t, client.CloseWrite())
		got, err := io.ReadAll(far)
		require.NoError(t, err)
		require.Equal(t, "all", string(got))
		_, err = client.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err)
		require.NoError(t, <-done)
	})
}

// On a classic wire the session is closed when the server has ended, and the
// client has everything.
func TestClassicServerEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := session(t, classic)
		near, far := backEnd(t)
		done := join(server, near, proxy.Limits{})
		_, err := io.WriteString(far, "last words")
		require.NoError(t, err)
		require.NoError(t, far.Close())
		got := make([]byte, 10)
		_, err = io.ReadFull(client, got)
		require.NoError(t, err)
		require.Equal(t, "last words", string(got))
		require.NoError(t, <-done)
	})
}

// On a classic wire a client whose application has ended waits for the answer, as long as
// it keeps coming.
func TestClassicUnsaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := session(t, classic)
		near, far := backEnd(t)
		begun := time.Now()
		done := join(client, near, proxy.Limits{Unsaid: time.Second})
		_, err := io.WriteString(far, "?")
		require.NoError(t, err)
		closeWrite(t, far)
		for range 3 {
			time.Sleep(900 * time.Millisecond) // of the bubble
			_, err = io.WriteString(server, "part ")
			require.NoError(t, err)
		}
		got, err := io.ReadAll(far)
		require.NoError(t, err)
		require.Equal(t, "part part part ", string(got))
		require.GreaterOrEqual(t, time.Since(begun), 3500*time.Millisecond)
		require.Less(t, time.Since(begun), 6*time.Second)
		_ = server.Abort()
		t.Log(<-done) // how it ends depends on the wire
	})
}

// What fails on one side is not a clean end on the other.
func TestFailures(t *testing.T) {
	t.Run("connection", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client, server := session(t, noise())
			near, far, path := faultnet.Pair(faultnet.Options{})
			defer far.Close()
			done := join(server, near, proxy.Limits{})
			path.Cut(faultnet.Reset)
			_, err := client.Read(make([]byte, 1))
			require.ErrorIs(t, err, relink.ErrSessionLost)
			require.ErrorIs(t, <-done, syscall.ECONNRESET)
		})
	})
	t.Run("session", func(t *testing.T) {
		p := noise() // over real sockets, which can be reset
		// The word that the client sends in Abort may be lost with its transport:
		// then the session expires.
		lc := relink.ListenConfig{Config: relink.Config{ResumeTimeout: 100 * time.Millisecond}, Suites: []relink.ServerSuite{p.server}}
		l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		client, err := relink.Dial("tcp", l.Addr().String(), p.client)
		require.NoError(t, err)
		server, err := l.AcceptConn()
		require.NoError(t, err)
		near, far := tcpPair(t)
		done := join(server, near, proxy.Limits{})
		_ = client.Abort()
		err = <-done
		require.True(t, errors.Is(err, relink.ErrSessionLost) || errors.Is(err, relink.ErrExpired), "%v", err)
		_, err = far.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
	})
	t.Run("context", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			client, server := session(t, noise())
			near, _ := backEnd(t)
			ctx, cancel := context.WithCancelCause(t.Context())
			done := make(chan error, 1)
			go func() { done <- proxy.Join(ctx, server, near, proxy.Limits{}) }()
			why := errors.New("enough")
			cancel(why)
			require.ErrorIs(t, <-done, why)
			_, err := client.Read(make([]byte, 1))
			require.ErrorIs(t, err, relink.ErrSessionLost)
		})
	})
}

func TestLimits(t *testing.T) {
	echo := func(c net.Conn) { _, _ = io.Copy(c, c) }
	mute := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	for name, c := range map[string]struct {
		limits proxy.Limits
		far    func(net.Conn)
		busy   time.Duration // how long the client writes each second
		want   error
		after  time.Duration // the earliest
		before time.Duration
	}{
		"idle":      {proxy.Limits{Idle: 8 * time.Second}, echo, 0, proxy.ErrIdle, 8 * time.Second, 11 * time.Second},
		"busy":      {proxy.Limits{Idle: 8 * time.Second}, echo, 60 * time.Second, proxy.ErrIdle, 67 * time.Second, 72 * time.Second},
		"life":      {proxy.Limits{Life: 30 * time.Second, Idle: 12 * time.Second}, echo, 60 * time.Second, proxy.ErrLife, 30 * time.Second, 31 * time.Second},
		"no answer": {proxy.Limits{Answer: 8 * time.Second}, mute, 60 * time.Second, proxy.ErrNoAnswer, 8 * time.Second, 13 * time.Second},
		"answered":  {proxy.Limits{Answer: 8 * time.Second, Life: 40 * time.Second}, echo, 60 * time.Second, proxy.ErrLife, 40 * time.Second, 41 * time.Second},
		"unasked":   {proxy.Limits{Answer: 8 * time.Second, Life: 40 * time.Second}, mute, 0, proxy.ErrLife, 40 * time.Second, 41 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := session(t, noise())
				near, far := backEnd(t)
				go c.far(far)
				go func() { _, _ = io.Copy(io.Discard, client) }()
				begun := time.Now()
				var writer sync.WaitGroup
				writer.Go(func() {
					for time.Since(begun) < c.busy {
						if _, err := client.Write([]byte{1}); err != nil {
							return
						}
						time.Sleep(time.Second) // of the bubble
					}
				})
				require.ErrorIs(t, proxy.Join(t.Context(), server, near, c.limits), c.want)
				require.GreaterOrEqual(t, time.Since(begun), c.after)
				require.LessOrEqual(t, time.Since(begun), c.before)
				writer.Wait()
			})
		})
	}
}

// tcpPair is a connection that can be reset.
func tcpPair(t *testing.T) (near, far net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	near, err = net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	far, err = l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = near.Close(), far.Close() })
	return near, far
}

// A session that is ended in order ends for its server as if the client had ended its stream, and what
// the server still says is of no use any more; for the client it ends with all that it was sent.
func TestEnd(t *testing.T) {
	for name, p := range map[string]pair{"noise": noise(), "classic": classic} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := session(t, p)
				near, far := backEnd(t)
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				done := make(chan error, 1)
				go func() { done <- proxy.Join(ctx, server, near, proxy.Limits{}) }()
				_, err := io.WriteString(client, "up")
				require.NoError(t, err)
				_, err = io.WriteString(far, "down")
				require.NoError(t, err)
				b := make([]byte, 2)
				_, err = io.ReadFull(far, b)
				require.NoError(t, err)
				synctest.Wait()

				cancel(proxy.ErrEnd)
				rest, err := io.ReadAll(far)
				require.NoError(t, err, "not reset")
				require.Empty(t, rest)
				_, err = io.WriteString(far, "last words")
				require.NoError(t, err)
				require.NoError(t, far.Close())
				rest, err = io.ReadAll(client)
				require.NoError(t, err)
				require.Equal(t, "down", string(rest))
				require.NoError(t, client.Close())
				require.NoError(t, <-done)
			})
		})
	}
}

// A server that does not end is not waited for.
func TestEndOfAServerThatGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := session(t, noise())
		near, _ := backEnd(t)
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		done := make(chan error, 1)
		go func() { done <- proxy.Join(ctx, server, near, proxy.Limits{}) }()
		synctest.Wait()
		begun := time.Now()
		cancel(proxy.ErrEnd)
		_, err := io.ReadAll(client)
		require.NoError(t, err)
		require.NoError(t, client.Close())
		require.NoError(t, <-done)
		require.InDelta(t, 5, time.Since(begun).Seconds(), 1)
	})
}
