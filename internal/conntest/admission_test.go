package conntest

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
	"github.com/relink-go/relink/internal/suite"
)

// A gatedConn holds back every Write but the first until the gate is open, so
// that a client's handshake stops before its last message.
type gatedConn struct {
	net.Conn
	gate   <-chan struct{}
	writes int // by one goroutine at a time
}

func (c *gatedConn) Interruptible() bool { return true }

func (c *gatedConn) Write(p []byte) (int, error) {
	if c.writes++; c.writes > 1 {
		<-c.gate
	}
	return c.Conn.Write(p)
}

// Whether there is room is judged again when a session has proven itself:
// several handshakes may be under way when there is room for one session.
func TestAdmissionIsJudgedLast(t *testing.T) {
	for _, why := range []string{"MaxSessions", "Shutdown"} {
		t.Run(why, func(t *testing.T) {
			InBubble(t, func(t *testing.T, s Suite) {
				if IsSCP(s) {
					t.Skip("an SCP client's first message is its last one")
				}
				r := New(t, s, WithServer(func(c *relink.ListenConfig) {
					if why == "MaxSessions" {
						c.MaxSessions = 2
					}
				}))
				gate := make(chan struct{})
				d := *r.Dialer
				d.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
					c, err := r.Net.Dial(ctx, network, address)
					return &gatedConn{Conn: c, gate: gate}, err
				}
				const dials = 3
				var clients sync.WaitGroup
				for range dials {
					clients.Go(func() {
						if c, err := d.DialConn(context.Background(), "tcp", "server"); err == nil {
							_, _ = c.Read(make([]byte, 1))
							_ = c.Abort()
						}
					})
				}
				synctest.Wait()
				require.Equal(t, [2]int{dials, dials}, unfinished(r.Listener))
				admitted, reason := 1, relink.ErrTooManySessions
				if why == "Shutdown" {
					admitted, reason = 0, nil
					go func() { _ = r.Listener.Shutdown(context.Background()) }()
					synctest.Wait()
				}
				close(gate)
				synctest.Wait()
				refused := 0
				for _, e := range r.Server.Events.All(relink.EventRefused) {
					require.Error(t, e.Err)
					require.False(t, isInternal(e.Err), "%v", e.Err)
					if errors.Is(e.Err, relink.ErrUnknownSession) {
						continue // a client that believed in its session has come back
					}
					refused++
					if reason != nil {
						require.ErrorIs(t, e.Err, reason)
					}
				}
				require.Equal(t, dials-admitted, refused)
				require.Equal(t, 1+admitted, live(r.Listener))
				require.Equal(t, [2]int{}, unfinished(r.Listener))
				r.Exchange(100)
				if admitted > 0 {
					c, err := r.Listener.AcceptConn()
					require.NoError(t, err)
					_ = c.Abort()
				}
				r.Stop()
				clients.Wait()
			})
		})
	}
}

// A wrappedHost is the protocol records with something between it and the core
// of the server.
type wrappedHost struct {
	*RecordProtocol
	wrap func(suite.Host) suite.Host
}

func (p wrappedHost) Serve(s suite.Stream, h suite.Host) error {
	return p.RecordProtocol.Serve(s, p.wrap(h))
}

// oneKey offers every session under the same key.
type oneKey struct{ suite.Host }

func (h oneKey) Offer(s suite.Session, _ suite.Key) error { return h.Host.Offer(s, suite.Key{1}) }

// Two sessions never share a key, whatever a protocol asks for.
func TestKeyIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wrap := func(h suite.Host) suite.Host { return oneKey{h} }
		r := New(t, Spoken{wrappedHost{new(RecordProtocol), wrap}})
		_, err := r.Dialer.DialConn(t.Context(), "tcp", "server")
		require.Error(t, err)
		require.ErrorIs(t, r.Server.Events.All(relink.EventRefused)[0].Err, suite.ErrKeyTaken)
		r.Exchange(100)
		r.Stop()
	})
}

// A late protocol begins each step of a handshake after its time.
type late struct{ suite.Host }

