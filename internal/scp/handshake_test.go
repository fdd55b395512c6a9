package scp_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/dh64"
	"github.com/relink-go/relink/internal/scp"
	"github.com/relink-go/relink/internal/suite"
	"github.com/relink-go/relink/internal/suite/suitetest"
)

const (
	testID     = 4242
	testSecret = 0x1122334455667788
)

// A pair is one session on both sides, with a host that knows it.
type pair struct {
	p      *scp.Protocol
	client *scp.Session
	core   *clientCore
	server *scp.Session
	target *target
	host   *host
}

// newPair presets the counts of both sides; both buffers hold everything.
func newPair(t testing.TB, client, server suite.Offsets) *pair {
	t.Helper()
	x := &pair{
		p:      protocol(t, scp.Options{}),
		client: scp.NewSession(testID, testSecret),
		server: scp.NewSession(testID, testSecret),
		core:   &clientCore{end{Offsets: client}},
		host:   new(host),
	}
	x.target = &target{session: x.server, end: end{Offsets: server}, epoch: 1}
	x.host.add(scp.SessionKey(testID), x.target)
	return x
}

// resume runs one attempt.
func (x *pair) resume(t testing.TB) (suite.Link, error) {
	t.Helper()
	cs, ss := suitetest.NewWire()
	return resume(t, x.client, x.p, cs, ss, x.core, x.host)
}

// request returns the packet that the client's next attempt begins with, which
// uses an index up.
func (x *pair) request(t testing.TB) []byte {
	t.Helper()
	s := new(suitetest.Script)
	_, err := x.client.Resume(s, x.core)
	require.ErrorIs(t, err, io.EOF)
	return s.Sent()
}

// serve gives the server a client's bytes and returns its answer.
func (x *pair) serve(in []byte) (string, error) {
	s := &suitetest.Script{In: in}
	err := x.p.Serve(s, x.host)
	return string(s.Sent()), err
}

func answer(content string) string { return string(packet(content)) }

func TestNewSessionLines(t *testing.T) {
	longest := strings.Repeat("x", scp.MaxTarget)
	for _, tt := range []struct {
		name  string
		opts  scp.Options
		lines string // behind the key
	}{
		{"nothing", scp.Options{}, ""},
		{"target", scp.Options{TargetServer: "login_1"}, "\nlogin_1"},
		{"flag", scp.Options{Flag: scp.FlagForbidForwardIP}, "\n\n1"},
		{"both", scp.Options{TargetServer: "Z", Flag: 6}, "\nZ\n6"},
		{"greatest", scp.Options{TargetServer: longest, Flag: math.MaxUint32}, "\n" + longest + "\n4294967295"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := new(host)
			cs, ss := suitetest.NewWire()
			p := protocol(t, tt.opts)
			client := connect(t, p, protocol(t, scp.Options{}), cs, ss, h)
			require.GreaterOrEqual(t, len(cs.Sent()), scp.MinRequest)
			assert.Equal(t, tt.lines, string(cs.Sent())[2+scp.MinRequest:])
			assert.Equal(t, suite.MatchYes, p.Match(cs.Sent()[:scp.MatchSize]))

			server := h.offered.session.(*scp.Session)
			for _, s := range []*scp.Session{client, server} {
				name, sent := s.Target()
				assert.Equal(t, tt.opts.TargetServer, name)
				assert.Equal(t, tt.lines != "", sent)
				flag, sent := s.Flag()
				assert.Equal(t, tt.opts.Flag, flag)
				assert.Equal(t, tt.opts.Flag != 0, sent)
			}
			assert.Equal(t, client.Secret(), server.Secret())
			assert.NotEqual(t, "0", client.ID())
			assert.Zero(t, client.Index())
		})
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []scp.Options{
		{TargetServer: "a b"},
		{TargetServer: "a\n"},
		{TargetServer: "a-b"},
		{TargetServer: "a.b"},
		{TargetServer: "ä"},
		{TargetServer: strings.Repeat("x", scp.MaxTarget+1)},
		{Flag: -1},
		{Flag: math.MaxUint32 + 1},
	} {
		p, err := scp.New(o)
		require.Error(t, err, "%v", o)
		assert.Nil(t, p)
	}
	p := protocol(t, scp.Options{})
	assert.Equal(t, "SCP", p.String())
	assert.Equal(t, "SCP (stream not encrypted)", protocol(t, scp.Options{Cleartext: true}).String())
	assert.Equal(t, suite.Traits{}, p.Traits())
}

