package simulation

import (
	"io"
	"slices"
	"strings"
	"testing/synctest"
	"time"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// After the last step the network becomes whole, and what the contract promises
// of such a network must come true within a bounded time: everything that was
// written arrives, a session that was closed at one end ends at the other, and
// in the end nothing is left.

// heal makes the network whole and waits until all is delivered.
func (w *world) heal() {
	w.mu.Lock()
	w.tell("model", "heal")
	w.dials.faults, w.dials.down = nil, faultnet.NotDown
	w.dials.changed()
	w.net.SetDown(faultnet.NotDown)
	w.releaseAll()
	w.net.SetOptions(w.pathOptions())
	if !w.wire.records {
		// Without pings it is the kernel's keep-alive that ends a silent path.
		for _, p := range w.silent {
			p.Cut(faultnet.Reset)
		}
	}
	for _, c := range w.hostiles {
		_ = c.Close() // one may hold a session of SCP, and nobody could tell
	}
	// Dials that are under way may fail, those that begin now may not.
	for range 2 {
		w.mu.Unlock()
		w.await(w.recovery(), w.noDials)
		w.rest()
		w.mu.Lock()
		for _, s := range w.sessions {
			if s.open() {
				w.apart()
			}
		}
	}
	for _, s := range w.sessions {
		for _, e := range []*end{s.client, s.server} {
			if e.open() {
				e.setDeadline(both, 0)
			}
			e.readOn(-1, 0)
		}
		// A session on a stopped listener must not be taken from its transport.
		if s.client.conn != nil && !w.stopped && (!w.s.Quiet || !w.wire.records) {
			s.client.conn.NetworkChanged()
		}
		w.apart()
	}
	bound := w.bound()
	w.mu.Unlock()
	w.rest()
	w.settle(bound)
	if w.s.Quiet && w.ok() {
		// A path can be silent, or become so with the next byte, and nobody has
		// noticed because there was nothing to say. The end is not to find it.
		w.mu.Lock()
		for _, s := range w.sessions {
			if s.client.conn != nil && !w.stopped {
				s.client.conn.NetworkChanged()
			}
			w.apart()
		}
		w.mu.Unlock()
		w.rest()
		w.settle(bound)
	}
}

// settle waits until nothing is left to be delivered.
func (w *world) settle(bound time.Duration) {
	if !w.await(bound, w.settled) && w.ok() {
		w.mu.Lock()
		w.fail("stuck", "not all is delivered %v after the network became whole\n%s", bound, w.describe())
		w.mu.Unlock()
	}
	w.rest()
}

// apart lets a moment pass, so that what is done to one session and to the next
// does not happen in the same instant, where its order would be the scheduler's.
// The lock is given up meanwhile.
func (w *world) apart() {
	w.mu.Unlock()
	time.Sleep(12347 * time.Nanosecond)
	w.mu.Lock()
}

// noDials reports whether no session is being opened.
func (w *world) noDials() bool {
	return !slices.ContainsFunc(w.sessions, func(s *session) bool { return s.dialing })
}

// bound is the time in which all is delivered over a whole network.
func (w *world) bound() time.Duration {
	d := 2*w.recovery() + time.Minute
	if w.s.Quiet {
		d += 2 * w.s.Liveness
	}
	most := int64(0)
	ended := w.stopped
	for _, s := range w.sessions {
		for _, e := range []*end{s.client, s.server} {
			most = max(most, e.toWrite)
			ended = ended || e.conn != nil && e.ended()
		}
	}
	if ended || w.mayGap() {
		d += w.s.ClientResume + w.s.ServerResume + w.s.Linger
	}
	if w.s.Delay > 0 {
		trips := most/int64(min(1<<10, max(w.s.Buffer, 256))) + 20
		d += time.Duration(4*trips) * w.s.Delay
	}
	return d
}

// settled reports whether nothing is left to be delivered. The lock is held.
func (w *world) settled() bool {
	for _, s := range w.sessions {
		if s.client.alive() && s.server.alive() && !w.stopped && (s.client.life.suspended() || s.server.life.suspended()) {
			return false
		}
		for _, e := range []*end{s.client, s.server} {
			if e.conn == nil || !e.gone().IsZero() || e.readCall.err != nil {
				continue
			}
			p := e.peer
			switch {
			case p.conn == nil:
				// The server's application may never have got it.
				if !w.stopped && s.client.conn != nil {
					return false
				}
			case p.life.over() && p.gone().IsZero() && w.stopped:
				// Nobody can tell it that the other has ended.
			case p.life.over() || !p.gone().IsZero():
				return false // the end is still to come
			case w.stopped && (e.life.suspended() || p.life.suspended() || w.harmed()):
				// It cannot be resumed.
			case e.got < p.written || p.written < p.toWrite && p.writeCall.err == nil:
				return false
			case !p.closeWriteAt.IsZero():
				return false // its end is to come
			}
		}
	}
	return true
}

// finish closes the sessions that are left, in the way that the schedule says,
// on a network that is whole.
func (w *world) finish() {
	w.mu.Lock()
	w.tell("model", "finish")
	var left []*session
	for _, s := range w.sessions {
		if s.client.alive() && s.server.alive() && !w.stopped {
			left = append(left, s)
			s.end(w.s.End)
			w.apart()
		}
	}
	bound := w.bound() + w.s.ClientResume + w.s.ServerResume + w.s.Linger
	w.mu.Unlock()
	if !w.await(bound, func() bool { return !slices.ContainsFunc(left, func(s *session) bool { return !s.endHeard(w.s.End) }) }) && w.ok() {
		w.mu.Lock()
		w.fail("stuck", "an end is not known to the other side after %v\n%s", bound, w.describe())
		w.mu.Unlock()
	}
	w.rest()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range left {
		w.judgeEnding(s)
	}
}

// alive reports whether the end has a session on which everything goes on.
func (e *end) alive() bool {
	return e.open() && !e.life.over() && e.readCall.err == nil && e.writeCall.err == nil && e.closeWriteAt.IsZero()
}

// end ends a session. The lock is held.
func (s *session) end(how Ending) {
	switch how {
	case ClientCloses:
		s.client.last(s.w.s.Tail)
		s.client.close()
	case ServerCloses:
		s.server.last(s.w.s.Tail)
		s.server.close()
	case BothClose:
		s.client.close()
		s.server.close()
	case HalfCloses:
		for _, e := range []*end{s.client, s.server} {
			e.last(s.w.s.Tail)
			e.closeWrite()
		}
	case ClientAborts:
		s.client.abort()
	case ServerAborts:
		s.server.abort()
	}
}

// last writes n bytes more, right away: Close must find them written. There is
// room for them, because everything else has arrived. The lock is given up
// meanwhile.
func (e *end) last(n int) {
	// Without acknowledgements a quarter of the limit may wait to be sent.
	n = min(n, min(e.w.s.ClientLimit, e.w.s.ServerLimit)/4)
	if n == 0 {
		return
	}
	e.writeOn(n, 0)
	w := e.w
	w.mu.Unlock()
	synctest.Wait()
	w.mu.Lock()
}

// endHeard reports whether both sides know of the end.
func (s *session) endHeard(how Ending) bool {
	for _, e := range []*end{s.client, s.server} {
		if how == HalfCloses && !s.w.wire.records {
			return s.settledTail() // the wire cannot do it
		}
		if e.readCall.err == nil {
			return false
		}
	}
	return true
}

// settledTail reports whether what was written last has arrived.
func (s *session) settledTail() bool {
	return s.client.got == s.server.toWrite && s.server.got == s.client.toWrite
}

// judgeEnding requires that a Close on a whole network has delivered
// everything, and then the end.
func (w *world) judgeEnding(s *session) {
	var heard []*end
	switch w.s.End {
	case ClientCloses:
		heard = []*end{s.server}
	case ServerCloses:
		heard = []*end{s.client}
	case HalfCloses:
		if w.wire.records {
			heard = []*end{s.client, s.server}
		}
	case BothClose, ClientAborts, ServerAborts:
	}
	for _, e := range heard {
		if e.readCall.err != io.EOF || e.got != e.peer.written { //nolint:errorlint // it must be bare
			w.fail("close does not deliver", "on a whole network\n%s\n%s", e.describe(), e.peer.describe())
		}
	}
}

// clean ends everything and requires that nothing is left.
func (w *world) clean() {
	w.mu.Lock()
	w.tell("model", "clean")
	w.ending = true
	for _, s := range w.sessions {
		for _, e := range []*end{s.client, s.server} {
			e.quit = true
			if e.open() {
				e.close()
			}
			e.orders.Broadcast()
		}
	}
	for _, c := range w.unclaimed {
		w.strays = append(w.strays, c)
	}
	w.unclaimed = map[string]*relink.Conn{}
	for _, c := range w.strays {
		_ = c.Abort()
	}
	if w.failure != nil {
		for _, p := range w.net.Paths() {
			p.Cut(faultnet.ResetNow) // a failed session may hold on to anything
		}
		w.abortAll()
	}
	w.mu.Unlock()
	// What was closed lingers, and ends.
	linger := w.s.Linger + time.Second
	if !w.await(linger, w.allOver) && w.ok() {
		w.mu.Lock()
		w.fail("stuck", "a session is left %v after Close\n%s", linger, w.describe())
		w.mu.Unlock()
	}
	w.mu.Lock()
	w.abortAll()
	for _, c := range w.hostiles {
		_ = c.Close()
	}
	w.mu.Unlock()
	_ = w.l.Close()
	// Handshakes that came to nothing end in their time, and so does what is
	// said goodbye to.
	time.Sleep(w.s.Handshake + w.s.Attempt + 5*time.Second)
	w.wg.Wait()
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failure != nil {
		for _, p := range w.net.Paths() {
			p.Cut(faultnet.ResetNow)
		}
		return
	}
	w.inspect()
	if n := w.net.Open(); n > 0 {
		w.fail("left over", "%d ends of transports are open", n)
	}
	for _, l := range w.lives {
		if !l.over() {
			w.fail("left over", "%s: no end was told of", l.name)
		}
	}
}

// abortAll gives up everything. The lock is held.
func (w *world) abortAll() {
	for _, s := range w.sessions {
		s.client.abort()
		s.server.abort()
	}
}

// allOver reports whether all sessions have ended.
func (w *world) allOver() bool {
	for _, s := range w.sessions {
		for _, e := range []*end{s.client, s.server} {
			if e.conn != nil && !e.life.over() {
				return false
			}
		}
	}
	return true
}

// count completes the counts.
func (w *world) count() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts.Schedules++
	w.counts.Suites[w.s.Suite]++
	w.counts.Virtual += time.Since(w.start)
	for _, s := range w.sessions {
		for _, e := range []*end{s.client, s.server} {
			if e.conn != nil {
				w.counts.Replayed += e.conn.Stats().Replayed
			}
		}
	}
}

// describe says how things stand with all sessions.
func (w *world) describe() string {
	var lines []string
	for _, s := range w.sessions {
		lines = append(lines, s.client.describe(), s.server.describe())
	}
	return strings.Join(lines, "\n")
}

// trace returns the trace, teller by teller: what tellers do in the same
// instant has no order.
func (w *world) trace() []string {
	var who []string
	for k := range w.lines {
		who = append(who, k)
	}
	slices.Sort(who)
	var all []string
	for _, k := range who {
		all = append(all, w.lines[k]...)
	}
	return all
}
