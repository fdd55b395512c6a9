package relink

import (
	"errors"
	"iter"
	"sync/atomic"

	"github.com/relink-go/relink/internal/clock"
	"github.com/relink-go/relink/internal/suite"
)

// ListenerStats are the counts of a listener: what it has now, and totals since it
// was made. All sessions together are counted, also those that have ended.
type ListenerStats struct {
	Connected   int // sessions with a transport
	Suspended   int // sessions without one
	Provisional int // sessions that were offered to a client and not confirmed yet
	Handshakes  int // transports that have not proven anything yet
	Backlog     int // sessions that wait for Accept
	// Memory is the buffer memory of sessions that have not ended, in bytes, and
	// SuspendedMemory that of those without a transport. With 4 KiB for each session they are what
	// [ListenConfig.MaxMemory] and MaxSuspendedMemory bound.
	Memory, SuspendedMemory int64

	Opened           int64        // sessions
	Resumes          int64        // how often one went on over a new transport
	Displaced        int64        // sessions that gave way to new ones: [ErrDisplaced]
	ReclaimedUnused  int64        // suspended sessions that ended for their memory: [ErrReclaimedUnused]
	ReclaimedLongest int64        // and those of which this may be missed: [ErrReclaimedLongest]
	HistoriesCut     int64        // see [EventHistoryCut]
	Refused          RefusalStats // handshakes that failed
	BytesRead        int64        // taken by the applications on this side
	BytesWritten     int64        // taken from them
	Replayed         int64        // bytes handed to a transport again
	EventsDropped    int64        // see [Event.Dropped]
}

// RefusalStats count the handshakes that failed on a listener, by their reason:
// the [Event.Err] of an EventRefused.
type RefusalStats struct {
	Timeout        int64 // [ErrHandshakeTimeout]
	Full           int64 // [ErrTooManySessions], [ErrTooManyHandshakes]
	Memory         int64 // [ErrMemory]
	Rate           int64 // [ErrHandshakeRate]
	Denied         int64 // [ErrDenied]
	ShuttingDown   int64 // new sessions during Shutdown
	NoSuite        int64 // [ErrNoSuite]
	Authentication int64 // [ErrAuthentication]
	Protocol       int64 // [ErrProtocol]
	UnknownSession int64 // [ErrUnknownSession]
	ReplayGap      int64 // [ErrReplayGap]
	Counters       int64 // [ErrCounters]
	Superseded     int64 // [ErrSuperseded]
	Ended          int64 // a client came back for a session that has ended, and was told how
	Probe          int64 // [ErrProbe]: health checks, scanners
	Transport      int64 // the transport ended within the handshake: lost clients
	Other          int64
}

// Total returns the sum.
func (r RefusalStats) Total() int64 {
	return r.Timeout + r.Full + r.Memory + r.Rate + r.Denied + r.ShuttingDown + r.NoSuite + r.Authentication + r.Protocol + r.UnknownSession +
		r.ReplayGap + r.Counters + r.Superseded + r.Ended + r.Probe + r.Transport + r.Other
}

// refusalStats returns the counts, which it asks for.
func refusalStats(count func(refusal) int64) RefusalStats {
	return RefusalStats{
		Timeout:        count(refusedTimeout),
		Full:           count(refusedFull),
		Memory:         count(refusedMemory),
		Rate:           count(refusedRate),
		Denied:         count(refusedDenied),
		ShuttingDown:   count(refusedShuttingDown),
		NoSuite:        count(refusedNoSuite),
		Authentication: count(refusedAuthentication),
		Protocol:       count(refusedProtocol),
		UnknownSession: count(refusedUnknownSession),
		ReplayGap:      count(refusedReplayGap),
		Counters:       count(refusedCounters),
		Superseded:     count(refusedSuperseded),
		Ended:          count(refusedEnded),
		Probe:          count(refusedProbe),
		Transport:      count(refusedTransport),
		Other:          count(refusedOther),
	}
}

// A refusal is a reason for which a handshake fails.
type refusal int

const (
	refusedTimeout refusal = iota
	refusedFull
	refusedMemory
	refusedRate
	refusedDenied
	refusedShuttingDown
	refusedNoSuite
	refusedAuthentication
	refusedProtocol
	refusedUnknownSession
	refusedReplayGap
	refusedCounters
	refusedSuperseded
	refusedEnded
	refusedProbe
	refusedTransport
	refusedOther
	refusals // how many there are
)

// String says what was the matter with one.
func (r refusal) String() string {
	return [...]string{
		refusedTimeout:        "timed out",
		refusedFull:           "beyond what the listener takes",
		refusedMemory:         "beyond MaxMemory",
		refusedRate:           "faster than one address may",
		refusedDenied:         "denied",
		refusedShuttingDown:   "during Shutdown",
		refusedNoSuite:        "of no suite",
		refusedAuthentication: "without authentication",
		refusedProtocol:       "against the protocol",
		refusedUnknownSession: "for an unknown session",
		refusedReplayGap:      "beyond what is buffered",
		refusedCounters:       "with wrong counts",
		refusedSuperseded:     "superseded",
		refusedEnded:          "for a session that has ended",
		refusedProbe:          "ended before the first byte",
		refusedTransport:      "lost their transport",
		refusedOther:          "for another reason",
	}[r]
}

