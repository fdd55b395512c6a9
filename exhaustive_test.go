package relink_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// How much of the space of cuts the exhaustive tests go through is said by
// RELINK_EXHAUSTIVE:
//
//	(nothing)   every position with one kind of cut, in turn, and a sample of pairs
//	single      every position with every kind
//	double:k/n  the k-th of n shares of all pairs of positions with all pairs of kinds
//	1           single, and every pair of positions with one pair of kinds, in turn
const (
	exhaustiveSingle = "single"
	exhaustiveDouble = "double:%d/%d"
)

var exhaustive = os.Getenv("RELINK_EXHAUSTIVE")

// everyKind is every kind of cut there is.
var everyKind = append(append([]faultnet.Kind{faultnet.EndUp, faultnet.EndDown}, losses...), holes...)

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
func converse(t *testing.T, s testSuite, cuts ...plannedCut) (carried [][2]int64) {
	synctest.Test(t, func(t *testing.T) {
		sc := newScene(t, s, setup{ResumeTimeout: 20 * time.Second, HandshakeTimeout: 4 * time.Second, AttemptTimeout: 2 * time.Second}, faultnet.Options{})
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
		forged := isClassic(s) && slices.ContainsFunc(cuts, forgesEnd)
		if !forged || sc.server.got < 2*talk {
			require.Equal(t, int64(3*talk), sc.server.got, "the stream ends early: %v", end)
		}
		if traitsOf(s).HalfClose {
			require.Equal(t, io.EOF, end)
		} else {
			// On a wire without a close message the end is what the last transport
			// said, and a cut says what it likes. A server whose transport was silent
			// when the client went for good waits for the kernel to find out, which
			// this network has not. A client goes for good once it knows that all has
			// arrived, and a resume tells it so before its proof is on its way.
			silent := (forged || len(cuts) > 1 && slices.ContainsFunc(cuts, silences)) && errors.Is(end, os.ErrDeadlineExceeded)
			require.True(t, errors.Is(end, io.EOF) || errors.Is(end, relink.ErrExpired) || silent, "%v", end)
		}
		require.NoError(t, sc.server.Close())
		sc.client.awaitDone()
		sc.server.awaitDone()
		time.Sleep(time.Minute) // sessions of handshakes that came to nothing expire
		require.Equal(t, holdings{}, holdingsOf(sc.listener))
		require.NoError(t, sc.listener.Close())
		for _, p := range sc.net.Paths() {
			carried = append(carried, [2]int64{p.Sent(faultnet.Up), p.Sent(faultnet.Down)})
		}
	})
	return carried
}

// forgesEnd reports whether a cut can end the client's stream before its end so
// that neither side of a classic wire can know: its last bytes, or the proof of
// its resume, go to a relay that has told the server that there are no more.
func forgesEnd(c plannedCut) bool { return c.kind == faultnet.EndUp }

// silences reports whether a cut leaves a transport that nobody knows to be dead.
func silences(c plannedCut) bool { return slices.Contains(holes, c.kind) }

// dialThrough dials until one dial works: the first is tried once only, and a
// cut is an error of it.
func dialThrough(sc *scene, cuts int) *relink.Conn {
	for i := 0; ; i++ {
		c, err := sc.dialer.DialConn(context.Background(), "tcp", "server")
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
		silent = silent || silences(cut)
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
// run: all of it, or, with a first cut, what follows on the paths after that
// one's. Messages can differ in length from run to run by a few bytes.
func positions(t *testing.T, s testSuite, first ...plannedCut) (all []plannedCut) {
	for i, carried := range converse(t, s, first...) {
		if len(first) > 0 && i <= first[0].path {
			continue
		}
		for _, d := range directions {
			for off := range carried[d] + 3 {
				all = append(all, plannedCut{path: i, dir: d, off: off})
			}
		}
	}
	return all
}

// TestExhaustiveCut cuts the conversation once at each byte of each direction.
func TestExhaustiveCut(t *testing.T) {
	t.Parallel()
	all := everything || exhaustive == exhaustiveSingle
	forEachSuite(t, func(t *testing.T, s testSuite) {
		count := 0
		for i, c := range positions(t, s) {
			kinds := everyKind
			if !all {
				if int64(i)%strideOf(s) != 0 {
					continue
				}
				kinds = everyKind[i%len(everyKind):][:1]
			}
			for _, c.kind = range kinds {
				converse(t, s, c)
				count++
			}
		}
		t.Logf("%d conversations", count)
	})
}

// TestExhaustiveCutTwice cuts the conversation twice: at a sample of positions
// that is the same in every run, or, where RELINK_EXHAUSTIVE asks for it, at
// each position of the whole together with each byte of what then follows.
func TestExhaustiveCutTwice(t *testing.T) {
	t.Parallel()
	var share, shares int
	if everything {
		share, shares = 1, len(everyKind)*len(everyKind)-1 // so that the kinds take turns
	} else if _, err := fmt.Sscanf(exhaustive, exhaustiveDouble, &share, &shares); err != nil {
		cutTwiceAtRandom(t)
		return
	}
	require.True(t, 1 <= share && share <= shares, "no such share: %s", exhaustive)
	forEachSuite(t, func(t *testing.T, s testSuite) {
		count, next := 0, share-1
		for _, a := range positions(t, s) {
			// What follows does not depend on the kind of the first cut by more than
			// the few bytes that positions adds.
			a.kind = faultnet.Reset
			for _, b := range positions(t, s, a) {
				for ; next < len(everyKind)*len(everyKind); next += shares {
					a.kind, b.kind = everyKind[next/len(everyKind)], everyKind[next%len(everyKind)]
					converse(t, s, a, b)
					count++
				}
				next -= len(everyKind) * len(everyKind)
			}
		}
		t.Logf("%d conversations", count)
	})
}

func cutTwiceAtRandom(t *testing.T) {
	const samples = 150
	forEachSuite(t, func(t *testing.T, s testSuite) {
		all := positions(t, s)
		random := rand.New(rand.NewPCG(9, 9))
		for range samples / strideOf(s) {
			a, b := all[random.IntN(len(all))], all[random.IntN(len(all))]
			a.kind, b.kind = everyKind[random.IntN(len(everyKind))], everyKind[random.IntN(len(everyKind))]
			b.path = a.path + 1 - random.IntN(2)
			converse(t, s, a, b)
		}
	})
}
