package relink_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// A session that has ended before Accept leaves the backlog at once, whether its
// peer has reset it or nobody came back for it, and Accept returns the next one.
func TestEndedBeforeAccept(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s)
		first, err := r.dialer.DialConn(t.Context(), "tcp", "server")
		require.NoError(t, err)
		requireWrite(t, first, rigData(1000))
		synctest.Wait()
		require.Equal(t, 1, r.l.Stats().Backlog)
		if isClassic(s) { // whose wire has no word for it
			r.net.SetDown(faultnet.Refuse)
			r.net.Last().Cut(faultnet.Reset)
		}
		require.NoError(t, first.Abort())
		if time.Sleep(time.Second); isClassic(s) { // somebody has to notice
			time.Sleep(defaultResumeTimeout)
			r.net.SetDown(faultnet.NotDown)
		}
		stats := r.l.Stats()
		require.Zero(t, stats.Backlog)
		require.Zero(t, stats.Memory)
		_ = r.client.Abort()
		_ = r.server.Abort()
		r.client, r.server = r.open()
		r.exchange(100)
		r.stop()
	})
}

// What a session takes from its peer before Accept is bounded, whatever its
// ReplayLimit is, and nothing of it is lost.
func TestHoldsLittleBeforeAccept(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s, withPath(faultnet.Options{Buffer: 64 << 10}))
		before := r.l.Stats().Memory
		c, err := r.dialer.DialConn(t.Context(), "tcp", "server")
		require.NoError(t, err)
		data := rigData(1 << 20)
		written := background(func() (int, error) { return c.Write(data) })
		time.Sleep(5 * time.Second)
		const record = 64 << 10 // what had begun to arrive when there was enough
		require.LessOrEqual(t, r.l.Stats().Memory-before, int64(unacceptedBound+2*record))
		server, err := r.l.AcceptConn()
		require.NoError(t, err)
		requireRead(t, server, data)
		require.NoError(t, (<-written).err)
		_, _ = c.Abort(), server.Abort()
		r.stop()
	})
}

// A session that is ended in its first event never reaches Accept, however long that
// event takes; meanwhile the others go on.
func TestEndedInItsFirstEvent(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		unwanted := make(chan *relink.Conn, 1)
		hold := make(chan struct{})
		var nth int
		r := newRig(t, s, withServer(func(c *relink.ListenConfig) {
			c.OnEvent = func(e relink.Event) {
				if e.Kind != relink.EventOpened {
					return
				}
				if nth++; nth == 2 {
					<-hold
					_ = e.Conn.Abort()
					unwanted <- e.Conn
				}
			}
		}))
		accepted := make(chan *relink.Conn, 2)
		go func() {
			for {
				c, err := r.l.AcceptConn()
				if err != nil {
					return
				}
				accepted <- c
			}
		}()
		var clients []*relink.Conn
		for range 2 {
			c, err := r.dialer.DialConn(context.Background(), "tcp", "server")
			require.NoError(t, err)
			requireWrite(t, c, []byte("x"))
			clients = append(clients, c)
			synctest.Wait()
		}
		time.Sleep(time.Second)
		require.Empty(t, accepted)
		require.Equal(t, 2, r.l.Stats().Backlog)
		r.exchange(100)
		close(hold)
		synctest.Wait()
		require.Len(t, accepted, 1)
		wanted := <-accepted
		requireRead(t, wanted, []byte("x"))
		require.NotSame(t, <-unwanted, wanted)
		require.Zero(t, r.l.Stats().Backlog)
		requireExchange(t, wanted, clients[1], 100)
		_, _, _ = wanted.Abort(), clients[0].Abort(), clients[1].Abort()
		r.stop()
	})
}

// Close ends the sessions that OnEvent has not been told of, as it ends those which
// wait for Accept.
func TestCloseWhileAnObserverHangs(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		hold := make(chan struct{})
		nth := 0
		r := newRig(t, s, withServer(func(c *relink.ListenConfig) {
			c.OnEvent = func(relink.Event) {
				if nth++; nth > 1 {
					<-hold
				}
			}
		}))
		for range 3 {
			c, err := r.dialer.DialConn(context.Background(), "tcp", "server")
			require.NoError(t, err)
			requireWrite(t, c, []byte("x"))
			defer func() { _ = c.Abort() }()
		}
		synctest.Wait()
		require.Equal(t, 3, r.l.Stats().Backlog)
		require.NoError(t, r.l.Close())
		synctest.Wait()
		require.Zero(t, r.l.Stats().Backlog)
		require.Equal(t, 1, live(r.l))
		close(hold)
		r.stop()
	})
}
