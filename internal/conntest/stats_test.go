package conntest

import (
	"fmt"
	"io"
	"net"
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

// settled lets the totals become up to date.
const settled = 5 * TickEvery

// The listener's counts follow its sessions through their lives, and its totals
// are the sums of theirs.
func TestListenerStats(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s)
		require.Equal(t, relink.ListenerStats{Connected: 1, Opened: 1}, statsWithoutMemory(r.Listener))
		client, server := r.Open()
		data := Data(50_000)
		for _, c := range [][2]*relink.Conn{{r.Client.Conn, r.Server.Conn}, {client, server}, {r.Server.Conn, r.Client.Conn}} {
			sent := Background(func() (int, error) { return c[0].Write(data) })
			RequireRead(t, c[1], data)
			require.NoError(t, (<-sent).Err)
		}
		time.Sleep(settled)
		got := r.Listener.Stats()
		require.Equal(t, r.Server.Stats().Memory+server.Stats().Memory, got.Memory)
		got.Memory = 0
		require.Equal(t, relink.ListenerStats{Connected: 2, Opened: 2, BytesRead: 100_000, BytesWritten: 50_000}, got)

		// Suspended sessions are counted as such, with what they take meanwhile.
		r.Net.SetDown(faultnet.Refuse)
		for _, p := range r.Net.Paths() {
			p.Cut(faultnet.Reset)
		}
		r.Suspend(faultnet.Refuse, faultnet.Reset)
		_ = server.SetReadDeadline(time.Now().Add(time.Nanosecond))
		_, _ = server.Read(make([]byte, 1))
		RequireWrite(t, r.Server, data)
		got = r.Listener.Stats()
		require.Equal(t, [2]int{0, 2}, [2]int{got.Connected, got.Suspended})
		require.EqualValues(t, 100_000, got.BytesWritten)
		require.Equal(t, r.Server.Stats().Memory+server.Stats().Memory, got.Memory)

		_ = server.SetReadDeadline(time.Time{})
		r.Net.SetDown(faultnet.NotDown)
		r.Client.NetworkChanged()
		client.NetworkChanged()
		RequireRead(t, r.Client, data)
		RequireExchange(t, client, server, 10)
		time.Sleep(settled)
		got = r.Listener.Stats()
		require.Equal(t, [2]int{2, 0}, [2]int{got.Connected, got.Suspended})
		require.Equal(t, r.Server.Stats().Resumes+server.Stats().Resumes, got.Resumes)
		require.Equal(t, r.Server.Stats().Replayed+server.Stats().Replayed, got.Replayed)
		require.EqualValues(t, 100_010, got.BytesRead)
		require.EqualValues(t, 100_010, got.BytesWritten)

		// What has ended stays in the totals, and nothing else of it.
		for _, c := range []*relink.Conn{r.Client.Conn, client, r.Server.Conn, server} {
			_ = c.Abort()
		}
		synctest.Wait()
		got = r.Listener.Stats()
		got.Resumes, got.Replayed, got.Refused = 0, 0, relink.RefusalStats{}
		require.Equal(t, relink.ListenerStats{Opened: 2, BytesRead: 100_010, BytesWritten: 100_010}, got)
		r.Stop()
	})
}

func statsWithoutMemory(l *relink.Listener) relink.ListenerStats {
	s := l.Stats()
	s.Memory = 0
	s.Backlog = 0
	return s
}

// What an application reads after the session's end counts as well.
func TestListenerStatsAfterTheEnd(t *testing.T) {
	InAckBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s)
		data := Data(1000)
		RequireWrite(t, r.Client, data)
		require.NoError(t, r.Client.Flush(t.Context()))
		require.NoError(t, r.Client.Abort())
		<-r.Server.Done()
		require.Zero(t, r.Listener.Stats().Memory) // that of sessions that have not ended
		RequireRead(t, r.Server, data)
		require.EqualValues(t, len(data), r.Listener.Stats().BytesRead)
		r.Stop()
	})
}

// Handshakes and sessions before Accept are counted, and why handshakes fail.
func TestListenerStatsOfHandshakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := faultnet.New()
		l, err := relink.NewListener(n.Listen(), relink.ListenConfig{
			Suites:      []relink.ServerSuite{Noise, DH64RC4, SCP},
			MaxSessions: 1,
		})
		require.NoError(t, err)
		d := relink.Dialer{Suite: SCP, DialTransport: n.Dial}
		c, err := d.DialConn(t.Context(), "tcp", "server")
		require.NoError(t, err)
		synctest.Wait() // the server has answered, and now takes the session in
		require.Equal(t, 1, l.Stats().Backlog)
		server, err := l.AcceptConn()
		require.NoError(t, err)
		require.Zero(t, l.Stats().Backlog)

		say := func(first string) net.Conn {
			tr, err := n.Dial(t.Context(), "tcp", "server")
			require.NoError(t, err)
			_, err = tr.Write([]byte(first))
			require.NoError(t, err)
			synctest.Wait()
			return tr
		}
		silent := say("")
		require.Equal(t, 1, l.Stats().Handshakes)
		for _, first := range []string{"GET / HTTP/1.1\r\n\r\n", "\x52\x09" + strings.Repeat("\xff", 200)} {
			_ = say(first).Close()
		}
		for range 3 { // health checks
			_ = say("").Close()
		}
		_, err = d.DialConn(t.Context(), "tcp", "server")
		require.Error(t, err)
		time.Sleep(2 * DefaultHandshakeTimeout)
		_ = silent.Close()
		want := relink.RefusalStats{NoSuite: 1, Protocol: 1, Probe: 3, Full: 1, Timeout: 1}
		require.Equal(t, want, l.Stats().Refused)
		require.EqualValues(t, 7, want.Total())
		require.Zero(t, l.Stats().Handshakes)
		_, _, _ = c.Abort(), server.Abort(), l.Close()
	})
}

