package relink_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// TestLostProof cuts the first transport at each byte of each message of the
// handshake of a new session. Either Dial fails, and the listener keeps nothing,
// or the client believes in the session, and then it has one, also where the
// server never got the last message.
func TestLostProof(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s testSuite) {
		var length [2]int64
		for _, d := range directions {
			for off := int64(-1); off <= length[d]; off += strideOf(s) {
				for _, kind := range cutsAt(off) {
					if off < 0 && kind != faultnet.Reset {
						continue // without a cut all are alike
					}
					inBubbleScene(t, s, setup{}, func(sc *scene) {
						sc.label("%v cut at byte %d of the handshake, direction %v", kind, off, d)
						n := testLostProof(sc, d, off, kind)
						if off < 0 {
							length[d] = n + 2
						}
					})
				}
			}
		}
	})
}

// testLostProof returns how long the direction of the handshake was.
func testLostProof(sc *scene, d faultnet.Dir, off int64, kind faultnet.Kind) (length int64) {
	t := sc.t
	sc.net.OnDial(func(i int, p *faultnet.Path) error {
		if i == 0 && off >= 0 {
			p.CutAt(d, off, kind)
		}
		return nil
	})
	c, err := sc.dialer.DialConn(context.Background(), "tcp", "server")
	length = sc.net.Last().Sent(d)
	if err != nil {
		require.True(t, isTyped(err), "%v", err)
		requireForgotten(sc)
		return length
	}
	sc.client.Conn = c
	if off%2 == 0 {
		sc.client.write(50)
	}
	time.Sleep(time.Second)
	if kind >= faultnet.BlackHole {
		c.NetworkChanged()
	}
	sc.server.Conn, err = sc.listener.AcceptConn()
	require.NoError(t, err)
	require.Equal(t, c.ID(), sc.server.ID())
	if off%2 != 0 {
		sc.client.write(50)
	}
	sc.server.read(50)
	sc.echo(10, time.Second)
	sc.nothingMore()
	require.Len(t, sc.server.events.all(relink.EventOpened), 1)
	require.LessOrEqual(t, sc.net.Dials(), 3)
	h := holdingsOf(sc.listener)
	require.Equal(t, 1, h.live)
	sc.end()
	return length
}

// requireForgotten requires that nothing is left of a handshake whose client
// has given up. A server that spoke last may have accepted the session; it
// expires like any other.
func requireForgotten(sc *scene) {
	t := sc.t
	synctest.Wait()
	for range sc.server.events.all(relink.EventOpened) {
		c, err := sc.listener.AcceptConn()
		require.NoError(t, err)
		require.NoError(t, c.SetReadDeadline(time.Now().Add(2*defaultResumeTimeout)))
		_, err = c.Read(make([]byte, 1))
		require.Error(t, err)
		require.NoError(t, c.Abort())
	}
	time.Sleep(2 * defaultHandshakeTimeout)
	require.Equal(t, holdings{}, holdingsOf(sc.listener))
	require.NoError(t, sc.listener.Close())
	requireNothingLeft(t)
}

// TestLostProofTooLate has the client come back after the server's patience: it
// learns promptly and finally that there is no such session.
func TestLostProofTooLate(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s testSuite) {
		var up int64 // the length of the client's part
		inScene(t, s, setup{}, faultnet.Options{}, func(sc *scene) { up = sc.net.Last().Sent(faultnet.Up) })
		inBubbleScene(t, s, setup{}, func(sc *scene) {
			sc.net.OnDial(func(i int, p *faultnet.Path) error {
				if i == 0 {
					p.CutAt(faultnet.Up, up-1, faultnet.BlackHole) // so that it hears nothing of the end either
				}
				return nil
			})
			c, err := sc.dialer.DialConn(context.Background(), "tcp", "server")
			if err != nil {
				return // it does not speak last, and so it knows at once
			}
			sc.client.Conn = c
			time.Sleep(2 * defaultHandshakeTimeout)
			c.NetworkChanged()
			begin := time.Now()
			_, err = c.Read(make([]byte, 1))
			require.ErrorIs(t, err, relink.ErrSessionLost)
			require.Less(t, time.Since(begin), time.Second)
			require.Equal(t, relink.StateClosed, c.State())
			requireForgotten(sc)
		})
	})
}
