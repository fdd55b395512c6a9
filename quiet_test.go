package relink_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// TestQuietClient loses the link under a client whose application has written
// its last and does not come back: what it has written arrives all the same.
func TestQuietClient(t *testing.T) {
	for _, o := range []faultnet.Options{{}, {Opaque: true}} {
		for _, kind := range append(append([]faultnet.Kind(nil), losses...), holes...) {
			t.Run(kind.String(), func(t *testing.T) {
				forEachSuite(t, func(t *testing.T, s testSuite) {
					if kind >= faultnet.BlackHole && !traitsOf(s).Pings {
						t.Skip("without pings only the kernel finds a silent transport dead, and in memory there is none")
					}
					inScene(t, s, setup{}, o, func(sc *scene) {
						sc.label("%+v", o)
						sc.echo(10, time.Second)
						p := sc.net.Last()
						p.Stall(faultnet.Up)
						sc.client.write(500)
						p.Cut(kind)
						require.NoError(t, sc.server.SetReadDeadline(time.Now().Add(3*defaultLivenessTimeout)))
						sc.server.read(500)
						require.NoError(t, sc.server.SetReadDeadline(time.Time{}))
						sc.echo(10, time.Second)
						sc.nothingMore()
					})
				})
			})
		}
	}
}

// TestQuietClientNeverRead is TestQuietClient with an application that has
// written once and never read, and whose link is lost much later.
func TestQuietClientNeverRead(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s testSuite) {
		for _, kind := range losses {
			inScene(t, s, setup{}, faultnet.Options{}, func(sc *scene) {
				sc.label("%v", kind)
				p := sc.net.Last()
				p.Stall(faultnet.Up)
				sc.client.write(500)
				time.Sleep(10 * time.Second) // less than the liveness time-out
				p.Cut(kind)
				time.Sleep(5 * time.Second)
				require.Len(t, sc.server.events.all(relink.EventResumed), 1)
				sc.server.read(500)
				sc.echo(10, time.Second)
			})
		}
	})
}

// TestQuietServer lets the server's application go quiet: the client brings its
// data in.
func TestQuietServer(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s testSuite) {
		for _, kind := range losses {
			inScene(t, s, setup{}, faultnet.Options{}, func(sc *scene) {
				sc.label("%v", kind)
				sc.echo(10, time.Second)
				p := sc.net.Last()
				p.Stall(faultnet.Down)
				sc.server.write(500)
				p.Cut(kind)
				p.Release(faultnet.Up)
				if kind != faultnet.ResetNow {
					p.Release(faultnet.Down)
				}
				read := sc.client.reading(500)
				time.Sleep(5 * time.Second)
				<-read
				sc.echo(10, time.Second)
				sc.nothingMore()
			})
		}
	})
}

// TestPausedReader pauses reading on both sides for longer than every time-out,
// with more under way than there is room for: nobody takes the other for dead,
// and nothing is lost. With the kernel's probes of a closed window
// TestPausedPeerIsNotDead does the same.
func TestPausedReader(t *testing.T) {
	t.Parallel()
	const size = 400 << 10
	for _, o := range []faultnet.Options{{}, {Buffer: -1}, {Opaque: true}} {
		forEachSuite(t, func(t *testing.T, s testSuite) {
			inScene(t, s, setup{ReplayLimit: 64 << 10}, o, func(sc *scene) {
				sc.label("%+v", o)
				sc.echo(10, time.Second)
				up, down := sc.client.writing(size), sc.server.writing(size)
				time.Sleep(3*defaultLivenessTimeout + defaultResumeTimeout)
				for _, e := range []*side{sc.client, sc.server} {
					require.Equal(t, int64(1), linksOf(e.Conn))
					require.Equal(t, relink.StateConnected, e.State())
				}
				done := sc.client.reading(size)
				sc.server.read(size)
				<-done
				<-up
				<-down
				sc.echo(10, time.Second)
				sc.nothingMore()
				require.Empty(t, sc.client.events.all(relink.EventSuspended))
				require.Empty(t, sc.server.events.all(relink.EventSuspended))
			})
		})
	}
}
