package snet_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/dh64"
	"github.com/relink-go/relink/internal/snet"
	"github.com/relink-go/relink/internal/suite"
	"github.com/relink-go/relink/internal/suite/suitetest"
)

const (
	testID     = 0x0123456789abcdef
	testSecret = 0xfedcba9876543210
)

func number(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }

func hexID(id uint64) string { return fmt.Sprintf("%016x", id) }

// keyOf returns the key by which a session of this protocol is found.
func keyOf(s suite.Session) suite.Key {
	var id uint64
	if _, err := fmt.Sscanf(s.ID(), "%x", &id); err != nil {
		panic(err)
	}
	return snet.Lookup(id)
}

// open runs the handshake of a new session that is to succeed.
func open(t *testing.T, cp, sp *snet.Protocol, h suite.Host) (s suite.Session, ce, se *suitetest.End) {
	t.Helper()
	ce, se = suitetest.NewWire()
	cerr, serr := suitetest.Run(ce, se, func(st suite.Stream) (err error) {
		var l suite.Link
		s, l, err = cp.Open(st)
		assert.Zero(t, l)
		return err
	}, func(st suite.Stream) error { return sp.Serve(st, h) })
	require.NoError(t, cerr)
	require.NoError(t, serr)
	return s, ce, se
}

// resume runs the handshake of a resume that is to succeed.
func resume(t *testing.T, sp *snet.Protocol, h suite.Host, s suite.Session, c suite.Client) (l suite.Link, ce, se *suitetest.End) {
	t.Helper()
	ce, se = suitetest.NewWire()
	cerr, serr := suitetest.Run(ce, se, func(st suite.Stream) (err error) {
		l, err = s.Resume(st, c)
		return err
	}, func(st suite.Stream) error { return sp.Serve(st, h) })
	require.NoError(t, cerr)
	require.NoError(t, serr)
	return l, ce, se
}

// live returns both sides of a session that has carried 1000 bytes up, of
// which the server has 900, and 2000 down, of which the client has 1800.
func live(p *snet.Protocol) (suite.Session, *client, *target) {
	c := &client{side{Offsets: suite.Offsets{Sent: 1000, Received: 1800}, start: 700}}
	t := &target{
		side:    side{Offsets: suite.Offsets{Sent: 2000, Received: 900}, start: 1500},
		session: snet.NewServerSession(p, testID, testSecret),
		epoch:   1,
		live:    true,
		links:   []suite.Link{{}},
	}
	return snet.NewClientSession(p, testID, testSecret), c, t
}

func TestOpenAndResume(t *testing.T) {
	for _, opts := range []snet.Options{{}, {Cleartext: true}} {
		p := snet.New(opts)
		h := newHost()
		var sessions []suite.Session
		for range 3 {
			s, _, _ := open(t, p, p, h)
			sessions = append(sessions, s)
		}
		require.Len(t, h.sessions, 3)
		for _, s := range sessions {
			there := h.sessions[keyOf(s)]
			require.NotNil(t, there)
			up := carry(t, s, there.session, []byte("up and up"))
			require.Equal(t, opts.Cleartext, string(up) == "up and up")
			down := carry(t, there.session, s, []byte("down"))
			require.Equal(t, opts.Cleartext, string(down) == "down")

			c := &client{side{Offsets: suite.Offsets{Sent: 9, Received: 2}}}
			there.Offsets = suite.Offsets{Sent: 4, Received: 7}
			for range 2 {
				link, _, _ := resume(t, p, h, s, c)
				require.Equal(t, suite.Link{Peer: there.Offsets}, link)
				require.Equal(t, suite.Link{Peer: c.Offsets()}, there.links[len(there.links)-1])
			}
			carry(t, s, there.session, []byte("more"))
		}
	}
}

