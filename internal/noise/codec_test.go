package noise_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/noise"
	"github.com/relink-go/relink/internal/suite"
)

// ciphers runs a test with each cipher.
func ciphers(t *testing.T, f func(t *testing.T, cipher byte)) {
	t.Run("AESGCM", func(t *testing.T) { f(t, noise.AESGCM) })
	t.Run("ChaChaPoly", func(t *testing.T) { f(t, noise.ChaChaPoly) })
}

// controls are records of each kind, of a peer with a window of 1000.
var controls = []suite.Control{
	{},
	{Ack: true, Received: 0, Limit: 1000},
	{Ack: true, Received: 700, Consumed: 500, Limit: 1500},
	{Ack: true, Received: 700, Consumed: 700, Limit: 1700, FinReceived: true},
	{Ack: true, Received: 700, Consumed: 600, Limit: 700}, // nothing more for now
	{Ack: true, Received: 700, Consumed: 0, Limit: 800},
	{Ack: true, Received: math.MaxInt64, Consumed: math.MaxInt64 - 1000, Limit: math.MaxInt64},
	{Fin: true},
	{Stop: true},
	{Ping: true},
	{Pong: true},
	{Reset: suite.ResetAborted},
	{Reset: 65535},
	{Ack: true, Received: 1, Consumed: 1, Limit: 1001, FinReceived: true, Fin: true, Stop: true, Ping: true, Pong: true, Reset: 2},
}

func TestRecords(t *testing.T) {
	ciphers(t, func(t *testing.T, cipher byte) {
		c, s := noise.NewCodecs(cipher, 1, 1000, 1000)
		for _, from := range []struct{ out, in suite.Codec }{{c, s}, {s, c}} {
			for _, k := range controls {
				for _, n := range []int{0, 1, 15, 16, 17, 1000, 16384, from.out.MaxData()} {
					n = min(n, from.out.MaxData())
					data := bytes.Repeat([]byte{byte(n)}, n)
					wire := from.out.Seal([]byte("before"), data, k)
					require.Equal(t, "before", string(wire[:6]))
					wire = wire[6:]
					require.LessOrEqual(t, len(wire), from.out.MaxRecord())
					for _, short := range []int{0, 1, 2, len(wire) / 2, len(wire) - 1} {
						_, used, err := from.in.Open(nil, wire[:short])
						require.NoError(t, err)
						require.Zero(t, used)
					}
					r, used, err := from.in.Open(nil, append(wire, "behind"...))
					require.NoError(t, err)
					require.Equal(t, len(wire), used)
					require.Equal(t, k, r.Control)
					require.Equal(t, data, append([]byte{}, r.Data...))
				}
			}
		}
	})
}

func TestRecordSizes(t *testing.T) {
	c, s := noise.NewCodecs(noise.AESGCM, 1, 1000, 1000)
	require.Equal(t, 16384, c.MaxData()) // the record that confirms
	require.Len(t, c.Seal(nil, nil, suite.Control{}), 3+1+16)
	require.Equal(t, 32768, c.MaxData())
	require.Equal(t, 32768, s.MaxData())
	require.Len(t, c.Seal(nil, make([]byte, 32768), suite.Control{}), 3+32768+16)
	all := controls[len(controls)-1]
	require.Len(t, c.Seal(nil, make([]byte, 32768), all), 3+32768+19+16)
	require.Equal(t, 3+65535, c.MaxRecord())
	require.Panics(t, func() { c.Seal(nil, make([]byte, 32769), suite.Control{}) })
}

// A record is opened in the caller's slice where that has room for all of it,
// and in place otherwise.
func TestOpenInto(t *testing.T) {
	for _, x := range []struct {
		control suite.Control
		fields  int
	}{{suite.Control{}, 0}, {suite.Control{Ping: true}, 1}, {controls[1], 17}, {controls[len(controls)-1], 19}} {
		for _, short := range []int{-1, 0, 1, 100} {
			c, s := noise.NewCodecs(noise.AESGCM, 1, 1000, 1000)
			data := bytes.Repeat([]byte{7}, 1000)
			wire := c.Seal(nil, data, x.control)
			dst := make([]byte, len(data)+x.fields-short)
			r, n, err := s.Open(dst, wire)
			require.NoError(t, err)
			require.Equal(t, len(wire), n)
			require.Equal(t, data, r.Data)
			require.Equal(t, x.control, r.Control)
			if short <= 0 {
				require.Same(t, &dst[0], &r.Data[0])
			} else {
				require.Same(t, &wire[3], &r.Data[0])
				require.Equal(t, make([]byte, len(dst)), dst)
			}
		}
	}
}