func (h late) Offer(s suite.Session, k suite.Key) error {
	time.Sleep(time.Minute)
	return h.Host.Offer(s, k)
}

func (h late) Find(k suite.Key) (suite.Target, bool) {
	t, ok := h.Host.Find(k)
	return lateTarget{t}, ok
}

type lateTarget struct{ suite.Target }

func (t lateTarget) TakeOver(c suite.Claim, l suite.Link) error {
	time.Sleep(time.Minute)
	return t.Target.TakeOver(c, l)
}

// A handshake whose time was up while its protocol was busy leaves nothing
// behind: no session that no timer ends, and no link on a transport that is
// closed.
func TestProtocolIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var isLate atomic.Bool
		wrap := func(h suite.Host) suite.Host {
			if isLate.Load() {
				return late{h}
			}
			return h
		}
		r := New(t, Spoken{wrappedHost{new(RecordProtocol), wrap}})
		r.Exchange(100)
		transport := r.Net.Last()
		refusals := func() []relink.Event { return r.Server.Events.All(relink.EventRefused) }

		isLate.Store(true)
		_, err := r.Dialer.DialConn(t.Context(), "tcp", "server")
		require.Error(t, err)
		time.Sleep(2 * time.Minute)
		require.Len(t, refusals(), 1)
		require.ErrorIs(t, refusals()[0].Err, relink.ErrHandshakeTimeout)
		require.Equal(t, 1, live(r.Listener))
		require.Equal(t, [2]int{}, unfinished(r.Listener))

		transport.Cut(faultnet.Reset)
		time.Sleep(time.Minute + time.Second)
		require.Greater(t, len(refusals()), 1)
		isLate.Store(false)
		r.Exchange(100)
		time.Sleep(time.Minute) // the last that were late
		for _, e := range refusals() {
			require.ErrorIs(t, e.Err, relink.ErrHandshakeTimeout)
		}
		require.Equal(t, [2]int{}, unfinished(r.Listener))
		r.Stop()
	})
}

// A narrow client says that it takes 100 bytes.
type narrow struct{ suite.Host }

func (h narrow) Establish(l suite.Link) error {
	l.Limit, l.First.Limit = 100, 100
	return h.Host.Establish(l)
}

// A first limit below what is assumed without one holds.
func TestNarrowWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wrap := func(h suite.Host) suite.Host { return narrow{h} }
		r := New(t, Spoken{wrappedHost{new(RecordProtocol), wrap}})
		r.Net.Last().Stall(faultnet.Up) // so that nothing is acknowledged
		data := Data(1000)
		RequireWrite(t, r.Server, data)
		got := make([]byte, len(data))
		n, err := io.ReadFull(r.Client, got[:100])
		require.NoError(t, err)
		rest := Background(func() (int, error) { return io.ReadFull(r.Client, got[n:]) })
		StillBlocked(t, rest)
		r.Net.Last().Release(faultnet.Up)
		require.NoError(t, (<-rest).Err)
		require.Equal(t, data, got)
		r.Stop()
	})
}

// A greedy protocol asks for more than a message may have.
type greedy struct{ *RecordProtocol }

func (greedy) Serve(s suite.Stream, _ suite.Host) error {
	_, err := s.Next(suite.MaxMessage + 1)
	return err
}

// No message of a handshake is longer than the bound, whatever a protocol asks
// for.
func TestMessageIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sc := NewIdle(t, Spoken{greedy{new(RecordProtocol)}})
		_, err := sc.Dialer.DialConn(t.Context(), "tcp", "server")
		require.Error(t, err)
		require.ErrorIs(t, sc.Server.Events.All(relink.EventRefused)[0].Err, relink.ErrProtocol)
		require.NoError(t, sc.Listener.Close())
	})
}

// A forgetful server says at a resume that it has received nothing, although it
// has acknowledged everything.
type forgetful struct{ suite.Host }

func (h forgetful) Find(k suite.Key) (suite.Target, bool) {
	t, ok := h.Host.Find(k)
	return forgetfulTarget{t}, ok
}

type forgetfulTarget struct{ suite.Target }