// The resume of a new session that has carried nothing is answered with two
// zeros and a challenge, which is not a refusal.
func TestResumeOfNothing(t *testing.T) {
	p := snet.New(snet.Options{})
	h := newHost()
	s, _, _ := open(t, p, p, h)
	link, _, se := resume(t, p, h, s, &client{})
	require.Zero(t, link)
	require.Equal(t, make([]byte, 16), se.Writes[0][:16])
}

// The proof of a new session is lost with its transport, while the client
// believes in the session: a resume completes it.
func TestProvisional(t *testing.T) {
	p := snet.New(snet.Options{})
	h := newHost()
	ce, se := suitetest.NewWire()
	ce.Mangle = func(m int, b []byte) ([]byte, bool) {
		if m == 1 {
			return nil, false
		}
		return b, true
	}
	var s suite.Session
	cerr, serr := suitetest.Run(ce, se, func(st suite.Stream) (err error) {
		s, _, err = p.Open(st)
		return err
	}, func(st suite.Stream) error { return p.Serve(st, h) })
	require.NoError(t, cerr)
	require.ErrorIs(t, serr, io.EOF)
	require.False(t, h.offered.live)

	link, _, _ := resume(t, p, h, s, &client{side{Offsets: suite.Offsets{Sent: 5}}})
	require.Zero(t, link)
	require.True(t, h.offered.live)
	require.Equal(t, []suite.Link{{Peer: suite.Offsets{Sent: 5}}}, h.offered.links)
	carry(t, s, h.offered.session, []byte("first"))
	carry(t, h.offered.session, s, []byte("first"))
}

func TestZeroIsNeverDrawn(t *testing.T) {
	sp := snet.Fixed(snet.Options{}, 77, 0, 0, 3, 0, 4, 0, 5)
	h := newHost()
	s, _, se := open(t, snet.New(snet.Options{}), sp, h)
	require.Equal(t, hexID(3), s.ID())
	require.Equal(t, uint64(4), number(se.Writes[0][16:]))
	_, _, se = resume(t, sp, h, s, &client{})
	require.Equal(t, uint64(5), number(se.Writes[0][16:]))
}

func TestIDTaken(t *testing.T) {
	sp := snet.Fixed(snet.Options{}, 77, 1, 2, 3, 99)
	h := newHost()
	h.offer = func(n int) error {
		if n <= 2 {
			return fmt.Errorf("wrapped: %w", suite.ErrKeyTaken)
		}
		return nil
	}
	s, _, _ := open(t, snet.New(snet.Options{}), sp, h)
	require.Equal(t, 3, h.offers)
	require.Equal(t, hexID(3), s.ID())
	carry(t, h.offered.session, s, []byte("one mask for all ids"))
}

func TestOfferFails(t *testing.T) {
	full := errors.New("full")
	for _, test := range []struct {
		err    error
		offers int
	}{{suite.ErrKeyTaken, int(snet.Numbers["ids tried per session"])}, {full, 1}} {
		h := newHost()
		h.offer = func(int) error { return test.err }
		st := &suitetest.Script{In: snet.Hello(1234)}
		require.ErrorIs(t, snet.New(snet.Options{}).Serve(st, h), test.err)
		require.Equal(t, test.offers, h.offers)
		require.Empty(t, st.Writes)
	}
}

// A listener without room makes no key.
func TestNoRoom(t *testing.T) {
	p := snet.New(snet.Options{})
	snet.FailKeys(p, errors.New("a key was made"))
	h := newHost()
	h.full = errors.New("full")
	st := &suitetest.Script{In: snet.Hello(1234)}
	require.ErrorIs(t, p.Serve(st, h), h.full)
	require.Empty(t, st.Writes)
}

func TestKeyGenerationFails(t *testing.T) {
	p := snet.New(snet.Options{})
	broken := errors.New("no randomness")
	snet.FailKeys(p, broken)
	st := &suitetest.Script{In: snet.Hello(1234)}
	require.ErrorIs(t, p.Serve(st, newHost()), broken)
	require.Empty(t, st.Writes)
	_, _, err := p.Open(st)
	require.ErrorIs(t, err, broken)
	require.Empty(t, st.Writes)
}