func TestNewSessionID(t *testing.T) {
	hello := packet("0\n" + word(5))

	h := new(host)
	h.add(scp.SessionKey(1), &target{})
	h.add(scp.SessionKey(2), &target{})
	p := protocol(t, scp.Options{})
	p.SetIDs(1, 2, 1, 3)
	s := &suitetest.Script{In: hello}
	require.NoError(t, p.Serve(s, h))
	assert.Contains(t, string(s.Sent()), "3\n")
	assert.Equal(t, 4, h.offers)
	assert.Equal(t, "3", h.offered.session.ID())

	// No id is free.
	p.SetIDs(1)
	h.offers = 0
	s = &suitetest.Script{In: hello}
	require.ErrorIs(t, p.Serve(s, h), suite.ErrKeyTaken)
	assert.Equal(t, answer("0\n501"), string(s.Sent()))
	assert.Equal(t, scp.MaxIDs, h.offers)
	assert.Equal(t, 1, h.established)
}

func TestNewSessionRefused(t *testing.T) {
	full := errors.New("full")
	for _, tt := range []struct {
		name string
		h    *host
		set  func(*scp.Protocol)
	}{
		{"host", &host{offerErr: full}, func(*scp.Protocol) {}},
		{"no room", &host{full: full}, func(p *scp.Protocol) { p.SetKeyError(errors.New("a key was made")) }},
		{"key", new(host), func(p *scp.Protocol) { p.SetKeyError(full) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cs, ss := suitetest.NewWire()
			server := protocol(t, scp.Options{})
			tt.set(server)
			served := make(chan error, 1)
			go func() { served <- server.Serve(ss, tt.h) }()
			_, _, err := protocol(t, scp.Options{}).Open(cs)
			require.ErrorIs(t, <-served, full)
			require.ErrorIs(t, err, scp.StatusError{Code: scp.StatusNetworkError})
			assert.Zero(t, tt.h.established)
		})
	}
}

// TestDegenerateKeys: the server does not even answer, and the client does not
// go on.
func TestDegenerateKeys(t *testing.T) {
	for _, key := range []uint64{0, 1, dh64.Prime - 1, dh64.Prime, math.MaxUint64} {
		h := new(host)
		s := &suitetest.Script{In: packet("0\n" + word(key))}
		err := protocol(t, scp.Options{}).Serve(s, h)
		require.ErrorIs(t, err, dh64.ErrDegenerateKey)
		require.ErrorIs(t, err, suite.ErrProtocol)
		assert.Empty(t, string(s.Sent()))
		assert.Zero(t, h.offers)

		s = &suitetest.Script{In: packet("7\n" + word(key))}
		_, _, err = protocol(t, scp.Options{}).Open(s)
		require.ErrorIs(t, err, dh64.ErrDegenerateKey)
	}
}

// TestAnswerLost: an answer that cannot be sent leaves no established session.
func TestAnswerLost(t *testing.T) {
	broken := errors.New("broken")
	h := new(host)
	s := &suitetest.Script{In: packet("0\n" + word(5)), WriteErr: broken}
	require.ErrorIs(t, protocol(t, scp.Options{}).Serve(s, h), broken)
	assert.Equal(t, 1, h.offers)
	assert.Zero(t, h.established)

	_, _, err := protocol(t, scp.Options{}).Open(s)
	require.ErrorIs(t, err, broken)
	_, err = scp.NewSession(1, 2).Resume(s, new(clientCore))
	require.ErrorIs(t, err, broken)
}

// TestCounters presets the counts around the places where 32 bits run over.
func TestCounters(t *testing.T) {
	const buffer = 4 << 20
	for _, around := range []int64{buffer, 1 << 31, 1 << 32, 1 << 33, 1 << 62} {
		for _, step := range []int64{-buffer, -2, -1, 0, 1, 2, buffer} {
			for _, missing := range []int64{0, 1, 2, 77, buffer} {
				sent := around + step
				if sent < missing {
					continue
				}
				x := newPair(
					t,
					suite.Offsets{Sent: sent, Received: sent - missing},
					suite.Offsets{Sent: sent, Received: sent - missing},
				)
				x.core.start = max(0, sent-buffer)
				x.target.start = max(0, sent-buffer)
				link, err := x.resume(t)
				require.NoError(t, err, "%d %d", sent, missing)
				want := suite.Offsets{Sent: suite.Unknown, Received: sent - missing}
				assert.Equal(t, want, link.Peer)
				assert.Equal(t, want, x.target.link.Peer)
			}
		}
	}
}

