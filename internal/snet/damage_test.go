package snet_test

import (
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/dh64"
	"github.com/relink-go/relink/internal/snet"
	"github.com/relink-go/relink/internal/suite"
	"github.com/relink-go/relink/internal/suite/suitetest"
)

// typed reports whether an error is one that a caller can tell from others.
func typed(err error) bool {
	for _, target := range []error{
		suite.ErrRefused, suite.ErrReplayGap, suite.ErrCounters, suite.ErrUnknownSession, suite.ErrAuthentication,
		suite.ErrProtocol, suite.ErrSuperseded, suite.ErrFinished, io.EOF, io.ErrUnexpectedEOF,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// cutAt returns a mangle function that ends the wire k bytes into a message.
func cutAt(message, k int) func(int, []byte) ([]byte, bool) {
	return func(m int, b []byte) ([]byte, bool) {
		if m == message {
			return b[:k], false
		}
		return b, true
	}
}

// flip returns a mangle function that flips one bit of a message.
func flip(message, bit int) func(int, []byte) ([]byte, bool) {
	return func(m int, b []byte) ([]byte, bool) {
		if m == message {
			b[bit/8] ^= 1 << (bit % 8)
		}
		return b, true
	}
}

// An opening is the outcome of the handshake of a new session on a wire that
// does harm.
type opening struct {
	client       suite.Session
	cerr, serr   error
	host         *host
	clientWrites int
}

func damagedOpen(ofClient, ofServer func(int, []byte) ([]byte, bool)) (o opening) {
	o.host = newHost()
	ce, se := suitetest.NewWire()
	ce.Mangle, se.Mangle = ofClient, ofServer
	// The server's numbers are fixed so that each bit has one outcome.
	cp := snet.Fixed(snet.Options{}, 0x1122334455667788)
	sp := snet.Fixed(snet.Options{}, 0x8877665544332211, testID, 0xc0ffee)
	o.cerr, o.serr = suitetest.Run(ce, se, func(st suite.Stream) (err error) {
		o.client, _, err = cp.Open(st)
		return err
	}, func(st suite.Stream) error { return sp.Serve(st, o.host) })
	o.clientWrites = len(ce.Writes)
	return o
}

func (o *opening) established() bool { return o.host.offered != nil && o.host.offered.live }

// A resumption is the outcome of a resume on a wire that does harm.
type resumption struct {
	link         suite.Link
	cerr, serr   error
	client       *client
	before, then target
	refused      bool
	clientWrites int
}

func damagedResume(ofClient, ofServer func(int, []byte) ([]byte, bool)) (r resumption) {
	p := snet.Fixed(snet.Options{}, 1, 0xc0ffee)
	own, c, there := live(p)
	r.client, r.before = c, *there
	h := newHost(there)
	ce, se := suitetest.NewWire()
	ce.Mangle, se.Mangle = ofClient, ofServer
	r.cerr, r.serr = suitetest.Run(ce, se, func(st suite.Stream) (err error) {
		r.link, err = own.Resume(st, c)
		return err
	}, func(st suite.Stream) error { return p.Serve(st, h) })
	r.then = *there
	r.refused = len(se.Writes) == 1 && string(se.Writes[0]) == string(make([]byte, 24))
	r.clientWrites = len(ce.Writes)
	return r
}

// untouched holds that the server's session is as it was.
func (r *resumption) untouched(t *testing.T) {
	t.Helper()
	require.Equal(t, r.before.links, r.then.links)
	require.Equal(t, r.before.epoch, r.then.epoch)
	require.Equal(t, r.before.side, r.then.side)
}

var (
	clientSizes = []int{9, 16}
	resumeSizes = []int{41, 16}
)

const answerSize = 24 // of both handshakes

func TestTruncatedOpen(t *testing.T) {
	for m, size := range clientSizes {
		for k := range size {
			o := damagedOpen(cutAt(m, k), nil)
			require.True(t, typed(o.serr), "message %d cut at %d: %v", m, k, o.serr)
			require.False(t, o.established())
			if m == 0 {
				require.ErrorIs(t, o.cerr, io.EOF)
				require.Nil(t, o.client)
				continue
			}
			// The client cannot know, and the session can be resumed.
			require.NoError(t, o.cerr)
			require.Equal(t, o.client.ID(), o.host.offered.session.ID())
		}
	}
	for k := range answerSize {
		o := damagedOpen(nil, cutAt(0, k))
		require.True(t, typed(o.serr) && typed(o.cerr), "answer cut at %d: %v, %v", k, o.serr, o.cerr)
		require.Nil(t, o.client)
		require.False(t, o.established())
	}
}

func TestTruncatedResume(t *testing.T) {
	for m, size := range resumeSizes {
		for k := range size {
			r := damagedResume(cutAt(m, k), nil)
			require.True(t, typed(r.serr), "message %d cut at %d: %v", m, k, r.serr)
			require.False(t, r.refused, "a cut is no reason to end a session")
			r.untouched(t)
			if m == 0 {
				require.ErrorIs(t, r.cerr, io.EOF)
			} else {
				require.NoError(t, r.cerr)
			}
		}
	}
	for k := range answerSize {
		r := damagedResume(nil, cutAt(0, k))
		require.True(t, typed(r.serr) && typed(r.cerr), "answer cut at %d: %v, %v", k, r.serr, r.cerr)
		require.NotErrorIs(t, r.cerr, suite.ErrRefused)
		r.untouched(t)
	}
}

func TestFlippedOpen(t *testing.T) {
	for m, size := range clientSizes {
		for bit := range size * 8 {
			o := damagedOpen(flip(m, bit), nil)
			require.False(t, o.established())
			switch {
			case m == 0 && bit < 8:
				require.ErrorIs(t, o.serr, suite.ErrProtocol)
			case errors.Is(o.serr, dh64.ErrDegenerateKey):
			default:
				require.ErrorIs(t, o.serr, suite.ErrAuthentication)
			}
		}
	}
	for bit := range answerSize * 8 {
		o := damagedOpen(nil, flip(0, bit))
		if bit < 64 || bit >= 128 { // the public key and the challenge
			require.True(t, typed(o.serr), "bit %d: %v", bit, o.serr)
			require.False(t, o.established())
			continue
		}
		// Nothing covers the id (Security). The session works, but its client
		// knows it by another name: a resume of it will be refused.
		require.NoError(t, o.cerr)
		require.NoError(t, o.serr)
		require.True(t, o.established())
		require.NotEqual(t, o.host.offered.session.ID(), o.client.ID())
		carry(t, o.client, o.host.offered.session, []byte("up"))
		carry(t, o.host.offered.session, o.client, []byte("down"))
		st := &suitetest.Script{In: snet.Request(o.client, 2, 4)}
		require.ErrorIs(t, snet.New(snet.Options{}).Serve(st, o.host), suite.ErrUnknownSession)
		require.Equal(t, [][]byte{make([]byte, 24)}, st.Writes)
	}
}

func TestFlippedResume(t *testing.T) {
	for m, size := range resumeSizes {
		for bit := range size * 8 {
			r := damagedResume(flip(m, bit), nil)
			r.untouched(t)
			switch {
			case m == 0 && bit < 8:
				require.ErrorIs(t, r.serr, suite.ErrProtocol)
				require.False(t, r.refused)
				require.ErrorIs(t, r.cerr, io.EOF)
			case m == 0 && bit < 8+64:
				require.ErrorIs(t, r.serr, suite.ErrUnknownSession)
				require.True(t, r.refused)
				require.ErrorIs(t, r.cerr, suite.ErrRefused)
			case m == 0:
				require.ErrorIs(t, r.serr, suite.ErrAuthentication)
				require.True(t, r.refused)
				require.ErrorIs(t, r.cerr, suite.ErrRefused)
			default:
				require.ErrorIs(t, r.serr, suite.ErrAuthentication)
				require.False(t, r.refused)
			}
		}
	}
	for bit := range answerSize * 8 {
		r := damagedResume(nil, flip(0, bit))
		switch {
		case bit >= 128: // the challenge
			require.ErrorIs(t, r.serr, suite.ErrAuthentication)
			r.untouched(t)
		case r.cerr != nil:
			require.True(t, typed(r.cerr), "bit %d: %v", bit, r.cerr)
			require.Equal(t, 1, r.clientWrites, "step 4 after %v", r.cerr)
			r.untouched(t)
		default:
			// Nothing covers the counts of the answer (Security): what passes
			// the client's check is what the client goes by.
			require.NoError(t, r.serr)
			require.NoError(t, r.client.Check(r.link.Peer))
			require.NotEqual(t, r.before.Offsets, r.link.Peer)
		}
	}
}