func TestDegenerateKeys(t *testing.T) {
	p := snet.New(snet.Options{})
	for _, public := range []uint64{
		0, 1, dh64.Prime - 1, dh64.Prime, dh64.Prime + 1, dh64.Prime + 2, math.MaxUint64,
	} {
		h := newHost()
		st := &suitetest.Script{In: append(snet.Hello(public), make([]byte, 16)...)}
		err := p.Serve(st, h)
		require.ErrorIs(t, err, dh64.ErrDegenerateKey)
		require.ErrorIs(t, err, suite.ErrProtocol)
		require.Empty(t, st.Writes)
		require.Zero(t, h.offers)

		st = &suitetest.Script{In: snet.ServerHello(public, 1, 2)}
		s, _, err := p.Open(st)
		require.ErrorIs(t, err, dh64.ErrDegenerateKey)
		require.ErrorIs(t, err, suite.ErrProtocol)
		require.Nil(t, s)
		require.Len(t, st.Writes, 1)
	}
}

func TestRefusals(t *testing.T) {
	p := snet.New(snet.Options{})
	other := snet.NewClientSession(p, testID+1, testSecret)
	forger := snet.NewClientSession(p, testID, testSecret+1)
	for _, test := range []struct {
		name           string
		session        suite.Session // nil is the right one
		sent, received uint64
		finished       bool
		want           error
	}{
		{"unknown id", other, 1000, 1800, false, suite.ErrUnknownSession},
		{"wrong MAC", forger, 1000, 1800, false, suite.ErrAuthentication},
		{"wrong MAC on impossible counts", forger, math.MaxUint64, 1800, false, suite.ErrAuthentication},
		{"wrong MAC on contradictory counts", forger, 0, 0, false, suite.ErrAuthentication},
		{"wrong MAC on a finished session", forger, 900, 2000, true, suite.ErrAuthentication},
		{"sent less than was received", nil, 899, 1800, false, suite.ErrCounters},
		{"received more than was sent", nil, 1000, 2001, false, suite.ErrCounters},
		{"received 2^63-1", nil, 1000, math.MaxInt64, false, suite.ErrCounters},
		{"received 2^63", nil, 1000, 1 << 63, false, suite.ErrCounters},
		{"received 2^64-1", nil, 1000, math.MaxUint64, false, suite.ErrCounters},
		{"sent 2^63", nil, 1 << 63, 1800, false, suite.ErrCounters},
		{"sent 2^64-1", nil, math.MaxUint64, 1800, false, suite.ErrCounters},
		{"gap", nil, 1000, 1499, false, suite.ErrReplayGap},
		{"gap of everything", nil, 1000, 0, false, suite.ErrReplayGap},
		{"finished", nil, 900, 2000, true, suite.ErrFinished},
	} {
		t.Run(test.name, func(t *testing.T) {
			own, _, there := live(p)
			there.finished = test.finished
			h := newHost(there)
			before := there.side
			if test.session == nil {
				test.session = own
			}
			// What follows the request must not be read: it is not a proof.
			st := &suitetest.Script{In: append(snet.Request(test.session, test.sent, test.received), make([]byte, 16)...)}
			require.ErrorIs(t, p.Serve(st, h), test.want)
			require.Equal(t, [][]byte{make([]byte, 24)}, st.Writes)
			require.Len(t, st.In, 16)
			require.Equal(t, before, there.side)
			require.Len(t, there.links, 1)
			if errors.Is(test.want, suite.ErrAuthentication) {
				require.Zero(t, there.claims+there.checks, "judged before the MAC")
			}
		})
	}
}