func TestPeerOffsets(t *testing.T) {
	for _, tt := range []struct {
		sent     int64
		received uint32
		want     int64
		ok       bool
	}{
		{0, 0, 0, true},
		{0, 1, 0, false},
		{5, 5, 5, true},
		{5, 6, 0, false},
		{1<<32 - 1, math.MaxUint32, 1<<32 - 1, true},
		{1 << 32, math.MaxUint32, 1<<32 - 1, true},
		{1 << 32, 0, 1 << 32, true},
		{1 << 32, 1, 1, true}, // 2^32-1 are missing: for Check to refuse
		{1<<33 + 3, 4, 1<<32 + 4, true},
		{math.MaxInt64, math.MaxUint32, math.MaxInt64, true},
		{math.MaxInt64, 0, math.MaxInt64 - math.MaxUint32, true},
	} {
		got, ok := scp.PeerOffsets(tt.sent, tt.received)
		assert.Equal(t, tt.ok, ok, "%v", tt)
		if ok {
			assert.Equal(t, suite.Offsets{Sent: suite.Unknown, Received: tt.want}, got, "%v", tt)
		}
	}
}

// TestGaps: whichever side misses what the other no longer has, nothing is
// taken over or the client ends.
func TestGaps(t *testing.T) {
	t.Run("client misses", func(t *testing.T) {
		x := newPair(t, suite.Offsets{Received: 10}, suite.Offsets{Sent: 100})
		x.target.start = 11
		_, err := x.resume(t)
		require.ErrorIs(t, err, suite.ErrReplayGap)
		require.ErrorIs(t, err, suite.ErrRefused)
		require.ErrorIs(t, err, scp.StatusError{Code: scp.StatusNotAcceptable})
		assert.Nil(t, x.target.link)
	})
	t.Run("client has too much", func(t *testing.T) {
		x := newPair(t, suite.Offsets{Received: 101}, suite.Offsets{Sent: 100})
		_, err := x.resume(t)
		require.ErrorIs(t, err, scp.StatusError{Code: scp.StatusNotAcceptable})
		assert.Nil(t, x.target.link)
	})
	t.Run("server misses", func(t *testing.T) {
		x := newPair(t, suite.Offsets{Sent: 100}, suite.Offsets{Received: 10})
		x.core.start = 11
		_, err := x.resume(t)
		require.ErrorIs(t, err, suite.ErrReplayGap)
	})
	t.Run("server has too much", func(t *testing.T) {
		x := newPair(t, suite.Offsets{Sent: 100}, suite.Offsets{Received: 101})
		_, err := x.resume(t)
		require.ErrorIs(t, err, suite.ErrProtocol)
		require.NotErrorIs(t, err, suite.ErrCounters, "no server says that: it is not final")
	})
}

// TestClearStream: nothing but the stream differs.
func TestClearStream(t *testing.T) {
	p := protocol(t, scp.Options{Cleartext: true, TargetServer: "t", Flag: 3})
	h := new(host)
	cs, ss := suitetest.NewWire()
	served := make(chan error, 1)
	go func() { served <- p.Serve(ss, h) }()
	client, _, err := p.Open(cs)
	require.NoError(t, err)
	require.NoError(t, <-served)
	var both []*scp.Session
	for _, s := range []suite.Session{client, h.offered.session} {
		b := []byte("as it is")
		s.Encrypt(b, b)
		assert.Equal(t, "as it is", string(b))
		s.Decrypt(b, b)
		assert.Equal(t, "as it is", string(b))
		own, ok := scp.SessionOf(s)
		require.True(t, ok)
		name, _ := own.Target()
		assert.Equal(t, "t", name)
		both = append(both, own)
	}
	assert.Equal(t, both[0].Secret(), both[1].Secret())
	assert.Equal(t, both[0].ID(), both[1].ID())

	x := newPair(t, suite.Offsets{}, suite.Offsets{})
	x.target.session = h.offered.session
	x.host.add(scp.SessionKeyOf(both[0]), x.target)
	cs, ss = suitetest.NewWire()
	go func() { served <- p.Serve(ss, x.host) }()
	_, err = client.Resume(cs, x.core)
	require.NoError(t, err)
	require.NoError(t, <-served)
	assert.EqualValues(t, 1, both[1].Index())

	_, ok := scp.SessionOf(nil)
	require.False(t, ok)
}

