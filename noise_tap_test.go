package relink_test

import (
	"reflect"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/noise"
	"github.com/relink-go/relink/internal/suite"
)

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
func newTap(t *testing.T) (*tap, testSuite, noise.PrivateKey) {
	key := noise.GenerateKey()
	public, err := key.PublicKey()
	require.NoError(t, err)
	p, err := noise.New(noise.Options{ServerKeys: []noise.PrivateKey{key}, PinnedKeys: []noise.PublicKey{public}})
	require.NoError(t, err)
	w := &tap{Configurable: p, seen: make(map[trafficKey]bool), sealed: make(map[sealedWith]bool)}
	return w, spoken{w}, key
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
	out := fields(c.Codec).FieldByName("out")
	return readKey(out.FieldByName("key").Elem()), out.FieldByName("n").Uint()
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
