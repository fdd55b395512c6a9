package relink_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// TestResumeAgainUnread resumes again and again while nobody reads what the
// resumes before have brought.
func TestResumeAgainUnread(t *testing.T) {
	t.Parallel()
	const rounds, size = 6, 3000
	for _, kind := range losses {
		for _, o := range []faultnet.Options{{}, {Opaque: true}, {Segment: 700}} {
			t.Run(fmt.Sprintf("%v/%+v", kind, o), func(t *testing.T) {
				forEachSuite(t, func(t *testing.T, s testSuite) {
					inScene(t, s, setup{}, o, func(sc *scene) {
						sc.echo(10, time.Second)
						for i := range rounds {
							sc.replayBoth(size, kind)
							if kind != faultnet.ResetNow {
								sc.net.Last().Release(faultnet.Down) // the news of the cut waits behind the stall
								sc.net.Last().Release(faultnet.Up)
							}
							if i%2 == 1 {
								sc.client.NetworkChanged()
							}
							time.Sleep(time.Second)
							require.GreaterOrEqual(sc.t, linksOf(sc.server.Conn), int64(i+2))
						}
						sc.client.read(rounds * size)
						sc.server.read(rounds * size)
						sc.echo(100, time.Second)
						sc.nothingMore()
					})
				})
			})
		}
	}
}

// TestResumeCutEverywhere cuts the transport of a resume at each byte that it
// carries, the request, the answer, the proof and the replay: the next attempt
// works. Every byte is cut with one kind of cut, and with all of them where
// everything is asked for.
func TestResumeCutEverywhere(t *testing.T) {
	t.Parallel()
	const size = 20
	forEachSuite(t, func(t *testing.T, s testSuite) {
		var length [2]int64
		for _, d := range directions {
			for off := int64(-1); off <= length[d]; off += strideOf(s) {
				for _, kind := range cutsAt(off) {
					inScene(t, s, setup{}, faultnet.Options{}, func(sc *scene) {
						sc.label("%v cut at byte %d of the resume, direction %v", kind, off, d)
						sc.echo(10, time.Second)
						sc.net.OnDial(func(i int, p *faultnet.Path) error {
							if i == 1 && off >= 0 {
								p.CutAt(d, off, kind)
							}
							return nil
						})
						sc.replayBoth(size, faultnet.ResetNow)
						time.Sleep(6 * time.Second) // an attempt into a black hole has its time limit
						resumed := sc.net.Paths()[1]
						if off < 0 {
							length[d] = max(length[d], resumed.Sent(d)+2)
						}
						sc.client.NetworkChanged()
						sc.client.read(size)
						sc.server.read(size)
						sc.echo(10, time.Second)
						sc.nothingMore()
						// The first, the resume that is cut, the next, and the one after the
						// change of network. And one more where the server had the proof of
						// the resume that was cut, and takes the session over with it only
						// after it has answered the next, which thereby loses.
						require.LessOrEqual(t, sc.net.Dials(), 5)
					})
				}
			}
		}
	})
}

// TestResumeRace presents many valid resumes of one session at once. One wins,
// and the others end in a typed error that says why.
func TestResumeRace(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s testSuite) {
		for _, order := range []bool{true, false} {
			if !order && traitsOf(s).Acks {
				continue // such a client counts its attempts, and the server keeps the keys of the last few only
			}
			cfg := setup{MinBackoff: time.Hour, MaxBackoff: time.Hour, ResumeTimeout: 3 * time.Hour}
			inScene(t, s, cfg, faultnet.Options{}, func(sc *scene) { testResumeRace(sc, s, order) })
		}
	})
}

func testResumeRace(sc *scene, s testSuite, order bool) {
	const n = 8
	t := sc.t
	sc.echo(10, time.Second)
	sc.net.OnDial(func(_ int, p *faultnet.Path) error {
		p.Stall(faultnet.Down) // keeps the answer from the client
		return nil
	})
	sc.replayBoth(1000, faultnet.ResetNow)
	sc.net.SetDown(faultnet.Refuse) // keeps the client's own attempts away
	time.Sleep(time.Second)
	requireSuspended(t, sc.client.Conn)
	sc.net.SetDown(faultnet.NotDown)

	var wg sync.WaitGroup
	presented := make([]*relink.Presented, n)
	for i := range presented {
		tr, err := sc.net.Dial(context.Background(), "tcp", "server")
		require.NoError(t, err)
		wg.Go(func() { presented[i] = relink.PresentResume(sc.client.Conn, tr) })
		if order {
			synctest.Wait()
		}
	}
	synctest.Wait()
	committed := len(sc.server.events.all(relink.EventResumed))
	for _, p := range slices.Backward(sc.net.Paths()[1:]) {
		p.Release(faultnet.Down)
		if traitsOf(s).Acks {
			synctest.Wait() // the answer to the last attempt is the one that counts
		}
	}
	wg.Wait()
	if traitsOf(s).Acks { // the client's first record is what proves a resume
		require.NoError(t, presented[n-1].Err)
		presented[n-1].Adopt()
		time.Sleep(2 * defaultHandshakeTimeout)
	}
	synctest.Wait()
	sc.net.OnDial(nil)

	resumed, refused := sc.server.events.all(relink.EventResumed), sc.server.events.all(relink.EventRefused)
	require.Equal(t, n, len(resumed)+len(refused))
	if committed == 0 {
		require.Len(t, resumed, 1)
	} // else the wire has no proof behind the answer, so that each resume supersedes the one before
	for _, e := range refused {
		require.True(t, errors.Is(e.Err, relink.ErrSuperseded) || errors.Is(e.Err, relink.ErrAuthentication) && committed > 0 ||
			errors.Is(e.Err, relink.ErrHandshakeTimeout) && traitsOf(s).Acks, "%v", e.Err)
	}
	winner := resumed[len(resumed)-1].Remote
	won := 0
	for _, p := range presented {
		if p.Transport.LocalAddr() == winner {
			require.NoError(t, p.Err)
			if !traitsOf(s).Acks {
				p.Adopt()
			}
			won++
			continue
		}
		requireClosed(t, p.Transport)
		require.NoError(t, p.Transport.Close())
	}
	require.Equal(t, 1, won)
	sc.client.read(1000)
	sc.server.read(1000)
	sc.echo(100, time.Second)
	sc.nothingMore()
	h := holdingsOf(sc.listener)
	require.Equal(t, 1, h.live)
	require.Zero(t, h.handshakes)
	require.Zero(t, h.suspended)
	require.LessOrEqual(t, relink.KeysOf(sc.listener), 3) // a session may be known by the keys of attempts that came to nothing
}

// requireClosed requires that the other end of a transport has been closed.
func requireClosed(t testing.TB, tr net.Conn) {
	t.Helper()
	require.NoError(t, tr.SetReadDeadline(time.Now().Add(time.Second)))
	var err error
	for buf := make([]byte, 4096); err == nil; {
		_, err = tr.Read(buf)
	}
	var ne net.Error
	require.False(t, errors.As(err, &ne) && ne.Timeout(), "the transport of a resume that has lost is left open")
}
