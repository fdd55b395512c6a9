package relink_test

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/faultnet"
)

// superseded lets the client resume twice, on transports whose last message the
// server gets in this order: that of the first resume, which takes the session
// over, and when release is called that of the second, which loses. The client
// takes the second for its session's.
func superseded(sc *scene) (release func()) {
	sc.net.OnDial(func(i int, p *faultnet.Path) error {
		if i <= 2 {
			p.Stall(faultnet.Down)
		}
		return nil
	})
	resume := func() *faultnet.Path {
		sc.client.NetworkChanged()
		synctest.Wait()
		p := sc.net.Last()
		p.Stall(faultnet.Up)
		p.Release(faultnet.Down)
		synctest.Wait()
		return p
	}
	first, second := resume(), resume()
	return func() {
		first.Release(faultnet.Up)
		synctest.Wait()
		second.Release(faultnet.Up)
	}
}

// A client closes on a transport whose resume loses the race against an earlier
// one of its own, which the server had in hand for longer. The server drops the
// loser, and on a wire without a close message that looks like the server's
// assent to the end. The client must not take it for that: the bytes that went
// over the loser are nowhere.
func TestCloseOnASupersededTransport(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		sc := newScene(t, s, setup{ResumeTimeout: 20 * time.Second}, faultnet.Options{})
		sc.open()
		sc.echo(100, time.Minute)
		release := superseded(sc)
		sc.client.write(300)
		require.NoError(t, sc.client.Close())
		synctest.Wait()
		release()
		require.NoError(t, sc.server.SetReadDeadline(time.Now().Add(time.Minute)))
		require.Equal(t, io.EOF, sc.server.readAll())
		require.EqualValues(t, 400, sc.server.got)
		sc.client.awaitDone()
		require.NoError(t, sc.server.Close())
		sc.server.awaitDone()
		require.NoError(t, sc.listener.Close())
		requireNothingLeft(t)
	})
}

// The client streams into the transport that has lost. The server must not read
// on there: what it reads the client takes for delivered, and the classic suites
// keep no more than half of ReplayLimit of that.
func TestALostRaceSwallowsLittle(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		const capacity = 4 << 10
		sc := newScene(t, s, setup{ReplayLimit: 4 * capacity}, faultnet.Options{Buffer: capacity})
		sc.open()
		sc.echo(100, time.Minute)
		release := superseded(sc)
		const amount = 60 << 10
		written := sc.client.writing(amount)
		synctest.Wait()
		release()
		sc.server.read(amount)
		<-written
		sc.end()
	})
}