// TestVerdicts: each reason to refuse has its code.
func TestVerdicts(t *testing.T) {
	busy := errors.New("busy")
	for _, tt := range []struct {
		name  string
		set   func(*pair)
		code  int
		cause error
		final bool
	}{
		{"unknown", func(x *pair) { x.host.targets = nil }, scp.StatusUnknown, suite.ErrUnknownSession, true},
		{"code", func(x *pair) {
			x.target.session = scp.NewSession(testID, testSecret+1)
		}, scp.StatusUnauthorized, suite.ErrAuthentication, true},
		{"index", func(x *pair) { x.server.SetIndex(1) }, scp.StatusIndexUsed, suite.ErrAuthentication, false},
		{"gap", func(x *pair) { x.target.checkErr = suite.ErrReplayGap }, scp.StatusNotAcceptable, suite.ErrReplayGap, true},
		{"counters", func(x *pair) { x.target.checkErr = suite.ErrCounters }, scp.StatusNotAcceptable, suite.ErrCounters, true},
		{"finished", func(x *pair) { x.target.checkErr = suite.ErrFinished }, scp.StatusUnknown, suite.ErrFinished, true},
		{"busy", func(x *pair) { x.target.checkErr = busy }, scp.StatusNetworkError, busy, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := newPair(t, suite.Offsets{}, suite.Offsets{})
			tt.set(x)
			got, err := x.serve(x.request(t))
			require.ErrorIs(t, err, tt.cause)
			assert.Equal(t, answer(fmt.Sprintf("0\n%d", tt.code)), got)
			assert.Nil(t, x.target.link)
			if tt.code == scp.StatusUnauthorized || tt.code == scp.StatusIndexUsed {
				assert.Zero(t, x.target.seen, "judged before it was proved")
			}

			_, err = x.client.Resume(&suitetest.Script{In: []byte(got)}, x.core)
			var status scp.StatusError
			require.ErrorAs(t, err, &status)
			assert.Equal(t, tt.code, status.Code)
			assert.Equal(t, tt.final, errors.Is(err, suite.ErrRefused))
		})
	}
}

// A session that is not known may be another server's, and one with a wrong code too, whose
// id is the same by chance.
func TestPassedOn(t *testing.T) {
	for name, set := range map[string]func(*pair){
		"unknown": func(x *pair) { x.host.targets = nil },
		"code":    func(x *pair) { x.target.session = scp.NewSession(testID, testSecret+1) },
	} {
		t.Run(name, func(t *testing.T) {
			x := newPair(t, suite.Offsets{}, suite.Offsets{})
			set(x)
			x.host.passOn = suite.ErrPassedOn
			got, err := x.serve(x.request(t))
			require.Equal(t, suite.ErrPassedOn, err)
			require.Empty(t, got)
			require.Zero(t, x.target.seen)
		})
	}
}

func TestStatusError(t *testing.T) {
	final := map[int]bool{401: true, 404: true, 406: true}
	for code := range 1000 {
		err := fmt.Errorf("wrapped: %w", scp.StatusError{Code: code})
		assert.Equal(t, final[code], errors.Is(err, suite.ErrRefused), code)
		assert.Equal(t, code == 406, errors.Is(err, suite.ErrReplayGap), code)
		require.NotErrorIs(t, err, suite.ErrCounters)
		assert.Contains(t, err.Error(), scp.StatusError{Code: code}.Name())
	}
	// A code that no one has specified does not end the session, nor does one
	// that a client cannot make sense of.
	for _, code := range []string{"400", "403", "500", "501", "100", "999"} {
		_, err := scp.NewSession(1, 2).Resume(&suitetest.Script{In: packet("0\n" + code)}, new(clientCore))
		require.ErrorAs(t, err, new(scp.StatusError))
		require.NotErrorIs(t, err, suite.ErrRefused)
	}
}

