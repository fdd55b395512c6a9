package abuse

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
)

// Thousands of clients that say a byte now and then. The oldest give way, honest
// ones get through, and each that is turned away is counted.
func TestSlowHandshakes(t *testing.T) {
	a := newArena(t, nil)
	// What may be the beginning of a handshake of some suite, for as long as
	// possible.
	begins := [][]byte{
		append([]byte{0x52, 1, 1, 4, 230, 0x0a, 1}, make([]byte, 57)...),
		append([]byte{0xff}, make([]byte, 40)...),
		append([]byte{0x00}, stranger(1, 8)...),
		append([]byte{0x00, 0x20, '0', '\n'}, slices.Repeat([]byte{'A'}, 30)...),
	}
	o := a.besiege(siege{
		name: "slow handshakes",
		order: func(address func(int) string) order {
			var shots []shot
			for port := range ports {
				for _, b := range begins {
					shots = append(shots, shot{Address: address(port), Said: b})
				}
			}
			return order{Kind: slow, Shots: shots, Slow: a.scale.slow, SlowRate: a.scale.slowRate, Patience: 5 * time.Second}
		},
		hold:   ports * a.scale.maxHandshakes,
		settle: time.Duration(a.scale.slow) * time.Second / time.Duration(a.scale.slowRate),
		honest: true,
	})
	require.GreaterOrEqual(t, o.refused, o.made.Connections-int64(a.scale.rounds), "some were not accepted")
	a.close()
}

// Floods of resumes: of sessions that are not there, and of sessions that are, by
// somebody who has seen their requests and cannot prove anything. The observer of
// the events is slow, so that many are dropped, and all are counted.
func TestResumeFlood(t *testing.T) {
	a := newArena(t, nil)
	var exiles []*exile
	var own [][]byte
	for _, s := range suites {
		e := a.newExile(s)
		exiles = append(exiles, e)
		own = append(own, e.request)
	}
	for _, c := range []struct {
		name    string
		request func(i int) []byte
	}{
		{"resumes of unknown sessions", func(i int) []byte { return unknownResume(suites[i%len(suites)].name, own[i%len(suites)], uint64(i)) }},
		{"resumes without a proof", func(i int) []byte { return wrongProof(suites[i%len(suites)].name, own[i%len(suites)]) }},
	} {
		a.tally.delay.Store(int64(500 * time.Microsecond))
		o := a.besiege(siege{
			name: c.name,
			order: func(address func(int) string) order {
				var shots []shot
				for i := range 10 * len(suites) {
					shots = append(shots, shot{Address: address(suites[i%len(suites)].port), Said: c.request(i)})
				}
				return order{Kind: flood, Shots: shots, Workers: a.scale.workers, Patience: 5 * time.Second}
			},
		})
		a.tally.delay.Store(0)
		require.Positive(t, o.made.Answers)
		require.GreaterOrEqual(t, o.refused, o.made.Answers)
	}
	for _, e := range exiles {
		e.release(a)
	}
	a.close()
}

// What an observer has recorded, of sessions that live and of some that have
// ended, said again. On the wire of SCP the request for a new session is all that
// a client says before it is accepted, so that each replay of it opens one; such a
// stranger does not get past the login.
func TestReplayedCaptures(t *testing.T) {
	a := newArena(t, nil)
	var alive []*relink.Conn
	var shots []shot
	resumes := 0
	for i, s := range suites {
		for _, end := range []bool{false, true} {
			c, conversations := a.capture(s)
			if end {
				_ = c.Abort()
			} else {
				alive = append(alive, c)
			}
			for k, said := range conversations {
				if k > 0 && len(said) > 1000 {
					resumes++
				}
				shots = append(shots, shot{Address: a.address(s.port), Said: said},
					shot{Address: a.address(s.port), Said: said[:len(said)/2]},
					shot{Address: a.address(suites[(i+1)%len(suites)].port), Said: said})
			}
		}
	}
	require.Positive(t, resumes, "no resume has carried data")
	before := make([]relink.Stats, 0, len(alive))
	for _, c := range alive {
		before = append(before, c.Stats())
	}
	a.besiege(siege{
		name: "replayed captures",
		order: func(address func(int) string) order {
			to := slices.Clone(shots)
			for i := range to {
				for port := range ports {
					if to[i].Address == a.address(port) {
						to[i].Address = address(port)
					}
				}
			}
			return order{Kind: flood, Shots: to, Workers: 4 * a.scale.workers, Patience: 50 * time.Millisecond}
		},
		opening: true,
	})
	for i, c := range alive {
		want := stranger(10, 500)
		_, err := c.Write(want)
		require.NoError(t, err)
		got := make([]byte, len(want))
		for n := 0; n < len(got); {
			k, err := c.Read(got[n:])
			require.NoError(t, err)
			n += k
		}
		require.Equal(t, want, got, "%s: what was recorded has reached the application again", suites[i].name)
		require.Equal(t, before[i].Resumes, c.Stats().Resumes)
		_ = c.Abort()
	}
	a.close()
}

// Garbage as fast as it goes, also behind a beginning that a suite knows.
func TestGarbage(t *testing.T) {
	a := newArena(t, nil)
	begins := [][]byte{{}, {0x00}, {0xff}, {0x52}, {0x52, 1, 1, 4, 230, 0x0a, 1}, {0x52, 1, 1, 0, 84, 0x16, 1}, {0x00, 0x20, '0', '\n'}}
	a.besiege(siege{
		name: "garbage",
		order: func(address func(int) string) order {
			var shots []shot
			for i := range 4 * len(begins) {
				said := append(slices.Clone(begins[i%len(begins)]), stranger(uint64(i), 32<<10)...)
				for port := range ports {
					shots = append(shots, shot{Address: address(port), Said: said, Repeat: 32})
				}
			}
			return order{Kind: flood, Shots: shots, Workers: a.scale.workers, Patience: 2 * time.Second}
		},
	})
	a.close()
}

// More sessions than there may be: exactly those that fit are opened, and the
// others are refused and counted.
func TestMaxSessions(t *testing.T) {
	const spare = 10
	perPort := [ports]int{}
	for _, s := range suites {
		perPort[s.port] += victimsPerSuite
	}
	port := 0
	a := newArena(t, func(c *relink.ListenConfig) {
		c.MaxSessions = perPort[port] + spare
		port++
	})
	begin := a.settled()
	o := a.besiege(siege{
		name: "sessions beyond MaxSessions",
		order: func(address func(int) string) order {
			dials := make([]dialOrder, 0, len(suites))
			for i, s := range suites {
				dials = append(dials, dialOrder{Address: address(s.port), Suite: i})
			}
			return order{Kind: sessions, Sessions: dials, Workers: a.scale.workers, Patience: 2 * time.Second, PublicKey: a.public.String()}
		},
		opening: true,
	})
	opened := a.ledger().opened - begin.opened
	t.Logf("%d sessions were opened in %d attacks, and there was room for %d in each", opened, a.scale.rounds, ports*spare)
	require.Positive(t, opened)
	var displaced int64
	for _, l := range a.listeners {
		displaced += l.Stats().Displaced
	}
	// Nobody gives a place up during an attack, but for an attacker that has lost its transport.
	require.LessOrEqual(t, opened, int64(a.scale.rounds*ports*spare)+displaced)
	require.Positive(t, o.refused)
	a.close()
}
