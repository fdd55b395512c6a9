package simulation

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/relink-go/relink"
)

// The model knows what each application must have seen. Bytes and deadlines are
// judged by the applications' goroutines, at the instant; everything else here,
// when the world is at rest.

// A seen is what was seen of an end at the last look.
type seen struct {
	stats relink.Stats
	acked int64
}

// inspect looks at everything. The world is at rest and the lock is held.
func (w *world) inspect() {
	for _, s := range w.sessions {
		for _, e := range []*end{s.client, s.server} {
			if e.conn == nil {
				continue
			}
			w.inspectEnd(e)
			w.judgeEnd(e, &e.readCall, "read")
			w.judgeEnd(e, &e.writeCall, "write")
		}
	}
}

// mostMemory is what a session's two buffers may take: each its limit and 1 KiB
// and one chunk, as package replay has it. On a wire with records there are besides a
// buffer that a Read of the transport may fill, and records that the transport does not take
// at once.
func (w *world) mostMemory(limit int) int64 {
	most := 2 * int64(limit+1<<10+min(limit, 256<<10))
	if suites[w.s.Suite].records {
		most += 128<<10 + 64<<10
	}
	return most
}

// inspectEnd holds what a Conn says of itself against what is known.
func (w *world) inspectEnd(e *end) {
	now := time.Now()
	for _, c := range []struct {
		*call
		op      string
		blocked bool
	}{{&e.readCall, "read", e.reading}, {&e.writeCall, "write", e.writing > 0}} {
		if c.blocked && !c.deadline.IsZero() && !c.deadline.After(now) {
			w.fail("untimely deadline", "%s: %s has not returned, %v after its deadline", e.name, c.op, now.Sub(c.deadline))
		}
		if c.blocked && (!e.gone().IsZero() || e.life.over()) {
			w.fail("blocked after the end", "%s: %s has not returned", e.name, c.op)
		}
	}

	st, l := e.conn.Stats(), e.life
	last := e.seen.stats
	e.seen.stats = st
	if st.BytesRead < last.BytesRead || st.BytesWritten < last.BytesWritten || st.Resumes < last.Resumes ||
		st.Replayed < last.Replayed || st.LongestGap < last.LongestGap {
		w.fail("stats", "%s: a count goes down: %+v after %+v", e.name, st, last)
	}
	if st.BytesRead != e.got {
		w.fail("stats", "%s: %+v, and the application has read %d", e.name, st, e.got)
	}
	if st.BytesWritten < e.written || st.BytesWritten > e.written+int64(e.writing) {
		w.fail("stats", "%s: %+v, and Write has taken %d, and up to %d more", e.name, st, e.written, e.writing)
	}
	if st.BytesPending < 0 || st.BytesPending > st.BytesWritten {
		w.fail("stats", "%s: %+v", e.name, st)
	}
	if st.Resumes != l.resumes || st.LongestGap != l.longest {
		w.fail("stats", "%s: %+v, and its events tell of %d resumes and a gap of %v", e.name, st, l.resumes, l.longest)
	}
	limit := w.s.ClientLimit
	if e.side == Server {
		limit = w.s.ServerLimit
	}
	if st.Memory < 0 || st.Memory > w.mostMemory(limit) {
		w.fail("memory", "%s: %+v", e.name, st)
	}
	if l.over() && e.reading && st.Memory > 0 {
		w.fail("memory", "%s: %+v after its end", e.name, st)
	}

	state := l.state()
	if !e.gone().IsZero() && state != relink.StateClosed {
		state = relink.StateClosing
	}
	got := e.conn.State()
	if got == relink.StateResuming {
		got = relink.StateSuspended // the model does not time attempts
	}
	if got != state {
		w.fail("state", "%s: %v, and by its events %v", e.name, got, state)
	}

	if p := e.peer; p.conn != nil {
		if most := p.conn.Stats().BytesWritten; e.got > most {
			w.fail("wrong byte", "%s: read %d bytes, and %d were written", e.name, e.got, most)
		}
		acked := e.conn.Acked()
		if acked < e.seen.acked || acked > p.got || acked > 0 && !w.wire.records {
			w.fail("acknowledged ahead", "%s: Acked is %d after %d, and the peer's application has read %d", e.name, acked, e.seen.acked, p.got)
		}
		e.seen.acked = acked
	}
}

// judgeEnd judges what has ended the Reads or the Writes of an end, once.
func (w *world) judgeEnd(e *end, c *call, op string) {
	if c.err == nil || c.judged {
		return
	}
	c.judged = true
	err := c.err
	if gone := e.gone(); !gone.IsZero() && !gone.After(c.at) {
		// What came in the same instant may have come before.
		if errors.Is(err, net.ErrClosed) || gone.Equal(c.at) {
			return
		}
		w.fail("forbidden error", "%s: %s after Close: %v", e.name, op, err)
		return
	}
	if op == "write" && !e.closeWriteAt.IsZero() && !e.closeWriteAt.After(c.at) && errors.Is(err, net.ErrClosed) {
		return
	}
	var allowed bool
	switch {
	case errors.Is(err, net.ErrClosed):
	case err == io.EOF: //nolint:errorlint // it must be bare
		allowed = op == "read" && w.mayEnd(e, c.at)
	case errors.Is(err, io.EOF): // a lost session must not look like a complete stream
	case errors.Is(err, relink.ErrReplayGap), errors.Is(err, relink.ErrCounters):
		allowed = errors.Is(err, relink.ErrReplayGap) && w.mayGap()
	case errors.Is(err, relink.ErrSessionLost):
		allowed = w.mayLose(e)
	case errors.Is(err, relink.ErrExpired):
		allowed = w.mayExpire(e, c.at)
	case errors.Is(err, relink.ErrPeerClosed):
		// Once both directions have ended, the end of the link is that of the
		// session, and a WaitAcked ends as if the peer had closed.
		halves := !e.closeWriteAt.IsZero() && !e.peer.closeWriteAt.IsZero()
		allowed = op == "write" && (!e.peer.closeAt.IsZero() || halves || !w.wire.records && w.mayEnd(e, c.at))
	}
	if !allowed {
		w.fail("forbidden error", "%s: %s ended with: %v\n%s\n%s", e.name, op, err, e.describe(), e.peer.describe())
	}
}