// Events that were dropped are counted, whether or not another one comes.
func TestListenerStatsOfEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hold := make(chan struct{})
		var told atomic.Int64
		r := New(t, SCP, WithServer(func(c *relink.ListenConfig) {
			c.OnEvent = func(e relink.Event) {
				if e.Kind != relink.EventOpened {
					<-hold
				}
				told.Add(int64(e.Dropped))
			}
		}))
		for range 1 + MaxQueuedEvents + 10 { // one is being delivered
			r.Client.NetworkChanged()
			synctest.Wait()
		}
		dropped := r.Listener.Stats().EventsDropped
		require.GreaterOrEqual(t, dropped, int64(10)) // the server may have been suspended, too
		close(hold)
		synctest.Wait()
		require.Zero(t, told.Load())
		r.Client.NetworkChanged()
		synctest.Wait()
		require.Equal(t, dropped, told.Load())
		require.Equal(t, dropped, r.Listener.Stats().EventsDropped)
		r.Stop()
	})
}

// A provisional session is none yet.
func TestListenerStatsOfProvisionalSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := faultnet.New()
		l, err := relink.NewListener(n.Listen(), relink.ListenConfig{Suites: []relink.ServerSuite{DH64RC4}})
		require.NoError(t, err)
		n.OnDial(func(_ int, p *faultnet.Path) error { p.Stall(faultnet.Down); return nil })
		d := relink.Dialer{Suite: DH64RC4, DialTransport: n.Dial, Config: relink.Config{HandshakeTimeout: time.Second}}
		_, err = d.DialConn(t.Context(), "tcp", "server")
		require.ErrorIs(t, err, relink.ErrHandshakeTimeout)
		synctest.Wait()
		require.Equal(t, 1, l.Stats().Provisional) // a resume may still complete it
		require.Zero(t, l.Stats().Connected+l.Stats().Suspended)
		time.Sleep(DefaultHandshakeTimeout)
		require.Zero(t, l.Stats().Provisional)
		require.Zero(t, l.Stats().Opened)
		require.NoError(t, l.Close())
	})
}

// Sessions yields each session once, while others come and go, and holds nobody
// up: the loop may call everything.
func TestListenerSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many = 600 // more than are looked up at once
		r := New(t, SCP)
		servers := map[*relink.Conn]bool{r.Server.Conn: true}
		var clients []*relink.Conn
		for range many {
			c, s := r.Open()
			clients = append(clients, c)
			servers[s] = true
		}
		seen := make(map[*relink.Conn]int)
		for c := range r.Listener.Sessions() {
			seen[c]++
			require.True(t, servers[c])
			_ = r.Listener.Stats()
			if len(seen) == 1 {
				r.Open() // comes or not
				servers[acceptedLast(r)] = true
			}
		}
		require.GreaterOrEqual(t, len(seen), many+1)
		for c, n := range seen {
			require.Equal(t, 1, n, c)
		}
		for range r.Listener.Sessions() {
			break // ends it
		}

		// Ended ones leave their place to others.
		for _, c := range clients[:300] {
			require.NoError(t, c.Abort())
		}
		for s := range servers {
			_ = s.SetReadDeadline(time.Now().Add(time.Nanosecond))
			_, _ = s.Read(make([]byte, 1))
		}
		time.Sleep(2 * DefaultResumeTimeout)
		left := 0
		for range r.Listener.Sessions() {
			left++
		}
		require.Equal(t, many-300+2, left)
		require.Equal(t, left, live(r.Listener))
		for range 300 {
			r.Open()
		}
		left = 0
		for range r.Listener.Sessions() {
			left++
		}
		require.Equal(t, many+2, left)
		r.Stop()
	})
}

// acceptedLast returns the newest session.
func acceptedLast(r *Rig) (last *relink.Conn) {
	for c := range r.Listener.Sessions() {
		last = c
	}
	return last
}

// Asking goes on while sessions are opened, used, and ended.
func TestListenerStatsMeanwhile(t *testing.T) {
	ForEachSuite(t, func(t *testing.T, s Suite) {
		l, err := relink.Listen("tcp", "127.0.0.1:0", s)
		require.NoError(t, err)
		defer func() { _ = l.Close() }()
		var accepting, clients, asking sync.WaitGroup
		accepting.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				accepting.Go(func() { _, _ = io.Copy(c, c); _ = c.Close() })
			}
		})
		quit := make(chan struct{})
		asking.Go(func() {
			for {
				select {
				case <-quit:
					return
				default:
				}
				st := l.Stats()
				if st.Connected < 0 || st.Suspended < 0 || st.Provisional < 0 || st.Memory < 0 {
					t.Errorf("%+v", st)
				}
				for c := range l.Sessions() {
					_ = fmt.Sprint(c, c.Stats())
				}
			}
		})
		for range 4 {
			clients.Go(func() {
				for range 10 {
					c, err := relink.Dial("tcp", l.Addr().String(), s)
					if err != nil {
						t.Error(err)
						return
					}
					b := make([]byte, 1000)
					_, _ = c.Write(b)
					_, _ = io.ReadFull(c, b)
					_ = c.Abort()
				}
			})
		}
		clients.Wait()
		close(quit)
		asking.Wait()
		require.EqualValues(t, 40, l.Stats().Opened)
		for c := range l.Sessions() {
			_ = c.Abort()
		}
		require.Zero(t, live(l))
		require.Zero(t, l.Stats().Memory)
		require.NoError(t, l.Close())
		accepting.Wait()
	})
}
