package relink

import (
	"net"
	"time"

	"github.com/relink-go/relink/internal/clock"
	"github.com/relink-go/relink/internal/rtt"
	"github.com/relink-go/relink/internal/socket"
)

// A silent drop shows in three ways. A TCP connection on which nothing is under
// way is probed by the kernel's keep-alive. One on which data is under way
// is judged by what the kernel knows of its acknowledgements, because neither
// keep-alive nor a bare TCP_USER_TIMEOUT does: the first is off while data is
// unacknowledged, and the second also kills a peer that is alive and has
// paused reading. A suite with pings uses those, over any transport.

// livenessSteps is how often within LivenessTimeout a link is looked at.
const livenessSteps = 8

// A probe is what is known of a link's life. The lock is the session's.
type probe struct {
	timeout time.Duration // LivenessTimeout, or zero where nobody looks
	tcp     *net.TCPConn  // below the transport, or nil
	ping    bool          // a ping is under way
	lately  bool          // something has arrived since proveAliveLocked has looked
	quiet   clock.Time    // since when an answer is due; zero if none is
	next    clock.Time    // when to look again
}

// start sets the transport's keep-alive, where there is one and it was not made
// with ours.
func (p *probe) start(t net.Conn, timeout time.Duration, keepAliveSet bool) {
	p.timeout = timeout
	if p.tcp = tcpConn(t); p.tcp != nil && !keepAliveSet {
		// An error means a closed connection, which its first Read reports.
		_ = p.tcp.SetKeepAliveConfig(socket.KeepAlive(timeout))
	}
}

// tickLiveness looks at the link and reports whether an answer has been due for too
// long, so that it counts as lost, and whether the peer is to be pinged. heard says that
// something has arrived since the last look.
func (l *link) tickLiveness(pings, unacknowledged, heard bool) (silent, ping bool) {
	switch {
	case l.probe.timeout == 0:
	case pings:
		return l.tickPings(unacknowledged, heard)
	case l.probe.tcp != nil && l.outstanding:
		return l.tickTCP(), false
	}
	l.outstanding = false // nothing to judge by, or nothing due
	return false, false
}

// tickPings goes by what arrives: any progress is a sign of life. An idle link is
// pinged only where no keep-alive of the kernel's does it. Where the last word was one
// that is not answered, an acknowledgement or a pong, the kernel knows whether it
// arrived; its keep-alive is off until then.
func (l *link) tickPings(unacknowledged, heard bool) (silent, ping bool) {
	p := &l.probe
	switch silence, due := p.quiet.Since(), l.answerDue(unacknowledged); {
	case !due && l.outstanding:
		return l.tickTCP(), false
	case !due:
		p.quiet = 0
	case heard || p.quiet == 0:
		p.quiet, p.ping = clock.Now(), false
	case silence >= p.timeout-2*tickEvery: // it began up to a tick before it was noticed, and the next look is a tick away
		return true, false
	case silence >= p.timeout/2 && !p.ping:
		p.ping = true
		return false, true
	}
	return false, false
}

// answerDue reports whether the peer is to answer, on a wire with pings: it has not acknowledged
// all, or was asked. Where no kernel probes an idle link it always is.
func (l *link) answerDue(unacknowledged bool) bool {
	return unacknowledged || l.probe.ping || l.probe.tcp == nil || l.suspicion != nil && l.suspicion.asked != 0
}

// tickTCP goes by what the kernel knows of its acknowledgements.
func (l *link) tickTCP() (silent bool) {
	p := &l.probe
	if p.next.Until() > 0 {
		return false
	}
	info, ok := socket.ReadInfo(p.tcp)
	if l.outstanding = ok && (info.Unacked > 0 || info.Unsent > 0); !l.outstanding {
		p.quiet, p.next = 0, clock.Now().Add(p.timeout/livenessSteps)
		return false
	}
	if p.quiet == 0 {
		p.quiet = clock.Now()
	} else if answered := clock.Now().Add(-info.SilentFor); p.quiet < answered {
		p.quiet = answered
	}
	pause, due := nextLook(p.quiet.Since(), p.timeout)
	if due && info.Retrying() {
		return true
	}
	p.next = clock.Now().Add(pause)
	return false
}

