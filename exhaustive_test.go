package relink_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// A planned cut is one of the path with that number, counted from 0.
type plannedCut struct {
	path int
	dir  faultnet.Dir
	off  int64
	kind faultnet.Kind
}

func (c plannedCut) String() string {
	return fmt.Sprintf("%v at byte %d of path %d, direction %v", c.kind, c.off, c.path, c.dir)
}

// The conversation that the exhaustive tests hold: a new session, data both
// ways, the loss of the link with data under way, a resume, data, and the end.
// It exchanges talk bytes at a time.
const talk = 12

// converse holds the conversation through the cuts and requires the contract of
// it: each side gets every byte once and in order, then the end, promptly, and
// nothing is left. It returns how many bytes the paths carried, by number and
// direction.
func converse(t *testing.T, s relink.Suite, cuts ...plannedCut) (carried [][2]int64) {
	synctest.Test(t, func(t *testing.T) {
		sc := newScene(t, s, relink.Config{ResumeTimeout: 20 * time.Second, HandshakeTimeout: 4 * time.Second, AttemptTimeout: 2 * time.Second}, faultnet.Options{})
		sc.label("%v", cuts)
		sc.net.OnDial(func(i int, p *faultnet.Path) error {
			for _, c := range cuts {
				if c.path == i {
					p.CutAt(c.dir, c.off, c.kind)
				}
			}
			return nil
		})
		c := dialThrough(sc, len(cuts))
		sc.client.Conn = c
		stop := make(chan struct{})
		defer close(stop)
		go watchNetwork(c, cuts, stop)
		accepted := make(chan struct{})
		go acceptOwn(sc, accepted)

		sc.client.write(talk)
		select {
		case <-accepted:
		case <-time.After(time.Minute):
			require.FailNow(t, "the session does not arrive")
		}
		for _, e := range []*side{sc.client, sc.server} {
			require.NoError(t, e.SetDeadline(time.Now().Add(time.Minute)))
		}
		sc.server.read(talk)
		sc.server.write(talk)
		sc.client.read(talk)
		sc.replayBoth(talk, faultnet.ResetNow)
		sc.client.read(talk)
		sc.server.read(talk)
		sc.server.write(talk)
		sc.client.read(talk)
		sc.client.write(talk)
		require.NoError(t, c.Close())

		end := sc.server.readAll()
		require.Equal(t, int64(3*talk), sc.server.got, "the stream ends early: %v", end)
		if relink.TraitsOf(s).HalfClose {
			require.Equal(t, io.EOF, end)
		} else {
			// On a wire without a close message the end is what the last transport
			// said, and a cut says what it likes.
			require.True(t, errors.Is(end, io.EOF) || errors.Is(end, relink.ErrExpired), "%v", end)
		}
		require.NoError(t, sc.server.Close())
		sc.client.awaitDone()
		sc.server.awaitDone()
		time.Sleep(time.Minute) // sessions of handshakes that came to nothing expire
		require.Equal(t, relink.Holdings{}, relink.HoldingsOf(sc.listener))
		require.NoError(t, sc.listener.Close())
		for _, p := range sc.net.Paths() {
			carried = append(carried, [2]int64{p.Sent(faultnet.Up), p.Sent(faultnet.Down)})
		}
	})
	return carried
}

// dialThrough dials until one dial works: the first is tried once only, and a
// cut is an error of it.
func dialThrough(sc *scene, cuts int) *relink.Conn {
	for i := 0; ; i++ {
		c, err := sc.dialer.Dial(context.Background(), "tcp", "server")
		if err == nil {
			return c
		}
		require.True(sc.t, isTyped(err), "%v", err)
		require.Less(sc.t, i, cuts)
	}
}

// acceptOwn accepts sessions until it has the client's. Others are those of
// dials that failed although the server had done its part; they are ended.
func acceptOwn(sc *scene, accepted chan<- struct{}) {
	own := false
	for {
		c, err := sc.listener.AcceptConn()
		switch {
		case err != nil:
			return
		case c.ID() != sc.client.ID():
			_ = c.Abort()
		case own:
			sc.t.Error("the session was accepted twice")
		default:
			sc.server.Conn, own = c, true
			close(accepted)
		}
	}
}

// watchNetwork is the application that reports a change of network after a
// transport has fallen silent, which is how a wire without pings learns of it.
func watchNetwork(c *relink.Conn, cuts []plannedCut, stop <-chan struct{}) {
	silent := false
	for _, cut := range cuts {
		silent = silent || cut.kind >= faultnet.BlackHole
	}
	for range 6 {
		select {
		case <-time.After(1100 * time.Millisecond):
		case <-stop:
			return
		}
		if silent {
			c.NetworkChanged()
		}
	}
}

// positions returns the cuts that hit the conversation at each byte, by a dry
// run. Messages can differ in length from run to run by a few bytes.
func positions(t *testing.T, s relink.Suite) (all []plannedCut) {
	for i, carried := range converse(t, s) {
		for _, d := range directions {
			for off := range carried[d] + 3 {
				all = append(all, plannedCut{path: i, dir: d, off: off})
			}
		}
	}
	return all
}

// TestExhaustiveCut cuts the conversation once at each byte of each direction.
// Each position is tried with one kind of cut, in turn, and with every kind
// under RELINK_EXHAUSTIVE=1.
func TestExhaustiveCut(t *testing.T) {
	t.Parallel()
	forEachSuite(t, func(t *testing.T, s relink.Suite) {
		for i, c := range positions(t, s) {
			if int64(i)%strideOf(s) != 0 {
				continue
			}
			for _, c.kind = range cutsAt(int64(i)) {
				converse(t, s, c)
			}
		}
	})
}

// TestExhaustiveCutTwice cuts the conversation twice: at a sample of positions
// that is the same in every run, or under RELINK_EXHAUSTIVE=1 at each position
// of the whole together with each byte of the next path.
func TestExhaustiveCutTwice(t *testing.T) {
	t.Parallel()
	const samples = 150
	forEachSuite(t, func(t *testing.T, s relink.Suite) {
		all := positions(t, s)
		kinds := cutsAt(-1)
		random := rand.New(rand.NewPCG(9, 9))
		if !everything {
			for range samples / strideOf(s) {
				a, b := all[random.IntN(len(all))], all[random.IntN(len(all))]
				a.kind, b.kind = kinds[random.IntN(len(kinds))], kinds[random.IntN(len(kinds))]
				b.path = a.path + 1 - random.IntN(2)
				converse(t, s, a, b)
			}
			return
		}
		for _, a := range all {
			for _, b := range all {
				if b.path == 1 { // its handshake is a resume, like that of each path after it
					a.kind, b.kind = kinds[random.IntN(len(kinds))], kinds[random.IntN(len(kinds))]
					b.path = a.path + 1
					converse(t, s, a, b)
				}
			}
		}
	})
}
