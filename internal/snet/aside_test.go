package snet_test

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/snet"
	"github.com/relink-go/relink/internal/suite"
	"github.com/relink-go/relink/internal/suite/suitetest"
)

// opened returns both sides of a session between relink and relink.
func opened(t *testing.T) (*snet.Protocol, *host, suite.Session, *target) {
	t.Helper()
	p := snet.New(snet.Options{})
	h := newHost()
	s, _, _ := open(t, p, p, h)
	return p, h, s, h.sessions[keyOf(s)]
}

// The answer calls sent what the client has received, so that a client which
// takes the difference for a replay of its own kind takes none; and relink's
// client knows nevertheless how much there is.
func TestAnswerCounts(t *testing.T) {
	for _, sent := range []int64{0, 1, 77, 4 << 20, 1 << 30, 1<<32 - 1} {
		p, h, s, there := opened(t)
		there.Offsets = suite.Offsets{Sent: 1000 + sent, Received: 5}
		c := &client{side{Offsets: suite.Offsets{Sent: 9, Received: 1000}}}
		link, _, se := resume(t, p, h, s, c)
		require.Equal(t, uint64(1000), number(se.Writes[0]))
		require.Equal(t, uint64(5), number(se.Writes[0][8:]))
		require.Equal(t, there.Offsets, link.Peer)
	}
}

// What the server writes between its claim and its answer is not missing yet.
func TestAnswerBesideWrites(t *testing.T) {
	p, h, s, there := opened(t)
	there.Offsets = suite.Offsets{Sent: 1000}
	// The client has more already than the claim says.
	there.claimed = suite.Offsets{Sent: 900}
	link, _, _ := resume(t, p, h, s, &client{side{Offsets: suite.Offsets{Received: 950}}})
	require.Equal(t, suite.Offsets{Sent: 950}, link.Peer)
}

// A server whose id says nothing is believed: it may be another, whose challenge
// is random.
func TestAnswerOfOtherServer(t *testing.T) {
	s, c, _ := live(snet.New(snet.Options{}))
	for challenge := range uint64(100) {
		link, err := s.Resume(&suitetest.Script{In: snet.Answer(1800, 900, challenge+1)}, c)
		require.NoError(t, err)
		require.Equal(t, suite.Offsets{Sent: 1800, Received: 900}, link.Peer)
	}
}

// An aside that adds up to more than any stream has is cut off there.
func TestAsideBeyondLargestCount(t *testing.T) {
	_, _, s, _ := opened(t)
	own := suite.Offsets{Received: math.MaxInt64 - 1}
	for challenge := range uint64(20) {
		link, err := s.Resume(&suitetest.Script{In: snet.Answer(math.MaxInt64-1, 0, challenge+1)}, &client{side{Offsets: own}})
		require.NoError(t, err)
		require.Equal(t, int64(math.MaxInt64), link.Peer.Sent)
	}
}

// Ids and challenges are as different as their random halves, and never zero.
func TestAsidesDiffer(t *testing.T) {
	p := snet.New(snet.Options{})
	ids, challenges := make(map[uint64]bool), make(map[uint64]bool)
	for range 1000 {
		ids[snet.NewID(p, testSecret)] = true
		challenges[snet.NewChallenge(p, testSecret, 1<<20)] = true
	}
	require.Len(t, ids, 1000)
	require.Len(t, challenges, 1000)
	require.False(t, ids[0] || challenges[0])
}

// overwrite is what a client does to its request that computes its proof in the
// same memory, and sends both again if the attempt fails.
func overwrite(request, proof []byte) []byte {
	b := append([]byte(nil), request...)
	copy(b[1:], proof)
	return b
}

func proofOf(s suite.Session, answer []byte) []byte { return snet.MAC(s, answer[16:24]) }

// serve gives the server a client's messages until it has answered.
func serve(p *snet.Protocol, h *host, request []byte, proof func(answer []byte) []byte) (answer []byte, err error) {
	st := &suitetest.Script{In: request}
	st.Reply = func(_ int, b []byte) []byte {
		answer = b
		if proof == nil {
			return nil
		}
		return proof(b)
	}
	return answer, p.Serve(st, h)
}

