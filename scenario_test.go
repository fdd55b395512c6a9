package relink_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// everything makes the tests that sample a space run through all of it. It
// takes minutes: RELINK_EXHAUSTIVE=1 go test -run 'TestExhaustive' -timeout 1h .
var everything = os.Getenv("RELINK_EXHAUSTIVE") == "1"

// losses are the cuts that both ends hear of.
var losses = []faultnet.Kind{faultnet.Reset, faultnet.ResetNow, faultnet.End}

// holes are the cuts that nobody hears of. On a wire without pings they show
// in memory only when the application reports a change of network.
var holes = []faultnet.Kind{faultnet.BlackHole, faultnet.BlackHoleUp, faultnet.BlackHoleDown}

// cutsAt returns the kinds of cut to make at an offset: all of them, or, where
// that would take too long, one that changes from offset to offset.
func cutsAt(off int64) []faultnet.Kind {
	all := append(append([]faultnet.Kind(nil), losses...), holes...)
	if everything || off < 0 {
		return all
	}
	i := int(off) % len(all)
	return all[i : i+1]
}

// strideOf returns by how much a sweep over positions goes forward. Under the
// race detector a handshake of Noise costs fifty times one of the others. The
// number has no divisor in common with that of the kinds of cut.
func strideOf(s testSuite) int64 {
	if everything || !strings.HasPrefix(s.String(), "Noise") {
		return 1
	}
	return 17
}

// directions are those of a path.
var directions = []faultnet.Dir{faultnet.Up, faultnet.Down}

// A scene is a listener and a dialer on a network that fails on command, and
// the two sides of the session between them.
type scene struct {
	t        testing.TB
	net      *faultnet.Network
	listener *relink.Listener
	dialer   *relink.Dialer
	client   *side
	server   *side
}

// inScene runs f in a bubble with an open session, then ends the session and
// holds the library to leaving nothing behind.
func inScene(t *testing.T, s testSuite, cfg setup, o faultnet.Options, f func(sc *scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		sc := newScene(t, s, cfg, o)
		sc.open()
		f(sc)
		sc.end()
	})
}

// newScene returns a scene without a session.
func newScene(t testing.TB, s testSuite, cfg setup, o faultnet.Options) *scene {
	n := faultnet.New()
	n.SetOptions(o)
	sc := newSceneOn(t, s, cfg, n.Listen(), n.Dial)
	sc.net = n
	t.Cleanup(func() {
		for _, p := range n.Paths() {
			p.Cut(faultnet.ResetNow)
		}
	})
	return sc
}

// newSceneOn returns a scene without a session on any kind of transport.
func newSceneOn(t testing.TB, s testSuite, cfg setup, inner net.Listener, dial func(context.Context, string, string) (net.Conn, error)) *scene {
	sc := &scene{t: t}
	sc.client = &side{t: t, name: "client", salt: clientSalt, peerSalt: serverSalt}
	sc.server = &side{t: t, name: "server", salt: serverSalt, peerSalt: clientSalt}
	serverCfg := cfg.listener(s)
	serverCfg.OnEvent = sc.server.events.add
	l, err := relink.NewListener(inner, serverCfg)
	require.NoError(t, err)
	sc.listener = l
	cfg.OnEvent = sc.client.events.add
	sc.dialer = cfg.dialer(s, dial)
	// A bubble cannot end before its goroutines have, also after a failure.
	t.Cleanup(func() {
		for _, e := range []*side{sc.client, sc.server} {
			if e.Conn != nil {
				_ = e.Abort()
			}
		}
		_ = l.Close()
	})
	return sc
}

// open opens the session.
func (sc *scene) open() {
	sc.t.Helper()
	c, err := sc.dialer.DialConn(context.Background(), "tcp", "server")
	require.NoError(sc.t, err)
	sc.client.Conn = c
	sc.server.Conn, err = sc.listener.AcceptConn()
	require.NoError(sc.t, err)
	require.Equal(sc.t, c.ID(), sc.server.ID())
}

