package noise_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/noise"
	"github.com/relink-go/relink/internal/suite"
	"github.com/relink-go/relink/internal/suite/suitetest"
)

// A side is the counts and the stream of one side.
type side struct {
	suite.Offsets
	stream []byte // that this side sends, from offset 0
	acked  int64
}

func (s *side) Check(peer suite.Offsets) error {
	if peer.Received > s.Sent || peer.Received < 0 {
		return suite.ErrCounters
	}
	return nil
}

func (s *side) write(b string) {
	s.stream = append(s.stream, b...)
	s.Sent = int64(len(s.stream))
}

// A client is a side as a suite.Client, with its session.
type client struct {
	side
	session suite.Session
	got     []byte
}

func (c *client) Offsets() suite.Offsets { return c.side.Offsets }

func (c *client) Pending(p []byte) (int64, int) {
	return c.acked, copy(p, c.stream[c.acked:])
}

// confirm takes what a handshake brought and sends the record that proves it.
func (c *client) confirm(s suite.Stream, l suite.Link) error {
	if l.Early.Offset == c.Received {
		c.got = append(c.got, l.Early.Data...)
		c.Received += int64(len(l.Early.Data))
	}
	c.acked = max(c.acked, l.Peer.Received)
	k := suite.Control{Ack: true, Received: c.Received, Consumed: c.Received, Limit: c.Received + window}
	_, err := s.Write(l.Codec.Seal(nil, nil, k))
	return err
}

// A target is a session of a host.
type target struct {
	side
	h       *host
	session suite.Session
	keys    []suite.Key
	epoch   int64
	links   []suite.Link
	got     []byte
	ended   error
}

func (t *target) Session() suite.Session { return t.session }
func (t *target) Claim() suite.Claim     { return suite.Claim{Offsets: t.Offsets, Epoch: t.epoch} }

func (t *target) Check(peer suite.Offsets) error {
	if t.ended != nil {
		return t.ended
	}
	return t.side.Check(peer)
}

func (t *target) Early(offset int64, data []byte) {
	if offset == t.Received && t.epoch > 0 {
		t.got = append(t.got, data...)
		t.Received += int64(len(data))
	}
}

func (t *target) Authorize(p suite.Peer) error { return t.h.Authorize(p) }

func (t *target) Pending(offset int64, p []byte) int { return copy(p, t.stream[offset:]) }

func (t *target) SetKeys(keys ...suite.Key) error {
	for _, k := range t.keys {
		delete(t.h.sessions, k)
	}
	t.keys = keys
	for _, k := range keys {
		t.h.sessions[k] = t
	}
	return nil
}

func (t *target) TakeOver(c suite.Claim, l suite.Link) error {
	if c.Epoch != t.epoch {
		return suite.ErrSuperseded
	}
	t.links = append(t.links, l)
	t.epoch++
	return nil
}

// A host holds sessions.
type host struct {
	sessions map[suite.Key]*target
	offered  *target
	busy     error  // of an offer
	full     error  // before anything is done
	denied   error  // of the authorisation
	asking   func() // is called by it, unless nil
	asked    []suite.Peer
	passOn   error // of a resume that nobody here can answer
}

func newHost() *host { return &host{sessions: make(map[suite.Key]*target)} }

func (h *host) MayOpen() error { return h.full }

func (h *host) Authorize(p suite.Peer) error {
	h.asked = append(h.asked, p)
	if h.asking != nil {
		h.asking()
	}
	return h.denied
}

func (h *host) Offer(s suite.Session, k suite.Key) error {
	if h.busy != nil {
		return h.busy
	}
	h.offered = &target{h: h, session: s}
	return h.offered.SetKeys(k)
}

func (h *host) Establish(l suite.Link) error { return h.offered.TakeOver(suite.Claim{}, l) }

// PassOn implements [suite.Host].
func (h *host) PassOn() error { return h.passOn }

func (h *host) Find(k suite.Key) (suite.Target, bool) {
	t, ok := h.sessions[k]
	if !ok {
		return nil, false
	}
	return t, true
}

// window is that of both sides in these tests.
const window = 4 << 20

// A pair is a client and a server that speak over wires in memory.
type pair struct {
	t         testing.TB
	key       noise.PrivateKey // the server's
	public    noise.PublicKey
	clientKey noise.PrivateKey
	psk       noise.PresharedKey
	client    suite.Protocol
	server    suite.Protocol
	host      *host
}

func newPair(t testing.TB, insecure bool) *pair {
	if insecure {
		return newVariant(t, "NN")
	}
	return newVariant(t, "NK")
}

