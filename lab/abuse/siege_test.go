package abuse

import (
	"errors"
	"time"

	"github.com/stretchr/testify/require"
)

var errNotExact = errors.New("an echo is not what was sent")

const (
	// warm is how long an attack goes on before it is measured.
	warm = 100 * time.Millisecond

	// No echo may take longer, on any machine, than a part of the time for
	// which a session would be held up that waits for a stranger's handshake, or
	// this many times what it takes without the library.
	longestPart  = 2
	longestTimes = 10

	// mostRatio bounds, in a full run, the 99th percentile of the echo during an
	// attack, as a multiple of that during the same attack on the sink.
	mostRatio = 2
)

// A siege is one attack: against the server, and with other addresses against
// the sink.
type siege struct {
	name    string
	order   func(address func(port int) string) order
	hold    int           // what the sink keeps
	settle  time.Duration // longer than warm
	honest  bool          // a new session must open meanwhile
	opening bool          // the attack opens sessions
}

// outcome is what a siege has come to.
type outcome struct {
	ratio   float64 // median over the rounds
	refused int64   // by the events
	made    result  // by the attackers, against the server
}

// besiege attacks the sink and the server in turns, and requires what must hold
// in every run.
func (a *arena) besiege(s siege) outcome {
	t := a.t
	t.Helper()
	since := a.settled()
	base := footprintNow()
	sinkAddress := a.sink.l.Addr().String()
	var r50, r99 []float64
	var sinkRate, rate float64
	var o outcome
	var mostMemory int64
	var longest, longestSink time.Duration
	var opened []time.Duration
	a.sink.keep.Store(int64(s.hold))
	for round := range a.scale.rounds {
		var at, next figures // the server's, the sink's
		for _, server := range [][]bool{{true, false}, {false, true}}[round%2] {
			where := a.address
			if !server {
				where = func(int) string { return sinkAddress }
			}
			began := time.Now()
			end := a.enemy.begin(s.order(where))
			time.Sleep(max(warm, s.settle))
			f := a.measure(a.scale.phase)
			if server {
				at = f
				if s.honest {
					opened = append(opened, a.openHonestly(round))
				}
				mostMemory = max(mostMemory, footprintNow().memory-base.memory)
			} else {
				next = f
			}
			r := end()
			per := float64(r.Connections) / time.Since(began).Seconds()
			if server {
				rate += per / float64(a.scale.rounds)
				o.made.Connections += r.Connections
				o.made.Answers += r.Answers
				o.made.Bytes += r.Bytes
				o.made.Opened += r.Opened
			} else {
				sinkRate += per / float64(a.scale.rounds)
				a.sink.release()
			}
		}
		r50 = append(r50, float64(at.p50)/float64(next.p50))
		r99 = append(r99, float64(at.p99)/float64(next.p99))
		longest, longestSink = max(longest, at.longest), max(longestSink, next.longest)
		t.Logf("%s, round %d: echo of %d: median %v, p99 %v, longest %v; attack on the sink: %v, %v, %v",
			s.name, round, at.n, at.p50, at.p99, at.longest, next.p50, next.p99, next.longest)
	}
	o.ratio = median(r99)
	o.refused = a.requireEachCounted(since, s.opening)
	now := a.ledger()
	bound := int64(a.scale.maxHandshakes)*ports*bytesPerHandshake + bytesBeside
	t.Logf("%s: %d connections (%.0f/s, on the sink %.0f/s), %d MB said, %d answered; %d accepted, %d refused by %d events and %d that were dropped, %d sessions opened",
		s.name, o.made.Connections, rate, sinkRate, o.made.Bytes>>20, o.made.Answers, now.accepted-since.accepted, o.refused,
		now.refused-since.refused, now.dropped-since.dropped, now.opened-since.opened)
	t.Logf("%s: echo p99 %.2f times (median of %d rounds; of the medians %.2f), longest %v against %v; memory +%.1f MB of at most %.1f MB; honest sessions opened in %v",
		s.name, o.ratio, len(r99), median(r50), longest, longestSink, float64(mostMemory)/1e6, float64(bound)/1e6, opened)
	require.Less(t, mostMemory, bound, "%s: memory is not bounded", s.name)
	require.Less(t, longest, a.scale.timeout/longestPart+longestTimes*longestSink, "%s: a session was held up", s.name)
	require.Equal(t, since.resumed, now.resumed, "%s: a session was taken over", s.name)
	if !s.opening {
		require.Equal(t, since.opened+int64(len(opened)), now.opened, "%s: a session was opened", s.name)
	}
	if a.scale.full {
		require.LessOrEqual(t, o.ratio, float64(mostRatio), "%s: echo p99", s.name)
	}
	return o
}

// openHonestly opens a session in the middle of an attack, and returns how long
// that took. On a slow machine an honest handshake may be among those that give
// way, and its client tries again.
func (a *arena) openHonestly(round int) time.Duration {
	a.t.Helper()
	begin := time.Now()
	for tries := 1; ; tries++ {
		err := a.greet(suites[round%len(suites)])
		if err == nil {
			took := time.Since(begin).Round(time.Millisecond)
			if tries > 1 {
				a.t.Logf("an honest client needed %d tries", tries)
			}
			return took
		}
		require.Less(a.t, time.Since(begin), time.Minute, "no honest client gets through: %v", err)
	}
}

// greet opens a session, exchanges a byte, and ends it.
func (a *arena) greet(s suiteOf) error {
	c, err := a.tryOpen(s)
	if err != nil {
		return err
	}
	defer c.Abort()
	if _, err = c.Write([]byte{1}); err == nil {
		_, err = c.Read(make([]byte, 1))
	}
	return err
}
