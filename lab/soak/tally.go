package main

import (
	"errors"
	"fmt"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"github.com/relink-go/relink"
)

// A tally counts what happens on one side.
type tally struct {
	opened, ended    atomic.Int64 // sessions whose header was sent or read; those of them that ended as they were meant to
	orphans          atomic.Int64 // sessions that ended before their header, because the client's handshake had failed
	bytes            atomic.Int64 // verified
	lost, doubled    atomic.Int64 // bytes
	misplaced        atomic.Int64
	failed           atomic.Int64 // sessions that ended otherwise
	turnedAway       atomic.Int64 // sessions whose listener was shut down in the middle of their handshake
	retries          atomic.Int64 // handshakes of new sessions that were cut and made again
	deadlines        atomic.Int64 // that have passed in a Read or Write
	suspended        atomic.Int64
	resumed          atomic.Int64
	replayed         atomic.Int64
	refused          atomic.Int64
	connOpened       atomic.Int64 // by events, as the next two
	connClosed       atomic.Int64
	dropped          atomic.Int64
	echo, gap        histogram
	mu               sync.Mutex // guards failures
	failures         []string   // the first of them
	listenersStarted atomic.Int64
	listenersEnded   atomic.Int64 // by Shutdown, with nothing left
}

// maxFailures bounds how many failures are told.
const maxFailures = 10

// verified counts bytes that were right.
func (t *tally) verified(n int) { t.bytes.Add(int64(n)) }

// fail notes that something happened that must not.
func (t *tally) fail(err error) {
	t.failed.Add(1)
	var m *mismatch
	if errors.As(err, &m) {
		map[string]*atomic.Int64{lost: &t.lost, doubled: &t.doubled, misplaced: &t.misplaced}[m.what].Add(m.bytes)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.failures) < maxFailures {
		t.failures = append(t.failures, err.Error())
	}
}

// event is a relink.Config.OnEvent.
func (t *tally) event(e relink.Event) {
	t.dropped.Add(int64(e.Dropped))
	switch e.Kind {
	case relink.EventOpened:
		t.connOpened.Add(1)
	case relink.EventSuspended:
		t.suspended.Add(1)
	case relink.EventResumed:
		t.resumed.Add(1)
		t.replayed.Add(e.Replayed)
		t.gap.add(e.Gap)
	case relink.EventRefused:
		if e.Refusals != nil {
			t.refused.Add(e.Refusals.Total())
		} else {
			t.refused.Add(1)
		}
	case relink.EventClosed:
		t.connClosed.Add(1)
	case relink.EventResuming, relink.EventSuspected, relink.EventListenerFailed, relink.EventHistoryCut:
	}
}

// counts are a tally at one moment, as one process tells another.
type counts struct {
	Opened, Ended, Orphans, Failed    int64
	Bytes, Lost, Doubled, Misplaced   int64
	Retries, TurnedAway, Deadlines    int64
	Suspended, Resumed, Refused       int64
	Replayed                          int64
	ConnOpened, ConnClosed, Dropped   int64
	ListenersStarted, ListenersEnded  int64
	EchoP50, EchoP99, EchoMax, Echoes int64 // microseconds, and their number
	GapP50, GapP99, GapMax            int64
	Failures                          []string
}

func (t *tally) snapshot() counts {
	c := counts{
		Opened: t.opened.Load(), Ended: t.ended.Load(), Orphans: t.orphans.Load(), Failed: t.failed.Load(),
		Bytes: t.bytes.Load(), Lost: t.lost.Load(), Doubled: t.doubled.Load(), Misplaced: t.misplaced.Load(),
		Retries: t.retries.Load(), TurnedAway: t.turnedAway.Load(), Deadlines: t.deadlines.Load(),
		Suspended: t.suspended.Load(), Resumed: t.resumed.Load(), Refused: t.refused.Load(), Replayed: t.replayed.Load(),
		ConnOpened: t.connOpened.Load(), ConnClosed: t.connClosed.Load(), Dropped: t.dropped.Load(),
		ListenersStarted: t.listenersStarted.Load(), ListenersEnded: t.listenersEnded.Load(),
	}
	c.EchoP50, c.EchoP99, c.EchoMax, c.Echoes = t.echo.quantile(0.5), t.echo.quantile(0.99), t.echo.max.Load(), t.echo.n.Load()
	c.GapP50, c.GapP99, c.GapMax = t.gap.quantile(0.5), t.gap.quantile(0.99), t.gap.max.Load()
	t.mu.Lock()
	defer t.mu.Unlock()
	c.Failures = append(c.Failures, t.failures...)
	return c
}

// A histogram counts times in buckets, each about 6 % wider than the one before.
type histogram struct {
	buckets [16 * 40]atomic.Int64
	n, max  atomic.Int64 // how many, and the longest in microseconds
}

func (h *histogram) add(d time.Duration) {
	us := max(0, d.Microseconds())
	h.n.Add(1)
	for m := h.max.Load(); us > m && !h.max.CompareAndSwap(m, us); m = h.max.Load() {
	}
	h.buckets[bucket(us)].Add(1)
}

// bucket returns the bucket of a time in microseconds: its four bits behind
// the first one, and the place of that.
func bucket(us int64) int {
	if us < 16 {
		return int(us)
	}
	shift := bits.Len64(uint64(us)) - 5
	return min(16*shift+int(us>>shift), 16*40-1)
}

// quantile returns the upper edge of the bucket in which the share q of all
// times ends, in microseconds.
func (h *histogram) quantile(q float64) int64 {
	left := int64(q * float64(h.n.Load()))
	for i := range h.buckets {
		if left -= h.buckets[i].Load(); left < 0 {
			if i < 16 {
				return int64(i)
			}
			shift := i/16 - 1
			return min(int64(i%16+17)<<shift, h.max.Load())
		}
	}
	return h.max.Load()
}

// formatMicros writes a time as people read it.
func formatMicros(us int64) string {
	return (time.Duration(us) * time.Microsecond).Round(10 * time.Microsecond).String()
}

// formatSize writes a number of bytes as people read it.
func formatSize(n int64) string {
	v, units := float64(n), []string{"B", "KiB", "MiB", "GiB", "TiB"}
	for len(units) > 1 && (v >= 1000 || v <= -1000) {
		v, units = v/1024, units[1:]
	}
	if units[0] == "B" {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", v, units[0])
}
