package conntest

import (
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
	"github.com/relink-go/relink/internal/suite"
)

// withBudget gives the listener so many bytes, and each direction of a session four
// times what it has in any case.
func withBudget(n int64) Option {
	return func(r *Rig, server *relink.ListenConfig) {
		server.MaxMemory, server.ReplayLimit = n, 512<<10
		r.Dialer.ReplayLimit = 512 << 10
	}
}

// Sessions that are connected to clients which do not read hold as much as there is and no
// more, whatever is written to them. New ones are turned away then, and everything arrives in the
// end.
func TestBudgetOfConnectedSessions(t *testing.T) {
	const most, many, size = 1 << 20, 12, 400 << 10
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s, withBudget(most), WithPath(faultnet.Options{Buffer: 16 << 10}))
		clients, servers := []*relink.Conn{r.Client.Conn}, []*relink.Conn{r.Server.Conn}
		var writes []<-chan Outcome
		var paths []*faultnet.Path
		data := Data(size)
		held := false
		for i := range many {
			if i > 0 {
				c, err := r.Dialer.DialConn(t.Context(), "tcp", "server")
				if err == nil {
					synctest.Wait()
				}
				if err != nil || r.Listener.Stats().Backlog == 0 {
					held = true
					if err == nil {
						_ = c.Abort() // a classic client is in before it is judged
					}
					break
				}
				server, err := r.Listener.AcceptConn()
				require.NoError(t, err)
				clients, servers = append(clients, c), append(servers, server)
			}
			paths = append(paths, r.Net.Last())
			paths[i].Stall(faultnet.Down)
			writes = append(writes, Background(func() (int, error) { return servers[i].Write(data) }))
			time.Sleep(200 * time.Millisecond)
			require.LessOrEqual(t, r.Listener.Stats().Memory, int64(most+most/4)) // chunks are not all full
		}
		stats := r.Listener.Stats()
		if held { // else history has made room for all of them
			require.Positive(t, stats.Refused.Memory)
			require.ErrorIs(t, r.Server.Events.All(relink.EventRefused)[0].Err, relink.ErrMemory)
		}
		if TraitsOf(s).Acks {
			require.True(t, held)
			require.Zero(t, stats.HistoriesCut)
		}
		require.Zero(t, stats.ReclaimedUnused+stats.ReclaimedLongest)
		for i, c := range clients {
			paths[i].Release(faultnet.Down)
			RequireRead(t, c, data)
			o := <-writes[i]
			require.NoError(t, o.Err)
			require.Equal(t, size, o.N)
			_, _ = c.Abort(), servers[i].Abort()
		}
		synctest.Wait()
		require.Zero(t, r.Listener.Stats().Memory)
		r.Client.Conn, r.Server.Conn = r.Open() // there is room again
		r.Exchange(100_000)
		r.Stop()
	})
}

// On a wire without acknowledgements history gives way where there is nothing left, which is told,
// and comes back.
func TestHistoryGivesWay(t *testing.T) {
	const most, size = 2 << 20, 300 << 10
	for _, s := range Suites {
		if TraitsOf(s).Acks {
			continue
		}
		t.Run(s.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				gate := make(chan struct{})
				close(gate)
				log := &slowHandler{gate: gate}
				r := New(t, s, withBudget(most), WithServer(func(c *relink.ListenConfig) { c.Logger = slog.New(log) }))
				data := Data(size)
				clients, servers := []*relink.Conn{r.Client.Conn}, []*relink.Conn{r.Server.Conn}
				for range 5 {
					c, server := r.Open()
					clients, servers = append(clients, c), append(servers, server)
				}
				for i := range 6 {
					for range 3 {
						RequireWrite(t, servers[i], data)
						RequireRead(t, clients[i], data)
					}
					require.LessOrEqual(t, r.Listener.Stats().Memory, int64(most+most/4)) // chunks are not all full
				}
				stats := r.Listener.Stats()
				require.Positive(t, stats.HistoriesCut)
				synctest.Wait()
				cut := r.Server.Events.All(relink.EventHistoryCut)
				require.Len(t, cut, int(stats.HistoriesCut))
				require.ErrorIs(t, cut[0].Err, relink.ErrMemory)
				require.Equal(t, "history cut", cut[0].Kind.String())
				require.NotNil(t, cut[0].Conn)
				log.mu.Lock()
				require.True(t, slices.ContainsFunc(log.records, func(r slog.Record) bool {
					return r.Level == slog.LevelWarn && strings.Contains(r.Message, "history cut")
				}))
				log.mu.Unlock()
				for i := range 5 {
					_, _ = clients[i].Abort(), servers[i].Abort()
				}
				for range 3 { // what is kept grows again
					RequireWrite(t, servers[5], data)
					RequireRead(t, clients[5], data)
					time.Sleep(time.Second)
				}
				require.Greater(t, servers[5].Stats().Memory, int64(256<<10))
				r.Stop()
			})
		})
	}
}

