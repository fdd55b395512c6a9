package snet_test

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/snet"
	"github.com/relink-go/relink/internal/suite"
	"github.com/relink-go/relink/internal/suite/suitetest"
)

// hexBytes are bytes in hexadecimal.
type hexBytes []byte

func (b *hexBytes) UnmarshalText(text []byte) (err error) {
	*b, err = hex.DecodeString(string(text))
	return err
}

// A vector is one session with a resume, computed by an implementation that
// shares nothing with this one.
type vector struct {
	ClientPrivate uint64 `json:"client_private,string"`
	ServerPrivate uint64 `json:"server_private,string"`
	SessionID     uint64 `json:"session_id,string"`
	New           struct {
		Client1 hexBytes `json:"client_1"`
		Server1 hexBytes `json:"server_1"`
		Client2 hexBytes `json:"client_2"`
	} `json:"new"`
	PlainUp   hexBytes `json:"plain_up"`
	WireUp    hexBytes `json:"wire_up"`
	PlainDown hexBytes `json:"plain_down"`
	WireDown  hexBytes `json:"wire_down"`
	Resume    struct {
		ServerHasRead int64    `json:"server_has_read"`
		ClientHasRead int64    `json:"client_has_read"`
		Client1       hexBytes `json:"client_1"`
		Server1       hexBytes `json:"server_1"`
		Client2       hexBytes `json:"client_2"`
		ReplayUp      hexBytes `json:"replay_up"`
		ReplayDown    hexBytes `json:"replay_down"`
	} `json:"resume"`
}

func readVectors(tb testing.TB) []vector {
	tb.Helper()
	b, err := os.ReadFile("testdata/snet.json")
	require.NoError(tb, err)
	var vs []vector
	require.NoError(tb, json.Unmarshal(b, &vs))
	require.Len(tb, vs, 20)
	return vs
}

// challenges are the numbers of the challenges in the messages of a server.
func (v *vector) challenges() (opened, resumed uint64) {
	return number(v.New.Server1[16:]), number(v.Resume.Server1[16:])
}

// TestVectors runs both sides against each other with the vectors' keys, ids
// and challenges and holds every byte of the wire against them.
func TestVectors(t *testing.T) {
	for _, v := range readVectors(t) {
		c1, c2 := v.challenges()
		cp := snet.Fixed(snet.Options{}, v.ClientPrivate)
		sp := snet.Fixed(snet.Options{}, v.ServerPrivate, v.SessionID, c1, c2)
		h := newHost()

		cs, ce, se := open(t, cp, sp, h)
		require.Equal(t, [][]byte{v.New.Client1, v.New.Client2}, ce.Writes)
		require.Equal(t, [][]byte{v.New.Server1}, se.Writes)
		session := h.sessions[snet.Lookup(v.SessionID)]
		require.True(t, session.live)
		require.Equal(t, cs.ID(), session.session.ID())
		require.Equal(t, hexID(v.SessionID), cs.ID())

		up := carry(t, cs, session.session, v.PlainUp)
		require.Equal(t, []byte(v.WireUp), up)
		down := carry(t, session.session, cs, v.PlainDown)
		require.Equal(t, []byte(v.WireDown), down)

		session.Offsets = suite.Offsets{Sent: int64(len(down)), Received: v.Resume.ServerHasRead}
		c := &client{side{Offsets: suite.Offsets{Sent: int64(len(up)), Received: v.Resume.ClientHasRead}}}
		link, ce, se := resume(t, sp, h, cs, c)
		require.Equal(t, [][]byte{v.Resume.Client1, v.Resume.Client2}, ce.Writes)
		// Other servers call sent what was sent (Counts of an answer).
		want := binary.LittleEndian.AppendUint64(nil, uint64(v.Resume.ClientHasRead))
		require.Equal(t, [][]byte{append(want, v.Resume.Server1[8:]...)}, se.Writes)
		require.Equal(t, suite.Offsets{Sent: v.Resume.ClientHasRead, Received: v.Resume.ServerHasRead}, link.Peer)

		other := &suitetest.Script{In: v.Resume.Server1}
		link, err := cs.Resume(other, c)
		require.NoError(t, err)
		require.Equal(t, [][]byte{v.Resume.Client1, v.Resume.Client2}, other.Writes)
		require.Equal(t, session.Offsets, link.Peer)
		require.Equal(t, []byte(v.Resume.ReplayUp), up[link.Peer.Received:])
		require.Len(t, session.links, 2)
		require.Equal(t, c.side.Offsets, session.links[1].Peer)
		require.Equal(t, []byte(v.Resume.ReplayDown), down[session.links[1].Peer.Received:])
	}
}

// carry sends plain from one session to another, in pieces of growing size,
// and returns the cipher text.
func carry(t *testing.T, from, to suite.Session, plain []byte) []byte {
	t.Helper()
	var wire, got []byte
	for size := 1; len(plain) > 0; size++ {
		piece := plain[:min(size, len(plain))]
		plain = plain[len(piece):]
		sealed := make([]byte, len(piece))
		from.Encrypt(sealed, piece)
		wire = append(wire, sealed...)
		to.Decrypt(sealed, sealed)
		require.Equal(t, piece, sealed)
		got = append(got, sealed...)
	}
	require.Len(t, got, len(wire))
	return wire
}