// end closes both sides and requires that nothing is left of them.
func (sc *scene) end() {
	sc.t.Helper()
	for _, e := range []*side{sc.client, sc.server} {
		require.NoError(sc.t, e.Close())
	}
	for _, e := range []*side{sc.client, sc.server} {
		e.awaitDone()
	}
	require.NoError(sc.t, sc.listener.Close())
	requireNothingLeft(sc.t)
}

// label says, after a failure, which of many like it this scene was.
func (sc *scene) label(format string, a ...any) {
	sc.t.Cleanup(func() {
		if sc.t.Failed() {
			sc.t.Logf(format, a...)
		}
	})
}

// replayBoth makes each side write n bytes that the current transport takes and
// never delivers, and cuts it.
func (sc *scene) replayBoth(n int, k faultnet.Kind) {
	sc.t.Helper()
	sc.replayBothAfter(sc.net.Last(), n, k)
}

// replayBothAfter is replayBoth where the session's transport is not the newest
// of the network.
func (sc *scene) replayBothAfter(p *faultnet.Path, n int, k faultnet.Kind) {
	sc.t.Helper()
	p.Stall(faultnet.Up)
	p.Stall(faultnet.Down)
	sc.client.write(n)
	sc.server.write(n)
	synctest.Wait()
	p.Cut(k)
}

// echo sends bytes both ways and requires that they arrive within the time.
func (sc *scene) echo(n int, within time.Duration) {
	sc.t.Helper()
	for _, e := range []*side{sc.client, sc.server} {
		require.NoError(sc.t, e.SetDeadline(time.Now().Add(within)))
	}
	done := sc.client.writing(n)
	sc.server.read(n)
	<-done
	done = sc.server.writing(n)
	sc.client.read(n)
	<-done
	for _, e := range []*side{sc.client, sc.server} {
		require.NoError(sc.t, e.SetDeadline(time.Time{}))
	}
}

// nothingMore requires that neither side has a byte to read.
func (sc *scene) nothingMore() {
	sc.t.Helper()
	for _, e := range []*side{sc.client, sc.server} {
		require.NoError(sc.t, e.SetReadDeadline(time.Now().Add(time.Second)))
		n, err := e.Read(make([]byte, 64))
		require.ErrorIs(sc.t, err, os.ErrDeadlineExceeded, "%s", e.name)
		require.Zero(sc.t, n, "%s: bytes that nobody has sent", e.name)
		require.NoError(sc.t, e.SetReadDeadline(time.Time{}))
	}
}

// A side is one end of a session and its place in the two streams, whose bytes
// depend on their offsets, so that one that is lost, repeated or moved shows.
type side struct {
	*relink.Conn

	t              testing.TB
	name           string
	salt, peerSalt byte
	sent, got      int64
	events         eventLog
}

// The salts of the two streams.
const clientSalt, serverSalt = 0x5a, 0xa5

// tapes are the beginnings of the two streams, by salt.
var tapes = sync.OnceValue(func() map[byte][]byte {
	m := make(map[byte][]byte)
	for _, salt := range []byte{clientSalt, serverSalt} {
		b := make([]byte, 1<<20)
		for i := range b {
			x := (uint64(i) + 1) * 0x9e3779b97f4a7c15
			b[i] = byte(x>>56) ^ byte(x>>31) ^ salt
		}
		m[salt] = b
	}
	return m
})

// streamOf returns n bytes of a stream from the offset on.
func streamOf(salt byte, off int64, n int) []byte { return tapes()[salt][off : off+int64(n)] }

// write writes the next n bytes of this side's stream.
func (e *side) write(n int) {
	e.t.Helper()
	k, err := e.Write(streamOf(e.salt, e.sent, n))
	e.sent += int64(k)
	require.NoError(e.t, err, "%s: Write at offset %d", e.name, e.sent)
}

// writing is write in a goroutine of its own, as unbuffered paths need it. The
// channel is closed at the end, also after a failure.
func (e *side) writing(n int) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.write(n)
	}()
	return done
}

// reading is read in a goroutine of its own.
func (e *side) reading(n int) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.read(n)
	}()
	return done
}