// variants are the kinds of new sessions by the names that the specification
// gives their requests, without "New".
var variants = []string{
	"NK", "NN", "IK", "NKPSK", "NNPSK", "IKPSK",
	"ClassicalNK", "ClassicalNN", "ClassicalIK", "ClassicalNKPSK", "ClassicalNNPSK", "ClassicalIKPSK",
}

// newVariant returns a pair of both sides of a kind.
func newVariant(t testing.TB, name string) *pair {
	p := &pair{t: t, key: noise.GenerateKey(), clientKey: noise.GenerateKey(), psk: noise.GeneratePresharedKey(), host: newHost()}
	var err error
	p.public, err = p.key.PublicKey()
	require.NoError(t, err)
	server, client := p.options(name)
	p.server, p.client = protocol(t, server, true), protocol(t, client, false)
	return p
}

// options are those of the two sides for a kind.
func (p *pair) options(name string) (server, client noise.Options) {
	pattern, classical := strings.CutPrefix(name, "Classical")
	pattern, psk := strings.CutSuffix(pattern, "PSK")
	server = noise.Options{ServerKeys: []noise.PrivateKey{p.key}, Classical: classical}
	client = noise.Options{PinnedKeys: []noise.PublicKey{p.public}, Classical: classical}
	switch pattern {
	case "NN":
		server, client = noise.Options{Insecure: true, Classical: classical}, noise.Options{Insecure: true, Classical: classical}
	case "IK":
		server.RequireClientKey, client.ClientKey = true, p.clientKey
	}
	if psk {
		server.PresharedKeys = []noise.PresharedKey{noise.GeneratePresharedKey(), p.psk}
		client.PresharedKeys = []noise.PresharedKey{p.psk}
	}
	return server, client
}

// protocol returns the protocol of one side.
func protocol(t testing.TB, o noise.Options, server bool) suite.Protocol {
	p, err := noise.New(o)
	require.NoError(t, err)
	q, err := p.Configure(server, window)
	require.NoError(t, err)
	return q
}

// A wire is what one transport carried.
type wire struct {
	client, server [][]byte
}

// run runs both sides on one transport. A side that returns closes its
// direction.
func (p *pair) run(mangleClient, mangleServer func(int, []byte) ([]byte, bool), f func(s suite.Stream) error) (w wire, clientErr, serverErr error) {
	c, s := suitetest.NewWire()
	c.Mangle, s.Mangle = mangleClient, mangleServer
	clientErr, serverErr = suitetest.Run(c, s, f, func(s suite.Stream) error { return p.server.Serve(s, p.host) })
	return wire{c.Writes, s.Writes}, clientErr, serverErr
}

// open opens a session and returns both of its sides.
func (p *pair) open() (*client, *target, suite.Link) {
	p.t.Helper()
	c, l, _, clientErr, serverErr := p.tryOpen(nil, nil)
	require.NoError(p.t, clientErr)
	require.NoError(p.t, serverErr)
	return c, p.host.offered, l
}

func (p *pair) tryOpen(mc, ms func(int, []byte) ([]byte, bool)) (c *client, l suite.Link, w wire, clientErr, serverErr error) {
	c = new(client)
	w, clientErr, serverErr = p.run(mc, ms, func(s suite.Stream) (err error) {
		if c.session, l, err = p.client.Open(s); err != nil {
			return err
		}
		return c.confirm(s, l)
	})
	return c, l, w, clientErr, serverErr
}

// resume resumes the session.
func (p *pair) resume(c *client, mc, ms func(int, []byte) ([]byte, bool)) (l suite.Link, w wire, clientErr, serverErr error) {
	w, clientErr, serverErr = p.run(mc, ms, func(s suite.Stream) (err error) {
		if l, err = c.session.Resume(s, c); err != nil {
			return err
		}
		return c.confirm(s, l)
	})
	return l, w, clientErr, serverErr
}

// send sends bytes as a client would, and returns what the server says.
func (p *pair) send(b []byte) (answer []byte, serverErr error) {
	w, _, serverErr := p.run(nil, nil, func(s suite.Stream) error {
		_, err := s.Write(b)
		return err
	})
	for _, m := range w.server {
		answer = append(answer, m...)
	}
	return answer, serverErr
}

// each runs a test with each kind of new session.
func each(t *testing.T, f func(t *testing.T, p *pair)) {
	for _, name := range variants {
		t.Run(name, func(t *testing.T) { f(t, newVariant(t, name)) })
	}
}