// refusalErrors are the reasons with an error of their own, the one that says most
// first.
var refusalErrors = []struct {
	err    error
	reason refusal
}{
	{ErrHandshakeTimeout, refusedTimeout},
	{ErrTooManySessions, refusedFull},
	{ErrTooManyHandshakes, refusedFull},
	{errTooManyAsked, refusedFull},
	{ErrMemory, refusedMemory},
	{ErrHandshakeRate, refusedRate},
	{ErrDenied, refusedDenied},
	{ErrBusy, refusedOther}, // said by ListenConfig.Authorize
	{errRevokedMeanwhile, refusedOther},
	{errDraining, refusedShuttingDown},
	{ErrNoSuite, refusedNoSuite},
	{ErrAuthentication, refusedAuthentication},
	{ErrProtocol, refusedProtocol},
	{ErrUnknownSession, refusedUnknownSession},
	{ErrReplayGap, refusedReplayGap},
	{ErrCounters, refusedCounters},
	{ErrSuperseded, refusedSuperseded},
	{suite.ErrFinished, refusedEnded},
	{ErrProbe, refusedProbe},
	{errInternal, refusedOther},
}

// refusalOf returns why a handshake has failed.
func refusalOf(err error) refusal {
	for _, r := range refusalErrors {
		if errors.Is(err, r.err) {
			return r.reason
		}
	}
	var ended *suite.EndedError
	if errors.As(err, &ended) {
		return refusedEnded
	}
	var panicked *TransportPanicError
	if errors.As(err, &panicked) {
		return refusedOther
	}
	return refusedTransport // nothing of ours
}

// totals are the parts of ListenerStats that are not under the listener's lock.
// Sessions add to them at ticks and when something changes, so that Read and Write
// touch nothing that sessions share, and asking walks over none.
type totals struct {
	opened, resumes, read, written, replayed, memory, displaced, reclaimedUnused, reclaimedLongest, histories atomic.Int64
	refused                                                                                                   [refusals]atomic.Int64
}

// A reported is what of a session is in the totals: the low bits of its counts. It
// reports before they can have gone around.
type reported struct {
	read, written, replayed uint32
	memory                  uint32 // in KiB
	charge                  charge // what is in the budget
}

// behind reports whether the application has read or written what is not reported.
func (r *reported) behind(read, written int64) bool {
	return uint32(read) != r.read || uint32(written) != r.written
}

// report brings the totals up to date with a session. A nil Listener, which is that of
// a client, has none.
func (l *Listener) report(s *session) {
	if s.reported.behind(s.recv.Consumed(), s.send.End()) {
		s.active = clock.CoarseNow()
	}
	if l == nil {
		s.reported.read, s.reported.written = uint32(s.recv.Consumed()), uint32(s.send.End())
		return
	}
	t, r := &l.totals, &s.reported
	if read := uint32(s.recv.Consumed()); read != r.read {
		t.read.Add(int64(read - r.read))
		r.read = read
	}
	if written := uint32(s.send.End()); written != r.written {
		t.written.Add(int64(written - r.written))
		r.written = written
	}
	if replayed := uint32(s.send.Replayed()); replayed != r.replayed {
		t.replayed.Add(int64(replayed - r.replayed))
		r.replayed = replayed
	}
	l.budget.account(s)
}

// Stats returns the counts at this moment. It takes the same short time whatever
// the number of sessions. What sessions read, write, replay and hold is up to date
// within half a second; the other counts are exact.
func (l *Listener) Stats() ListenerStats {
	t := &l.totals
	refused := func(r refusal) int64 { return t.refused[r].Load() }
	s := ListenerStats{
		Memory:           t.memory.Load(),
		Opened:           t.opened.Load(),
		Resumes:          t.resumes.Load(),
		Displaced:        t.displaced.Load(),
		ReclaimedUnused:  t.reclaimedUnused.Load(),
		ReclaimedLongest: t.reclaimedLongest.Load(),
		HistoriesCut:     t.histories.Load(),
		BytesRead:        t.read.Load(),
		BytesWritten:     t.written.Load(),
		Replayed:         t.replayed.Load(),
		Refused:          refusalStats(refused),
		EventsDropped:    l.notify.totalDropped(),
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s.Suspended = l.roster.Suspended()
	s.SuspendedMemory = max(0, l.budget.suspended.Load()-int64(s.Suspended)*sessionCost)
	s.Connected = l.roster.Live() - s.Suspended
	s.Provisional = l.roster.Provisional()
	s.Handshakes = l.handshakes.Len()
	s.Backlog = l.backlog.Len()
	return s
}

// sessionsBatch is how many sessions are looked up at once.
const sessionsBatch = 256

// Sessions returns the sessions that have not ended, also those that wait for
// Accept, in no order. No lock is held while it yields, so that the loop may take
// its time and call everything. A session that is there all the while comes once;
// one that opens or ends meanwhile may come or not.
func (l *Listener) Sessions() iter.Seq[*Conn] {
	return func(yield func(*Conn) bool) {
		batch := make([]*Conn, 0, sessionsBatch)
		for at := 0; ; at += sessionsBatch {
			l.mu.Lock()
			var more bool
			batch, more = l.roster.Batch(batch[:0], at, sessionsBatch)
			l.mu.Unlock()
			if !more {
				return
			}
			for _, c := range batch {
				if !yield(c) {
					return
				}
			}
		}
	}
}
