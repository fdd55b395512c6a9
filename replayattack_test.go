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

// TestReplayedHandshakes replays what an observer has seen of every handshake
// of a session, whole and each prefix, against that session while it is
// connected and while it is suspended. It must not notice.
func TestReplayedHandshakes(t *testing.T) {
	const maxHandshakes = 32
	forEachSuite(t, func(t *testing.T, s testSuite) {
		synctest.Test(t, func(t *testing.T) {
			sc := newScene(t, s, setup{
				MaxHandshakes: maxHandshakes,
				ResumeTimeout: 24 * time.Hour, MinBackoff: 24 * time.Hour, MaxBackoff: 24 * time.Hour,
			}, faultnet.Options{})
			captured := captureHandshakes(sc)
			path := sc.net.Last()
			epoch := linksOf(sc.server.Conn)
			quiet := holdingsAtRest(sc)
			memory := sc.server.Stats().Memory

			for round := range 3 {
				for i, m := range captured {
					for k := 0; k <= len(m); k += (1 + round*7) * int(strideOf(s)) {
						replayAgainst(sc, m[:k], k%2 == 0)
						require.Equal(t, epoch, linksOf(sc.server.Conn), "message %d, %d bytes", i, k)
						h := holdingsOf(sc.listener)
						require.LessOrEqual(t, h.handshakes, maxHandshakes)
						require.LessOrEqual(t, h.provisional, maxHandshakes)
					}
				}
				require.Equal(t, quiet, holdingsAtRest(sc), "after round %d", round)
				require.LessOrEqual(t, sc.server.Stats().Memory, memory)
			}
			sc.nothingMore()

			// The same while the client is away: nobody else brings it back.
			sc.net.OnDial(func(int, *faultnet.Path) error { return errNoNetwork })
			sc.replayBothAfter(path, 1000, faultnet.ResetNow)
			time.Sleep(time.Second)
			sc.net.OnDial(nil)
			for i, m := range captured {
				for k := 0; k <= len(m); k += 5 * int(strideOf(s)) {
					attack(sc, m[:k], k%2 == 0)
				}
				attack(sc, m, false)
				synctest.Wait()
				require.Equal(t, epoch, linksOf(sc.server.Conn), "message %d", i)
			}
			requireSuspended(t, sc.client.Conn)
			sc.client.NetworkChanged()
			sc.client.read(1000)
			sc.server.read(1000)
			sc.echo(10, time.Second)
			sc.nothingMore()
			require.Equal(t, epoch+1, linksOf(sc.server.Conn))
			holdingsAtRest(sc)
			for _, e := range sc.server.events.all(relink.EventRefused) {
				require.True(t, isTyped(e.Err), "%v", e.Err)
			}
			sc.end()
		})
	})
}

// A resume that is replayed against a session which was closed, and whose client
// has everything, does not end its link either: that would destroy what is under
// way.
func TestReplayedResumeWhileClosing(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s)
		r.exchange(100)
		r.net.OnDial(func(_ int, p *faultnet.Path) error {
			p.Record()
			return nil
		})
		r.client.NetworkChanged()
		synctest.Wait()
		path := r.net.Last()
		captured := path.Bytes(faultnet.Up)
		path.Stall(faultnet.Down)
		require.NoError(t, r.server.Close())
		synctest.Wait()
		require.Equal(t, relink.StateClosing, r.server.State())

		attacker, err := r.net.Dial(t.Context(), "tcp", "server")
		require.NoError(t, err)
		requireWrite(t, attacker, captured)
		synctest.Wait()
		require.Equal(t, relink.StateClosing, r.server.State())

		path.Release(faultnet.Down)
		requireEOF(t, r.client)
		require.NoError(t, attacker.Close())
		r.stop()
	})
}

// captureHandshakes opens a session, resumes it twice, once with nothing and
// once with much to replay, and returns all that the client has said.
func captureHandshakes(sc *scene) (captured [][]byte) {
	sc.t.Helper()
	sc.net.OnDial(func(_ int, p *faultnet.Path) error {
		p.Record()
		return nil
	})
	sc.open()
	synctest.Wait()
	captured = append(captured, sc.net.Last().Bytes(faultnet.Up))
	sc.echo(10, time.Second)
	sc.client.NetworkChanged()
	synctest.Wait()
	captured = append(captured, sc.net.Last().Bytes(faultnet.Up))
	sc.echo(10, time.Second)
	sc.replayBoth(30, faultnet.ResetNow)
	time.Sleep(time.Second)
	synctest.Wait()
	captured = append(captured, sc.net.Last().Bytes(faultnet.Up))
	sc.client.read(30)
	sc.server.read(30)
	sc.net.OnDial(nil)
	require.Len(sc.t, sc.net.Paths(), 3)
	return captured
}

// attack sends bytes to the listener and leaves, or stays.
func attack(sc *scene, b []byte, leave bool) {
	sc.t.Helper()
	tr, err := sc.net.Dial(context.Background(), "tcp", "server")
	require.NoError(sc.t, err)
	if len(b) > 0 {
		_, err = tr.Write(b)
		require.NoError(sc.t, err)
	}
	if leave {
		require.NoError(sc.t, tr.Close())
	}
}

// replayAgainst attacks while the server waits in Read, and requires that the
// session goes on without the loss of a moment.
func replayAgainst(sc *scene, b []byte, leave bool) {
	sc.t.Helper()
	begin := time.Now()
	read := sc.server.reading(4)
	synctest.Wait()
	attack(sc, b, leave)
	synctest.Wait()
	require.Equal(sc.t, relink.StateConnected, sc.server.State())
	sc.client.write(4)
	<-read
	sc.server.write(4)
	sc.client.read(4)
	require.Zero(sc.t, time.Since(begin), "the session was held up")
}

// holdingsAtRest waits until the time of all handshakes is up and returns what
// the listener holds. A wire may be unable to tell a replayed request for a new
// session from an honest one; such sessions are accepted and ended first.
func holdingsAtRest(sc *scene) holdings {
	sc.t.Helper()
	synctest.Wait()
	opened := len(sc.server.events.all(relink.EventOpened))
	ended := len(sc.server.events.all(relink.EventClosed))
	for range opened - ended - 1 {
		c, err := sc.listener.AcceptConn()
		require.NoError(sc.t, err)
		require.NoError(sc.t, c.Abort())
	}
	time.Sleep(2 * defaultHandshakeTimeout)
	return holdingsOf(sc.listener)
}
