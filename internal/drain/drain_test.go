package drain_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/drain"
)

func TestTarget(t *testing.T) {
	for _, c := range []struct{ dialled, named, target string }{
		{"server:1", ":2", "server:2"},
		{"[::1]:1", ":2", "[::1]:2"},
		{"server:1", "other:2", "other:2"},
		{"server:1", "[2001:db8::1]:2", "[2001:db8::1]:2"},
		{"server:1", "other", ""},
		{"server:1", "other:", ""},
		{"server:1", ":", ""},
		{"server:1", "a:b:c", ""},
		{"server", ":2", ""},
		{"server:1", "", ""},
	} {
		target, err := drain.Target(c.dialled, c.named)
		require.Equal(t, c.target, target, "%+v", c)
		require.Equal(t, c.target == "", err != nil, "%+v", c)
	}
}

func TestSameHost(t *testing.T) {
	require.NoError(t, drain.SameHost("server:1", "SERVER:2"))
	for _, c := range [][2]string{{"server:1", "server.evil:1"}, {"server:1", "127.0.0.1:1"}, {"server", "server:1"}, {"server:1", "server"}} {
		require.Error(t, drain.SameHost(c[0], c[1]))
	}
}

// An address may lead as far inside as the first one did, and no farther, however it is
// written.
func TestCheck(t *testing.T) {
	kinds := [][]string{
		drain.Public:  {"192.0.2.1:1", "[2001:db8::1]:1", "1.1.1.1", "server:1", "pipe", ""},
		drain.Private: {"10.0.0.1:1", "172.16.0.1:1", "192.168.0.1:1", "100.64.0.1:1", "[fd00::1]:1", "[::ffff:10.0.0.1]:1"},
		drain.Link:    {"169.254.169.254:80", "[fe80::1%eth0]:1", "[fe80::1]:1", "224.0.0.1:1", "[ff02::1]:1"},
		drain.Host:    {"127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "0.0.0.0:1", "[::]:1", "[::ffff:127.0.0.1]:1", "::1"},
	}
	for reach, addresses := range kinds {
		for _, a := range addresses {
			got, _ := drain.ReachOf(a)
			require.Equal(t, drain.Reach(reach), got, a)
			for most := drain.Public; most <= drain.Host; most++ {
				require.Equal(t, most >= got, drain.Check(a, most) == nil, "%s, %v", a, most)
			}
		}
	}
	_, ok := drain.ReachOf("server:1")
	require.False(t, ok)
	_, ok = drain.ReachOf("[::1]:1")
	require.True(t, ok)
	require.Equal(t, "link-local", drain.Link.String())
}
