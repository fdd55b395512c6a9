package relink_test

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// A client closes on a transport whose resume loses the race against an earlier
// one of its own, which the server had in hand for longer. The server drops the
// loser, and on a wire without a close message that looks like the server's
// assent to the end. The client must not take it for that: the bytes that went
// over the loser are nowhere.
func TestCloseOnASupersededTransport(t *testing.T) {
	inBubble(t, func(t *testing.T, s relink.Suite) {
		sc := newScene(t, s, relink.Config{ResumeTimeout: 20 * time.Second}, faultnet.Options{})
		sc.open()
		sc.echo(100, time.Minute)
		sc.net.OnDial(func(i int, p *faultnet.Path) error {
			if i <= 2 {
				p.Stall(faultnet.Down)
			}
			return nil
		})
		// resume makes the client resume on a new transport up to its last message,
		// which the server does not get.
		resume := func() *faultnet.Path {
			sc.client.NetworkChanged()
			synctest.Wait()
			p := sc.net.Last()
			p.Stall(faultnet.Up)
			p.Release(faultnet.Down)
			synctest.Wait()
			return p
		}
		first := resume()
		second := resume()
		sc.client.write(300)
		require.NoError(t, sc.client.Close())
		synctest.Wait()
		first.Release(faultnet.Up)
		synctest.Wait()
		second.Release(faultnet.Up)
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
