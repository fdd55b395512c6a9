package admission_test

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/admission"
)

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
		got := ""
		if o := admission.OriginOf(tt.addr); o.IsValid() {
			got = o.String()
		}
		require.Equal(t, tt.want, got)
	}
}

type panickingAddr struct{ net.Addr }

func (panickingAddr) String() string { panic("the test's panic") }

// An address has its share, and whoever has none is not counted.
func TestShares(t *testing.T) {
	a, b := admission.OriginOf(&net.TCPAddr{IP: net.IPv4(203, 0, 113, 7)}), admission.OriginOf(&net.TCPAddr{IP: net.IPv4(203, 0, 113, 8)})
	o := admission.Origins{Most: 2}
	for range 2 {
		require.True(t, o.MayEnter(a))
		o.Enter(a)
		o.Enter(admission.Origin{})
	}
	require.False(t, o.MayEnter(a))
	require.True(t, o.MayEnter(b))
	require.True(t, o.MayEnter(admission.Origin{}))
	require.Equal(t, 1, o.Len())
	o.Leave(a)
	require.True(t, o.MayEnter(a))
	o.Leave(a)
	o.Leave(admission.Origin{})
	require.Zero(t, o.Len())
}

// What an address may begin in a second it may have saved up for four, and no more.
func TestRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := admission.OriginOf(&net.TCPAddr{IP: net.IPv4(203, 0, 113, 7)}), admission.OriginOf(&net.TCPAddr{IP: net.IPv4(203, 0, 113, 8)})
		r := admission.Rates{Every: time.Second / 10}
		taken := func(from admission.Origin) (n int) {
			for n < 100 && r.Take(from) {
				n++
			}
			return n
		}
		require.Equal(t, 40, taken(a))
		require.Equal(t, 40, taken(b))
		require.Equal(t, 100, taken(admission.Origin{}))
		time.Sleep(time.Second)
		require.Equal(t, 10, taken(a))
		time.Sleep(time.Hour)
		require.Equal(t, 40, taken(a))
	})
}

// A newcomer finds the place of the oldest that has shown the least, once that was left alone for a
// second; those that only talk hold no more than half of the room.
func TestWhoGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var all admission.Handshakes[string]
		places := make(map[string]*admission.Place[string])
		enter := func(name string) {
			places[name] = new(admission.Place[string])
			all.Enter(name, places[name])
		}
		next := func(name string, wait time.Duration) {
			t.Helper()
			who, left := all.Next()
			require.Equal(t, name, who)
			require.Equal(t, wait, left)
		}
		enter("a")
		next("a", time.Second)
		time.Sleep(400 * time.Millisecond)
		enter("b")
		enter("c")
		next("a", 600*time.Millisecond)
		_, advanced, _ := all.Advance(places["a"], admission.Heard, 1)
		require.True(t, advanced)
		_, advanced, _ = all.Advance(places["a"], admission.Silent, 1)
		require.False(t, advanced, "back")
		next("b", time.Second)
		all.Leave(places["c"])
		all.Advance(places["b"], admission.Heard, 1)
		next("a", 600*time.Millisecond)
		enter("d")
		next("a", 600*time.Millisecond) // who talks holds more than half
		require.Equal(t, 3, all.Unproven())

		_, _, givesWay := all.Advance(places["a"], admission.Proven, 1)
		require.False(t, givesWay)
		oldest, _, givesWay := all.Advance(places["b"], admission.Proven, 1)
		require.True(t, givesWay)
		require.Equal(t, "a", oldest)
		require.Equal(t, 1, all.Unproven())
		require.Equal(t, 3, all.Len())
		require.ElementsMatch(t, []string{"a", "b", "d"}, all.All())
		next("d", time.Second)
	})
}
