package relink_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// Sessions that were opened and dropped make room for new ones when there is no
// other, the longest suspended first. What is connected stays.
func TestYoungSuspendedSessionsGiveWay(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s, withServer(func(c *relink.ListenConfig) { c.MaxSessions = 3 }))
		var dropped []*relink.Conn
		for range 2 {
			client, server := r.open()
			r.net.SetDown(faultnet.Refuse)
			r.net.Last().Cut(faultnet.ResetNow)
			_ = server.SetReadDeadline(time.Now().Add(time.Nanosecond))
			_, _ = server.Read(make([]byte, 1))
			requireSuspended(t, server)
			_ = client.Abort()
			r.net.SetDown(faultnet.NotDown)
			dropped = append(dropped, server)
		}
		client, server := r.open()
		requireExchange(t, client, server, 100)
		<-dropped[0].Done()
		require.ErrorIs(t, dropped[0].Err(), relink.ErrDisplaced)
		requireSuspended(t, dropped[1])
		synctest.Wait()
		closed := r.serverEvents.all(relink.EventClosed)
		require.Len(t, closed, 1)
		require.Same(t, dropped[0], closed[0].Conn)
		require.ErrorIs(t, closed[0].Err, relink.ErrDisplaced)
		require.EqualValues(t, 1, r.l.Stats().Displaced)
		require.Equal(t, 3, live(r.l))
		require.Equal(t, 1, r.l.Stats().Suspended)
		r.exchange(100)
		time.Sleep(2 * defaultResumeTimeout) // nothing is left of it that expires once more
		require.Len(t, r.serverEvents.all(relink.EventClosed), 2)
		require.Equal(t, 2, live(r.l))
		_, _ = client.Abort(), server.Abort()
		r.stop()
	})
}

// A session that has carried much, or was resumed before, does not give way, and
// comes back.
func TestWhoDoesNotGiveWay(t *testing.T) {
	for name, tt := range map[string]struct{ carried, resumes int }{
		"it has carried much": {littleCarried + 1, 0},
		"it was resumed":      {1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s testSuite) {
				r := newRig(t, s, withServer(func(c *relink.ListenConfig) { c.MaxSessions = 1 }))
				requireWrite(t, r.client, rigData(tt.carried))
				requireRead(t, r.server, rigData(tt.carried))
				for range tt.resumes {
					r.client.NetworkChanged()
					r.exchange(100)
				}
				r.suspend(faultnet.Refuse, faultnet.ResetNow)
				r.net.SetDown(faultnet.NotDown)
				c, err := r.dialer.DialConn(t.Context(), "tcp", "server")
				if err == nil {
					_, err = c.Read(make([]byte, 1))
					_ = c.Abort()
				}
				require.Error(t, err)
				require.Zero(t, r.l.Stats().Displaced)
				r.exchange(100)
				r.stop()
			})
		})
	}
}
