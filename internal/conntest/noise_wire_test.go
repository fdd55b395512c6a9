package conntest

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"os"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	flynn "github.com/flynn/noise"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
	"github.com/relink-go/relink/internal/noise"
	"github.com/relink-go/relink/internal/suite"
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
		say := func(r *Rig, what string) {
			RequireWrite(t, r.Client, []byte(what))
			RequireRead(t, r.Server, []byte(what))
			RequireWrite(t, r.Server, []byte(what))
			RequireRead(t, r.Client, []byte(what))
		}
		r := New(t, s)
		r.Net.OnDial(func(_ int, p *faultnet.Path) error { p.Record(); return nil })
		for range 3 {
			r.Net.Last().Cut(faultnet.Reset)
			say(r, before)
			time.Sleep(time.Second)
		}
		first := w.sessions[0]
		stolen := secretOf(first)
		for range 3 {
			r.Suspend(faultnet.Refuse, faultnet.ResetNow)
			RequireWrite(t, r.Client, []byte(after)) // leaves as early data
			r.Net.SetDown(faultnet.NotDown)
			RequireRead(t, r.Server, []byte(after))
			say(r, after)
		}
		require.NotEqual(t, stolen, secretOf(first))

		thief := noise.GenerateKey()
		paths := r.Net.Paths()[1:]
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
		r.Stop()
	})
}

// An observer of two resumes of one session, which carry the same data, finds
// nothing that both have but what the specification names: type, cipher, key
// hint and routing hint, and lengths.
func TestNoiseResumesHaveNothingInCommon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const node = 0x01020304
		key := relink.GenerateKey()
		r := New(t, sides{
			relink.NoiseServer{Keys: []relink.PrivateKey{key}, Node: node},
			relink.NoiseClient{ServerKeys: []relink.PublicKey{key.PublicKey()}},
		})
		r.Exchange(100)
		r.Net.OnDial(func(_ int, p *faultnet.Path) error { p.Record(); return nil })
		data := bytes.Repeat([]byte("same"), 8)
		var dumps []dump
		for range 3 {
			r.Suspend(faultnet.Refuse, faultnet.ResetNow)
			RequireWrite(t, r.Client, data)
			RequireWrite(t, r.Server, data)
			r.Net.SetDown(faultnet.NotDown)
			RequireRead(t, r.Client, data)
			RequireRead(t, r.Server, data)
			RequireExchange(t, r.Client, r.Server, len(data))
			synctest.Wait()
			dumps = append(dumps, dumpOf(t, r.Net.Last()))
		}
		id := []byte(r.Client.ID())
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
		r.Stop()
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

// A tap stands between the core and the suite Noise and sees the keys: of each
// link, and of each record that is sealed. What it needs to know has no names
// outside of internal/noise, so that it reads the fields.
type tap struct {
	suite.Configurable

	// resuming, if set, is called by every attempt of a client before the core
	// is asked for anything.
	resuming func()

	mu       sync.Mutex // guards everything below
	sessions []suite.Session
	links    []trafficKey        // the directions of all links, each once
	keys     []trafficKey        // both directions of each side of all links
	holders  []reflect.Value     // of these
	seen     map[trafficKey]bool // of these, by the side that seals
	sealed   map[sealedWith]bool // of each record
	twice    []sealedWith        // what was used a second time
	records  int
}

// A trafficKey is a key that records are sealed with.
type trafficKey [32]byte

// A sealedWith is what must never come twice.
type sealedWith struct {
	key     trafficKey
	counter uint64
}

// newTap returns a suite with a new server key that is tapped.
func newTap(t *testing.T) (*tap, Suite, noise.PrivateKey) {
	key := noise.GenerateKey()
	public, err := key.PublicKey()
	require.NoError(t, err)
	p, err := noise.New(noise.Options{ServerKeys: []noise.PrivateKey{key}, PinnedKeys: []noise.PublicKey{public}})
	require.NoError(t, err)
	w := &tap{Configurable: p, seen: make(map[trafficKey]bool), sealed: make(map[sealedWith]bool)}
	return w, Spoken{w}, key
}

