package relink_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// halfOpen are the transports on which a half-open link is different.
var halfOpen = []struct {
	name string
	opts faultnet.Options
}{
	{"buffered", faultnet.Options{Buffer: 8 << 10}},
	{"unbuffered", faultnet.Options{Buffer: -1}},
	{"opaque", faultnet.Options{Buffer: 8 << 10, Opaque: true}},
	{"slow", faultnet.Options{Buffer: 8 << 10, Delay: 40 * time.Millisecond}},
}

// TestHalfOpenServer takes a session over while the server still believes in
// the old transport, on which its Read, and in one variant its Write too, is
// blocked.
func TestHalfOpenServer(t *testing.T) {
	t.Parallel()
	for _, kind := range holes {
		for _, o := range halfOpen {
			for _, writing := range []bool{false, true} {
				name := kind.String() + "/" + o.name
				if writing {
					name += "/writing"
				}
				t.Run(name, func(t *testing.T) {
					forEachSuite(t, func(t *testing.T, s testSuite) {
						inScene(t, s, setup{}, o.opts, func(sc *scene) { testHalfOpen(sc, kind, writing) })
					})
				})
			}
		}
	}
}

func testHalfOpen(sc *scene, kind faultnet.Kind, writing bool) {
	t := sc.t
	sc.echo(100, time.Second)
	const big = 20 << 10 // more than the path holds
	old := sc.net.Last()
	read := sc.server.reading(100)
	var wrote <-chan struct{}
	synctest.Wait()
	old.Cut(kind)
	if writing {
		wrote = sc.server.writing(big)
	}
	synctest.Wait()

	sc.client.NetworkChanged()
	begin := time.Now()
	sc.client.write(100)
	<-read
	if writing {
		sc.client.read(big)
		<-wrote
	}
	sc.echo(100, time.Second)
	require.Less(t, time.Since(begin), time.Second)
	require.Equal(t, int64(2), linksOf(sc.server.Conn))

	// What the old transport says later is nobody's business.
	for _, late := range losses {
		old.Cut(late)
		sc.echo(100, time.Second)
	}
	sc.nothingMore()
	require.Equal(t, relink.StateConnected, sc.server.State())
	if kind != faultnet.BlackHoleDown { // which lets the end of the client's old transport through
		require.Empty(t, sc.server.events.all(relink.EventSuspended))
	}
	require.Len(t, sc.server.events.all(relink.EventResumed), 1)
	require.Len(t, sc.client.events.all(relink.EventResumed), 1)
}

// TestHalfOpenServerTCP is TestHalfOpenServer with real sockets.
func TestHalfOpenServerTCP(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s testSuite) {
		t.Parallel()
		sc, relay := relayed(t, s, setup{})
		sc.echo(1000, 10*time.Second)
		read := sc.server.reading(1000)
		relay.Cut(faultnet.BlackHole)
		sc.client.NetworkChanged()
		sc.client.write(1000)
		<-read
		sc.echo(1000, 10*time.Second)
		require.Equal(t, int64(2), linksOf(sc.server.Conn))
	})
}

// TestOldTransportDelivers lets the old transport deliver what was under way on
// it after the client has sent the same bytes again over the new one.
func TestOldTransportDelivers(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s testSuite) {
		for _, o := range halfOpen {
			if o.opts.Buffer < 0 {
				continue // nothing is ever under way on it
			}
			t.Run(o.name, func(t *testing.T) {
				inScene(t, s, setup{}, o.opts, func(sc *scene) {
					sc.echo(100, time.Second)
					old := sc.net.Last()
					old.Stall(faultnet.Up)
					old.Stall(faultnet.Down)
					sc.client.write(5000)
					sc.server.write(5000)
					synctest.Wait()
					sc.client.NetworkChanged()
					time.Sleep(time.Second)
					require.Equal(t, int64(2), linksOf(sc.server.Conn))
					old.Release(faultnet.Up)
					old.Release(faultnet.Down)
					sc.server.read(5000)
					sc.client.read(5000)
					sc.echo(100, time.Second)
					sc.nothingMore()
					require.Equal(t, int64(2), linksOf(sc.server.Conn))
				})
			})
		}
	})
}

// TestOldTransportDeliversDuringResume lets the server read k bytes from the
// old transport after it has told the client what it has, and before the client
// has gone on: those bytes come again and are skipped.
func TestOldTransportDeliversDuringResume(t *testing.T) {
	const total = 40
	forEachSuite(t, func(t *testing.T, s testSuite) {
		for k := 0; k <= total; k += int(strideOf(s)) {
			inScene(t, s, setup{}, faultnet.Options{}, func(sc *scene) {
				sc.label("k = %d", k)
				sc.echo(10, time.Second)
				old := sc.net.Last()
				old.Stall(faultnet.Up)
				sc.client.write(total)
				synctest.Wait()
				sc.net.OnDial(func(_ int, p *faultnet.Path) error {
					p.Stall(faultnet.Down) // keeps the answer from the client
					return nil
				})
				sc.client.NetworkChanged()
				synctest.Wait()
				require.NotSame(t, old, sc.net.Last())
				old.Release(faultnet.Up)
				if k > 0 && linksOf(sc.server.Conn) == 1 {
					sc.server.read(k)
				}
				synctest.Wait()
				sc.net.Last().Release(faultnet.Down)
				sc.server.read(total - int(sc.server.got-10))
				sc.echo(10, time.Second)
				sc.nothingMore()
				require.Equal(t, int64(2), linksOf(sc.server.Conn))
			})
		}
	})
}
