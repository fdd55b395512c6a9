package conntest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// everything makes the tests that sample a space run through all of it. It
// takes minutes: RELINK_EXHAUSTIVE=1 go test -run 'TestExhaustive' -timeout 1h .
var everything = os.Getenv("RELINK_EXHAUSTIVE") == "1"

// losses are the cuts that both ends hear of.
var losses = []faultnet.Kind{faultnet.Reset, faultnet.ResetNow, faultnet.End}

// holes are the cuts that nobody hears of. On a wire without pings they show
// in memory only when the application reports a change of network.
var holes = []faultnet.Kind{faultnet.BlackHole, faultnet.BlackHoleUp, faultnet.BlackHoleDown}

// cutsAt returns the kinds of cut to make at an offset: all of them, or, where
// that would take too long, one that changes from offset to offset.
func cutsAt(off int64) []faultnet.Kind {
	all := append(append([]faultnet.Kind(nil), losses...), holes...)
	if everything || off < 0 {
		return all
	}
	i := int(off) % len(all)
	return all[i : i+1]
}

// strideOf returns by how much a sweep over positions goes forward. Under the
// race detector a handshake of Noise costs fifty times one of the others. The
// number has no divisor in common with that of the kinds of cut.
func strideOf(s Suite) int64 {
	if everything || !strings.HasPrefix(s.String(), "Noise") {
		return 1
	}
	return 17
}

// directions are those of a path.
var directions = []faultnet.Dir{faultnet.Up, faultnet.Down}

// conversation is what the tests of every cut have: data both ways, the end of
// one direction, the end of all. It ends with every byte delivered once.
func conversation(r *Rig) {
	up, down := Data(120), Data(150)
	var wg sync.WaitGroup
	wg.Go(func() {
		RequireWrite(r.T, r.Client, up[:50])
		RequireRead(r.T, r.Client, down[:70])
		RequireWrite(r.T, r.Client, up[50:])
		require.NoError(r.T, r.Client.CloseWrite())
		RequireRead(r.T, r.Client, down[70:])
		RequireEOF(r.T, r.Client)
		require.NoError(r.T, r.Client.Close())
	})
	wg.Go(func() {
		RequireRead(r.T, r.Server, up[:50])
		RequireWrite(r.T, r.Server, down[:70])
		RequireRead(r.T, r.Server, up[50:])
		RequireEOF(r.T, r.Server)
		RequireWrite(r.T, r.Server, down[70:])
		require.NoError(r.T, r.Server.Close())
	})
	wg.Wait()
	<-r.Client.Done()
	<-r.Server.Done()
	_ = r.Listener.Close()
}

// cutConversation runs the conversation on paths that are cut as f says.
func cutConversation(t *testing.T, s Suite, f func(i int, p *faultnet.Path)) (sent [2]int64) {
	synctest.Test(t, func(t *testing.T) {
		// A close, and the time that a client has to confirm its session, last
		// longer than it takes to notice a silent loss.
		r := NewIdle(t, s, With(Setup{CloseTimeout: time.Minute, HandshakeTimeout: time.Minute}))
		r.Net.OnDial(func(i int, p *faultnet.Path) error { f(i, p); return nil })
		r.Connect()
		conversation(r)
		sent[faultnet.Up] = r.Net.Paths()[0].Sent(faultnet.Up)
		sent[faultnet.Down] = r.Net.Paths()[0].Sent(faultnet.Down)
	})
	return sent
}

// firstCut is the first byte of a direction at which a cut leaves Dial what it
// needs, because it is tried once.
func firstCut(s Suite, d faultnet.Dir) int64 {
	if d == faultnet.Down {
		return lengthsOf(s).answer + 1
	}
	return lengthsOf(s).request + 1
}

// TestEveryCut cuts the conversation at every byte of either direction, behind
// what Dial needs.
func TestEveryCut(t *testing.T) {
	for _, s := range ackSuites {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			testEveryCut(t, s)
		})
	}
}