// Suspended sessions that hold more than their share end: those first that have carried little,
// then the longest suspended.
func TestShareOfTheSuspended(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s, withBudget(4<<20), WithServer(func(c *relink.ListenConfig) { c.MaxSuspendedMemory = 200 << 10 }))
		suspend := func(carried, pending int) *relink.Conn {
			client, server := r.Open()
			RequireExchange(t, client, server, carried)
			r.Net.SetDown(faultnet.Refuse)
			r.Net.Last().Cut(faultnet.ResetNow)
			_ = server.SetReadDeadline(time.Now().Add(time.Nanosecond))
			_, _ = server.Read(make([]byte, 1))
			_ = server.SetReadDeadline(time.Time{})
			RequireSuspended(t, server)
			RequireWrite(t, server, Data(pending))
			_ = client.Abort()
			r.Net.SetDown(faultnet.NotDown)
			synctest.Wait()
			return server
		}
		old := suspend(10_000, 50_000)
		young := suspend(100, 1000)
		second := suspend(10_000, 50_000)
		RequireSuspended(t, old)
		RequireSuspended(t, young)
		third := suspend(10_000, 50_000)
		last := suspend(10_000, 50_000)
		<-young.Done()
		require.ErrorIs(t, young.Err(), relink.ErrReclaimedUnused)
		require.ErrorIs(t, young.Err(), relink.ErrReclaimed)
		require.NotErrorIs(t, young.Err(), relink.ErrReclaimedLongest)
		<-old.Done()
		require.ErrorIs(t, old.Err(), relink.ErrReclaimedLongest)
		require.ErrorIs(t, old.Err(), relink.ErrReclaimed)
		require.NotErrorIs(t, old.Err(), relink.ErrReclaimedUnused)
		RequireSuspended(t, third)
		RequireSuspended(t, last)
		synctest.Wait()
		stats := r.Listener.Stats()
		closed := r.Server.Events.All(relink.EventClosed)
		require.EqualValues(t, 1, stats.ReclaimedUnused)
		require.EqualValues(t, len(closed)-1, stats.ReclaimedLongest)
		require.Same(t, young, closed[0].Conn)
		require.Same(t, old, closed[1].Conn)
		require.LessOrEqual(t, stats.SuspendedMemory, int64(200<<10))
		require.Positive(t, stats.SuspendedMemory)
		require.Zero(t, stats.Refused.Memory)
		r.Exchange(100_000) // nothing of this is the others'
		// One more that is written to beyond what there is waits.
		require.NoError(t, last.SetWriteDeadline(time.Now().Add(time.Second)))
		n, err := last.Write(Data(512 << 10))
		requireTimeout(t, err)
		require.Less(t, n, 200<<10)
		_, _ = second.Abort(), third.Abort()
		r.Stop()
	})
}

// Who asks for more than there is has suspended sessions end for it.
func TestSuspendedSessionsEndForOthers(t *testing.T) {
	const most = 1 << 20
	InAckBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s, withBudget(most), WithServer(func(c *relink.ListenConfig) { c.MaxSuspendedMemory = most }))
		var dropped []*relink.Conn
		for range 5 {
			client, server := r.Open()
			RequireExchange(t, client, server, 10_000)
			r.Net.SetDown(faultnet.Refuse)
			r.Net.Last().Cut(faultnet.ResetNow)
			_ = server.SetReadDeadline(time.Now().Add(time.Nanosecond))
			_, _ = server.Read(make([]byte, 1))
			RequireSuspended(t, server)
			RequireWrite(t, server, Data(100<<10))
			_ = client.Abort()
			r.Net.SetDown(faultnet.NotDown)
			dropped = append(dropped, server)
		}
		require.Zero(t, r.Listener.Stats().ReclaimedLongest)
		client, server := r.Open()
		data := Data(500 << 10)
		r.Net.Last().Stall(faultnet.Down)
		write := Background(func() (int, error) { return server.Write(data) })
		<-dropped[0].Done()
		require.ErrorIs(t, dropped[0].Err(), relink.ErrReclaimedLongest)
		RequireSuspended(t, dropped[4])
		r.Net.Last().Release(faultnet.Down)
		RequireRead(t, client, data)
		require.NoError(t, (<-write).Err)
		require.Zero(t, r.Listener.Stats().Refused.Memory)
		r.Stop()
	})
}

