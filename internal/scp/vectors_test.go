package scp_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/scp"
	"github.com/relink-go/relink/internal/suite"
	"github.com/relink-go/relink/internal/suite/suitetest"
)

// A vector is one of testdata/scp.json, computed by another implementation.
type vector struct {
	ClientPrivate uint64 `json:"client_private,string"`
	ServerPrivate uint64 `json:"server_private,string"`
	ID            uint32 `json:"id"`
	RC4Key        string `json:"rc4_key"`
	New           struct {
		Client, Server string
	}
	Plain, Wire string
	Resume      struct {
		Index         int64
		Received64bit int64 `json:"received_64bit,string"`
		Content       string
		Hash, HMAC    string
		Client        string
	}
}

func vectors(t *testing.T) []vector {
	t.Helper()
	b, err := os.ReadFile("testdata/scp.json")
	require.NoError(t, err)
	var v []vector
	require.NoError(t, json.Unmarshal(b, &v))
	require.Len(t, v, 20)
	return v
}

// TestVectors runs every vector through both handshakes, client against server.
func TestVectors(t *testing.T) {
	for i, v := range vectors(t) {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			lines := strings.Split(v.New.Client, "\n")
			require.Len(t, lines, 4, "every vector has both optional lines")
			flag, err := strconv.ParseInt(lines[3], 10, 64)
			require.NoError(t, err)

			client := protocol(t, scp.Options{TargetServer: lines[2], Flag: flag})
			client.SetKey(scp.FixedKey(v.ClientPrivate))
			client.SendAllLines()
			server := protocol(t, scp.Options{})
			server.SetKey(scp.FixedKey(v.ServerPrivate))
			server.SetIDs(v.ID)

			h := new(host)
			cs, ss := suitetest.NewWire()
			opened := connect(t, client, server, cs, ss, h)
			assert.Equal(t, packet(v.New.Client), cs.Sent())
			assert.Equal(t, packet(v.New.Server), ss.Sent())
			assert.Equal(t, 1, h.established)
			accepted := h.offered.session.(*scp.Session)
			assert.Equal(t, opened.ID(), accepted.ID())
			name, sent := accepted.Target()
			assert.Equal(t, lines[2], name)
			assert.True(t, sent)
			bits, sent := accepted.Flag()
			assert.Equal(t, flag, bits)
			assert.True(t, sent)

			key := scp.StreamKey(opened.Secret())
			assert.Equal(t, v.RC4Key, hex.EncodeToString(key[:]))
			half := len(v.Plain) / 4
			for _, way := range []struct{ from, to suite.Session }{{opened, accepted}, {accepted, opened}} {
				plain, err := hex.DecodeString(v.Plain)
				require.NoError(t, err)
				wire := make([]byte, len(plain))
				// The cipher runs on from one call to the next.
				way.from.Encrypt(wire[:half], plain[:half])
				way.from.Encrypt(wire[half:], plain[half:])
				assert.Equal(t, v.Wire, hex.EncodeToString(wire))
				way.to.Decrypt(wire, wire)
				assert.Equal(t, plain, wire)
			}

			digest := scp.Hash([]byte(v.Resume.Content))
			assert.Equal(t, v.Resume.Hash, hex.EncodeToString(digest[:]))
			code := scp.MAC(digest, scp.Little(opened.Secret()))
			assert.Equal(t, v.Resume.HMAC, hex.EncodeToString(code[:]))

			opened.SetIndex(v.Resume.Index - 1)
			c := &clientCore{end{Offsets: suite.Offsets{Sent: 40, Received: v.Resume.Received64bit}}}
			at := h.offered
			at.Offsets = suite.Offsets{Sent: v.Resume.Received64bit + 5, Received: 30}
			cs, ss = suitetest.NewWire()
			cl, err := resume(t, opened, server, cs, ss, c, h)
			require.NoError(t, err)
			assert.Equal(t, packet(v.Resume.Client), cs.Sent())
			assert.Equal(t, packet("30\n200"), ss.Sent())
			assert.EqualValues(t, 30, cl.Peer.Received)
			assert.Equal(t, v.Resume.Received64bit, at.link.Peer.Received)
			assert.EqualValues(t, 2, at.epoch)
		})
	}
}

// protocol returns what New does.
func protocol(t testing.TB, o scp.Options) *scp.Protocol {
	t.Helper()
	p, err := scp.New(o)
	require.NoError(t, err)
	return p
}

// packet returns a content with its length.
func packet(content string) []byte {
	return append([]byte{byte(len(content) >> 8), byte(len(content))}, content...)
}

// connect runs the handshake of a new session.
func connect(t testing.TB, client, server *scp.Protocol, cs, ss suite.Stream, h *host) *scp.Session {
	t.Helper()
	served := make(chan error, 1)
	go func() { served <- server.Serve(ss, h) }()
	s, link, err := client.Open(cs)
	require.NoError(t, err)
	require.NoError(t, <-served)
	assert.Equal(t, suite.Link{}, link)
	return s.(*scp.Session)
}

// resume runs the handshake of a resume and returns what the client says. A
// server can succeed where the client then gives up, but not the reverse.
func resume(t testing.TB, s *scp.Session, server *scp.Protocol, cs, ss suite.Stream, c *clientCore, h *host) (suite.Link, error) {
	t.Helper()
	served := make(chan error, 1)
	go func() { served <- server.Serve(ss, h) }()
	link, err := s.Resume(cs, c)
	if serveErr := <-served; err == nil {
		require.NoError(t, serveErr)
	}
	return link, err
}