// The longest record that a peer may send, which ours is not.
func TestLongestRecord(t *testing.T) {
	for kind, overhead := range map[byte]int{0: 0, 1: 1} {
		c, s := noise.NewCodecs(noise.AESGCM, 1, 1000, 1000)
		r, n, err := s.Open(nil, noise.SealRaw(c, kind, make([]byte, 65519)))
		require.NoError(t, err)
		require.Equal(t, 3+65535, n)
		require.Len(t, r.Data, 65519-overhead)
	}
}

// Each flipped bit, each lost byte and each record that comes twice or out of
// order fails.
func TestTamperedRecords(t *testing.T) {
	ciphers(t, func(t *testing.T, cipher byte) {
		c, _ := noise.NewCodecs(cipher, 1, 1000, 1000)
		one := c.Seal(nil, []byte("data"), controls[2])
		two := c.Seal(nil, []byte("data"), controls[2])
		fresh := func() suite.Codec {
			_, s := noise.NewCodecs(cipher, 1, 1000, 1000)
			return s
		}
		for i := range one {
			for bit := range 8 {
				b := bytes.Clone(one)
				b[i] ^= 1 << bit
				_, n, err := fresh().Open(nil, append(b, make([]byte, 1<<16)...))
				require.ErrorIs(t, err, suite.ErrAuthentication)
				require.NotErrorIs(t, err, suite.ErrProtocol) // ends the link only
				_ = n
			}
		}
		for _, b := range [][]byte{two, append(bytes.Clone(one[:1]), two...), make([]byte, 3), {0, 0, 16}, {1, 0, 16}, {2, 0, 17}} {
			_, _, err := fresh().Open(nil, append(bytes.Clone(b), make([]byte, 1<<16)...))
			require.ErrorIs(t, err, suite.ErrAuthentication)
		}
		s := fresh()
		_, _, err := s.Open(nil, bytes.Clone(one))
		require.NoError(t, err)
		_, _, err = s.Open(nil, bytes.Clone(one))
		require.ErrorIs(t, err, suite.ErrAuthentication)
		_, _, err = s.Open(nil, two)
		require.NoError(t, err)
		_, _, err = c.Open(nil, fresh().Seal(nil, nil, suite.Control{})) // of the other direction: it is right
		require.NoError(t, err)
		_, _, err = c.Open(nil, c.Seal(nil, nil, suite.Control{})) // its own
		require.ErrorIs(t, err, suite.ErrAuthentication)
	})
}

// An authentic record that breaks the protocol ends the session.
func TestMalformedRecords(t *testing.T) {
	ack := func(received uint64, unread, credit uint32) []byte {
		b := binary.BigEndian.AppendUint64(nil, received)
		return append(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, unread), credit), 1)
	}
	for _, plain := range [][]byte{
		{0x80},
		append(make([]byte, 100), 0x80),
		{0x01},
		ack(0, 0, 1000)[1:],
		{0x40},
		{0, 0x40},
		{0x02},
		{1, 0x02},
		append(ack(0, 0, 1000)[:16], 0x41), // the reset takes two bytes of the acknowledgement
		ack(0, 0, 1001), ack(0, 1, 0), ack(5, 6, 4), ack(2000, 1001, 0), ack(2000, 500, 501),
		ack(1<<63, 0, 1), ack(math.MaxUint64, 0, 0), ack(0, 0, math.MaxUint32), ack(math.MaxUint32, math.MaxUint32, math.MaxUint32),
	} {
		c, s := noise.NewCodecs(noise.AESGCM, 1, 1000, 1000)
		_, _, err := s.Open(nil, noise.SealRaw(c, 1, plain))
		require.ErrorIs(t, err, suite.ErrProtocol, "% x", plain)
		require.NotErrorIs(t, err, suite.ErrAuthentication)
	}
	c, s := noise.NewCodecs(noise.AESGCM, 1, 1000, 1000)
	r, _, err := s.Open(nil, noise.SealRaw(c, 1, []byte{0, 0, 0x40}))
	require.NoError(t, err)
	require.Equal(t, suite.ResetAborted, r.Reset)
}

