package main

import (
	"fmt"
	"io"
	"runtime"
	"time"
)

// A result is what a run has come to.
type result struct {
	options   options
	took      time.Duration
	client    counts
	server    serverResult
	cuts      cutCount
	processes []judgement
}

// print writes the figures and the verdict, and returns what has failed.
func (r *result) print(out io.Writer) []string {
	failed := r.failures()
	c, s := r.client, r.server.Counts
	say(out, "\ntime        %v with %s %s/%s, seed %d\n", r.took.Round(time.Millisecond), runtime.Version(), runtime.GOOS, runtime.GOARCH, r.options.seed)
	say(out, "bytes       %s verified: %d lost, %d doubled, %d out of place\n",
		formatSize(c.Bytes+s.Bytes), c.Lost+s.Lost, c.Doubled+s.Doubled, c.Misplaced+s.Misplaced)
	say(out, "cuts        %d of connections that carried a session: %s\n", r.cuts.total, r.cuts.kinds)
	say(out, "            beside them %d planned within the next connection's first %d bytes, %d stalls, %d changes of network, %d silences that had to be ended\n",
		r.cuts.planned, planWithin, r.cuts.stalls, r.cuts.moves, r.cuts.rescues)
	say(out, "sessions    %d opened, %d served, %d and %d ended as they were meant to; %d handshakes were cut and made again, %d sessions lost their client in one, %d met a shut-down in one\n",
		c.Opened, s.Opened, c.Ended, s.Ended, c.Retries, s.Orphans, c.TurnedAway)
	say(out, "resumes     %d, after %d losses seen by clients and %d by the server; %s sent again\n", c.Resumed, c.Suspended, s.Suspended, formatSize(c.Replayed+s.Replayed))
	say(out, "gaps        without a transport: median %s, p99 %s, longest %s\n", formatMicros(c.GapP50), formatMicros(c.GapP99), formatMicros(c.GapMax))
	say(out, "answers     to a message, cuts included: median %s, p99 %s, longest %s, of %d\n", formatMicros(c.EchoP50), formatMicros(c.EchoP99), formatMicros(c.EchoMax), c.Echoes)
	say(out, "also        %d deadlines passed, %d handshakes refused, %d listeners opened and %d shut down with nothing left\n",
		c.Deadlines+s.Deadlines, s.Refused, s.ListenersStarted, s.ListenersEnded)
	for _, p := range r.processes {
		say(out, "%s: goroutines %d, at most %d, %d at the end; descriptors %d, %d, %d\n",
			p.Name, p.GoroutinesBefore, p.GoroutinesMax, p.GoroutinesAfter, p.FilesBefore, p.FilesMax, p.FilesAfter)
		growth := fmt.Sprintf("grew by %s over the second half (bound %s)", formatSize(p.HeapGrowth), formatSize(p.GrowthBound))
		if p.GrowthBound == 0 {
			growth = fmt.Sprintf("growth not judged: %d samples are too few", p.Samples)
		}
		say(out, "            live heap median %s, at most %s, %s, %s left at the end (bound %s)\n",
			formatSize(p.HeapMedian), formatSize(p.HeapMax), growth, formatSize(p.HeapRest), formatSize(restBound))
	}
	if len(failed) == 0 {
		say(out, "verdict     PASS: no byte lost, doubled or out of place, every session ended as it was meant to, nothing left\n")
	} else {
		say(out, "verdict     FAIL: %d criteria\n", len(failed))
	}
	return failed
}

// failures returns what must not be, in words.
func (r *result) failures() (f []string) {
	c, s := r.client, r.server.Counts
	fail := func(wrong bool, format string, args ...any) {
		if wrong {
			f = append(f, fmt.Sprintf(format, args...))
		}
	}
	fail(c.Lost+s.Lost > 0, "%d bytes were lost", c.Lost+s.Lost)
	fail(c.Doubled+s.Doubled > 0, "%d bytes were doubled", c.Doubled+s.Doubled)
	fail(c.Misplaced+s.Misplaced > 0, "%d bytes were out of place", c.Misplaced+s.Misplaced)
	fail(c.Failed+s.Failed > 0, "%d times, on either side, something ended otherwise than it was meant to", c.Failed+s.Failed)
	for _, e := range append(c.Failures, s.Failures...) {
		fail(true, "  %s", e)
	}
	fail(c.Opened == 0 || c.Bytes+s.Bytes == 0, "nothing was carried")
	fail(c.Opened != s.Opened, "clients opened %d sessions, and the server served %d", c.Opened, s.Opened)
	fail(c.Ended != c.Opened, "%d of %d sessions did not end as they were meant to for their clients", c.Opened-c.Ended, c.Opened)
	fail(s.Ended != s.Opened, "%d of %d sessions did not end as they were meant to for the server", s.Opened-s.Ended, s.Opened)
	fail(s.ListenersEnded != s.ListenersStarted, "%d of %d listeners still had sessions in the end", s.ListenersStarted-s.ListenersEnded, s.ListenersStarted)
	for side, n := range map[string]counts{"the clients": c, "the server": s} {
		// An event that was dropped may have told the end.
		fail(n.ConnOpened != n.ConnClosed && n.Dropped == 0, "by the events of %s %d sessions were opened and %d have ended", side, n.ConnOpened, n.ConnClosed)
	}
	fail(r.cuts.total < r.options.cutsAtLeast, "%d connections were cut, which is less than %d", r.cuts.total, r.options.cutsAtLeast)
	fail(r.options.cuts > 0 && r.cuts.total > 0 && c.Resumed == 0, "%d connections were cut, and no session was resumed", r.cuts.total)
	for _, p := range r.processes {
		f = append(f, p.failures()...)
	}
	return f
}