func (t forgetfulTarget) Claim() suite.Claim {
	c := t.Target.Claim()
	c.Received = 0
	return c
}

// A server that takes an acknowledgement back ends the session: what it wants
// again is no longer there.
func TestServerTakesAcknowledgementBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		wrap := func(h suite.Host) suite.Host { return forgetful{h} }
		r := New(t, Spoken{wrappedHost{new(RecordProtocol), wrap}})
		r.Exchange(1000)
		require.NoError(t, r.Client.WaitAcked(t.Context(), 1000))
		r.Net.Last().Cut(faultnet.Reset)
		_, err := r.Client.Read(make([]byte, 1))
		require.ErrorIs(t, err, relink.ErrCounters)
		r.Stop()
	})
}

// knockers come to a listener of 4 handshakes and never get any further.
type knockers struct {
	t *testing.T
	n *faultnet.Network
	l *relink.Listener
	*EventLog
}

func newKnockers(t *testing.T, change func(*relink.ListenConfig)) *knockers {
	s := &knockers{t, faultnet.New(), nil, new(EventLog)}
	cfg := relink.ListenConfig{Suites: []relink.ServerSuite{Noise}, MaxHandshakes: 4, MaxHandshakesPerAddress: 4}
	cfg.OnEvent = s.add
	change(&cfg)
	var err error
	s.l, err = relink.NewListener(s.n.Listen(), cfg)
	require.NoError(t, err)
	return s
}

// knock opens a transport and says so many bytes of a request.
func (s *knockers) knock(bytes int) net.Conn {
	s.t.Helper()
	c, err := s.n.Dial(s.t.Context(), "tcp", "server")
	require.NoError(s.t, err)
	_, err = c.Write([]byte{0x52, 1, 1, 0}[:bytes])
	require.NoError(s.t, err)
	synctest.Wait()
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// gone returns which of the transports the listener has refused.
func (s *knockers) gone(all ...net.Conn) []bool {
	synctest.Wait()
	gone := make([]bool, len(all))
	for _, e := range s.All(relink.EventRefused) {
		for i, c := range all {
			gone[i] = gone[i] || e.Remote.String() == c.LocalAddr().String()
		}
	}
	return gone
}

// Those who have said nothing give way first, the oldest of them first, and later
// those who have.
func TestHandshakesGiveWayByStanding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newKnockers(t, func(*relink.ListenConfig) {})
		first := []net.Conn{s.knock(3), s.knock(2), s.knock(0), s.knock(0)}
		time.Sleep(2 * time.Second)
		fifth := s.knock(1)
		require.Equal(t, []bool{false, false, true, false}, s.gone(first...))
		sixth := s.knock(1)
		require.Equal(t, []bool{false, false, true, true}, s.gone(first...))
		seventh := s.knock(1)
		require.Equal(t, []bool{true, false, true, true}, s.gone(first...))
		require.Equal(t, []bool{false, false, false}, s.gone(fifth, sixth, seventh))
		for _, e := range s.All(relink.EventRefused) {
			require.ErrorIs(t, e.Err, relink.ErrHandshakeTimeout)
		}
		require.NoError(t, s.l.Close())
	})
}

// Each is left alone for a second. Who comes meanwhile waits outside, until then
// or until a place is free.
func TestHandshakesAreLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newKnockers(t, func(*relink.ListenConfig) {})
		first := []net.Conn{s.knock(0), s.knock(0), s.knock(0), s.knock(0)}
		time.Sleep(500 * time.Millisecond)
		_ = s.knock(0)
		require.Equal(t, []bool{false, false, false, false}, s.gone(first...))
		_ = first[3].Close()
		require.Equal(t, []bool{false, false, false, true}, s.gone(first...))
		require.Equal(t, 4, s.l.Stats().Handshakes)
		_ = s.knock(0)
		time.Sleep(499 * time.Millisecond)
		require.Equal(t, []bool{false, false, false, true}, s.gone(first...))
		time.Sleep(time.Millisecond)
		require.Equal(t, []bool{true, false, false, true}, s.gone(first...))
		require.Equal(t, 4, s.l.Stats().Handshakes)
		require.NoError(t, s.l.Close())
	})
}

