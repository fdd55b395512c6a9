package relink

import (
	"time"

	"github.com/relink-go/relink/internal/rtt"
)

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
	asked   monoTime // when the oldest ping without an answer was handed over, or zero
	sampled monoTime // when it was last time to ask
	carried int64    // what the session had carried then
}

// begin takes the sample that a handshake has given, if it has.
func (t *roundTrips) begin(sample time.Duration) {
	if sample > 0 {
		t.Add(sample)
	}
	t.sampled = now()
}

// ask notes that a ping goes out. A pong answers all that have arrived, so that
// one which follows another cannot be told from it, and is not measured.
func (t *roundTrips) ask() {
	if t.asked == 0 {
		t.asked = now()
	}
}

// answer notes that a pong has come.
func (t *roundTrips) answer() {
	if t.asked != 0 {
		t.Add(t.asked.since())
		t.asked = 0
	}
}

// tickRoundTrips asks for a sample now and then while the link carries data.
func (s *session) tickRoundTrips(l *link, heard bool) {
	if s.link != l || !s.send.Traits.Pings || l.probe.timeout == 0 || !heard || l.trips.sampled.since() < sampleEvery {
		return
	}
	carried := s.recv.Received() + s.send.Highest()
	if carried > l.trips.carried {
		s.pingDue = true
	}
	l.trips.sampled, l.trips.carried = now(), carried
}

// answered notes that what was sent last is being answered.
func (s *handshakeStream) answered() {
	if s.asked == 0 {
		return
	}
	if took := max(1, s.asked.since()); s.roundTrip == 0 || took < s.roundTrip {
		s.roundTrip = took
	}
	s.asked = 0
}
