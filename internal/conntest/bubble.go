package conntest

import (
	"regexp"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/faultnet"
)

// InBubble runs a test for every suite in a bubble of its own.
func InBubble(t *testing.T, f func(t *testing.T, s Suite)) {
	ForEachSuite(t, func(t *testing.T, s Suite) {
		synctest.Test(t, func(t *testing.T) { f(t, s) })
	})
}

// InAckBubble runs a test in a bubble of its own for every suite with
// acknowledgements.
func InAckBubble(t *testing.T, f func(t *testing.T, s Suite)) {
	t.Helper()
	for _, s := range ackSuites {
		t.Run(s.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, s) })
		})
	}
}

// inRecordBubble runs a test in a bubble of its own with a protocol of its own.
func inRecordBubble(t *testing.T, f func(t *testing.T, p *RecordProtocol, s Suite)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p, s := newRecords()
		f(t, p, s)
	})
}

// InRig runs f in a bubble with an open session, then ends the session and
// holds the library to leaving nothing behind.
func InRig(t *testing.T, s Suite, cfg Setup, o faultnet.Options, f func(r *Rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := New(t, s, With(cfg), WithPath(o))
		f(r)
		r.Finish()
	})
}

// inIdleRig runs f in a bubble with a listener and a dialer and no session.
func inIdleRig(t *testing.T, s Suite, f func(r *Rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(NewIdle(t, s)) })
}

// bubbleName is how a stack trace names the bubble of a goroutine.
var bubbleName = regexp.MustCompile(`^goroutine \d+ .*(synctest bubble \d+)`)

// requireNothingLeft requires that no goroutine of this bubble is in the
// library. One that is blocked for good would keep the bubble from ending, but
// one that waits for a timer would not.
func requireNothingLeft(t testing.TB) {
	t.Helper()
	time.Sleep(200 * time.Millisecond) // the listener's sweeper looks after two ticks at the latest
	synctest.Wait()
	buf := make([]byte, 256<<10)
	all := strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")
	own := bubbleName.FindStringSubmatch(all[0])
	require.NotNil(t, own, "not in a bubble")
	for _, g := range all[1:] {
		m := bubbleName.FindStringSubmatch(g)
		if m != nil && m[1] == own[1] && strings.Contains(g, "github.com/relink-go/relink.(") {
			require.FailNow(t, "a goroutine is left", "%s", g)
		}
	}
}

// LibraryGoroutines returns the stacks of the library's own goroutines that
// belong to sessions.
func LibraryGoroutines() []string {
	b := make([]byte, 1<<20)
	var found []string
	for _, g := range strings.Split(string(b[:runtime.Stack(b, true)]), "\n\n") {
		_, by, ok := strings.Cut(g, "created by github.com/relink-go/relink.")
		if ok && !strings.HasPrefix(by, "(*Listener).addLocked") {
			found = append(found, g)
		}
	}
	return found
}

// RequireInstant runs f and requires that no time of the bubble passes.
func RequireInstant(t testing.TB, f func()) {
	t.Helper()
	before := time.Now()
	f()
	require.Zero(t, time.Since(before))
}

// An Outcome is what a Read, Write or Dial in the background has returned.
type Outcome struct {
	N   int
	Err error
	At  time.Time
}

// Background calls f in a goroutine.
func Background(f func() (int, error)) <-chan Outcome {
	done := make(chan Outcome, 1)
	go func() {
		n, err := f()
		done <- Outcome{n, err, time.Now()}
	}()
	return done
}

// StillBlocked requires that nothing has come, with everything else at rest.
func StillBlocked(t testing.TB, done <-chan Outcome) {
	t.Helper()
	synctest.Wait()
	select {
	case o := <-done:
		require.Failf(t, "returned early", "%d, %v", o.N, o.Err)
	default:
	}
}
