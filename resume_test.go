package relink_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/conntest"
	"github.com/relink-go/relink/internal/faultnet"
	"github.com/relink-go/relink/internal/suite"
)

// The first record of a resumed link says where the server's stream goes on. One
// that does not is a violation, and takes nothing over.
func TestFirstRecordWithoutACount(t *testing.T) {
	conntest.InBubble(t, func(t *testing.T, s conntest.Suite) {
		if !strings.HasPrefix(s.String(), "Noise") {
			t.Skip("the other wires have no such record")
		}
		r := conntest.New(t, s, conntest.WithClient(func(c *relink.Dialer) {
			c.MinBackoff, c.MaxBackoff = time.Hour, time.Hour // keeps its own attempts away
		}))
		r.Exchange(100)
		r.Suspend(faultnet.Refuse, faultnet.Reset)
		r.Net.SetDown(faultnet.NotDown)
		tr, err := r.Net.Dial(context.Background(), "tcp", "server")
		require.NoError(t, err)
		p := relink.PresentResume(r.Client.Conn, tr)
		require.NoError(t, p.Err)
		p.SayFirst(suite.Control{Ping: true})
		require.NoError(t, p.Err)
		synctest.Wait()
		require.EqualValues(t, 1, conntest.LinksOf(r.Server.Conn))
		refused := r.Server.Events.All(relink.EventRefused)
		require.Len(t, refused, 1)
		require.ErrorIs(t, refused[0].Err, relink.ErrProtocol)
		require.NoError(t, tr.Close())

		r.Client.NetworkChanged()
		r.Exchange(100)
		r.Finish()
	})
}

// TestResumeRace presents many valid resumes of one session at once. One wins,
// and the others end in a typed error that says why.
func TestResumeRace(t *testing.T) {
	conntest.ForEachSuite(t, func(t *testing.T, s conntest.Suite) {
		for _, order := range []bool{true, false} {
			if !order && conntest.TraitsOf(s).Acks {
				continue // such a client counts its attempts, and the server keeps the keys of the last few only
			}
			cfg := conntest.Setup{MinBackoff: time.Hour, MaxBackoff: time.Hour, ResumeTimeout: 3 * time.Hour}
			conntest.InRig(t, s, cfg, faultnet.Options{}, func(sc *conntest.Rig) { testResumeRace(sc, s, order) })
		}
	})
}

func testResumeRace(sc *conntest.Rig, s conntest.Suite, order bool) {
	const n = 8
	t := sc.T
	sc.Echo(10, time.Second)
	sc.Net.OnDial(func(_ int, p *faultnet.Path) error {
		p.Stall(faultnet.Down) // keeps the answer from the client
		return nil
	})
	sc.ReplayBoth(1000, faultnet.ResetNow)
	sc.Net.SetDown(faultnet.Refuse) // keeps the client's own attempts away
	time.Sleep(time.Second)
	conntest.RequireSuspended(t, sc.Client.Conn)
	sc.Net.SetDown(faultnet.NotDown)

	var wg sync.WaitGroup
	presented := make([]*relink.Presented, n)
	for i := range presented {
		tr, err := sc.Net.Dial(context.Background(), "tcp", "server")
		require.NoError(t, err)
		wg.Go(func() { presented[i] = relink.PresentResume(sc.Client.Conn, tr) })
		if order {
			synctest.Wait()
		}
	}
	synctest.Wait()
	committed := len(sc.Server.Events.All(relink.EventResumed))
	for _, p := range slices.Backward(sc.Net.Paths()[1:]) {
		p.Release(faultnet.Down)
		if conntest.TraitsOf(s).Acks {
			synctest.Wait() // the answer to the last attempt is the one that counts
		}
	}
	wg.Wait()
	if conntest.TraitsOf(s).Acks { // the client's first record is what proves a resume
		require.NoError(t, presented[n-1].Err)
		presented[n-1].Adopt()
		time.Sleep(2 * conntest.DefaultHandshakeTimeout)
	}
	synctest.Wait()
	sc.Net.OnDial(nil)

	resumed, refused := sc.Server.Events.All(relink.EventResumed), sc.Server.Events.All(relink.EventRefused)
	require.Equal(t, n, len(resumed)+len(refused))
	if committed == 0 {
		require.Len(t, resumed, 1)
	} // else the wire has no proof behind the answer, so that each resume supersedes the one before
	for _, e := range refused {
		require.True(t, errors.Is(e.Err, relink.ErrSuperseded) || errors.Is(e.Err, relink.ErrAuthentication) && committed > 0 ||
			errors.Is(e.Err, relink.ErrHandshakeTimeout) && conntest.TraitsOf(s).Acks, "%v", e.Err)
	}
	winner := resumed[len(resumed)-1].Remote
	won := 0
	for _, p := range presented {
		if p.Transport.LocalAddr() == winner {
			require.NoError(t, p.Err)
			if !conntest.TraitsOf(s).Acks {
				p.Adopt()
			}
			won++
			continue
		}
		requireClosed(t, p.Transport)
		require.NoError(t, p.Transport.Close())
	}
	require.Equal(t, 1, won)
	sc.Client.Receive(1000)
	sc.Server.Receive(1000)
	sc.Echo(100, time.Second)
	sc.NothingMore()
	h := conntest.HoldingsOf(sc.Listener)
	require.Equal(t, 1, h.Live)
	require.Zero(t, h.Handshakes)
	require.Zero(t, h.Suspended)
	require.LessOrEqual(t, relink.KeysOf(sc.Listener), 3) // a session may be known by the keys of attempts that came to nothing
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

// What the record of a link says that a resume has superseded is not obeyed: its end and its
// acknowledgement are those of a moment that has passed.
func TestRecordOfAnOlderLink(t *testing.T) {
	conntest.InAckBubble(t, func(t *testing.T, s conntest.Suite) {
		r := conntest.New(t, s)
		r.Exchange(100)
		for _, k := range []suite.Control{{Fin: true}, {Stop: true}, {Ack: true, Received: 1 << 40}, {Reset: suite.ResetAborted}} {
			require.NoError(t, relink.TakeFromOlderLink(r.Server.Conn, k))
			r.Exchange(100)
		}
		require.Zero(t, r.Server.Stats().Resumes)
		r.Stop()
	})
}