// Configure implements suite.Configurable.
func (w *tap) Configure(server bool, window int64) (suite.Protocol, error) {
	p, err := w.Configurable.Configure(server, window)
	if err != nil {
		return nil, err
	}
	return &tapped{p, w}, nil
}

// tapped is a side's protocol.
type tapped struct {
	suite.Protocol
	w *tap
}

func (p *tapped) Open(s suite.Stream) (suite.Session, suite.Link, error) {
	session, l, err := p.Protocol.Open(s)
	if err != nil {
		return nil, l, err
	}
	p.w.mu.Lock()
	p.w.sessions = append(p.w.sessions, session)
	p.w.mu.Unlock()
	return &tappedSession{session, p.w}, p.w.link(l), nil
}

func (p *tapped) Serve(s suite.Stream, h suite.Host) error {
	return p.Protocol.Serve(s, &tappedHost{h, p.w})
}

// A tappedSession is a client's.
type tappedSession struct {
	suite.Session
	w *tap
}

func (s *tappedSession) Resume(t suite.Stream, c suite.Client) (suite.Link, error) {
	if s.w.resuming != nil {
		s.w.resuming()
	}
	l, err := s.Session.Resume(t, c)
	if err != nil {
		return l, err
	}
	return s.w.link(l), nil
}

type tappedHost struct {
	suite.Host
	w *tap
}

func (h *tappedHost) Establish(l suite.Link) error { return h.Host.Establish(h.w.link(l)) }

func (h *tappedHost) Find(k suite.Key) (suite.Target, bool) {
	t, ok := h.Host.Find(k)
	if !ok {
		return nil, false
	}
	return &tappedTarget{t, h.w}, true
}

type tappedTarget struct {
	suite.Target
	w *tap
}

func (t *tappedTarget) TakeOver(c suite.Claim, l suite.Link) error {
	return t.Target.TakeOver(c, t.w.link(l))
}

// link notes a link and taps it.
func (w *tap) link(l suite.Link) suite.Link {
	c := &tappedCodec{l.Codec, w}
	key, _ := c.next()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seen[key] {
		w.twice = append(w.twice, sealedWith{key: key})
	}
	w.seen[key] = true
	w.links = append(w.links, key)
	for _, direction := range []string{"out", "in"} {
		w.keys = append(w.keys, keyOf(l.Codec, direction))
		w.holders = append(w.holders, fields(l.Codec).FieldByName(direction).FieldByName("key").Elem())
	}
	l.Codec = c
	return l
}

type tappedCodec struct {
	suite.Codec
	w *tap
}

func (c *tappedCodec) Seal(dst, data []byte, k suite.Control) []byte {
	key, counter := c.next()
	with := sealedWith{key, counter}
	c.w.mu.Lock()
	if c.w.sealed[with] {
		c.w.twice = append(c.w.twice, with)
	}
	c.w.sealed[with] = true
	c.w.records++
	c.w.mu.Unlock()
	return c.Codec.Seal(dst, data, k)
}

// next returns what the next record will be sealed with.
func (c *tappedCodec) next() (key trafficKey, counter uint64) {
	return keyOf(c.Codec, "out"), fields(c.Codec).FieldByName("out").FieldByName("n").Uint()
}

// keyOf returns the present key of a codec's direction.
func keyOf(c suite.Codec, direction string) trafficKey {
	return readKey(fields(c).FieldByName(direction).FieldByName("key").Elem().FieldByName("secret"))
}

// secretOf returns the resumption secret that a client's session holds.
func secretOf(s suite.Session) [32]byte { return readKey(fields(s).FieldByName("resumption")) }

func fields(pointer any) reflect.Value { return reflect.ValueOf(pointer).Elem() }

func readKey(v reflect.Value) (key [32]byte) {
	for i := range key {
		key[i] = byte(v.Index(i).Uint())
	}
	return key
}

// The suite Noise over transports that a deadline destroys, cut again and again.