// mayGap reports whether bytes can be missing that nobody has any more: on a
// classic wire, where the network can swallow too much of what a side keeps. On
// SCP so can an attacker: a request that was withheld from the server and sent
// by another takes the session's link, and the server's stream with it.
func (w *world) mayGap() bool {
	if w.s.Suite == "scp" && w.records() {
		return true
	}
	return !w.wire.records && 4*w.s.Buffer > min(w.s.ClientLimit, w.s.ServerLimit)
}

// mayEnd reports whether the end's Read may return io.EOF.
func (w *world) mayEnd(e *end, at time.Time) bool {
	p := e.peer
	if w.wire.records {
		// The end is exact, and nothing but the peer's word.
		said := !p.closeAt.IsZero() || !p.closeWriteAt.IsZero()
		return said && p.writing == 0 && e.got == p.written
	}
	// The last transport has ended cleanly, and the other side came, or was to
	// be found, no more.
	if !errors.Is(e.life.lost, io.EOF) {
		return false
	}
	if e.side == Server {
		return w.stopped || at.Sub(e.life.suspendedAt) >= w.s.ServerResume
	}
	return p.ended() || w.mayGap()
}

// ended reports whether the end has no session any more, or is about to.
func (e *end) ended() bool {
	return e.w.stopped || e.conn == nil || e.life.over() || !e.gone().IsZero()
}

// mayLose reports whether an end may find that the other has no session.
func (w *world) mayLose(e *end) bool {
	p := e.peer
	switch {
	case w.stopped, w.mayGap():
		return true
	case p.conn == nil:
		return e.side == Client // it was accepted by nobody, and has expired
	case !p.abortAt.IsZero():
		return true
	case p.closeAt.IsZero():
		return p.life.over() // it has ended, and why was judged there
	case !w.wire.records:
		// The refusal after a Close is an end only behind a clean one.
		return !errors.Is(e.life.lost, io.EOF)
	default:
		// Close delivers everything, and so is no loss, unless its time was up.
		return p.life.over() && (p.life.closed != nil || p.life.closedAt.Sub(p.closeAt) >= w.s.Linger)
	}
}

// mayExpire reports whether the end's session may have expired.
func (w *world) mayExpire(e *end, at time.Time) bool {
	l := e.life
	away := at.Sub(l.suspendedAt)
	if l.suspendedAt.IsZero() || away < w.resumeTimeout(e.side) {
		return false
	}
	if e.side == Server || w.stopped {
		return true
	}
	// An attempt was made after the time was up.
	if l.resumingAt.Sub(l.suspendedAt) < w.s.ClientResume {
		return false
	}
	// The network was not whole for long enough to come back.
	whole := w.dials.whole
	if whole.Before(l.suspendedAt) && !whole.IsZero() {
		whole = l.suspendedAt
	}
	return whole.IsZero() || at.Sub(whole) < w.recovery()
}

// recovery is the time in which a client comes back once the network is whole:
// the pause and the attempt that are under way, and a few attempts more, as
// racing resumes may need them.
func (w *world) recovery() time.Duration {
	return w.s.Handshake + 4*(w.s.Attempt+w.s.MaxBackoff)
}

// judgeDial judges a failed Dial. The lock is held.
func (w *world) judgeDial(s *session, err error, began time.Time) {
	whole := w.dials.whole
	if w.stopped || whole.IsZero() || !whole.Before(began) {
		return
	}
	// The path of this dial can have been harmed by hand.
	if n := len(s.paths); n > 0 && w.harmed() {
		return
	}
	w.fail("forbidden error", "%s: Dial failed on a whole network: %v", s.client.name, err)
}

// harmed reports whether the schedule has steps that can harm a handshake under
// way.
func (w *world) harmed() bool {
	for _, st := range w.s.Steps {
		switch st.Do {
		case Cut, CutAt, Stall, Sleep, AcceptFails:
			return true
		default:
		}
	}
	return false
}

// describe says how things stand with an end.
func (e *end) describe() string {
	if e.conn == nil {
		return e.name + ": not open"
	}
	rel := func(t time.Time) any {
		if t.IsZero() {
			return "-"
		}
		return t.Sub(e.w.start)
	}
	l := e.life
	return fmt.Sprintf("%s: written %d (%d in hand) of %d, read %d of %d, %v, last event %v, suspended at %v (%v), ended at %v (%v), "+
		"closed at %v, closewrite %v, aborted %v, reads ended with %v, writes with %v, %+v",
		e.name, e.written, e.writing, e.toWrite, e.got, e.toRead, e.conn.State(), l.last, rel(l.suspendedAt), l.lost,
		rel(l.closedAt), l.closed, rel(e.closeAt), rel(e.closeWriteAt), rel(e.abortAt), e.readCall.err, e.writeCall.err, e.conn.Stats())
}