// TestIndex: every attempt has an index of its own, and a server takes none
// twice and none below.
func TestIndex(t *testing.T) {
	x := newPair(t, suite.Offsets{}, suite.Offsets{})
	first := x.request(t) // never arrives
	second := x.request(t)
	third := x.request(t)
	assert.Equal(t, packetOf(1), first)
	assert.Equal(t, packetOf(2), second)
	assert.Equal(t, packetOf(3), third)

	got, err := x.serve(second) // its answer is lost
	require.NoError(t, err)
	assert.Equal(t, answer("0\n200"), got)
	assert.EqualValues(t, 2, x.target.epoch)
	for _, old := range [][]byte{first, second, second} {
		got, err = x.serve(old)
		require.ErrorIs(t, err, suite.ErrAuthentication)
		assert.Equal(t, answer("0\n403"), got)
	}
	assert.EqualValues(t, 2, x.target.epoch, "an old request has moved the session")

	_, err = x.resume(t) // index 4
	require.NoError(t, err)
	got, _ = x.serve(third)
	assert.Equal(t, answer("0\n403"), got)
	assert.EqualValues(t, 4, x.server.Index())

	// Index 0 is never above another.
	got, _ = newPair(t, suite.Offsets{}, suite.Offsets{}).serve(packetOf(0))
	assert.Equal(t, answer("0\n403"), got)

	// After a 403 the client's next attempt is the next higher one.
	x.server.SetIndex(6)
	for range 2 {
		_, err = x.resume(t)
		require.ErrorIs(t, err, scp.StatusError{Code: scp.StatusIndexUsed})
	}
	_, err = x.resume(t)
	require.NoError(t, err)

	// No index ends the session.
	x.client.SetIndex(1 << 40)
	_, err = x.resume(t)
	require.NoError(t, err)
	got, err = x.serve(packetOf(math.MaxInt64))
	require.NoError(t, err)
	assert.Equal(t, answer("0\n200"), got)
}

func packetOf(index int64) []byte { return scp.SignResume(testID, index, 0, testSecret) }

// TestIndexUsed: an index counts as used once its code is right, even where the
// attempt failed; and not before.
func TestIndexUsed(t *testing.T) {
	x := newPair(t, suite.Offsets{}, suite.Offsets{})
	request := x.request(t)
	_, err := x.serve(scp.SignResume(testID, 1, 0, testSecret+1))
	require.ErrorIs(t, err, suite.ErrAuthentication)
	assert.Zero(t, x.server.Index())

	x.target.checkErr = errors.New("busy")
	got, _ := x.serve(request)
	assert.Equal(t, answer("0\n501"), got)
	x.target.checkErr = nil
	got, _ = x.serve(request)
	assert.Equal(t, answer("0\n403"), got)
	_, err = x.resume(t)
	require.NoError(t, err)

	// The server's answer broke off.
	s := &suitetest.Script{In: x.request(t), WriteErr: io.ErrClosedPipe}
	require.ErrorIs(t, x.p.Serve(s, x.host), io.ErrClosedPipe)
	assert.EqualValues(t, 2, x.target.epoch, "the session moved without an answer")
	_, err = x.resume(t)
	require.NoError(t, err)
}

// TestRace: of many servers' goroutines with the same request one takes the
// index, and of many attempts every one has its own.
func TestRace(t *testing.T) {
	x := newPair(t, suite.Offsets{}, suite.Offsets{})
	request := x.request(t)
	var (
		group sync.WaitGroup
		mu    sync.Mutex
		won   int
	)
	seen := make(map[string]bool)
	for range 16 {
		group.Go(func() {
			s := &suitetest.Script{In: request}
			err := x.p.Serve(s, x.host)
			mine := new(suitetest.Script)
			_, _ = x.client.Resume(mine, x.core)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won++
			}
			assert.False(t, seen[string(mine.Sent())])
			seen[string(mine.Sent())] = true
		})
	}
	group.Wait()
	assert.Equal(t, 1, won)
	assert.EqualValues(t, 17, x.client.Index())
}

// TestSuperseded: two valid resumes at once; the one that comes late closes.
func TestSuperseded(t *testing.T) {
	x := newPair(t, suite.Offsets{}, suite.Offsets{})
	cs, ss := suitetest.NewWire()
	claimed, goOn := make(chan struct{}), make(chan struct{})
	ss.Mangle = func(_ int, b []byte) ([]byte, bool) { // the server has its claim
		close(claimed)
		<-goOn
		return b, true
	}
	late := x.request(t)
	served := make(chan error, 1)
	go func() { served <- x.p.Serve(ss, x.host) }()
	_, err := cs.Write(late)
	require.NoError(t, err)
	<-claimed
	_, err = x.resume(t)
	require.NoError(t, err)
	close(goOn)
	_, err = cs.Next(len(answer("0\n200")))
	require.NoError(t, err)
	require.ErrorIs(t, <-served, suite.ErrSuperseded)
	assert.EqualValues(t, 2, x.target.epoch)
}

