package conntest

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
func strideOf(s Suite) int64 {
	if everything || !strings.HasPrefix(s.String(), "Noise") {
		return 1
	}
	return 17
}

// directions are those of a path.
var directions = []faultnet.Dir{faultnet.Up, faultnet.Down}

// A Scene is a listener and a dialer on a network that fails on command, and
// the two sides of the session between them.
type Scene struct {
	T        testing.TB
	Net      *faultnet.Network
	Listener *relink.Listener
	dialer   *relink.Dialer
	Client   *Side
	Server   *Side
}

// InScene runs f in a bubble with an open session, then ends the session and
// holds the library to leaving nothing behind.
func InScene(t *testing.T, s Suite, cfg Setup, o faultnet.Options, f func(sc *Scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		sc := NewScene(t, s, cfg, o)
		sc.open()
		f(sc)
		sc.end()
	})
}

// NewScene returns a scene without a session.
func NewScene(t testing.TB, s Suite, cfg Setup, o faultnet.Options) *Scene {
	n := faultnet.New()
	n.SetOptions(o)
	sc := newSceneOn(t, s, cfg, n.Listen(), n.Dial)
	sc.Net = n
	t.Cleanup(func() {
		for _, p := range n.Paths() {
			p.Cut(faultnet.ResetNow)
		}
	})
	return sc
}

// newSceneOn returns a scene without a session on any kind of transport.
func newSceneOn(t testing.TB, s Suite, cfg Setup, inner net.Listener, dial func(context.Context, string, string) (net.Conn, error)) *Scene {
	sc := &Scene{T: t}
	sc.Client = &Side{t: t, name: "client", salt: clientSalt, peerSalt: serverSalt}
	sc.Server = &Side{t: t, name: "server", salt: serverSalt, peerSalt: clientSalt}
	serverCfg := cfg.listener(s)
	serverCfg.OnEvent = sc.Server.Events.add
	l, err := relink.NewListener(inner, serverCfg)
	require.NoError(t, err)
	sc.Listener = l
	cfg.OnEvent = sc.Client.Events.add
	sc.dialer = cfg.dialer(s, dial)
	// A bubble cannot end before its goroutines have, also after a failure.
	t.Cleanup(func() {
		for _, e := range []*Side{sc.Client, sc.Server} {
			if e.Conn != nil {
				_ = e.Abort()
			}
		}
		_ = l.Close()
	})
	return sc
}

// open opens the session.
func (sc *Scene) open() {
	sc.T.Helper()
	c, err := sc.dialer.DialConn(context.Background(), "tcp", "server")
	require.NoError(sc.T, err)
	sc.Client.Conn = c
	sc.Server.Conn, err = sc.Listener.AcceptConn()
	require.NoError(sc.T, err)
	require.Equal(sc.T, c.ID(), sc.Server.ID())
}

// end closes both sides and requires that nothing is left of them.
func (sc *Scene) end() {
	sc.T.Helper()
	for _, e := range []*Side{sc.Client, sc.Server} {
		require.NoError(sc.T, e.Close())
	}
	for _, e := range []*Side{sc.Client, sc.Server} {
		e.awaitDone()
	}
	require.NoError(sc.T, sc.Listener.Close())
	requireNothingLeft(sc.T)
}

// label says, after a failure, which of many like it this scene was.
func (sc *Scene) label(format string, a ...any) {
	sc.T.Cleanup(func() {
		if sc.T.Failed() {
			sc.T.Logf(format, a...)
		}
	})
}

// ReplayBoth makes each side write n bytes that the current transport takes and
// never delivers, and cuts it.
func (sc *Scene) ReplayBoth(n int, k faultnet.Kind) {
	sc.T.Helper()
	sc.replayBothAfter(sc.Net.Last(), n, k)
}

// replayBothAfter is replayBoth where the session's transport is not the newest
// of the network.
func (sc *Scene) replayBothAfter(p *faultnet.Path, n int, k faultnet.Kind) {
	sc.T.Helper()
	p.Stall(faultnet.Up)
	p.Stall(faultnet.Down)
	sc.Client.Send(n)
	sc.Server.Send(n)
	synctest.Wait()
	p.Cut(k)
}

// Echo sends bytes both ways and requires that they arrive within the time.
func (sc *Scene) Echo(n int, within time.Duration) {
	sc.T.Helper()
	for _, e := range []*Side{sc.Client, sc.Server} {
		require.NoError(sc.T, e.SetDeadline(time.Now().Add(within)))
	}
	done := sc.Client.writing(n)
	sc.Server.Receive(n)
	<-done
	done = sc.Server.writing(n)
	sc.Client.Receive(n)
	<-done
	for _, e := range []*Side{sc.Client, sc.Server} {
		require.NoError(sc.T, e.SetDeadline(time.Time{}))
	}
}

// NothingMore requires that neither side has a byte to read.
func (sc *Scene) NothingMore() {
	sc.T.Helper()
	for _, e := range []*Side{sc.Client, sc.Server} {
		require.NoError(sc.T, e.SetReadDeadline(time.Now().Add(time.Second)))
		n, err := e.Read(make([]byte, 64))
		require.ErrorIs(sc.T, err, os.ErrDeadlineExceeded, "%s", e.name)
		require.Zero(sc.T, n, "%s: bytes that nobody has sent", e.name)
		require.NoError(sc.T, e.SetReadDeadline(time.Time{}))
	}
}

// A Side is one end of a session and its place in the two streams, whose bytes
// depend on their offsets, so that one that is lost, repeated or moved shows.
type Side struct {
	*relink.Conn

	t              testing.TB
	name           string
	salt, peerSalt byte
	sent, got      int64
	Events         EventLog
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

// Send writes the next n bytes of this side's stream.
func (e *Side) Send(n int) {
	e.t.Helper()
	k, err := e.Write(streamOf(e.salt, e.sent, n))
	e.sent += int64(k)
	require.NoError(e.t, err, "%s: Write at offset %d", e.name, e.sent)
}

// writing is write in a goroutine of its own, as unbuffered paths need it. The
// channel is closed at the end, also after a failure.
func (e *Side) writing(n int) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.Send(n)
	}()
	return done
}

// reading is read in a goroutine of its own.
func (e *Side) reading(n int) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.Receive(n)
	}()
	return done
}

// fill writes until the deadline stops it, and returns how much was taken.
func (e *Side) fill(within time.Duration) int64 {
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

// Receive reads the next n bytes of the peer's stream.
func (e *Side) Receive(n int) {
	e.t.Helper()
	b := make([]byte, n)
	k, err := io.ReadFull(e.Conn, b)
	e.check(b[:k])
	require.NoError(e.t, err, "%s: Read at offset %d", e.name, e.got)
}

// readAll reads to the end of the stream and returns how it ended.
func (e *Side) readAll() error {
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
func (e *Side) check(b []byte) {
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
func (e *Side) awaitDone() {
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
func relayed(t *testing.T, s Suite, cfg Setup) (*Scene, *faultnet.Relay) {
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
func inBubbleScene(t *testing.T, s Suite, cfg Setup, f func(sc *Scene)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(NewScene(t, s, cfg, faultnet.Options{})) })
}
