package noise_test

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"

	flynn "github.com/flynn/noise"
	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/noise"
	"github.com/relink-go/relink/internal/suite"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

// The framework's published vectors, for the patterns and ciphers of the suite.
// testdata/published.txt is a part of the vectors of flynn/noise v1.1.0.
func TestPublishedVectors(t *testing.T) {
	data, err := os.ReadFile("testdata/published.txt")
	require.NoError(t, err)
	kinds := map[string]string{"NN": "NewNN", "NK": "NewNK", "NNpsk0": "ResumeNN", "NKpsk0": "ResumeNK"}
	n := 0
	for block := range strings.SplitSeq(strings.TrimSpace(string(data)), "\n\n") {
		v := make(map[string]string)
		for line := range strings.Lines(block) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			v[name] = value
		}
		name := v["handshake"]
		part := strings.Split(name, "_")
		k, cipher := noise.Kinds[kinds[part[1]]], noise.AESGCM
		if part[3] == "ChaChaPoly" {
			cipher = noise.ChaChaPoly
		}
		var psk *[32]byte
		if s, ok := v["preshared_key"]; ok {
			psk = (*[32]byte)(unhex(t, s))
		}
		private := noise.GenerateKey() // not used by NN
		var public noise.PublicKey
		if s, ok := v["resp_static"]; ok {
			private = noise.PrivateKey(unhex(t, s))
			public, err = private.PublicKey()
			require.NoError(t, err)
		}
		side := func(initiator bool, ephemeral string) noise.Exchange {
			x, err := noise.NewExchange(k, cipher, unhex(t, v["prologue"]), initiator, &private, public, psk, bytes.NewReader(unhex(t, v[ephemeral])))
			require.NoError(t, err, name)
			return x
		}
		client, server := side(true, "gen_init_ephemeral"), side(false, "gen_resp_ephemeral")
		message, _, _, err := client.Write(unhex(t, v["msg_0_payload"]))
		require.NoError(t, err, name)
		require.Equal(t, v["msg_0_ciphertext"], hex.EncodeToString(message), name)
		_, _, _, err = server.Read(message)
		require.NoError(t, err, name)
		message, s1, s2, err := server.Write(unhex(t, v["msg_1_payload"]))
		require.NoError(t, err, name)
		require.Equal(t, v["msg_1_ciphertext"], hex.EncodeToString(message), name)
		_, c1, c2, err := client.Read(message)
		require.NoError(t, err, name)
		require.Equal(t, [][32]byte{c1, c2}, [][32]byte{s1, s2}, name)
		require.Equal(t, v["msg_2_ciphertext"], hex.EncodeToString(noise.Seal(cipher, c1, 0, unhex(t, v["msg_2_payload"]))), name)
		require.Equal(t, v["msg_3_ciphertext"], hex.EncodeToString(noise.Seal(cipher, c2, 0, unhex(t, v["msg_3_payload"]))), name)
		n++
	}
	require.Equal(t, 32, n)
}

// A peer is a server that consists of the framework's library and of what the
// specification says, and of nothing of the product.
type peer struct {
	t       *testing.T
	cipher  byte
	private []byte
	public  []byte
	random  io.Reader
}

func (p *peer) suite() flynn.CipherSuite {
	if p.cipher == 1 {
		return flynn.NewCipherSuite(flynn.DH25519, flynn.CipherAESGCM, flynn.HashSHA256)
	}
	return flynn.NewCipherSuite(flynn.DH25519, flynn.CipherChaChaPoly, flynn.HashSHA256)
}

// keys are what section 6 derives.
type keys struct{ secret, id, client, server, session []byte }

func derive(t *testing.T, h []byte, c1, c2 *flynn.CipherState) (k keys) {
	k1, k2 := c1.UnsafeKey(), c2.UnsafeKey()
	expand := func(info string, n int) []byte {
		b, err := hkdf.Key(sha256.New, append(k1[:], k2[:]...), h, info, n)
		require.NoError(t, err)
		return b
	}
	return keys{
		expand("relink 1 resumption secret", 32), expand("relink 1 resume id", 16),
		expand("relink 1 client to server", 32), expand("relink 1 server to client", 32),
		expand("relink 1 session id", 16),
	}
}

// answer opens a request with the secret, if there is one, and answers it.
func (p *peer) answer(request []byte, clear int, psk, payload []byte) (claim, answer []byte, k keys) {
	c := flynn.Config{
		CipherSuite: p.suite(), Pattern: flynn.HandshakeNN, Prologue: request[:clear],
		PresharedKey: psk, Random: p.random,
	}
	if p.public != nil {
		c.Pattern, c.StaticKeypair = flynn.HandshakeNK, flynn.DHKey{Private: p.private, Public: p.public}
	}
	hs, err := flynn.NewHandshakeState(c)
	require.NoError(p.t, err)
	claim, _, _, err = hs.ReadMessage(nil, request[clear:])
	require.NoError(p.t, err)
	message, c1, c2, err := hs.WriteMessage(nil, payload)
	require.NoError(p.t, err)
	answer = append([]byte{0x52, 1, 0}, binary.BigEndian.AppendUint16(nil, uint16(len(message)))...)
	return claim, append(answer, message...), derive(p.t, hs.ChannelBinding(), c1, c2)
}

// A golden is what one run of the suite with known keys put on the wire.
type golden struct {
	Name                               string
	Request, Answer                    string
	Secret, ID, ClientKey, ServerKey   string
	Session, Record, RecordOverRekeyed string
}

