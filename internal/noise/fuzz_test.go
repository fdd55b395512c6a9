package noise_test

import (
	"bytes"
	"crypto/mlkem"
	"encoding/binary"
	"io"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/noise"
	"github.com/relink-go/relink/internal/suite"
)

// sized cuts b to so many bytes, or fills it up with zeros: an input of another length, such as
// a seed from before the wire was changed, is to be tried and not passed over.
func sized(b []byte, least, most int) []byte {
	b = bytes.Clone(b[:min(len(b), most)])
	return append(b, make([]byte, max(0, least-len(b)))...)
}

// Records with a valid tag, so that the fuzzer gets behind the cipher. What
// opens is written again and must be the same.
func FuzzRecord(f *testing.F) {
	for flags := range 256 {
		f.Add(byte(1), append(make([]byte, 30), byte(flags)))
	}
	f.Add(byte(1), []byte{'x', 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0x03, 0xe8, 0, 1, 0x7f})
	f.Add(byte(0), []byte("data"))
	f.Fuzz(func(t *testing.T, kind byte, plain []byte) {
		if len(plain) < 1 || len(plain) > 65519 {
			return
		}
		c, s := noise.NewCodecs(noise.AESGCM, 1, 1000, 1000)
		r, n, err := s.Open(nil, noise.SealRaw(c, kind, plain))
		if kind > 1 {
			require.ErrorIs(t, err, suite.ErrAuthentication)
			return
		}
		if err != nil {
			require.ErrorIs(t, err, suite.ErrProtocol)
			return
		}
		require.Equal(t, 3+len(plain)+16, n)
		if r.Ack {
			require.True(t, 0 <= r.Consumed && r.Consumed <= r.Received && r.Received <= r.Limit)
		}
		c, s = noise.NewCodecs(noise.AESGCM, 1, 1000, 1000)
		if len(r.Data) > c.MaxData() {
			return // of a later record than the first one
		}
		again, _, err := s.Open(nil, c.Seal(nil, r.Data, r.Control))
		require.NoError(t, err)
		require.Equal(t, r.Control, again.Control)
		require.Equal(t, r.Data, again.Data)
	})
}

// Any bytes on the wire of a link.
func FuzzWire(f *testing.F) {
	c, _ := noise.NewCodecs(noise.AESGCM, 1, 1000, 1000)
	f.Add(c.Seal(nil, []byte("data"), controls[2]))
	f.Add([]byte{0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		_, s := noise.NewCodecs(noise.AESGCM, 1, 1000, 1000)
		for range 10 {
			_, n, err := s.Open(nil, b)
			if err != nil || n == 0 {
				return
			}
			require.LessOrEqual(t, n, len(b))
			b = b[n:]
		}
	})
}

// Any bytes as what a client sends, with a session there, to a server of each
// kind.
func FuzzServe(f *testing.F) {
	type served struct {
		*pair
		s *target
	}
	var pairs []served
	for i, name := range variants {
		p := newVariant(f, name)
		p.key, p.clientKey, p.psk = noise.PrivateKey(same(0x11)), noise.PrivateKey(same(0x22)), noise.PresharedKey(same(0x33))
		var err error
		p.public, err = p.key.PublicKey()
		require.NoError(f, err)
		server, client := p.options(name)
		p.server, p.client = protocol(f, server, true), protocol(f, client, false)
		c, s, _ := p.open()
		_, w, clientErr, _ := p.resume(c, nil, nil)
		require.NoError(f, clientErr)
		f.Add(byte(i), bytes.Join(w.client, nil))
		_, _, w, clientErr, _ = p.tryOpen(nil, nil)
		require.NoError(f, clientErr)
		f.Add(byte(i), bytes.Join(w.client, nil))
		f.Add(byte(i), w.client[0][:len(w.client[0])-1])
		w, _, _ = p.run(nil, nil, func(t suite.Stream) error { return noise.Query(c.session, t) })
		f.Add(byte(i), bytes.Join(w.client, nil))
		pairs = append(pairs, served{p, s})
	}
	for _, b := range [][]byte{{}, {0x52}, {0x51}, append([]byte{0x52, 2, 9, 0, 30, 0x77}, make([]byte, 39)...), make([]byte, 15)} {
		f.Add(byte(0), b)
	}
	f.Fuzz(func(t *testing.T, i byte, b []byte) {
		q := pairs[int(i)%len(pairs)]
		p := &pair{t: t, server: q.server, host: q.host}
		_, err := p.send(b)
		require.Error(t, err)
		require.Len(t, q.s.links, 2)
	})
}