// Those who have said a byte and hold most places do not hold everybody up: a
// newcomer needs a second, not one for each before it.
func TestTalkersDoNotHoldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newKnockers(t, func(*relink.ListenConfig) {})
		first := []net.Conn{s.knock(1), s.knock(1), s.knock(1), s.knock(0)}
		time.Sleep(900 * time.Millisecond)
		_ = first[3].Close()
		last := s.knock(0)
		time.Sleep(100 * time.Millisecond)
		_ = s.knock(0) // not after the one who has come last
		require.Equal(t, []bool{true, false, false}, s.gone(first[:3]...))
		require.Equal(t, []bool{false}, s.gone(last))
		require.NoError(t, s.l.Close())
	})
}

// Close ends the wait for a place.
func TestCloseWhileFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newKnockers(t, func(*relink.ListenConfig) {})
		for range 6 {
			_ = s.knock(0)
		}
		start := time.Now()
		require.NoError(t, s.l.Close())
		synctest.Wait()
		require.Zero(t, s.l.Stats().Handshakes)
		require.Zero(t, time.Since(start))
	})
}

// A resume that has proven itself does not give way to whoever knocks.
func TestProvenResumesStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(t, Noise, WithServer(func(c *relink.ListenConfig) { c.MaxHandshakes, c.MaxHandshakesPerAddress = 2, 2 }))
		r.Exchange(100)
		r.Net.OnDial(func(_ int, p *faultnet.Path) error { p.Stall(faultnet.Down); return nil })
		r.Client.NetworkChanged()
		synctest.Wait()
		resuming := r.Net.Last()
		r.Net.OnDial(nil)
		require.Equal(t, 1, r.Listener.Stats().Handshakes)
		for range 20 {
			c, err := r.Net.Dial(t.Context(), "tcp", "server")
			require.NoError(t, err)
			defer func() { _ = c.Close() }()
		}
		time.Sleep(4 * time.Second)
		require.Equal(t, 3, r.Listener.Stats().Handshakes)
		resuming.Release(faultnet.Down)
		r.Exchange(100)
		require.EqualValues(t, 1, r.Client.Stats().Resumes)
		require.EqualValues(t, 1, r.Server.Stats().Resumes)
		r.Stop()
	})
}

// An address has its share and no more, and leaves the rest to others.
func TestHandshakesPerAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newKnockers(t, func(c *relink.ListenConfig) { c.MaxHandshakesPerAddress = 2 })
		s.n.SetClientHost("[2001:db8:1:2::1]")
		first, second := s.knock(0), s.knock(1)
		s.n.SetClientHost("[2001:db8:1:2:ff::9]") // of the same customer
		third := s.knock(0)
		require.Equal(t, []bool{false, false, true}, s.gone(first, second, third))
		require.ErrorIs(t, s.All(relink.EventRefused)[0].Err, relink.ErrTooManyHandshakes)
		require.Equal(t, relink.RefusalStats{Full: 1}, s.l.Stats().Refused)
		s.n.SetClientHost("[2001:db8:1:3::1]")
		other := s.knock(0)
		_ = first.Close() // gives its place up
		synctest.Wait()
		s.n.SetClientHost("[2001:db8:1:2::1]")
		again := s.knock(0)
		require.Equal(t, []bool{false, false}, s.gone(other, again))
		require.NoError(t, s.l.Close())
	})
}

// Admit turns transports away by their address, before they have said anything.
func TestAdmit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errBanned := errors.New("banned")
		s := newKnockers(t, func(c *relink.ListenConfig) {
			c.Admit = func(remote net.Addr) error {
				switch host, _, _ := net.SplitHostPort(remote.String()); host {
				case "192.0.2.1":
					return errBanned
				case "192.0.2.2":
					panic("the test's panic")
				default:
					return nil
				}
			}
		})
		for _, host := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"} {
			s.n.SetClientHost(host)
			c := s.knock(0)
			require.Equal(t, []bool{host != "192.0.2.3"}, s.gone(c))
			if host != "192.0.2.3" {
				require.Error(t, readToEnd(c))
			}
		}
		refused := s.All(relink.EventRefused)
		require.ErrorIs(t, refused[0].Err, relink.ErrDenied)
		require.ErrorIs(t, refused[0].Err, errBanned)
		require.ErrorIs(t, refused[1].Err, relink.ErrDenied)
		require.Equal(t, relink.RefusalStats{Denied: 2}, s.l.Stats().Refused)
		require.Equal(t, 1, s.l.Stats().Handshakes)
		require.NoError(t, s.l.Close())
	})
}

