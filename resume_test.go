package relink_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// randomBytes returns n bytes that are the same in every run.
func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{'r', 'e', 'l', 'i', 'n', 'k'}).Read(b) // it never fails
	return b
}

// TestStreamThroughCuts sends several times the buffer in each direction, and
// then in both at once, while transport after transport is cut: at some byte of
// either direction, and the newest one every second.
func TestStreamThroughCuts(t *testing.T) {
	for _, kind := range []faultnet.Kind{faultnet.Reset, faultnet.ResetNow, faultnet.End} {
		t.Run(kind.String(), func(t *testing.T) {
			forEachSuite(t, func(t *testing.T, s testSuite) {
				synctest.Test(t, func(t *testing.T) { testStreamThroughCuts(t, s, kind) })
			})
		})
	}
}

func testStreamThroughCuts(t *testing.T, s testSuite, kind faultnet.Kind) {
	const cuts = 60
	n := faultnet.New()
	n.SetOptions(faultnet.Options{Buffer: 16 << 10})
	at := rand.New(rand.NewPCG(1, uint64(kind)))
	n.OnDial(func(i int, p *faultnet.Path) error {
		if i < cuts {
			p.CutAt(faultnet.Up, int64(1500+at.IntN(50_000)), kind)
			p.CutAt(faultnet.Down, int64(1500+at.IntN(50_000)), kind)
		}
		return nil
	})
	// The classic wires need a history of more than what is under way.
	cfg := setup{ReplayLimit: 128 << 10}
	l, err := relink.NewListener(n.Listen(), cfg.listener(s))
	require.NoError(t, err)
	d := relink.Dialer{Suite: s, Config: cfg.shared(), DialTransport: n.Dial}
	client, err := d.DialConn(context.Background(), "tcp", "server")
	require.NoError(t, err)
	server, err := l.AcceptConn()
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-time.After(time.Second):
				n.Last().Cut(kind)
			case <-done:
				return
			}
		}
	}()

	data := randomBytes(512 << 10)
	transfer := func(from, to *relink.Conn) <-chan error {
		arrived := make(chan error, 1)
		go func() {
			_, err := from.Write(data)
			if err != nil {
				t.Error(err)
			}
		}()
		go func() {
			got := make([]byte, len(data))
			_, err := io.ReadFull(to, got)
			if err == nil && string(got) != string(data) {
				err = errors.New("the stream differs")
			}
			arrived <- err
		}()
		return arrived
	}
	require.NoError(t, <-transfer(client, server))
	require.NoError(t, <-transfer(server, client))
	up, down := transfer(client, server), transfer(server, client)
	require.NoError(t, <-up)
	require.NoError(t, <-down)
	close(done)
	for _, c := range []*relink.Conn{client, server} {
		stats := c.Stats()
		require.Equal(t, int64(2*len(data)), stats.BytesRead)
		require.Equal(t, int64(2*len(data)), stats.BytesWritten)
		require.GreaterOrEqual(t, stats.Resumes, int64(3)) // every path is cut within 50 KB
	}

	require.NoError(t, client.Close())
	_, err = server.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	require.NoError(t, server.Close())
	require.NoError(t, l.Close())
	<-client.Done()
	<-server.Done()
}