// A client that has valid keys and puts anything into the payload of a new
// session, and any bytes in the place of its ML-KEM key.
func FuzzNew(f *testing.F) {
	valid := make([]byte, 1184)
	f.Add([]byte{0, 0, 0, 1, 0, 0}, valid)
	f.Add(append([]byte{0, 0x40, 0, 0, 0xff, 0xff}, "game"...), valid)
	f.Add([]byte{0, 0, 0, 1, 0, 0, 0x1b}, valid)
	f.Add([]byte{0, 0, 0, 1, 0, 0, 0xff}, valid)
	f.Add([]byte{0, 0, 0, 0, 0, 0}, bytes.Repeat([]byte{0xff}, 1184))
	f.Fuzz(func(t *testing.T, claim, key []byte) {
		claim, key = sized(claim, noise.NewPayload1, noise.NewPayload1+80), sized(key, len(valid), len(valid))
		p := newPair(t, false)
		_, err := p.send(noise.NewRaw(p.client, p.public, claim, key))
		require.Error(t, err) // nothing confirms it
		_, malformed := mlkem.NewEncapsulationKey768(key)
		window := binary.BigEndian.Uint32(claim)
		if malformed == nil && window >= 1 && window <= 1<<30 && utf8.Valid(claim[6:]) && !bytes.ContainsFunc(claim[6:], unicode.IsControl) {
			require.Len(t, p.host.asked, 1)
			require.Equal(t, string(claim[6:]), p.host.asked[0].Target)
			require.ErrorIs(t, err, io.EOF)
		} else {
			require.Empty(t, p.host.asked)
			require.Nil(t, p.host.offered)
		}
	})
}

// A peer that has valid keys and puts anything into the payloads of a resume:
// the client's claim, and then its first record.
func FuzzResume(f *testing.F) {
	f.Add(make([]byte, 16), []byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0})
	f.Add(append(make([]byte, 16), "early"...), []byte{0})
	f.Add(bytes.Repeat([]byte{0xff}, 16), []byte{0x40, 0, 1})
	f.Fuzz(func(t *testing.T, claim, first []byte) {
		claim, first = sized(claim, noise.ResumePayload1, noise.ResumePayload1+16384), sized(first, 1, 1000)
		p := newPair(t, false)
		c, s, _ := p.open()
		s.write("pending")
		_, clientErr, serverErr := p.run(nil, nil, func(w suite.Stream) error {
			codec, err := noise.ResumeRaw(c.session, w, claim)
			if err != nil {
				return err
			}
			_, err = w.Write(noise.SealRaw(codec, 1, first))
			return err
		})
		if serverErr == nil {
			require.NoError(t, clientErr)
			require.Len(t, s.links, 2)
			require.GreaterOrEqual(t, s.links[1].Peer.Received, int64(0))
		} else {
			require.Len(t, s.links, 1)
		}
		require.LessOrEqual(t, len(s.got), len(claim)-16)
		// The session goes on, unless the claim has poisoned the client.
		_, _, clientErr, serverErr = p.resume(c, nil, nil)
		if clientErr == nil {
			require.NoError(t, serverErr)
		} else {
			require.ErrorIs(t, clientErr, suite.ErrCounters)
		}
	})
}

// A server that has valid keys and puts anything into its answers.
func FuzzAnswer(f *testing.F) {
	f.Add(make([]byte, 13), make([]byte, 15))
	f.Add(append([]byte{0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 5}, "data"...), []byte{0, 0, 0, 0, 7, 0, 0, 0, 1, 0, 1, 0, 0, 0, 9})
	f.Add([]byte{2, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 5}, []byte{0, 0, 0, 0, 7, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 9})
	private := noise.PrivateKey(bytes.Repeat([]byte{0x11}, 32))
	public, err := private.PublicKey()
	require.NoError(f, err)
	pinning := protocol(f, noise.Options{PinnedKeys: []noise.PublicKey{public}}, false)
	f.Fuzz(func(t *testing.T, resume, opened []byte) {
		resume, opened = sized(resume, noise.ResumePayload2, noise.ResumePayload2+16384), sized(opened, noise.NewPayload2, noise.NewPayload2)
		p := &peer{t: t, cipher: noise.AESGCM, private: private[:], public: public[:]}
		local := noise.Fixed(pinning, noise.AESGCM, nil)
		c := &client{}
		var k keys
		exchange(t, func(request []byte) []byte {
			_, answer, derived := p.answer(request, 15, nil, opened)
			k = derived
			return answer
		}, func(s suite.Stream) {
			session, l, err := local.Open(s)
			c.session = session
			if err == nil {
				require.True(t, l.Limit >= 1 && l.Limit <= 1<<16)
			}
		})
		if c.session == nil {
			return
		}
		exchange(t, func(request []byte) []byte {
			_, answer, _ := p.answer(request, 35, k.secret, resume)
			return answer
		}, func(s suite.Stream) {
			l, err := c.session.Resume(s, c)
			if err == nil {
				require.True(t, resume[0] == 0 && l.Peer.Received == 0)
				require.Equal(t, resume[13:], append([]byte{}, l.Early.Data...))
			}
		})
	})
}