func TestRekey(t *testing.T) {
	ciphers(t, func(t *testing.T, cipher byte) {
		c, s := noise.NewCodecs(cipher, 1, 1000, 1000)
		noise.RekeyAfter(c, 3)
		noise.RekeyAfter(s, 3)
		seen := make(map[string]bool)
		for i := range 20 {
			out, _ := noise.TrafficKeys(c)
			keys, n, _, _ := noise.Counters(c)
			require.Equal(t, i/3, keys)
			require.EqualValues(t, i%3, n)
			pair := fmt.Sprintf("%x %d", out, n)
			require.False(t, seen[pair], "a nonce is used twice")
			seen[pair] = true
			r, _, err := s.Open(nil, c.Seal(nil, []byte{byte(i)}, suite.Control{}))
			require.NoError(t, err)
			require.Equal(t, []byte{byte(i)}, r.Data)
		}
		require.Len(t, seen, 20)
	})
}

// No key is used for two links, two directions or two sessions.
func TestKeysAreFresh(t *testing.T) {
	each(t, func(t *testing.T, p *pair) {
		seen := make(map[[32]byte]bool)
		note := func(c suite.Codec) {
			out, in := noise.TrafficKeys(c)
			require.False(t, seen[out] || seen[in])
			seen[out], seen[in] = true, true
		}
		for range 5 {
			c, _, l := p.open()
			note(l.Codec)
			for range 20 {
				l, _, clientErr, _ := p.resume(c, nil, nil)
				require.NoError(t, clientErr)
				note(l.Codec)
			}
		}
		require.Len(t, seen, 5*21*2)
	})
}

func TestNoAllocation(t *testing.T) {
	ciphers(t, func(t *testing.T, cipher byte) {
		c, s := noise.NewCodecs(cipher, 1, 1000, 1000)
		data := make([]byte, 16000)
		buf := make([]byte, 0, 1<<17)
		k := suite.Control{Ack: true, Received: 5, Consumed: 5, Limit: 1005}
		n := testing.AllocsPerRun(100, func() {
			b := c.Seal(buf[:0], data, k)
			if _, _, err := s.Open(nil, b); err != nil {
				panic(err)
			}
		})
		require.Zero(t, n)
	})
}

// Random records of random sizes come out as they went in, however the wire
// splits them.
func TestStreamOfRecords(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	c, s := noise.NewCodecs(noise.AESGCM, 1, 1000, 1000)
	var wire, want, got []byte
	for range 200 {
		data := make([]byte, rnd.IntN(c.MaxData()+1)>>rnd.IntN(16))
		for i := range data {
			data[i] = byte(rnd.Uint32())
		}
		want = append(want, data...)
		wire = c.Seal(wire, data, controls[rnd.IntN(len(controls))])
	}
	for have := 0; len(wire) > 0; {
		have = min(len(wire), have+1+rnd.IntN(100000))
		r, n, err := s.Open(nil, wire[:have])
		require.NoError(t, err)
		got = append(got, r.Data...)
		wire, have = wire[n:], have-n
	}
	require.True(t, bytes.Equal(want, got))
}

func BenchmarkSeal(b *testing.B) {
	for _, size := range []int{64, 1 << 10, 16 << 10, 32 << 10} {
		for _, id := range []byte{noise.AESGCM, noise.ChaChaPoly} {
			b.Run(fmt.Sprintf("%d/cipher%d", size, id), func(b *testing.B) {
				c, _ := noise.NewCodecs(id, 1, 1000, 1000)
				c.Seal(nil, nil, suite.Control{})
				data, buf := make([]byte, size), make([]byte, 0, 1<<17)
				b.SetBytes(int64(size))
				for b.Loop() {
					c.Seal(buf, data, suite.Control{})
				}
			})
		}
		// What crypto/tls does for TLS 1.3: 16 KiB records, in place.
		b.Run(fmt.Sprintf("%d/tls", size), func(b *testing.B) {
			block, err := aes.NewCipher(make([]byte, 32))
			require.NoError(b, err)
			a, err := cipher.NewGCM(block)
			require.NoError(b, err)
			data, buf := make([]byte, size), make([]byte, 0, 1<<17)
			nonce := make([]byte, 12)
			var ad [5]byte
			b.SetBytes(int64(size))
			for b.Loop() {
				for rest := data; len(rest) > 0; {
					n := min(len(rest), 16<<10)
					p := append(buf[:5], rest[:n]...)
					p = append(p, 23)
					a.Seal(p[5:5], nonce, p[5:], ad[:])
					binary.LittleEndian.PutUint64(nonce, binary.LittleEndian.Uint64(nonce)+1)
					rest = rest[n:]
				}
			}
		})
	}
}