// nextLook says whether a silence has lasted for a time-out, and otherwise when
// to look again: not so late that the next look finds it overdue. A tick later
// would be.
func nextLook(silence, timeout time.Duration) (pause time.Duration, due bool) {
	pause = timeout / livenessSteps
	left := timeout - tickEvery - silence
	if left <= 0 {
		return pause, true
	}
	return min(pause, left), false
}

// A server does not believe in a link for ever on which nothing comes: whoever is on the
// path can keep the server's end of it alive, cut the client's, and deliver what it has
// withheld long after the client has given the session up. The kernel's keep-alive proves
// nothing, since anybody answers it. So where the wire has pings, which are
// authenticated, a link on which nothing has arrived for half of ResumeTimeout is
// pinged, and lost if nothing comes within LivenessTimeout. The sweeper sees to it from
// its agenda: a connected session costs it one look in a quarter of ResumeTimeout.

// provenAliveLocked notes that the link has just proven that the client lives. The
// caller holds the session's lock, and not the listener's.
func (l *Listener) provenAliveLocked(c *Conn) {
	t := c.s.link
	if t == nil || l == nil || !c.s.send.Traits.Pings || c.set.LivenessTimeout < 0 {
		return
	}
	t.probe.lately = false
	if !c.s.ticking {
		t.heard = false
	} // else the next tick needs it, and notes it once more, which costs a tick
	l.schedule(c, c.s.ended.resumeTimeoutOr(c.set.ResumeTimeout)/4)
}

// proveAliveLocked is called a quarter of ResumeTimeout after the last time, and pings a
// link on which nothing has arrived since. Ticks judge the answer.
func (l *Listener) proveAliveLocked(c *Conn) {
	t := c.s.link
	if p := &t.probe; !t.heard && !p.lately && !p.ping {
		p.ping, p.quiet = true, clock.Now()
		c.s.pingDue = true
	}
	l.provenAliveLocked(c)
}

// How long a round trip takes is measured where the answer comes at once: by the
// messages of a handshake, and on a wire with pings by those, whoever has asked for them.
// An acknowledgement of data is no measure: a peer may hold it back for longer than most
// round trips take, and its time would cost every Write a look at the clock.

// sampleEvery is how often a link that carries data is pinged for nothing but
// a sample.
const sampleEvery = 5 * time.Second

// roundTrips are those of one link. The lock is the session's.
type roundTrips struct {
	rtt.Estimator
	asked   clock.Time // when the oldest ping without an answer was handed over, or zero
	sampled clock.Time // when it was last time to ask
	carried int64      // what the session had carried then
}

// begin takes the sample that a handshake has given, if it has.
func (t *roundTrips) begin(sample time.Duration) {
	if sample > 0 {
		t.Add(sample)
	}
	t.sampled = clock.Now()
}

// ask notes that a ping goes out. A pong answers all that have arrived, so that
// one which follows another cannot be told from it, and is not measured.
func (t *roundTrips) ask() {
	if t.asked == 0 {
		t.asked = clock.Now()
	}
}

// answer notes that a pong has come.
func (t *roundTrips) answer() {
	if t.asked != 0 {
		t.Add(t.asked.Since())
		t.asked = 0
	}
}

// tick says now and then, while the link carries data, that it is time to ask. carried is how much
// there was in both directions.
func (t *roundTrips) tick(carried int64) (ask bool) {
	if t.sampled.Since() < sampleEvery {
		return false
	}
	ask = carried > t.carried
	t.sampled, t.carried = clock.Now(), carried
	return ask
}

// answered notes that what was sent last is being answered.
func (s *handshakeStream) answered() {
	if s.asked == 0 {
		return
	}
	if took := max(1, s.asked.Since()); s.roundTrip == 0 || took < s.roundTrip {
		s.roundTrip = took
	}
	s.asked = 0
}