// A peer may well have sent 2^63-1 bytes.
func TestLargestCount(t *testing.T) {
	p := snet.New(snet.Options{})
	own, _, there := live(p)
	there.Sent, there.start = math.MaxInt64, math.MaxInt64
	c := &client{side{Offsets: suite.Offsets{Sent: math.MaxInt64, Received: math.MaxInt64}}}
	link, _, _ := resume(t, p, newHost(there), own, c)
	require.Equal(t, there.Offsets, link.Peer)
	require.Equal(t, c.side.Offsets, there.links[1].Peer)
}

func TestClientResumeFails(t *testing.T) {
	p := snet.New(snet.Options{})
	for _, test := range []struct {
		name   string
		answer []byte
		want   error
	}{
		{"refused", make([]byte, 24), suite.ErrRefused},
		{"zeros and a challenge", snet.Answer(0, 0, 1), suite.ErrProtocol}, // not a refusal
		{"sent less than was received", snet.Answer(1799, 900, 1), suite.ErrProtocol},
		{"received more than was sent", snet.Answer(2000, 1001, 1), suite.ErrProtocol},
		{"received 2^63-1", snet.Answer(2000, math.MaxInt64, 1), suite.ErrProtocol},
		{"received 2^63", snet.Answer(2000, 1<<63, 1), suite.ErrProtocol},
		{"received 2^64-1", snet.Answer(2000, math.MaxUint64, 1), suite.ErrProtocol},
		{"sent 2^63", snet.Answer(1<<63, 900, 1), suite.ErrProtocol},
		{"sent 2^64-1", snet.Answer(math.MaxUint64, 900, 1), suite.ErrProtocol},
		{"gap", snet.Answer(2000, 699, 1), suite.ErrReplayGap},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, c, _ := live(p)
			st := &suitetest.Script{In: test.answer}
			_, err := s.Resume(st, c)
			require.ErrorIs(t, err, test.want)
			require.Equal(t, errors.Is(test.want, suite.ErrRefused), errors.Is(err, suite.ErrRefused))
			require.NotErrorIs(t, err, suite.ErrCounters, "no server says that: it is not final")
			require.Equal(t, [][]byte{snet.Request(s, 1000, 1800)}, st.Writes, "step 4 was sent")
		})
	}
}

// Whoever has seen a resume can send its request again, and its proof, too,
// which answers another challenge.
func TestReplayedRequest(t *testing.T) {
	p := snet.New(snet.Options{})
	own, c, there := live(p)
	h := newHost(there)
	_, ce, _ := resume(t, p, h, own, c)
	request, proof := ce.Writes[0], ce.Writes[1]

	before := *there
	for cut := range len(proof) + 1 {
		st := &suitetest.Script{In: append(append([]byte(nil), request...), proof[:cut]...)}
		err := p.Serve(st, h)
		switch cut {
		case 0:
			require.ErrorIs(t, err, io.EOF)
		case len(proof):
			require.ErrorIs(t, err, suite.ErrAuthentication)
		default:
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		}
		require.Len(t, st.Writes, 1)
		require.NotZero(t, number(st.Writes[0][16:]))
	}
	// What changes is by what proofs the next request is recognised.
	there.claims, there.checks, there.keys = before.claims, before.checks, before.keys
	require.Equal(t, before, *there)
}

// What becomes impossible between steps 3 and 4 closes the transport, and
// nothing is sent that the client would take for data.
func TestTakeOverFails(t *testing.T) {
	p := snet.New(snet.Options{})
	for _, want := range []error{suite.ErrSuperseded, suite.ErrReplayGap, suite.ErrCounters, suite.ErrFinished} {
		own, c, there := live(p)
		there.takeOver = want
		ce, se := suitetest.NewWire()
		cerr, serr := suitetest.Run(ce, se, func(st suite.Stream) error {
			_, err := own.Resume(st, c)
			return err
		}, func(st suite.Stream) error { return p.Serve(st, newHost(there)) })
		require.NoError(t, cerr)
		require.ErrorIs(t, serr, want)
		require.Len(t, se.Writes, 1)
	}
}

