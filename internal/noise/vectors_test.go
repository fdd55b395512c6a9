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
	"github.com/relink-go/relink/internal/suite/suitetest"
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
	kinds := map[string]string{
		"NN": "ClassicalNN", "NK": "ClassicalNK", "IK": "ClassicalIK",
		"NNpsk0": "ClassicalNNPSK", "NKpsk0": "ClassicalNKPSK", "IKpsk0": "ClassicalIKPSK",
	}
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
		require.Equal(t, name, noise.NoiseName(k, cipher))
		static := func(field string) (k noise.PrivateKey) {
			copy(k[:], unhex(t, v[field])) // which not every pattern has
			return k
		}
		var public noise.PublicKey
		if private := static("resp_static"); private != (noise.PrivateKey{}) {
			public, err = private.PublicKey()
			require.NoError(t, err)
		}
		side := func(initiator bool, private, ephemeral string) noise.Exchange {
			x, err := noise.NewExchange(k, cipher, unhex(t, v["prologue"]), initiator, static(private), public, psk, bytes.NewReader(unhex(t, v[ephemeral])))
			require.NoError(t, err, name)
			return x
		}
		client, server := side(true, "init_static", "gen_init_ephemeral"), side(false, "resp_static", "gen_resp_ephemeral")
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
	require.Equal(t, 48, n)
}

// A peer is a server that consists of the framework's library, of the oracle
// for what the library does not have, and of what the specification says, and of
// nothing of the product.
type peer struct {
	t       *testing.T
	cipher  byte
	private []byte
	public  []byte
	random  io.Reader

	ciphertext, shared []byte // of ML-KEM, where a test wants others than are right
}

func (p *peer) suite() flynn.CipherSuite {
	if p.cipher == 1 {
		return flynn.NewCipherSuite(flynn.DH25519, flynn.CipherAESGCM, flynn.HashSHA256)
	}
	return flynn.NewCipherSuite(flynn.DH25519, flynn.CipherChaChaPoly, flynn.HashSHA256)
}

// keys are what section 6 derives.
type keys struct{ secret, id, client, server, session, binding []byte }

func derive(t *testing.T, h []byte, k1, k2 [32]byte) (k keys) {
	expand := func(info string, n int) []byte {
		b, err := hkdf.Key(sha256.New, append(k1[:], k2[:]...), h, info, n)
		require.NoError(t, err)
		return b
	}
	return keys{
		expand("relink 1 resumption secret", 32), expand("relink 1 resume id", 16),
		expand("relink 1 client to server", 32), expand("relink 1 server to client", 32),
		expand("relink 1 session id", 16), expand("relink 1 channel binding", 32),
	}
}

// answer opens a request with the secret, if there is one, and answers it.
func (p *peer) answer(request []byte, clear int, psk, payload []byte) (claim, answer []byte, k keys) {
	var message, h []byte
	var k1, k2 [32]byte
	if kind := request[5]; kind&0x08 != 0 {
		claim, message, h, k1, k2 = p.hybrid(request, clear, psk, payload)
	} else {
		patterns := map[byte]flynn.HandshakePattern{1: flynn.HandshakeNN, 2: flynn.HandshakeNK, 3: flynn.HandshakeIK}
		c := flynn.Config{
			CipherSuite: p.suite(), Pattern: patterns[kind&0x03], Prologue: request[:clear],
			PresharedKey: psk, Random: p.random,
		}
		if kind&0x03 != 1 {
			c.StaticKeypair = flynn.DHKey{Private: p.private, Public: p.public}
		}
		hs, err := flynn.NewHandshakeState(c)
		require.NoError(p.t, err)
		claim, _, _, err = hs.ReadMessage(nil, request[clear:])
		require.NoError(p.t, err)
		var c1, c2 *flynn.CipherState
		message, c1, c2, err = hs.WriteMessage(nil, payload)
		require.NoError(p.t, err)
		h, k1, k2 = hs.ChannelBinding(), c1.UnsafeKey(), c2.UnsafeKey()
	}
	answer = append([]byte{0x52, 1, 0}, binary.BigEndian.AppendUint16(nil, uint16(len(message)))...)
	return claim, append(answer, message...), derive(p.t, h, k1, k2)
}

// A golden is what one run of the suite with known keys put on the wire.
type golden struct {
	Name, Noise                      string
	Request, Answer                  string
	Secret, ID, ClientKey, ServerKey string
	Session, Binding                 string
	Record, RecordOverRekeyed        string
}