// overTLS puts crypto/tls between a rig's network and relink.
func overTLS(t *testing.T) Option {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		DNSNames:     []string{"server"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(1000 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	certificate, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	server := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	client := &tls.Config{RootCAs: roots, ServerName: "server"}
	return func(r *Rig, _ *relink.ListenConfig) {
		r.Wrap = func(l net.Listener) net.Listener { return tls.NewListener(l, server) }
		r.Dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := r.Net.Dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			t := tls.Client(c, client)
			if err := t.HandshakeContext(ctx); err != nil {
				_ = c.Close()
				return nil, err
			}
			return t, nil
		}
	}
}

// Streams in both directions, and deadlines of the application all the while,
// over TLS, and over what a deadline of its own would break for good.
func TestNoiseOverFragileTransports(t *testing.T) {
	const cuts, size = 30, 100_000
	for name, transport := range map[string]func(t *testing.T) Option{
		"TLS":    overTLS,
		"opaque": func(*testing.T) Option { return WithPath(faultnet.Options{Opaque: true}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := New(t, Noise, WithLimit(32<<10), transport(t),
					WithBoth(func(c *relink.Config) { c.LivenessTimeout = time.Second }),
					WithClient(func(d *relink.Dialer) { d.MaxBackoff = 100 * time.Millisecond }))
				r.Net.OnDial(func(i int, p *faultnet.Path) error {
					if i < cuts {
						kind := faultnet.Kind(i % (int(faultnet.BlackHoleDown) + 1))
						p.CutAt(faultnet.Dir(mathrand.IntN(2)), int64(mathrand.IntN(20_000)), kind)
					}
					return nil
				})
				r.Net.Last().Cut(faultnet.Reset)
				for len(r.Net.Paths()) <= cuts {
					var wg sync.WaitGroup
					for _, ends := range [][2]*relink.Conn{{r.Client.Conn, r.Server.Conn}, {r.Server.Conn, r.Client.Conn}} {
						wg.Go(func() { writeImpatiently(t, ends[0], Data(size)) })
						wg.Go(func() { readImpatiently(t, ends[1], Data(size)) })
					}
					wg.Wait()
				}
				require.Positive(t, r.Client.Stats().Resumes)
				r.Finish()
			})
		})
	}
}

// writeImpatiently writes with a deadline that passes again and again.
func writeImpatiently(t *testing.T, c *relink.Conn, b []byte) {
	for len(b) > 0 {
		_ = c.SetWriteDeadline(time.Now().Add(70 * time.Millisecond))
		n, err := c.Write(b)
		if b = b[n:]; err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("write: %v", err)
			return
		}
	}
	_ = c.SetWriteDeadline(time.Time{})
}

// readImpatiently is its counterpart.
func readImpatiently(t *testing.T, c *relink.Conn, want []byte) {
	for len(want) > 0 {
		_ = c.SetReadDeadline(time.Now().Add(70 * time.Millisecond))
		b := make([]byte, min(5000, len(want)))
		n, err := io.ReadFull(c, b)
		if string(b[:n]) != string(want[:n]) || err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read %v, or other bytes", err)
			return
		}
		want = want[n:]
	}
	_ = c.SetReadDeadline(time.Time{})
}

// When a link is gone, both sides' keys of it are overwritten.
func TestKeysGoWithTheirLink(t *testing.T) {
	if raceEnabled {
		t.Skip("the collector's goroutine overwrites them, which the detector does not know to be before the look")
	}
	w, s, _ := newTap(t)
	r := New(t, s)
	r.Exchange(1000)
	w.mu.Lock()
	require.Len(t, w.holders, 4)
	holders := w.holders
	w.holders = nil
	w.mu.Unlock()
	for _, h := range holders {
		require.False(t, h.FieldByName("secret").IsZero())
		require.False(t, h.FieldByName("aead").Elem().Elem().IsZero())
	}
	r.Net.Last().Cut(faultnet.Reset)
	r.Exchange(1000) // over another link
	erased := func() bool {
		runtime.GC()
		return !slices.ContainsFunc(holders, func(h reflect.Value) bool {
			return !h.FieldByName("secret").IsZero() || !h.FieldByName("aead").Elem().Elem().IsZero()
		})
	}
	require.Eventually(t, erased, time.Minute, time.Millisecond)
	require.NotEmpty(t, w.holders)
	for _, h := range w.holders {
		require.False(t, h.FieldByName("secret").IsZero())
	}
	r.Exchange(1000)
	r.Stop()
}
