package relink_test

import (
	"io"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/conntest"
	"github.com/relink-go/relink/internal/faultnet"
)

// counters are offsets around which integers of some size wrap.
var counters = []int64{
	1<<31 - 1500, 1<<32 - 1500, 1<<32 + 1<<31 - 1500, 5<<32 - 700, 1<<53 - 900, 1<<62 - 1000, math.MaxInt64 - 100_000,
}

// Resumes work when the counts of bytes cross 2^31, 2^32 (which is where the
// counts of SCP wrap), and far beyond.
func TestCountersNearPowersOfTwo(t *testing.T) {
	conntest.InBubble(t, func(t *testing.T, s conntest.Suite) {
		if !conntest.IsClassic(s) {
			return // the offsets of records are in the records, not only in the counts
		}
		for _, up := range counters {
			for _, down := range []int64{up, 17, 1<<32 - 1} {
				r := conntest.New(t, s, conntest.WithBoth(func(c *relink.Config) { c.ReplayLimit = 64 << 10 }))
				r.Client.SetCounters(up, down)
				r.Server.SetCounters(down, up)
				for i := range 8 {
					r.Exchange(700)
					// Cut with data under way in both directions.
					r.Net.Last().CutAt(faultnet.Up, r.Net.Last().Sent(faultnet.Up)+int64(100*i), faultnet.Reset)
					r.Exchange(900)
				}
				require.EqualValues(t, 8, r.Server.Stats().Resumes)
				r.Stop()
			}
		}
	})
}

// A stream ends at offset 2^63-1 with a typed error, not with a panic, a wrap
// or a wait for room that can never be.
func TestEndOfCounters(t *testing.T) {
	conntest.InBubble(t, func(t *testing.T, s conntest.Suite) {
		if !conntest.IsClassic(s) {
			return // as above
		}
		const left = 1000
		r := conntest.New(t, s)
		r.Client.SetCounters(math.MaxInt64-left, 0)
		r.Server.SetCounters(0, math.MaxInt64-left)
		data := conntest.Data(left + 10)
		n, err := r.Client.Write(data)
		require.Equal(t, left, n)
		require.ErrorIs(t, err, relink.ErrCounters)
		got := make([]byte, left)
		_, err = io.ReadFull(r.Server, got)
		require.NoError(t, err)
		require.Equal(t, data[:left], got)
		// The other direction is not concerned, nor is a resume.
		r.Net.Last().Cut(faultnet.Reset)
		_, err = r.Server.Write([]byte("x"))
		require.NoError(t, err)
		_, err = io.ReadFull(r.Client, got[:1])
		require.NoError(t, err)
		n, err = r.Client.Write(data)
		require.Zero(t, n)
		require.ErrorIs(t, err, relink.ErrCounters)
		r.Stop()
	})
}

// A peer whose stream passes 2^63-1 ends the session.
func TestPeerPassesEndOfCounters(t *testing.T) {
	conntest.InBubble(t, func(t *testing.T, s conntest.Suite) {
		if !conntest.IsClassic(s) {
			return // as above
		}
		r := conntest.New(t, s)
		r.Server.SetCounters(0, math.MaxInt64-5)
		_, err := r.Client.Write(conntest.Data(100))
		require.NoError(t, err)
		_, err = r.Server.Read(make([]byte, 100))
		require.ErrorIs(t, err, relink.ErrCounters)
		require.Equal(t, relink.StateClosed, r.Server.State())
		r.Stop()
	})
}

// A contradiction is a moved counter that makes a resume impossible.
type contradiction struct {
	name   string
	client [2]int64 // what is added to the client's counts
	server [2]int64
	want   error // at the client
}

// Counts that contradict each other, or that miss what is no longer buffered,
// end the session with a typed error at the client, whatever their size: 2^62
// missing bytes are not allocated.
func TestCountersThatContradict(t *testing.T) {
	// A multiple of 2^32 would be nothing to SCP.
	const base, far, limit = 100_000, 1<<62 + 1<<31, 4 << 10
	for _, tt := range []contradiction{
		{"client has sent less than received", [2]int64{-50_000, 0}, [2]int64{}, relink.ErrSessionLost},
		{"client has received more than sent", [2]int64{0, 50}, [2]int64{}, relink.ErrSessionLost},
		{"client has received far more than sent", [2]int64{0, far}, [2]int64{}, relink.ErrSessionLost},
		{"client misses more than is buffered", [2]int64{0, -50_000}, [2]int64{}, relink.ErrSessionLost},
		{"client misses far more than is buffered", [2]int64{}, [2]int64{far, 0}, relink.ErrSessionLost},
		{"server misses more than is buffered", [2]int64{}, [2]int64{0, -50_000}, relink.ErrReplayGap},
		{"server misses far more than is buffered", [2]int64{far, 0}, [2]int64{}, relink.ErrReplayGap},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conntest.InBubble(t, func(t *testing.T, s conntest.Suite) {
				if !conntest.IsClassic(s) {
					return // as above
				}
				r := conntest.New(t, s, conntest.WithBoth(func(c *relink.Config) { c.ReplayLimit = limit }))
				r.Client.SetCounters(base+tt.client[0], base+tt.client[1])
				r.Server.SetCounters(base+tt.server[0], base+tt.server[1])
				_, _ = r.Server.Write([]byte("a")) // so that neither side is idle
				before := conntest.HeapNow()
				r.Net.Last().Cut(faultnet.Reset)
				_, err := io.ReadFull(r.Client, make([]byte, 10))
				require.Error(t, err)
				require.True(t, conntest.IsLoss(err), err)
				if !conntest.IsSCP(s) { // its counts are mod 2^32, so it finds a gap instead
					require.ErrorIs(t, err, tt.want)
				}
				require.Less(t, conntest.HeapNow()-before, int64(4<<20))
				// The server keeps what it has until it expires: an attacker who can
				// speak for a client must not be able to end its session.
				require.NotEqual(t, relink.StateClosed, r.Server.State())
				r.Stop()
			})
		})
	}
}