// A client that has overwritten its request with its proof is recognised, however
// often, whichever of its attempts get an answer, and whether or not the server
// has heard of its proof.
func TestOverwrittenRequest(t *testing.T) {
	for _, proven := range []bool{false, true} {
		p, h, s, there := opened(t)
		there.Offsets = suite.Offsets{Sent: 500, Received: 80}
		var proof func([]byte) []byte
		if proven {
			proof = func(answer []byte) []byte { return proofOf(s, answer) }
		}
		request := snet.Request(s, 100, 200)
		for range 5 {
			links := len(there.links)
			answer, err := serve(p, h, request, proof)
			require.Equal(t, proven, err == nil, err)
			require.Equal(t, uint64(200), number(answer))
			require.NotZero(t, number(answer[16:]))
			if proven {
				require.Equal(t, suite.Offsets{Sent: 100, Received: 200}, there.links[links].Peer)
			}
			lost, _ := serve(p, h, request, nil) // an answer that is lost overwrites nothing
			require.NotEqual(t, make([]byte, 24), lost)
			again, _ := serve(p, h, request, nil)
			require.NotEqual(t, make([]byte, 24), again)
			request = overwrite(request, proofOf(s, again))
		}
	}
}

// An overwritten request must be right in everything that is left of it, and is
// good only next to the last one.
func TestOverwrittenRequestRefused(t *testing.T) {
	for name, spoil := range map[string]func(request []byte) []byte{
		"proof":    func(b []byte) []byte { b[1] ^= 1; return b },
		"proof 2":  func(b []byte) []byte { b[16] ^= 1; return b },
		"received": func(b []byte) []byte { b[17] ^= 1; return b },
		"MAC":      func(b []byte) []byte { b[40] ^= 1; return b },
	} {
		p, h, s, there := opened(t)
		there.Offsets = suite.Offsets{Sent: 500, Received: 80}
		request := snet.Request(s, 100, 200)
		answer, _ := serve(p, h, request, nil)
		next := overwrite(request, proofOf(s, answer))
		answer, err := serve(p, h, spoil(append([]byte(nil), next...)), nil)
		require.Equal(t, make([]byte, 24), answer, name)
		require.Error(t, err)
		// Which changes nothing for the client.
		answer, _ = serve(p, h, next, nil)
		require.Equal(t, uint64(200), number(answer), name)
		// A request of its own is the beginning of something else.
		_, _ = serve(p, h, snet.Request(s, 101, 200), nil)
		answer, err = serve(p, h, next, nil)
		require.Equal(t, make([]byte, 24), answer, name)
		require.ErrorIs(t, err, suite.ErrUnknownSession)
	}
	// A session that nobody has asked for has no such key.
	p, h, _, _ := opened(t)
	request := append([]byte{0xff}, binary.LittleEndian.AppendUint64(nil, 7)...)
	answer, err := serve(p, h, append(request, make([]byte, 32)...), nil)
	require.Equal(t, make([]byte, 24), answer)
	require.ErrorIs(t, err, suite.ErrUnknownSession)
}

// A session that is not known may be another server's.
func TestPassedOn(t *testing.T) {
	p, h := snet.New(snet.Options{}), newHost()
	h.passOn = suite.ErrPassedOn
	request := append([]byte{0xff}, binary.LittleEndian.AppendUint64(nil, 7)...)
	answer, err := serve(p, h, append(request, make([]byte, 32)...), nil)
	require.Equal(t, suite.ErrPassedOn, err)
	require.Empty(t, answer)
}

// A lateHost has a session only when it is asked the second time.
type lateHost struct {
	*host
	asked int
}

func (h *lateHost) Find(k suite.Key) (suite.Target, bool) {
	if h.asked++; h.asked == 1 {
		return nil, false
	}
	return h.host.Find(k)
}

// An id and a count of zero look like a proof. If they name a session that was not
// there a moment ago, that is none that has been asked for before.
func TestRequestBesideOpening(t *testing.T) {
	p, h, s, _ := opened(t)
	answer := &suitetest.Script{In: snet.Request(s, 0, 0)}
	require.ErrorIs(t, p.Serve(answer, &lateHost{host: h}), suite.ErrUnknownSession)
	require.Equal(t, [][]byte{make([]byte, 24)}, answer.Writes)
}