// A session that has ended before Accept leaves the backlog at once, whether its
// peer has reset it or nobody came back for it, and Accept returns the next one.
func TestEndedBeforeAccept(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s)
		first, err := r.Dialer.DialConn(t.Context(), "tcp", "server")
		require.NoError(t, err)
		RequireWrite(t, first, Data(1000))
		synctest.Wait()
		require.Equal(t, 1, r.Listener.Stats().Backlog)
		if IsClassic(s) { // whose wire has no word for it
			r.Net.SetDown(faultnet.Refuse)
			r.Net.Last().Cut(faultnet.Reset)
		}
		require.NoError(t, first.Abort())
		if time.Sleep(time.Second); IsClassic(s) { // somebody has to notice
			time.Sleep(DefaultResumeTimeout)
			r.Net.SetDown(faultnet.NotDown)
		}
		stats := r.Listener.Stats()
		require.Zero(t, stats.Backlog)
		require.Zero(t, stats.Memory)
		_ = r.Client.Abort()
		_ = r.Server.Abort()
		r.Client.Conn, r.Server.Conn = r.Open()
		r.Exchange(100)
		r.Stop()
	})
}

// What a session takes from its peer before Accept is bounded, whatever its
// ReplayLimit is, and nothing of it is lost.
func TestHoldsLittleBeforeAccept(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s, WithPath(faultnet.Options{Buffer: 64 << 10}))
		before := r.Listener.Stats().Memory
		c, err := r.Dialer.DialConn(t.Context(), "tcp", "server")
		require.NoError(t, err)
		data := Data(1 << 20)
		written := Background(func() (int, error) { return c.Write(data) })
		time.Sleep(5 * time.Second)
		const record = 64 << 10 // what had begun to arrive when there was enough
		require.LessOrEqual(t, r.Listener.Stats().Memory-before, int64(UnacceptedBound+2*record))
		server, err := r.Listener.AcceptConn()
		require.NoError(t, err)
		RequireRead(t, server, data)
		require.NoError(t, (<-written).Err)
		_, _ = c.Abort(), server.Abort()
		r.Stop()
	})
}

// A session that is ended in its first event never reaches Accept, however long that
// event takes; meanwhile the others go on.
func TestEndedInItsFirstEvent(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		unwanted := make(chan *relink.Conn, 1)
		hold := make(chan struct{})
		var nth int
		r := New(t, s, WithServer(func(c *relink.ListenConfig) {
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
				c, err := r.Listener.AcceptConn()
				if err != nil {
					return
				}
				accepted <- c
			}
		}()
		var clients []*relink.Conn
		for range 2 {
			c, err := r.Dialer.DialConn(context.Background(), "tcp", "server")
			require.NoError(t, err)
			RequireWrite(t, c, []byte("x"))
			clients = append(clients, c)
			synctest.Wait()
		}
		time.Sleep(time.Second)
		require.Empty(t, accepted)
		require.Equal(t, 2, r.Listener.Stats().Backlog)
		r.Exchange(100)
		close(hold)
		synctest.Wait()
		require.Len(t, accepted, 1)
		wanted := <-accepted
		RequireRead(t, wanted, []byte("x"))
		require.NotSame(t, <-unwanted, wanted)
		require.Zero(t, r.Listener.Stats().Backlog)
		RequireExchange(t, wanted, clients[1], 100)
		_, _, _ = wanted.Abort(), clients[0].Abort(), clients[1].Abort()
		r.Stop()
	})
}