// fill writes until the deadline stops it, and returns how much was taken.
func (e *side) fill(within time.Duration) int64 {
	e.t.Helper()
	start := e.sent
	require.NoError(e.t, e.SetWriteDeadline(time.Now().Add(within)))
	for {
		k, err := e.Write(streamOf(e.salt, e.sent, 4096))
		e.sent += int64(k)
		if err != nil {
			require.ErrorIs(e.t, err, os.ErrDeadlineExceeded, "%s", e.name)
			require.NoError(e.t, e.SetWriteDeadline(time.Time{}))
			return e.sent - start
		}
	}
}

// read reads the next n bytes of the peer's stream.
func (e *side) read(n int) {
	e.t.Helper()
	b := make([]byte, n)
	k, err := io.ReadFull(e.Conn, b)
	e.check(b[:k])
	require.NoError(e.t, err, "%s: Read at offset %d", e.name, e.got)
}

// readAll reads to the end of the stream and returns how it ended.
func (e *side) readAll() error {
	e.t.Helper()
	b := make([]byte, 512)
	for {
		n, err := e.Read(b)
		e.check(b[:n])
		if err != nil {
			return err
		}
	}
}

// check requires that b is what the peer's stream has next.
func (e *side) check(b []byte) {
	e.t.Helper()
	want := streamOf(e.peerSalt, e.got, len(b))
	if !bytes.Equal(b, want) {
		i := 0
		for b[i] == want[i] {
			i++
		}
		is := "what belongs nowhere nearby"
		if at := bytes.Index(streamOf(e.peerSalt, 0, 1<<20), b[i:min(i+16, len(b))]); at >= 0 {
			is = fmt.Sprintf("what belongs at offset %d", at)
		}
		require.FailNow(e.t, "the stream differs", "%s: at offset %d, byte %d of %d of this Read, is %s", e.name, e.got+int64(i), i, len(b), is)
	}
	e.got += int64(len(b))
}

// awaitDone requires that the session ends.
func (e *side) awaitDone() {
	e.t.Helper()
	timer := time.NewTimer(time.Minute)
	defer timer.Stop()
	select {
	case <-e.Done():
	case <-timer.C:
		require.FailNow(e.t, "the session does not end", "%s: %v", e.name, e.Conn)
	}
}

// bubbleName is how a stack trace names the bubble of a goroutine.
var bubbleName = regexp.MustCompile(`^goroutine \d+ .*(synctest bubble \d+)`)

// requireNothingLeft requires that no goroutine of this bubble is in the
// library. One that is blocked for good would keep the bubble from ending, but
// one that waits for a timer would not.
func requireNothingLeft(t testing.TB) {
	t.Helper()
	time.Sleep(200 * time.Millisecond) // the listener's sweeper looks after two ticks at the latest
	synctest.Wait()
	buf := make([]byte, 256<<10)
	all := strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")
	own := bubbleName.FindStringSubmatch(all[0])
	require.NotNil(t, own, "not in a bubble")
	for _, g := range all[1:] {
		m := bubbleName.FindStringSubmatch(g)
		if m != nil && m[1] == own[1] && strings.Contains(g, "github.com/relink-go/relink.(") {
			require.FailNow(t, "a goroutine is left", "%s", g)
		}
	}
}

// isTyped reports whether an error is one that errors.Is can tell from others,
// of the kind that a failed handshake may end in.
func isTyped(err error) bool {
	for _, e := range []error{
		relink.ErrSuperseded, relink.ErrAuthentication, relink.ErrUnknownSession, relink.ErrHandshakeTimeout,
		relink.ErrProtocol, relink.ErrReplayGap, relink.ErrCounters, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	var op *net.OpError
	return errors.As(err, &op)
}

// relayed opens a session over TCP through a relay that fails on command. It is
// for what a kernel does and a path in memory does not.
func relayed(t *testing.T, s testSuite, cfg setup) (*scene, *faultnet.Relay) {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	relay, err := faultnet.NewRelay(inner.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = relay.Close() })
	sc := newSceneOn(t, s, cfg, inner, func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, relay.Addr())
	})
	sc.open()
	return sc, relay
}

// inBubbleScene runs f in a bubble with a listener and a dialer and no session.
func inBubbleScene(t *testing.T, s testSuite, cfg setup, f func(sc *scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(newScene(t, s, cfg, faultnet.Options{})) })
}
