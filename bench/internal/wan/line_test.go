package wan

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLine(t *testing.T) {
	start := time.Unix(1000, 0)
	l := line{params: Params{RoundTrip: 50 * time.Millisecond, Rate: 8_000_000, Queue: 3000}} // a byte a microsecond
	admit := func(n int, at time.Duration) (time.Duration, time.Duration) {
		arrives, wait := l.admit(n, start.Add(at))
		if wait > 0 {
			require.True(t, arrives.IsZero())
			return 0, wait
		}
		return arrives.Sub(start), 0
	}
	for _, step := range []struct {
		name          string
		n             int
		at            time.Duration
		arrives, wait time.Duration
	}{
		{"an empty line", 1000, 0, 26 * time.Millisecond, 0},
		{"behind the first", 1000, 0, 27 * time.Millisecond, 0},
		{"the queue is nearly full", 2000, 0, 29 * time.Millisecond, 0},
		{"and full", 1000, 0, 0, time.Millisecond},
		{"room again", 1000, time.Millisecond, 30 * time.Millisecond, 0},
		{"idle since long", 1000, time.Second, time.Second + 26*time.Millisecond, 0},
	} {
		arrives, wait := admit(step.n, step.at)
		require.Equal(t, step.arrives, arrives, step.name)
		require.Equal(t, step.wait, wait, step.name)
	}
}

// What is beyond the queue is lost, and nothing else.
func TestDatagramsAreDropped(t *testing.T) {
	l := line{params: Params{RoundTrip: time.Hour, Rate: 8_000, Queue: 100}} // a byte a millisecond
	parcels := make(chan parcel, underWay)
	for range 10 {
		enqueue(&l, parcels, make([]byte, 100-udpHeaders))
	}
	require.Len(t, parcels, 2) // one on the line, one in the queue
}
