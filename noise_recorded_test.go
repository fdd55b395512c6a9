package relink_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	flynn "github.com/flynn/noise"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
	"github.com/relink-go/relink/internal/noise"
)

// What somebody on the path has of the suite Noise, by docs/spec/noise.md.

// resumeNK is the type of the resumes.
const resumeNK = 0x16

// A dump is one transport as an observer sees it: the clear bytes, and what is
// encrypted.
type dump struct {
	header   []byte // of the request
	fields   []byte // of a resume
	message1 []byte
	answer   []byte // its header
	message2 []byte
	records  [2][]record
}

// A record is one record of a dump.
type record struct{ header, sealed []byte }

// dumpOf takes a recorded transport apart.
func dumpOf(t *testing.T, p *faultnet.Path) (d dump) {
	up, down := p.Bytes(faultnet.Up), p.Bytes(faultnet.Down)
	take := func(from *[]byte, n int) []byte {
		require.GreaterOrEqual(t, len(*from), n)
		b := (*from)[:n]
		*from = (*from)[n:]
		return b
	}
	d.header = take(&up, 15)
	rest := int(binary.BigEndian.Uint16(d.header[3:]))
	if d.header[5] == resumeNK {
		d.fields = take(&up, 20)
		rest -= 20
	}
	d.message1 = take(&up, rest)
	d.answer = take(&down, 5)
	d.message2 = take(&down, int(binary.BigEndian.Uint16(d.answer[3:])))
	for dir, rest := range [][]byte{up, down} {
		for len(rest) > 0 {
			header := take(&rest, 3)
			n := int(binary.BigEndian.Uint16(header[1:]))
			d.records[dir] = append(d.records[dir], record{header, take(&rest, n)})
		}
	}
	return d
}

// encrypted returns the pieces of which nobody should learn anything, one of
// them, the resume id, in clear.
func (d dump) encrypted() [][]byte {
	pieces := [][]byte{d.message1, d.message2}
	for _, r := range append(d.records[0], d.records[1]...) {
		pieces = append(pieces, r.sealed)
	}
	if d.fields != nil {
		pieces = append(pieces, d.fields[:16])
	}
	return pieces
}

// aead returns the cipher of the dump's records under a key, and the nonce of
// the first record.
func (d dump) aead(t *testing.T, key []byte) (cipher.AEAD, func(n int) []byte) {
	nonce := make([]byte, 12)
	if d.header[6] == 1 {
		b, err := aes.NewCipher(key)
		require.NoError(t, err)
		a, err := cipher.NewGCM(b)
		require.NoError(t, err)
		return a, func(n int) []byte { binary.BigEndian.PutUint64(nonce[4:], uint64(n)); return nonce }
	}
	a, err := chacha20poly1305.New(key)
	require.NoError(t, err)
	return a, func(n int) []byte { binary.LittleEndian.PutUint64(nonce[4:], uint64(n)); return nonce }
}

// opens returns how many of the dump's records open under a key.
func (d dump) opens(t *testing.T, key []byte) (n int) {
	a, nonce := d.aead(t, key)
	for _, records := range d.records {
		for i, r := range records {
			if _, err := a.Open(nil, nonce(i), r.sealed, r.header); err == nil {
				n++
			}
		}
	}
	return n
}

// respond plays the server of a recorded request with a static key and a
// secret, and returns what the request's message 1 says.
func (d dump) respond(t *testing.T, key noise.PrivateKey, psk [32]byte) ([]byte, error) {
	public, err := key.PublicKey()
	require.NoError(t, err)
	suite := flynn.CipherChaChaPoly
	if d.header[6] == 1 {
		suite = flynn.CipherAESGCM
	}
	c := flynn.Config{
		CipherSuite:   flynn.NewCipherSuite(flynn.DH25519, suite, flynn.HashSHA256),
		Pattern:       flynn.HandshakeNK,
		Prologue:      append(append([]byte(nil), d.header...), d.fields...),
		StaticKeypair: flynn.DHKey{Private: key[:], Public: public[:]},
	}
	if d.fields != nil {
		c.PresharedKey = psk[:]
	}
	h, err := flynn.NewHandshakeState(c)
	require.NoError(t, err)
	payload, _, _, err := h.ReadMessage(nil, d.message1)
	return payload, err
}

// guesses are the keys that can be made of a secret by all that the protocol
// does with keys.
func guesses(t *testing.T, secret [32]byte) [][]byte {
	keys := [][]byte{secret[:]}
	for _, info := range []string{
		"relink 1 resumption secret", "relink 1 resume id", "relink 1 client to server",
		"relink 1 server to client", "relink 1 session id", "relink 1 channel binding",
	} {
		k, err := hkdf.Expand(sha256.New, secret[:], info, 32)
		require.NoError(t, err)
		keys = append(keys, k)
	}
	return keys
}