// same is a key of one byte repeated.
func same(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

// The whole of the suite, on the client, against a server of the library and the
// oracle; what goes over the wire is compared with testdata/golden.json, and with
// what the specification shows. Set UPDATE_GOLDEN to write the file anew.
func TestGolden(t *testing.T) {
	var all []golden
	for _, c := range []struct {
		cipher byte
		name   string
	}{
		{noise.AESGCM, "ClassicalNK"},
		{noise.AESGCM, "NK"},
		{noise.ChaChaPoly, "NK"},
		{noise.AESGCM, "NN"},
		{noise.AESGCM, "IK"},
		{noise.AESGCM, "NNPSK"},
		{noise.AESGCM, "NKPSK"},
		{noise.ChaChaPoly, "IKPSK"},
		{noise.ChaChaPoly, "ClassicalNK"},
		{noise.AESGCM, "ClassicalNN"},
		{noise.ChaChaPoly, "ClassicalIK"},
		{noise.AESGCM, "ClassicalIKPSK"},
	} {
		all = append(all, runGolden(t, c.cipher, c.name)...)
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
	for _, g := range all[:4] { // AESGCM, classical NK and hybrid NK
		request, answer := g.Request, g.Answer
		if len(request) > 1000 {
			request, answer = sha256Hex(t, request), sha256Hex(t, answer)
		}
		for _, s := range []string{request, answer, g.Secret, g.ID, g.ClientKey, g.ServerKey, g.Record} {
			require.True(t, strings.Contains(shown, s), "the specification does not show %s of %s", s, g.Name)
		}
	}
}

func sha256Hex(t *testing.T, s string) string {
	sum := sha256.Sum256(unhex(t, s))
	return hex.EncodeToString(sum[:])
}

// runGolden opens a session of a kind, and resumes it.
func runGolden(t *testing.T, cipher byte, name string) (all []golden) {
	p := &pair{t: t, key: noise.PrivateKey(same(0x11)), clientKey: noise.PrivateKey(same(0x22)), psk: noise.PresharedKey(same(0x33))}
	var err error
	p.public, err = p.key.PublicKey()
	require.NoError(t, err)
	_, options := p.options(name)
	options.Target = "game"
	random := same(0x44) // the client's ephemeral key, the seed of its ML-KEM key, and the next ephemeral key
	if !strings.HasPrefix(name, "Classical") {
		random = append(random, append(same(0x46), same(0x46)...)...)
	}
	local := noise.Fixed(protocol(t, options, false), cipher, bytes.NewReader(append(random, same(0x66)...)))
	remote := &peer{t: t, cipher: cipher, private: p.key[:], public: p.public[:], random: bytes.NewReader(append(same(0x55), same(0x77)...))}
	var psk []byte
	if strings.HasSuffix(name, "PSK") {
		psk = p.psk[:]
	}
	title := map[byte]string{1: "AESGCM ", 2: "ChaChaPoly "}[cipher] + name
	c := &client{}
	var k keys
	var codec suite.Codec
	w := exchange(t, func(request []byte) []byte {
		claim, answer, derived := remote.answer(request, 15, psk, unhex(t, "00"+"00000007"+"00400000"+"0000"+"88888888"))
		require.Equal(t, "00400000"+"0000"+hex.EncodeToString([]byte("game")), hex.EncodeToString(claim))
		require.Equal(t, p.hint(request), request[7:11])
		k = derived
		return answer
	}, func(s suite.Stream) {
		session, l, err := local.Open(s)
		require.NoError(t, err)
		c.session, codec = session, l.Codec
	})
	require.Equal(t, k.binding, binding(c.session))
	all = append(all, describe(t, title+" new", w, k, c, codec))

	c.write("hello")
	w = exchange(t, func(request []byte) []byte {
		claim, answer, derived := remote.answer(request, 35, k.secret, append(unhex(t, "00"+"00000007"+"0000000000000005"), "world"...))
		require.Equal(t, "00000000000000000000000000000000"+hex.EncodeToString([]byte("hello")), hex.EncodeToString(claim))
		require.Equal(t, k.id, request[15:31])
		k = derived
		return answer
	}, func(s suite.Stream) {
		l, err := c.session.Resume(s, c)
		require.NoError(t, err)
		require.Equal(t, suite.Early{Offset: 0, Data: []byte("world")}, l.Early)
		require.EqualValues(t, 5, l.Peer.Received)
		codec = l.Codec
	})
	return append(all, describe(t, title+" resume", w, k, c, codec))
}

// binding is a session's channel binding.
func binding(s suite.Session) []byte {
	b := s.Peer().ChannelBinding
	return b[:]
}

// hint is the key hint of a request for a new session, as the specification
// derives it.
func (p *pair) hint(request []byte) []byte {
	var ikm []byte
	info := "relink 1 key hint"
	if request[5]&0x03 != 1 {
		ikm = append(ikm, p.public[:]...)
	}
	if request[5]&0x04 != 0 {
		ikm = append(ikm, p.psk[:]...)
		info += string(request[15:47])
	}
	if ikm == nil {
		return make([]byte, 4)
	}
	b, err := hkdf.Key(sha256.New, ikm, nil, info, 4)
	require.NoError(p.t, err)
	return b
}

// exchange runs a client against one answer.
func exchange(t *testing.T, answer func(request []byte) []byte, f func(suite.Stream)) (w wire) {
	t.Helper()
	c, s := suitetest.NewWire()
	c.Mangle = func(_ int, b []byte) ([]byte, bool) {
		_, err := s.Write(answer(b))
		require.NoError(t, err)
		return b, true
	}
	f(c)
	return wire{c.Writes, s.Writes}
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
	request := w.client[0]
	cs := (&peer{cipher: request[6]}).suite()
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
		Name: name, Noise: noise.NoiseName(request[5], request[6]), Request: h(request), Answer: h(w.server[0]),
		Secret: h(k.secret), ID: h(k.id), ClientKey: h(k.client), ServerKey: h(k.server),
		Session: c.session.ID(), Binding: h(binding(c.session)), Record: h(record), RecordOverRekeyed: h(second),
	}
}
