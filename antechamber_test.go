package relink_test

import (
	"errors"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// knockers come to a listener of 4 handshakes and never get any further.
type knockers struct {
	t *testing.T
	n *faultnet.Network
	l *relink.Listener
	*eventLog
}

func newKnockers(t *testing.T, change func(*relink.ListenConfig)) *knockers {
	s := &knockers{t, faultnet.New(), nil, new(eventLog)}
	cfg := relink.ListenConfig{Suites: []relink.ServerSuite{noiseSuite}, MaxHandshakes: 4, MaxHandshakesPerAddress: 4}
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
	for _, e := range s.all(relink.EventRefused) {
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
		for _, e := range s.all(relink.EventRefused) {
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
		r := newRig(t, noiseSuite, withServer(func(c *relink.ListenConfig) { c.MaxHandshakes, c.MaxHandshakesPerAddress = 2, 2 }))
		r.exchange(100)
		r.net.OnDial(func(_ int, p *faultnet.Path) error { p.Stall(faultnet.Down); return nil })
		r.client.NetworkChanged()
		synctest.Wait()
		resuming := r.net.Last()
		r.net.OnDial(nil)
		require.Equal(t, 1, r.l.Stats().Handshakes)
		for range 20 {
			c, err := r.net.Dial(t.Context(), "tcp", "server")
			require.NoError(t, err)
			defer func() { _ = c.Close() }()
		}
		time.Sleep(4 * time.Second)
		require.Equal(t, 3, r.l.Stats().Handshakes)
		resuming.Release(faultnet.Down)
		r.exchange(100)
		require.EqualValues(t, 1, r.client.Stats().Resumes)
		require.EqualValues(t, 1, r.server.Stats().Resumes)
		r.stop()
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
		require.ErrorIs(t, s.all(relink.EventRefused)[0].Err, relink.ErrTooManyHandshakes)
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

// Nothing is kept of an address whose handshakes have ended.
func TestOriginsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, noiseSuite)
		var transports []net.Conn
		for i := range 3 {
			r.net.SetClientHost(fmt.Sprintf("[2001:db8:1:%d::1]", i/2))
			c, err := r.net.Dial(t.Context(), "tcp", "server")
			require.NoError(t, err)
			transports = append(transports, c)
		}
		for i, left := range []int{2, 1, 0} {
			synctest.Wait()
			require.Equal(t, min(left+1, 2), relink.Origins(r.l))
			require.NoError(t, transports[i].Close())
			synctest.Wait()
			require.Equal(t, left, relink.Origins(r.l))
		}
		r.stop()
	})
}

// What counts as one client.
func TestOrigins(t *testing.T) {
	tcp := func(s string) net.Addr {
		a, err := net.ResolveTCPAddr("tcp", s)
		require.NoError(t, err)
		return a
	}
	for _, tt := range []struct {
		addr net.Addr
		want string
	}{
		{tcp("203.0.113.7:1"), "203.0.113.7/32"},
		{tcp("[::ffff:203.0.113.7]:1"), "203.0.113.7/32"},
		{tcp("[2001:db8:1:2:3:4:5:6]:1"), "2001:db8:1:2::/64"},
		{&net.TCPAddr{IP: net.ParseIP("fe80::1"), Port: 1, Zone: "eth0"}, "fe80::/64"},
		{tcp("127.0.0.1:1"), ""},
		{tcp("[::1]:1"), ""},
		{&net.UnixAddr{Name: "@", Net: "unix"}, ""},
		{panickingAddr{}, ""},
		{nil, ""},
	} {
		require.Equal(t, tt.want, relink.OriginOf(tt.addr))
	}
}

type panickingAddr struct{ net.Addr }

func (panickingAddr) String() string { panic("the test's panic") }

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
		refused := s.all(relink.EventRefused)
		require.ErrorIs(t, refused[0].Err, relink.ErrDenied)
		require.ErrorIs(t, refused[0].Err, errBanned)
		require.ErrorIs(t, refused[1].Err, relink.ErrDenied)
		require.Equal(t, relink.RefusalStats{Denied: 2}, s.l.Stats().Refused)
		require.Equal(t, 1, s.l.Stats().Handshakes)
		require.NoError(t, s.l.Close())
	})
}