// Somebody has recorded a conversation over many transports and then steals the
// client's resumption secret, or the server's key, or a secret first and goes on
// recording. Nothing of it opens, before or after; only both together open the
// early data that was sent under the secret.
func TestNoiseRecordedStaysClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s, key := newTap(t)
		const before, after = "said before the theft", "said after the theft"
		say := func(r *rig, what string) {
			requireWrite(t, r.client, []byte(what))
			requireRead(t, r.server, []byte(what))
			requireWrite(t, r.server, []byte(what))
			requireRead(t, r.client, []byte(what))
		}
		r := newRig(t, s)
		r.net.OnDial(func(_ int, p *faultnet.Path) error { p.Record(); return nil })
		for range 3 {
			r.net.Last().Cut(faultnet.Reset)
			say(r, before)
			time.Sleep(time.Second)
		}
		first := w.sessions[0]
		stolen := secretOf(first)
		for range 3 {
			r.suspend(faultnet.Refuse, faultnet.ResetNow)
			requireWrite(t, r.client, []byte(after)) // leaves as early data
			r.net.SetDown(faultnet.NotDown)
			requireRead(t, r.server, []byte(after))
			say(r, after)
		}
		require.NotEqual(t, stolen, secretOf(first))

		thief := noise.GenerateKey()
		paths := r.net.Paths()[1:]
		require.Len(t, paths, 6)
		early := 0
		for i, p := range paths {
			d := dumpOf(t, p)
			all := bytes.Join(d.encrypted(), nil)
			require.NotContains(t, string(all), before[5:])
			require.NotContains(t, string(all), after[5:])
			for _, k := range guesses(t, stolen) {
				require.Zero(t, d.opens(t, k))
			}
			_, err := d.respond(t, thief, stolen)
			require.Error(t, err, "transport %d opens with the secret alone", i)
			_, err = d.respond(t, key, [32]byte{})
			require.Error(t, err, "transport %d opens with the server's key alone", i)
			if payload, err := d.respond(t, key, stolen); err == nil {
				early++
				require.Equal(t, 3, i)
				require.Contains(t, string(payload), after)
			}

			// With the traffic keys it does open: the test knows how.
			opened := 0
			for _, k := range w.links {
				opened += d.opens(t, k[:])
			}
			require.Equal(t, len(d.records[0])+len(d.records[1]), opened)
			require.GreaterOrEqual(t, opened, 2)
		}
		require.Equal(t, 1, early)
		r.stop()
	})
}

// An observer of two resumes of one session, which carry the same data, finds
// nothing that both have but what the specification names: type, cipher, key
// hint and routing hint, and lengths.
func TestNoiseResumesHaveNothingInCommon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const node = 0x01020304
		key := relink.GenerateKey()
		r := newRig(t, sides{
			relink.NoiseServer{Keys: []relink.PrivateKey{key}, Node: node},
			relink.NoiseClient{ServerKeys: []relink.PublicKey{key.PublicKey()}},
		})
		r.exchange(100)
		r.net.OnDial(func(_ int, p *faultnet.Path) error { p.Record(); return nil })
		data := bytes.Repeat([]byte("same"), 8)
		var dumps []dump
		for range 3 {
			r.suspend(faultnet.Refuse, faultnet.ResetNow)
			requireWrite(t, r.client, data)
			requireWrite(t, r.server, data)
			r.net.SetDown(faultnet.NotDown)
			requireRead(t, r.client, data)
			requireRead(t, r.server, data)
			requireExchange(t, r.client, r.server, len(data))
			synctest.Wait()
			dumps = append(dumps, dumpOf(t, r.net.Last()))
		}
		id := []byte(r.client.ID())
		for i, a := range dumps {
			require.Equal(t, append([]byte{0x52, 1, 1}, dumps[0].header[3:]...), a.header)
			require.EqualValues(t, node, binary.BigEndian.Uint32(a.header[11:]))
			require.Equal(t, []byte{0, 0, 0, 1}, a.fields[16:]) // the attempt
			require.Equal(t, dumps[0].answer, a.answer)
			require.NotContains(t, string(bytes.Join(a.encrypted(), nil)), string(id))
			for _, b := range dumps[:i] {
				require.Empty(t, inCommon(5, a, b))
			}
		}
		require.Empty(t, inCommon(4, dumps...)) // of two it may be chance, once in ten thousand runs
		r.stop()
	})
}

// inCommon returns the sequences of n bytes that all dumps have somewhere in
// what is encrypted.
func inCommon(n int, dumps ...dump) map[string]bool {
	var common map[string]bool
	for _, d := range dumps {
		found := make(map[string]bool)
		for _, piece := range d.encrypted() {
			for i := range len(piece) - n + 1 {
				if s := string(piece[i : i+n]); common == nil || common[s] {
					found[s] = true
				}
			}
		}
		common = found
	}
	return common
}
