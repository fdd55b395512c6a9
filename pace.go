package relink

import "math"

// On a slow network a long record takes longer than the peer may be silent, and
// it acknowledges only whole ones. A link that follows one which died for want
// of acknowledgements therefore begins with short records, which grow as fast
// as it turns out that the network carries them.

// And on any network a link begins with short records, because a record opens
// when the whole of it is there, and TCP begins with some 14 KB under way: the
// rest would come a round trip later.

const (
	// slowRecord is the data in a record on a network that counts as slow, and
	// fastRecord the most on one that does not yet count as fast.
	slowRecord = 1 << 10
	fastRecord = 32 << 10

	// firstRecord is the most data in a link's first record. Each one after it may
	// be longer by what was sent before.
	firstRecord = 8 << 10
)

// startPace says how long the records of a new link may be, which begins at base and on
// which the peer has acknowledged the stream up to the other offset.
func (f *framing) startPace(base, acked int64, slowNetwork bool) {
	f.base, f.counted = base, acked
	if slowNetwork {
		f.recordCap = slowRecord
	}
}

// mostData is the most data that a sender may take along next: that of one record
// where the network counts as slow, and at first, when it says where the link
// stands; later as much as the transport takes well at once. sent is what the link was
// handed so far. The caller holds the sender role.
func (l *link) mostData(sent int64) int {
	most := l.codec.MaxData()
	if l.recordCap > 0 {
		return min(int(l.recordCap), most)
	}
	if sent == 0 || sent+firstRecord < int64(most) {
		return min(firstRecord+int(sent), most)
	}
	return max(batchSize, most)
}

// ackPatience is how many times LivenessTimeout a peer may go on without acknowledging
// anything more.
const ackPatience = 4

// mostSilence is how many ticks without a word count at most, between two at which the peer was
// heard.
const mostSilence = 50

// tickAcks reports whether the peer is alive and does not acknowledge what it has been
// sent, which would be kept for it as long as it likes. It goes by the ticks of one link
// on which the peer was heard: silence is a matter of liveness.
func (s *session) tickAcks(l *link, heard bool) bool {
	if !s.send.Unacknowledged() || s.send.Acked() != l.counted {
		l.idleAcks = 0
		return false
	}
	timeout := l.probe.timeout
	if timeout <= 0 {
		timeout = defaultLivenessTimeout
	}
	if l.silentFor++; heard {
		l.silentFor = 0
	}
	if l.silentFor > mostSilence {
		l.silentFor = mostSilence
		return false // whatever it says next may be an acknowledgement
	}
	l.idleAcks++
	return heard && l.idleAcks >= uint32(min(ackPatience*timeout/tickEvery, math.MaxUint32))
}

// tickPace lets records grow where a whole one was acknowledged within a tick.
func (f *framing) tickPace(acked int64) {
	if f.recordCap != 0 && acked-f.counted >= int64(f.recordCap) {
		if f.recordCap *= 2; f.recordCap > fastRecord {
			f.recordCap = 0
		}
	}
	f.counted = acked
}