// TestTruncated cuts every message after every byte: a clean error, nothing
// established, and the next attempt works.
func TestTruncated(t *testing.T) {
	x := newPair(t, suite.Offsets{Sent: 5, Received: 7}, suite.Offsets{Sent: 9, Received: 3})
	request := x.request(t)
	for n := range request {
		got, err := x.serve(request[:n])
		checkCut(t, n, err)
		assert.Empty(t, got)
		assert.Zero(t, x.target.seen)
	}
	hello := packet("0\n" + word(5) + "\ntarget\n1")
	for n := range hello {
		got, err := x.serve(hello[:n])
		checkCut(t, n, err)
		assert.Empty(t, got)
		assert.Zero(t, x.host.offers)
	}
	welcome := packet("7\n" + word(5))
	for n := range welcome {
		_, _, err := x.p.Open(&suitetest.Script{In: welcome[:n]})
		checkCut(t, n, err)
	}
	verdict := packet("3\n200")
	for n := range verdict {
		_, err := x.client.Resume(&suitetest.Script{In: verdict[:n]}, x.core)
		checkCut(t, n, err)
		require.NotErrorIs(t, err, suite.ErrRefused)
	}
	_, err := x.resume(t)
	require.NoError(t, err)
}

func checkCut(t *testing.T, n int, err error) {
	t.Helper()
	if n == 0 {
		require.ErrorIs(t, err, io.EOF)
		return
	}
	require.ErrorIs(t, err, io.ErrUnexpectedEOF, "after %d bytes", n)
}

// TestBitFlips: a resume request with any bit changed moves nothing and uses no
// index up.
func TestBitFlips(t *testing.T) {
	x := newPair(t, suite.Offsets{Sent: 5, Received: 7}, suite.Offsets{Sent: 9, Received: 3})
	request := x.request(t)
	for i := range len(request) * 8 {
		changed := append([]byte(nil), request...)
		changed[i/8] ^= 1 << (i % 8)
		_, err := x.serve(changed)
		require.Error(t, err, "bit %d", i)
	}
	assert.Zero(t, x.target.seen)
	assert.Zero(t, x.server.Index())
	_, err := x.serve(request)
	require.NoError(t, err)

	// Nothing protects the other messages, so a changed one may pass for
	// another; it must do no harm.
	for _, msg := range [][]byte{packet("0\n" + word(5) + "\nab\n1"), packet("7\n" + word(5)), packet("3\n200")} {
		for i := range len(msg) * 8 {
			changed := append([]byte(nil), msg...)
			changed[i/8] ^= 1 << (i % 8)
			h := new(host)
			if x.p.Serve(&suitetest.Script{In: changed}, h) == nil {
				assert.Equal(t, 1, h.established)
			}
			if s, _, err := x.p.Open(&suitetest.Script{In: changed}); err == nil {
				assert.NotEqual(t, "0", s.ID())
			}
			if link, err := x.client.Resume(&suitetest.Script{In: changed}, x.core); err == nil {
				require.NoError(t, x.core.Check(link.Peer))
			}
		}
	}
}

// TestMessageBehindCode: the published description has a message, and our
// client takes it.
func TestMessageBehindCode(t *testing.T) {
	x := newPair(t, suite.Offsets{}, suite.Offsets{})
	for _, line := range []string{"200", "200 OK", "200 ", "200 a b  c"} {
		_, err := x.client.Resume(&suitetest.Script{In: packet("0\n" + line)}, x.core)
		require.NoError(t, err, "%q", line)
	}
	_, err := x.client.Resume(&suitetest.Script{In: packet("0\n404 Not Found")}, x.core)
	require.ErrorIs(t, err, suite.ErrRefused)
	_, _, err = x.p.Open(&suitetest.Script{In: packet("0\n501 busy")})
	require.ErrorIs(t, err, scp.StatusError{Code: 501})
}

// TestBehindHandshake: what follows a packet is the stream's, not the
// handshake's.
func TestBehindHandshake(t *testing.T) {
	x := newPair(t, suite.Offsets{}, suite.Offsets{})
	request := x.request(t)
	s := &suitetest.Script{In: append(request, "stream"...)}
	require.NoError(t, x.p.Serve(s, x.host))
	assert.Equal(t, "stream", string(s.In))
	s = &suitetest.Script{In: append(packet("0\n200"), "stream"...)}
	_, err := x.client.Resume(s, x.core)
	require.NoError(t, err)
	assert.Equal(t, "stream", string(s.In))
}
