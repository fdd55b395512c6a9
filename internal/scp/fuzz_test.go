package scp_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/scp"
	"github.com/relink-go/relink/internal/suite"
	"github.com/relink-go/relink/internal/suite/suitetest"
)

func addContents(f *testing.F) {
	f.Helper()
	for _, content := range malformed() {
		f.Add([]byte(content))
	}
	f.Add([]byte("0\n" + word(5) + "\nt\n1"))
	f.Add([]byte("1\n" + word(5)))
	f.Add([]byte("1\n200 OK"))
	f.Add([]byte("0\n501"))
	f.Add([]byte("0\n" + word(5) + "\r\na-b.c\r\n-1\r\n\n"))
	f.Add(scp.SignResume(testID, 1, 5, testSecret)[2:])
}

// FuzzServe gives the server whatever a transport can carry.
func FuzzServe(f *testing.F) {
	for _, content := range malformed() {
		f.Add(packet(content))
	}
	f.Add(packet("0\n" + word(5) + "\nt\n1"))
	f.Add(scp.SignResume(testID, 1, 5, testSecret))
	f.Fuzz(func(t *testing.T, in []byte) {
		x := newPair(t, suite.Offsets{}, suite.Offsets{Sent: 10, Received: 20})
		got, err := x.serve(in)
		if err == nil {
			assert.True(t, x.host.established == 1 || x.target.link != nil)
			assert.NotEmpty(t, got)
			return
		}
		assert.Zero(t, x.host.established)
		assert.Nil(t, x.target.link)
		if len(in) > 0 {
			x.p.Match(in)
		}
	})
}

// FuzzServeSigned gives the server a client's numbers under a code that is
// right.
func FuzzServeSigned(f *testing.F) {
	f.Add(int64(1), uint32(0), int64(0), int64(0), int64(0))
	f.Add(int64(1), uint32(1<<31), int64(1<<33), int64(1<<32), int64(1<<32))
	f.Add(int64(0), uint32(7), int64(1<<62), int64(1), int64(1<<62))
	f.Fuzz(func(t *testing.T, index int64, received uint32, sent, start, got int64) {
		if index < 0 || got < 0 || start < 0 || sent < start {
			t.Skip()
		}
		x := newPair(t, suite.Offsets{}, suite.Offsets{Sent: sent, Received: got})
		x.target.start = start
		reply, err := x.serve(scp.SignResume(testID, index, received, testSecret))
		assert.Equal(t, index, x.server.Index())
		if err == nil {
			peer := x.target.link.Peer
			assert.Equal(t, received, uint32(peer.Received))
			assert.True(t, start <= peer.Received && peer.Received <= sent)
			assert.Less(t, sent-peer.Received, int64(1)<<32)
			count, code, _, err := scp.ParseResumeAnswer([]byte(reply[2:]))
			require.NoError(t, err)
			assert.Equal(t, uint32(got), count)
			assert.Equal(t, scp.StatusOK, code)
			return
		}
		if index > 0 {
			assert.Equal(t, answer("0\n406"), reply)
			return
		}
		assert.Equal(t, answer("0\n403"), reply)
	})
}

// FuzzClientOpen gives a client whatever a server can answer.
func FuzzClientOpen(f *testing.F) {
	addContents(f)
	f.Fuzz(func(t *testing.T, content []byte) {
		if len(content) > scp.MaxPacket+1 {
			t.Skip()
		}
		p := protocol(t, scp.Options{})
		p.SetKey(12345)
		s, link, err := p.Open(&suitetest.Script{In: packet(string(content))})
		if err != nil {
			assert.Nil(t, s)
			assert.True(t, errors.Is(err, suite.ErrProtocol) || errors.As(err, new(scp.StatusError)))
			return
		}
		assert.NotEqual(t, "0", s.ID())
		assert.Equal(t, suite.Link{}, link)
	})
}

// FuzzClientResume gives a client whatever a server can answer.
func FuzzClientResume(f *testing.F) {
	for _, content := range []string{"0\n200", "5\n200 OK", "4294967295\n200", "0\n404", "0\n403", "0\n99999"} {
		f.Add([]byte(content), int64(1<<32), int64(1<<31))
	}
	f.Fuzz(func(t *testing.T, content []byte, sent, start int64) {
		if len(content) > scp.MaxPacket+1 || start < 0 || sent < start {
			t.Skip()
		}
		c := &clientCore{end{Offsets: suite.Offsets{Sent: sent, Received: 9}, start: start}}
		s := scp.NewSession(1, 2)
		link, err := s.Resume(&suitetest.Script{In: packet(string(content))}, c)
		assert.EqualValues(t, 1, s.Index())
		if err == nil {
			require.NoError(t, c.Check(link.Peer))
			assert.Equal(t, suite.Unknown, link.Peer.Sent)
			return
		}
		assert.Equal(t, suite.Link{}, link)
	})
}

// FuzzParse: whatever a parser accepts has one spelling only, but that a server is
// tolerant: what it accepts means the same when it is encoded as a client does it.
func FuzzParse(f *testing.F) {
	addContents(f)
	f.Fuzz(func(t *testing.T, content []byte) {
		if len(content) > scp.MaxPacket {
			t.Skip()
		}
		in := packet(string(content))
		if m, err := scp.ParseRequest(content); err == nil {
			again, err := scp.ParseRequest(m.Packet[2:])
			require.NoError(t, err)
			assert.Equal(t, m, again)
			assert.Equal(t, suite.MatchYes, protocol(t, scp.Options{}).Match(m.Packet))
			assert.Equal(t, suite.MatchYes, protocol(t, scp.Options{}).Match(in))
		} else {
			require.ErrorIs(t, err, suite.ErrProtocol)
		}
		if _, _, again, err := scp.ParseNewAnswer(content); err == nil {
			assert.Equal(t, in, again)
		}
		if _, _, again, err := scp.ParseResumeAnswer(content); err == nil {
			// A message behind the code is dropped.
			assert.Equal(t, string(content[:len(again)-2]), string(again[2:]))
		}
	})
}
