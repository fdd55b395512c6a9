package relink_test

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/conntest"
)

// No time but the zero one is the absence of a deadline, not even that from which the
// clock of sessions counts.
func TestOnlyTheZeroTimeIsNoDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // where the clock stands still
		require.True(t, relink.IsNoDeadline(time.Time{}))
		for _, d := range []time.Time{
			relink.Started(), relink.Started().Add(1), relink.Started().Add(-1), time.Now(), time.Unix(0, 0),
			time.Unix(0, math.MinInt64), time.Unix(0, math.MaxInt64), time.Unix(1<<40, 0),
		} {
			require.False(t, relink.IsNoDeadline(d), d)
		}
	})
	require.False(t, relink.IsNoDeadline(time.Now().Add(math.MaxInt64))) // beyond what a session counts to
}

// A peer is silent if it has answered nothing since the kernel last repeated itself.
func TestRetrying(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		what                string
		unacked             uint32
		retransmits, probes uint8
		silentFor, sentFor  time.Duration
		want                bool
	}{
		{what: "nothing under way", silentFor: time.Hour},
		{what: "under way and not yet repeated", unacked: 3, silentFor: time.Minute, sentFor: time.Second},
		{what: "repeated without an answer", unacked: 3, retransmits: 3, silentFor: 1500 * ms, sentFor: 200 * ms, want: true},
		{what: "repeated, and answered by a kernel without room", unacked: 3, retransmits: 3, silentFor: 1199 * ms, sentFor: 1200 * ms},
		{what: "answered in the same millisecond", unacked: 1, retransmits: 1, silentFor: 1200 * ms, sentFor: 1200 * ms},
		{what: "one probe of a closed window", unacked: 0, probes: 1, silentFor: time.Minute, sentFor: time.Minute},
		{what: "probes of a closed window without an answer", probes: 2, silentFor: 2 * time.Second, sentFor: time.Minute, want: true},
	} {
		got := relink.Retrying(c.unacked, c.retransmits, c.probes, c.silentFor, c.sentFor)
		require.Equal(t, c.want, got, c.what)
	}
}

// However the looks at a silent link fall, the first that finds it overdue is
// within a tick of the time-out, and not an eighth of the time-out later. A
// look takes place with the first tick after its time.
func TestSilenceIsFoundInTime(t *testing.T) {
	t.Parallel()
	for _, timeout := range []time.Duration{relink.MinLivenessTimeout, 4 * time.Second, conntest.DefaultLivenessTimeout, time.Hour} {
		for first := time.Duration(0); first < timeout/8+conntest.TickEvery; first += timeout/800 + time.Millisecond {
			looks := 0
			silence := first
			for {
				pause, due := relink.NextLook(silence, timeout)
				if looks++; due {
					break
				}
				require.Positive(t, pause)
				silence += pause + (conntest.TickEvery-pause%conntest.TickEvery)%conntest.TickEvery
			}
			require.LessOrEqual(t, silence, timeout, "the first look after %v", first)
			require.GreaterOrEqual(t, silence, timeout-conntest.TickEvery, "the first look after %v", first)
			require.LessOrEqual(t, looks, 11, "the first look after %v", first)
		}
	}
}