// A server takes 64 KiB from a client as long as nobody reads, and more at a time where
// somebody does.
func TestWindowOfAServer(t *testing.T) {
	InAckBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s, WithPath(faultnet.Options{Delay: 20 * time.Millisecond, Buffer: 1 << 20}))
		data := Data(1 << 20)
		RequireWrite(t, r.Client, data) // there is room in the client's own buffer
		time.Sleep(time.Second)
		require.EqualValues(t, len(data)-64<<10, r.Client.Stats().BytesPending)
		require.LessOrEqual(t, r.Server.Stats().Memory, int64(2*64<<10))
		RequireRead(t, r.Server, data)
		for range 8 {
			RequireWrite(t, r.Client, data)
			RequireRead(t, r.Server, data)
		}
		RequireWrite(t, r.Client, data)
		time.Sleep(time.Second)
		require.Less(t, r.Client.Stats().BytesPending, int64(len(data)-64<<10), "the window has not grown")
		RequireRead(t, r.Server, data)
		r.Stop()
	})
}

// What servers allow their clients to send before anybody reads is part of the budget: the
// windows that have grown shrink again when there are many.
func TestWindowsShareTheBudget(t *testing.T) {
	const most, many = 4 << 20, 8
	InAckBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s, WithPath(faultnet.Options{Delay: 20 * time.Millisecond, Buffer: 1 << 20}), WithServer(func(c *relink.ListenConfig) { c.MaxMemory = most }))
		data := Data(1 << 20)
		clients, servers := []*relink.Conn{r.Client.Conn}, []*relink.Conn{r.Server.Conn}
		for len(clients) < many {
			c, server := r.Open()
			clients, servers = append(clients, c), append(servers, server)
		}
		for range 8 {
			for i, c := range clients {
				RequireWrite(t, c, data)
				RequireRead(t, servers[i], data)
			}
		}
		taken := int64(0)
		for _, c := range clients {
			RequireWrite(t, c, data)
		}
		time.Sleep(2 * time.Second)
		for _, c := range clients {
			taken += int64(len(data)) - c.Stats().BytesPending
		}
		require.LessOrEqual(t, taken, int64(most/2+many*64<<10))
		require.LessOrEqual(t, r.Listener.Stats().Memory, int64(most))
		for i, server := range servers {
			RequireRead(t, server, data)
			_, _ = clients[i].Abort(), server.Abort()
		}
		r.Stop()
	})
}

// TryWrite and Room go by what the budget has, not by what a session has been granted.
func TestTryWriteAsksTheBudget(t *testing.T) {
	InAckBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s, withBudget(1<<20))
		r.Net.Last().Stall(faultnet.Down)
		require.Equal(t, 512<<10, r.Server.Room())
		ok, err := r.Server.TryWrite(Data(500 << 10))
		require.NoError(t, err)
		require.True(t, ok)
		other, second := r.Open()
		r.Net.Last().Stall(faultnet.Down)
		require.Less(t, second.Room(), 512<<10)
		ok, err = second.TryWrite(Data(500 << 10))
		require.NoError(t, err)
		require.False(t, ok)
		ok, err = second.TryWrite(Data(second.Room()))
		require.NoError(t, err)
		require.True(t, ok)
		_, _ = other.Abort(), second.Abort()
		r.Stop()
	})
}