// The whole of the suite, on the client, against a server of the library alone;
// what goes over the wire is compared with testdata/golden.json, and with what
// the specification shows. Set UPDATE_GOLDEN to write the file anew.
func TestGolden(t *testing.T) {
	var all []golden
	for _, cipher := range []byte{noise.AESGCM, noise.ChaChaPoly} {
		for _, insecure := range []bool{false, true} {
			private := noise.PrivateKey(bytes.Repeat([]byte{0x11}, 32))
			public, err := private.PublicKey()
			require.NoError(t, err)
			p := &peer{t: t, cipher: cipher, private: private[:], public: public[:]}
			o := noise.Options{PinnedKeys: []noise.PublicKey{public}}
			name := map[byte]string{1: "AESGCM", 2: "ChaChaPoly"}[cipher]
			if insecure {
				p.public, o = nil, noise.Options{Insecure: true}
				name += " NN"
			} else {
				name += " NK"
			}
			random := append(bytes.Repeat([]byte{0x44}, 32), bytes.Repeat([]byte{0x66}, 32)...)
			c := &client{}
			local := noise.Fixed(protocol(t, o, false), cipher, bytes.NewReader(random))
			p.random = bytes.NewReader(append(bytes.Repeat([]byte{0x55}, 32), bytes.Repeat([]byte{0x77}, 32)...))

			var k keys
			var codec suite.Codec
			w := exchange(t, func(request []byte) []byte {
				claim, answer, derived := p.answer(request, 14, nil, unhex(t, "00"+"00000007"+"00400000"))
				require.Equal(t, "00400000", hex.EncodeToString(claim))
				k = derived
				return answer
			}, func(s suite.Stream) {
				session, l, err := local.Open(s)
				require.NoError(t, err)
				c.session, codec = session, l.Codec
			})
			all = append(all, describe(t, name+" new", w, k, c, codec))

			c.write("hello")
			w = exchange(t, func(request []byte) []byte {
				claim, answer, derived := p.answer(request, 34, k.secret, append(unhex(t, "00"+"00000007"+"0000000000000005"), "world"...))
				require.Equal(t, "00000000000000000000000000000000"+hex.EncodeToString([]byte("hello")), hex.EncodeToString(claim))
				require.Equal(t, k.id, request[14:30])
				k = derived
				return answer
			}, func(s suite.Stream) {
				l, err := c.session.Resume(s, c)
				require.NoError(t, err)
				require.Equal(t, suite.Early{Offset: 0, Data: []byte("world")}, l.Early)
				require.EqualValues(t, 5, l.Peer.Received)
				codec = l.Codec
			})
			all = append(all, describe(t, name+" resume", w, k, c, codec))
		}
	}
	got, err := json.MarshalIndent(all, "", "\t")
	require.NoError(t, err)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		require.NoError(t, os.WriteFile("testdata/golden.json", append(got, '\n'), 0o644))
	}
	want, err := os.ReadFile("testdata/golden.json")
	require.NoError(t, err)
	require.Equal(t, string(want), string(got)+"\n")

	doc, err := os.ReadFile("../../docs/spec/noise.md")
	require.NoError(t, err)
	shown := strings.Join(strings.Fields(string(doc)), "")
	for _, g := range all[:2] { // AESGCM NK
		for _, s := range []string{g.Request, g.Answer, g.Secret, g.ID, g.ClientKey, g.ServerKey, g.Record} {
			require.Contains(t, shown, s, g.Name)
		}
	}
}

// exchange runs a client against one answer.
func exchange(t *testing.T, answer func(request []byte) []byte, f func(suite.Stream)) (w wire) {
	t.Helper()
	c, s := newWire()
	c.mangle = func(_ int, b []byte) ([]byte, bool) {
		_, err := s.Write(answer(b))
		require.NoError(t, err)
		return b, true
	}
	f(c)
	return wire{c.writes, s.writes}
}

// describe compares what the client derived with what the peer did, and its
// first record with one that the library has sealed.
func describe(t *testing.T, name string, w wire, k keys, c *client, codec suite.Codec) golden {
	kept := noise.SecretsOf(c.session)
	require.Equal(t, k.secret, kept.Resumption[:])
	require.Equal(t, k.id, kept.ID[:])
	out, in := noise.TrafficKeys(codec)
	require.Equal(t, k.client, out[:])
	require.Equal(t, k.server, in[:])

	noise.RekeyAfter(codec, 1)
	record := codec.Seal(nil, []byte("hello"), suite.Control{Ack: true, Limit: window})
	second := codec.Seal(nil, []byte("hello"), suite.Control{})
	cs := (&peer{cipher: w.client[0][3]}).suite()
	state := flynn.UnsafeNewCipherState(cs, out, 0)
	plain, err := state.Decrypt(nil, record[:3], record[3:])
	require.NoError(t, err)
	require.Equal(t, unhex(t, hex.EncodeToString([]byte("hello"))+"0000000000000000"+"0000000000400000"+"01"), plain)
	state.Rekey()
	state.SetNonce(0)
	plain, err = state.Decrypt(nil, second[:3], second[3:])
	require.NoError(t, err)
	require.Equal(t, "hello", string(plain))

	h := hex.EncodeToString
	return golden{
		Name: name, Request: h(w.client[0]), Answer: h(w.server[0]),
		Secret: h(k.secret), ID: h(k.id), ClientKey: h(k.client), ServerKey: h(k.server),
		Session: c.session.ID(), Record: h(record), RecordOverRekeyed: h(second),
	}
}