// Close ends the sessions that OnEvent has not been told of, as it ends those which
// wait for Accept.
func TestCloseWhileAnObserverHangs(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		hold := make(chan struct{})
		nth := 0
		r := New(t, s, WithServer(func(c *relink.ListenConfig) {
			c.OnEvent = func(relink.Event) {
				if nth++; nth > 1 {
					<-hold
				}
			}
		}))
		for range 3 {
			c, err := r.Dialer.DialConn(context.Background(), "tcp", "server")
			require.NoError(t, err)
			RequireWrite(t, c, []byte("x"))
			defer func() { _ = c.Abort() }()
		}
		synctest.Wait()
		require.Equal(t, 3, r.Listener.Stats().Backlog)
		require.NoError(t, r.Listener.Close())
		synctest.Wait()
		require.Zero(t, r.Listener.Stats().Backlog)
		require.Equal(t, 1, live(r.Listener))
		close(hold)
		r.Stop()
	})
}

// Sessions that were opened and dropped make room for new ones when there is no
// other, the longest suspended first. What is connected stays.
func TestYoungSuspendedSessionsGiveWay(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s, WithServer(func(c *relink.ListenConfig) { c.MaxSessions = 3 }))
		var dropped []*relink.Conn
		for range 2 {
			client, server := r.Open()
			r.Net.SetDown(faultnet.Refuse)
			r.Net.Last().Cut(faultnet.ResetNow)
			_ = server.SetReadDeadline(time.Now().Add(time.Nanosecond))
			_, _ = server.Read(make([]byte, 1))
			RequireSuspended(t, server)
			_ = client.Abort()
			r.Net.SetDown(faultnet.NotDown)
			dropped = append(dropped, server)
		}
		client, server := r.Open()
		RequireExchange(t, client, server, 100)
		<-dropped[0].Done()
		require.ErrorIs(t, dropped[0].Err(), relink.ErrDisplaced)
		RequireSuspended(t, dropped[1])
		synctest.Wait()
		closed := r.Server.Events.All(relink.EventClosed)
		require.Len(t, closed, 1)
		require.Same(t, dropped[0], closed[0].Conn)
		require.ErrorIs(t, closed[0].Err, relink.ErrDisplaced)
		require.EqualValues(t, 1, r.Listener.Stats().Displaced)
		require.Equal(t, 3, live(r.Listener))
		require.Equal(t, 1, r.Listener.Stats().Suspended)
		r.Exchange(100)
		time.Sleep(2 * DefaultResumeTimeout) // nothing is left of it that expires once more
		require.Len(t, r.Server.Events.All(relink.EventClosed), 2)
		require.Equal(t, 2, live(r.Listener))
		_, _ = client.Abort(), server.Abort()
		r.Stop()
	})
}

// A session that has carried much, or was resumed before, does not give way, and
// comes back.
func TestWhoDoesNotGiveWay(t *testing.T) {
	for name, tt := range map[string]struct{ carried, resumes int }{
		"it has carried much": {LittleCarried + 1, 0},
		"it was resumed":      {1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			InBubble(t, func(t *testing.T, s Suite) {
				r := New(t, s, WithServer(func(c *relink.ListenConfig) { c.MaxSessions = 1 }))
				RequireWrite(t, r.Client, Data(tt.carried))
				RequireRead(t, r.Server, Data(tt.carried))
				for range tt.resumes {
					r.Client.NetworkChanged()
					r.Exchange(100)
				}
				synctest.Wait() // on Noise the exchange may be over before the resume is: the handshake has carried it
				require.EqualValues(t, tt.resumes, r.Server.Stats().Resumes)
				r.Suspend(faultnet.Refuse, faultnet.ResetNow)
				r.Net.SetDown(faultnet.NotDown)
				c, err := r.Dialer.DialConn(t.Context(), "tcp", "server")
				if err == nil {
					require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Minute)))
					_, err = c.Read(make([]byte, 1))
					_ = c.Abort()
				}
				require.Error(t, err)
				require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "it was let in")
				require.Zero(t, r.Listener.Stats().Displaced)
				r.Exchange(100)
				r.Stop()
			})
		})
	}
}