func testEveryCut(t *testing.T, s Suite) {
	whole := cutConversation(t, s, func(int, *faultnet.Path) {})
	for _, kind := range []faultnet.Kind{faultnet.Reset, faultnet.ResetNow, faultnet.End, faultnet.BlackHole} {
		for _, dir := range []faultnet.Dir{faultnet.Up, faultnet.Down} {
			t.Run(fmt.Sprintf("%v/%v", kind, dir), func(t *testing.T) {
				for at := firstCut(s, dir); at <= whole[dir]; at += strideOf(s) {
					cutConversation(t, s, func(i int, p *faultnet.Path) {
						if i == 0 {
							p.CutAt(dir, at, kind)
						}
					})
					if t.Failed() {
						t.Fatalf("cut at byte %d", at)
					}
				}
			})
		}
	}
}

// TestCutTwice cuts the first transport somewhere and the second at every byte
// of its handshake and replay.
func TestCutTwice(t *testing.T) {
	for _, s := range ackSuites {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			testCutTwice(t, s)
		})
	}
}

func testCutTwice(t *testing.T, s Suite) {
	whole := cutConversation(t, s, func(int, *faultnet.Path) {})
	kinds := []faultnet.Kind{faultnet.Reset, faultnet.End, faultnet.BlackHole}
	for _, first := range []faultnet.Dir{faultnet.Up, faultnet.Down} {
		for _, second := range []faultnet.Dir{faultnet.Up, faultnet.Down} {
			t.Run(fmt.Sprintf("%v/%v", first, second), func(t *testing.T) {
				for n := int64(0); n < 400; n += strideOf(s) {
					from := firstCut(s, first)
					firstAt := from + n*37%(whole[first]-from)
					cutConversation(t, s, func(i int, p *faultnet.Path) {
						switch i {
						case 0:
							p.CutAt(first, firstAt, kinds[n%3])
						case 1:
							p.CutAt(second, n, kinds[n/3%3])
						}
					})
					if t.Failed() {
						t.Fatalf("cut at %d and then at %d", firstAt, n)
					}
				}
			})
		}
	}
}

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
func converse(t *testing.T, s Suite, cuts ...plannedCut) (carried [][2]int64) {
	synctest.Test(t, func(t *testing.T) {
		sc := NewIdle(t, s, With(Setup{ResumeTimeout: 20 * time.Second, HandshakeTimeout: 4 * time.Second, AttemptTimeout: 2 * time.Second}))
		sc.label("%v", cuts)
		sc.Net.OnDial(func(i int, p *faultnet.Path) error {
			for _, c := range cuts {
				if c.path == i {
					p.CutAt(c.dir, c.off, c.kind)
				}
			}
			return nil
		})
		c := dialThrough(sc, len(cuts))
		sc.Client.Conn = c
		stop := make(chan struct{})
		defer close(stop)
		go watchNetwork(c, cuts, stop)
		accepted := make(chan struct{})
		go acceptOwn(sc, accepted)

		sc.Client.Send(talk)
		select {
		case <-accepted:
		case <-time.After(time.Minute):
			require.FailNow(t, "the session does not arrive")
		}
		for _, e := range []*Side{sc.Client, sc.Server} {
			require.NoError(t, e.SetDeadline(time.Now().Add(time.Minute)))
		}
		sc.Server.Receive(talk)
		sc.Server.Send(talk)
		sc.Client.Receive(talk)
		sc.ReplayBoth(talk, faultnet.ResetNow)
		sc.Client.Receive(talk)
		sc.Server.Receive(talk)
		sc.Server.Send(talk)
		sc.Client.Receive(talk)
		sc.Client.Send(talk)
		require.NoError(t, c.Close())

		end := sc.Server.readAll()
		forged := IsClassic(s) && slices.ContainsFunc(cuts, forgesEnd)
		if !forged || sc.Server.got < 2*talk {
			require.Equal(t, int64(3*talk), sc.Server.got, "the stream ends early: %v", end)
		}
		if TraitsOf(s).HalfClose {
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
		require.NoError(t, sc.Server.Close())
		sc.Client.awaitDone()
		sc.Server.awaitDone()
		time.Sleep(time.Minute) // sessions of handshakes that came to nothing expire
		require.Equal(t, Holdings{}, HoldingsOf(sc.Listener))
		require.NoError(t, sc.Listener.Close())
		for _, p := range sc.Net.Paths() {
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
func dialThrough(sc *Rig, cuts int) *relink.Conn {
	for i := 0; ; i++ {
		c, err := sc.Dialer.DialConn(context.Background(), "tcp", "server")
		if err == nil {
			return c
		}
		require.True(sc.T, isTyped(err), "%v", err)
		require.Less(sc.T, i, cuts)
	}
}

// acceptOwn accepts sessions until it has the client's. Others are those of
// dials that failed although the server had done its part; they are ended.
func acceptOwn(sc *Rig, accepted chan<- struct{}) {
	own := false
	for {
		c, err := sc.Listener.AcceptConn()
		switch {
		case err != nil:
			return
		case c.ID() != sc.Client.ID():
			_ = c.Abort()
		case own:
			sc.T.Error("the session was accepted twice")
		default:
			sc.Server.Conn, own = c, true
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
func positions(t *testing.T, s Suite, first ...plannedCut) (all []plannedCut) {
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
	ForEachSuite(t, func(t *testing.T, s Suite) {
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
	ForEachSuite(t, func(t *testing.T, s Suite) {
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
	ForEachSuite(t, func(t *testing.T, s Suite) {
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

// A weighed transport remembers the longest Write. It takes its time, so that
// data gathers.
type weighed struct {
	net.Conn
	longest atomic.Int64
}

func (c *weighed) Interruptible() bool { return true }

func (c *weighed) Write(p []byte) (int, error) {
	if n := int64(len(p)); n > c.longest.Load() {
		c.longest.Store(n) // one goroutine writes at a time
	}
	time.Sleep(time.Millisecond)
	return c.Conn.Write(p)
}

// However much is written, the transport is handed large pieces that fit into one
// segment of Linux's loopback, the largest there is.
func TestTransportIsHandedPieces(t *testing.T) {
	const segment = 65_483
	InBubble(t, func(t *testing.T, s Suite) {
		for _, size := range []int{64 << 10, 256 << 10, 1 << 20} {
			writes := 2 << 20 / size // enough for long chunks in the buffer, which no piece crosses
			var transport *weighed
			r := New(t, s, func(r *Rig, _ *relink.ListenConfig) {
				r.Dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
					c, err := r.Net.Dial(ctx, network, address)
					transport = &weighed{Conn: c}
					return transport, err
				}
			})
			go func() {
				for range writes {
					_, _ = r.Client.Write(make([]byte, size))
				}
			}()
			_, err := io.CopyN(io.Discard, r.Server.Conn, int64(writes*size))
			require.NoError(t, err)
			require.Greater(t, transport.longest.Load(), int64(48<<10))
			require.LessOrEqual(t, transport.longest.Load(), int64(segment))
			r.Stop()
			time.Sleep(time.Second) // for what goes out at last
		}
	})
}

// TestCutDuringReplay cuts three transports in a row after the same number of
// bytes, for every number up to the end of the replay, and nobody reads before
// the last one is through.
func TestCutDuringReplay(t *testing.T) {
	t.Parallel()
	const size, chain = 48, 3
	ForEachSuite(t, func(t *testing.T, s Suite) {
		length := int64(0)
		for off := int64(-1); off <= length; off += strideOf(s) {
			for _, d := range directions {
				kind := losses[int(off+1)%len(losses)]
				InRig(t, s, Setup{}, faultnet.Options{}, func(sc *Rig) {
					sc.label("%v cuts at byte %d, direction %v", kind, off, d)
					sc.Echo(10, time.Second)
					sc.Net.OnDial(func(i int, p *faultnet.Path) error {
						if i <= chain && off >= 0 {
							p.CutAt(d, off, kind)
						}
						return nil
					})
					sc.ReplayBoth(size, faultnet.ResetNow)
					time.Sleep(2 * time.Second)
					if off < 0 {
						length = max(length, sc.Net.Paths()[1].Sent(d)+2)
					}
					sc.Client.Receive(size)
					sc.Server.Receive(size)
					sc.Echo(10, time.Second)
					sc.NothingMore()
				})
			}
		}
	})
}

// TestCutsDuringLargeReplay is TestCutDuringReplay with buffers that fill more
// than one chunk of memory and one write of the transport.
func TestCutsDuringLargeReplay(t *testing.T) {
	t.Parallel()
	const size, chain = 200 << 10, 40
	for _, o := range []faultnet.Options{{}, {Buffer: -1}, {Opaque: true}, {Buffer: 3000, Segment: 1000, ShortWrites: true}} {
		ForEachSuite(t, func(t *testing.T, s Suite) {
			InRig(t, s, Setup{}, o, func(sc *Rig) {
				sc.label("%+v", o)
				sc.Echo(10, time.Second)
				sc.Net.OnDial(func(i int, p *faultnet.Path) error {
					if i <= chain {
						p.CutAt(directions[i%2], int64(i*7919%(150<<10)), losses[i%len(losses)])
					}
					return nil
				})
				sc.Net.Last().Stall(faultnet.Up)
				sc.Net.Last().Stall(faultnet.Down)
				up, down := sc.Client.writing(size), sc.Server.writing(size)
				synctest.Wait()
				sc.Net.Last().Cut(faultnet.ResetNow)
				time.Sleep(time.Minute)
				<-up
				<-down
				sc.Client.Receive(size)
				sc.Server.Receive(size)
				sc.Echo(10, time.Second)
				sc.NothingMore()
			})
		})
	}
}

// TestBothBuffersFull resumes when both sides have a full buffer to replay, over
// transports that hold nothing, while neither application reads.
func TestBothBuffersFull(t *testing.T) {
	const limit = 64 << 10
	cfg := Setup{ReplayLimit: limit, ResumeTimeout: 24 * time.Hour, MinBackoff: 24 * time.Hour, MaxBackoff: 24 * time.Hour}
	ForEachSuite(t, func(t *testing.T, s Suite) {
		t.Run("unbuffered", func(t *testing.T) {
			InRig(t, s, cfg, faultnet.Options{Buffer: -1}, func(sc *Rig) {
				testBothBuffersFull(sc, limit, func(down bool) {
					if !down {
						sc.Net.OnDial(nil)
						return
					}
					sc.Net.OnDial(func(int, *faultnet.Path) error { return errNoNetwork })
					sc.Net.Last().Cut(faultnet.ResetNow)
				})
			})
		})
		t.Run("net.Pipe", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pipes := &gatedPipes{pipeListener: newPipeListener()}
				sc := newIdleOn(t, s, pipes, pipes.dial, With(cfg))
				sc.Connect()
				testBothBuffersFull(sc, limit, pipes.setDown)
				sc.Finish()
			})
		})
	})
}

func testBothBuffersFull(sc *Rig, limit int64, setDown func(bool)) {
	sc.Echo(10, time.Second)
	setDown(true)
	var filled [2]int64
	for i, e := range []*Side{sc.Client, sc.Server} {
		filled[i] = e.fill(time.Second)
		require.GreaterOrEqual(sc.T, filled[i], limit-1024, "%s", e.name)
		RequireSuspended(sc.T, e.Conn)
	}
	setDown(false)
	sc.Client.NetworkChanged()
	time.Sleep(time.Second)
	for _, e := range []*Side{sc.Client, sc.Server} {
		require.Zero(sc.T, e.Stats().BytesPending, "%s: the peer does not drain its replay", e.name)
	}
	sc.Client.Receive(int(filled[1]))
	sc.Server.Receive(int(filled[0]))
	sc.Echo(10, time.Second)
	sc.NothingMore()
}

var errNoNetwork = errors.New("no network")

// gatedPipes are net.Pipes whose network can be down.
type gatedPipes struct {
	*pipeListener

	mu   sync.Mutex
	down bool
	last net.Conn
}

func (g *gatedPipes) setDown(down bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.down = down
	if down {
		_ = g.last.Close() // the other end sees io.EOF
	}
}

func (g *gatedPipes) dial(ctx context.Context, network, address string) (net.Conn, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.down {
		return nil, errNoNetwork
	}
	tr, err := g.pipeListener.dial(ctx, network, address)
	g.last = tr
	return tr, err
}
