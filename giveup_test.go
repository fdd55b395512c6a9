package relink_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// A client resumes, sends its first record, which is late, and resumes once more
// before the server has it. Who resumes under the secret of an answer has given
// that answer's link up, so that the late record takes nothing over: else the
// session would go to a transport that nobody reads, and the client would need
// another resume.
func TestLateProofOfALinkGivenUp(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		if !strings.HasPrefix(s.String(), "Noise") {
			t.Skip("on the other wires the proof that comes first wins: see TestCloseOnASupersededTransport")
		}
		r := newRig(t, s)
		r.exchange(100)
		resume := func() *faultnet.Path {
			r.client.NetworkChanged()
			synctest.Wait()
			p := r.net.Last()
			p.Stall(faultnet.Up)
			p.Release(faultnet.Down)
			synctest.Wait()
			return p
		}
		r.net.OnDial(func(_ int, p *faultnet.Path) error {
			p.Stall(faultnet.Down)
			return nil
		})
		first := resume()
		second := resume()
		first.Release(faultnet.Up)
		synctest.Wait()
		require.EqualValues(t, 1, linksOf(r.server), "the link that was given up")
		second.Release(faultnet.Up)
		r.exchange(100)
		time.Sleep(time.Second)
		require.EqualValues(t, 1, r.server.Stats().Resumes)
		require.Len(t, r.net.Paths(), 3)
		refused := r.serverEvents.all(relink.EventRefused)
		require.Len(t, refused, 1)
		require.ErrorIs(t, refused[0].Err, relink.ErrSuperseded)
		r.finish()
	})
}

// The last message of a new session's handshake is late, and the client, which
// believes in the session, resumes it before. The handshake that comes to its
// end then must not open the session once more.
func TestLateProofOfANewSession(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		if isSCP(s) {
			t.Skip("an SCP client's first message is its last one")
		}
		sc := newScene(t, s, setup{}, faultnet.Options{})
		sc.net.OnDial(func(i int, p *faultnet.Path) error {
			if i == 0 {
				p.Stall(faultnet.Down)
			}
			return nil
		})
		dialled := background(func() (n int, err error) {
			sc.client.Conn, err = sc.dialer.DialConn(context.Background(), "tcp", "server")
			return 0, err
		})
		synctest.Wait()
		first := sc.net.Last()
		first.Stall(faultnet.Up)
		first.Release(faultnet.Down)
		require.NoError(t, (<-dialled).err)
		sc.client.NetworkChanged()
		var err error
		sc.server.Conn, err = sc.listener.AcceptConn()
		require.NoError(t, err)
		synctest.Wait()
		first.Release(faultnet.Up)
		sc.echo(100, time.Second)
		sc.nothingMore()
		require.EqualValues(t, 1, linksOf(sc.server.Conn))
		require.Len(t, sc.server.events.all(relink.EventOpened), 1)
		require.Equal(t, 1, live(sc.listener))
		require.Equal(t, [2]int{}, unfinished(sc.listener))
		sc.end()
	})
}