// An address has a number of handshakes a second, whatever becomes of them.
func TestHandshakeRatePerAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newKnockers(t, func(c *relink.ListenConfig) { c.HandshakeRatePerAddress = 2 })
		knock := func() bool {
			c := s.knock(1)
			gone := s.gone(c)[0]
			_ = c.Close()
			synctest.Wait()
			return !gone
		}
		s.n.SetClientHost("[2001:db8:1:2::1]")
		for range 8 { // four seconds' worth
			require.True(t, knock())
		}
		s.n.SetClientHost("[2001:db8:1:2:ff::9]") // of the same customer
		require.False(t, knock())
		require.EqualValues(t, 1, s.l.Stats().Refused.Rate)
		events := s.All(relink.EventRefused)
		require.ErrorIs(t, events[len(events)-1].Err, relink.ErrHandshakeRate)
		s.n.SetClientHost("[2001:db8:1:3::1]")
		require.True(t, knock())
		s.n.SetClientHost("[2001:db8:1:2::1]")
		time.Sleep(500 * time.Millisecond)
		require.True(t, knock())
		require.False(t, knock())
		time.Sleep(time.Minute)
		for range 8 {
			require.True(t, knock())
		}
		require.False(t, knock())
		s.n.SetClientHost("127.0.0.1")
		for range 20 {
			require.True(t, knock()) // a proxy
		}
		require.NoError(t, s.l.Close())
	})
}

// rawSession opens a session below the core and establishes it.
func rawSession(t *testing.T, r *Rig, s Suite) (*rawClient, net.Conn, *relink.Conn) {
	t.Helper()
	conn, err := r.Net.Dial(t.Context(), "tcp", "server")
	require.NoError(t, err)
	raw, err := openRaw(s, conn, DefaultReplayLimit)
	require.NoError(t, err)
	_, err = conn.Write(raw.link.Codec.Seal(nil, nil, suite.Control{Ack: true, Limit: DefaultReplayLimit}))
	require.NoError(t, err)
	server, err := r.Listener.AcceptConn()
	require.NoError(t, err)
	return raw, conn, server
}

// A client that is alive and acknowledges nothing loses its session in time; one that is slow keeps it.
func TestAcknowledgeInTime(t *testing.T) {
	InAckBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s)
		raw, conn, server := rawSession(t, r, s)
		go func() { // what it is sent does not fill the path
			for {
				if _, err := conn.Read(make([]byte, 4096)); err != nil {
					return
				}
			}
		}()
		RequireWrite(t, server, Data(1000))
		say := func(k suite.Control) { _, _ = conn.Write(raw.link.Codec.Seal(nil, nil, k)) }
		for i := range int64(40) { // a little each time is enough
			time.Sleep(3 * time.Second)
			say(suite.Control{Ack: true, Received: i, Consumed: i, Limit: i + DefaultReplayLimit})
		}
		require.Equal(t, relink.StateConnected, server.State())
		began := time.Now()
		for range 19 {
			time.Sleep(3 * time.Second)
			say(suite.Control{})
			require.Equal(t, relink.StateConnected, server.State())
		}
		for server.State() == relink.StateConnected && time.Since(began) < 2*time.Minute {
			time.Sleep(3 * time.Second)
			say(suite.Control{})
		}
		require.ErrorIs(t, server.Err(), relink.ErrUnacknowledged)
		require.ErrorIs(t, server.Err(), relink.ErrProtocol)
		require.InDelta(t, (4 * DefaultLivenessTimeout).Seconds(), time.Since(began).Seconds(), 10)
		_ = conn.Close()
		r.Stop()
	})
}

// The beginning of a long record takes memory as it arrives, and it is counted.
func TestBeginningOfALongRecord(t *testing.T) {
	InAckBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s, WithPath(faultnet.Options{Buffer: 1 << 20}))
		raw, conn, server := rawSession(t, r, s)
		read := Background(func() (int, error) { return server.Read(make([]byte, 1)) })
		record := raw.link.Codec.Seal(nil, Data(raw.link.Codec.MaxData()), suite.Control{})
		sent := 0
		for _, part := range []int{1100, 4000, 8000} {
			_, err := conn.Write(record[sent : sent+part])
			require.NoError(t, err)
			sent += part
			synctest.Wait()
			require.LessOrEqual(t, server.Stats().Memory, int64(4*sent+(2<<10)))
			require.GreaterOrEqual(t, server.Stats().Memory, int64(sent))
			require.GreaterOrEqual(t, r.Listener.Stats().Memory, int64(sent))
		}
		_, err := conn.Write(record[sent:])
		require.NoError(t, err)
		require.NoError(t, (<-read).Err)
		_, _ = conn.Close(), server.Abort()
		r.Stop()
	})
}
