package relink_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/faultnet"
)

// TestCutDuringReplay cuts three transports in a row after the same number of
// bytes, for every number up to the end of the replay, and nobody reads before
// the last one is through.
func TestCutDuringReplay(t *testing.T) {
	t.Parallel()
	const size, chain = 48, 3
	forEachSuite(t, func(t *testing.T, s testSuite) {
		length := int64(0)
		for off := int64(-1); off <= length; off += strideOf(s) {
			for _, d := range directions {
				kind := losses[int(off+1)%len(losses)]
				inScene(t, s, setup{}, faultnet.Options{}, func(sc *scene) {
					sc.label("%v cuts at byte %d, direction %v", kind, off, d)
					sc.echo(10, time.Second)
					sc.net.OnDial(func(i int, p *faultnet.Path) error {
						if i <= chain && off >= 0 {
							p.CutAt(d, off, kind)
						}
						return nil
					})
					sc.replayBoth(size, faultnet.ResetNow)
					time.Sleep(2 * time.Second)
					if off < 0 {
						length = max(length, sc.net.Paths()[1].Sent(d)+2)
					}
					sc.client.read(size)
					sc.server.read(size)
					sc.echo(10, time.Second)
					sc.nothingMore()
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
		forEachSuite(t, func(t *testing.T, s testSuite) {
			inScene(t, s, setup{}, o, func(sc *scene) {
				sc.label("%+v", o)
				sc.echo(10, time.Second)
				sc.net.OnDial(func(i int, p *faultnet.Path) error {
					if i <= chain {
						p.CutAt(directions[i%2], int64(i*7919%(150<<10)), losses[i%len(losses)])
					}
					return nil
				})
				sc.net.Last().Stall(faultnet.Up)
				sc.net.Last().Stall(faultnet.Down)
				up, down := sc.client.writing(size), sc.server.writing(size)
				synctest.Wait()
				sc.net.Last().Cut(faultnet.ResetNow)
				time.Sleep(time.Minute)
				<-up
				<-down
				sc.client.read(size)
				sc.server.read(size)
				sc.echo(10, time.Second)
				sc.nothingMore()
			})
		})
	}
}

// TestBothBuffersFull resumes when both sides have a full buffer to replay, over
// transports that hold nothing, while neither application reads.
func TestBothBuffersFull(t *testing.T) {
	const limit = 64 << 10
	cfg := setup{ReplayLimit: limit, ResumeTimeout: 24 * time.Hour, MinBackoff: 24 * time.Hour, MaxBackoff: 24 * time.Hour}
	forEachSuite(t, func(t *testing.T, s testSuite) {
		t.Run("unbuffered", func(t *testing.T) {
			inScene(t, s, cfg, faultnet.Options{Buffer: -1}, func(sc *scene) {
				testBothBuffersFull(sc, limit, func(down bool) {
					if !down {
						sc.net.OnDial(nil)
						return
					}
					sc.net.OnDial(func(int, *faultnet.Path) error { return errNoNetwork })
					sc.net.Last().Cut(faultnet.ResetNow)
				})
			})
		})
		t.Run("net.Pipe", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pipes := &gatedPipes{pipeListener: newPipeListener()}
				sc := newSceneOn(t, s, cfg, pipes, pipes.dial)
				sc.open()
				testBothBuffersFull(sc, limit, pipes.setDown)
				sc.end()
			})
		})
	})
}

func testBothBuffersFull(sc *scene, limit int64, setDown func(bool)) {
	sc.echo(10, time.Second)
	setDown(true)
	var filled [2]int64
	for i, e := range []*side{sc.client, sc.server} {
		filled[i] = e.fill(time.Second)
		require.GreaterOrEqual(sc.t, filled[i], limit-1024, "%s", e.name)
		requireSuspended(sc.t, e.Conn)
	}
	setDown(false)
	sc.client.NetworkChanged()
	time.Sleep(time.Second)
	for _, e := range []*side{sc.client, sc.server} {
		require.Zero(sc.t, e.Stats().BytesPending, "%s: the peer does not drain its replay", e.name)
	}
	sc.client.read(int(filled[1]))
	sc.server.read(int(filled[0]))
	sc.echo(10, time.Second)
	sc.nothingMore()
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