func TestFirstByte(t *testing.T) {
	p := snet.New(snet.Options{})
	for b := 1; b < 0xff; b++ {
		st := &suitetest.Script{In: append([]byte{byte(b)}, make([]byte, 40)...)}
		require.ErrorIs(t, p.Serve(st, newHost()), suite.ErrProtocol)
		require.Empty(t, st.Writes)
		require.Len(t, st.In, 40)
	}
	require.ErrorIs(t, p.Serve(&suitetest.Script{}, newHost()), io.EOF)
}

// A server waits for no more than a step brings.
func TestServerReadsNoMoreThanItNeeds(t *testing.T) {
	p := snet.New(snet.Options{})
	own, _, there := live(p)
	for _, first := range [][]byte{snet.Hello(1234), snet.Request(own, 1000, 1800)} {
		// Served byte by byte over a wire that stays open, it must answer.
		ce, se := suitetest.NewWire()
		answered := make(chan struct{})
		se.Mangle = func(m int, b []byte) ([]byte, bool) {
			close(answered)
			return b, true
		}
		_, err := suitetest.Run(ce, se, func(st suite.Stream) error {
			for i := range first {
				if _, err := st.Write(first[i : i+1]); err != nil {
					return err
				}
			}
			<-answered
			return nil
		}, func(st suite.Stream) error { return p.Serve(st, newHost(there)) })
		require.ErrorIs(t, err, io.EOF)
	}
}

type failingStream struct {
	suitetest.Script
	fail int // the message that is not written
}

func (f *failingStream) Write(p []byte) (int, error) {
	if len(f.Writes) == f.fail {
		return 0, io.ErrClosedPipe
	}
	return f.Script.Write(p)
}

func TestWriteFails(t *testing.T) {
	p := snet.New(snet.Options{})
	own, c, there := live(p)
	other := snet.NewClientSession(p, testID+1, testSecret)
	for _, test := range []struct {
		name string
		fail int
		in   []byte
		run  func(suite.Stream) error
		also error
	}{
		{"client hello", 0, nil, func(s suite.Stream) error { _, _, err := p.Open(s); return err }, nil},
		{"proof", 1, snet.ServerHello(1234, 1, 2), func(s suite.Stream) error { _, _, err := p.Open(s); return err }, nil},
		{"server hello", 0, snet.Hello(1234), func(s suite.Stream) error { return p.Serve(s, newHost()) }, nil},
		{"request", 0, nil, func(s suite.Stream) error { _, err := own.Resume(s, c); return err }, nil},
		{"resume proof", 1, snet.Answer(2000, 900, 1), func(s suite.Stream) error { _, err := own.Resume(s, c); return err }, nil},
		{"answer", 0, snet.Request(own, 1000, 1800), func(s suite.Stream) error { return p.Serve(s, newHost(there)) }, nil},
		{"refusal", 0, snet.Request(other, 1, 1), func(s suite.Stream) error { return p.Serve(s, newHost(there)) }, suite.ErrUnknownSession},
	} {
		err := test.run(&failingStream{Script: suitetest.Script{In: test.in}, fail: test.fail})
		require.ErrorIs(t, err, io.ErrClosedPipe, test.name)
		if test.also != nil {
			require.ErrorIs(t, err, test.also, test.name)
		}
	}
	require.Len(t, there.links, 1)
}

// Encrypting and decrypting allocate nothing, and a session is small.
func TestCost(t *testing.T) {
	require.LessOrEqual(t, snet.SessionSize, uintptr(576), "the size class below the limit of 700 bytes")
	s := snet.NewClientSession(snet.New(snet.Options{}), testID, testSecret)
	src, dst := make([]byte, 1024), make([]byte, 1024)
	require.Zero(t, testing.AllocsPerRun(10, func() {
		s.Encrypt(dst, src)
		s.Decrypt(dst, dst)
	}))
}
