package relink_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// A rig is a network with a listener, a session, and all events of both sides.
type rig struct {
	t      *testing.T
	net    *faultnet.Network
	inner  *faultnet.Listener
	l      *relink.Listener
	dialer *relink.Dialer
	wrap   func(net.Listener) net.Listener // nil, or what lies between inner and l

	client, server *relink.Conn
	clientEvents   *eventLog
	serverEvents   *eventLog
}

// A rigOption changes a rig before it is put up.
type rigOption func(r *rig, server *relink.ListenConfig)

// withBoth changes what both sides have.
func withBoth(f func(*relink.Config)) rigOption {
	return func(r *rig, server *relink.ListenConfig) {
		f(&r.dialer.Config)
		f(&server.Config)
	}
}

func withClient(f func(*relink.Dialer)) rigOption {
	return func(r *rig, _ *relink.ListenConfig) { f(r.dialer) }
}

func withServer(f func(*relink.ListenConfig)) rigOption {
	return func(_ *rig, server *relink.ListenConfig) { f(server) }
}

func withPath(o faultnet.Options) rigOption {
	return func(r *rig, _ *relink.ListenConfig) { r.net.SetOptions(o) }
}

// newRig opens a session in the bubble of the caller.
func newRig(t *testing.T, s testSuite, options ...rigOption) *rig {
	t.Helper()
	r := &rig{t: t, net: faultnet.New(), clientEvents: new(eventLog), serverEvents: new(eventLog)}
	cfg := relink.ListenConfig{Suites: []relink.ServerSuite{s}}
	r.dialer = &relink.Dialer{Suite: s, DialTransport: r.net.Dial}
	r.dialer.OnEvent = r.clientEvents.add
	cfg.OnEvent = r.serverEvents.add
	for _, o := range options {
		o(r, &cfg)
	}
	r.inner = r.net.Listen()
	var err error
	inner := net.Listener(r.inner)
	if r.wrap != nil {
		inner = r.wrap(inner)
	}
	r.l, err = relink.NewListener(inner, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = r.l.Close() })
	r.client, r.server = r.open()
	return r
}

// open opens one more session.
func (r *rig) open() (client, server *relink.Conn) {
	r.t.Helper()
	client, err := r.dialer.DialConn(context.Background(), "tcp", "server")
	require.NoError(r.t, err)
	server, err = r.l.AcceptConn()
	require.NoError(r.t, err)
	// A test that fails says so only if nothing is left in its bubble.
	r.t.Cleanup(func() { _, _ = client.Abort(), server.Abort() })
	return client, server
}

// ends returns both ends, for tests that hold for either.
func (r *rig) ends() map[string]*relink.Conn {
	return map[string]*relink.Conn{"client": r.client, "server": r.server}
}

// suspend takes the network away and waits until both sides have noticed.
func (r *rig) suspend(down faultnet.DownKind, k faultnet.Kind) {
	r.t.Helper()
	r.net.SetDown(down)
	r.net.Last().Cut(k)
	// A server looks at its transport only when the application does, so that it
	// must be made to.
	for _, c := range r.ends() {
		_ = c.SetReadDeadline(time.Now().Add(time.Nanosecond))
		_, _ = c.Read(make([]byte, 1))
		_ = c.SetReadDeadline(time.Time{})
		requireSuspended(r.t, c)
	}
}

// requireSuspended requires a session without a transport. A client may be just
// trying to get one.
func requireSuspended(t testing.TB, c *relink.Conn) {
	t.Helper()
	require.Contains(t, []relink.State{relink.StateSuspended, relink.StateResuming}, c.State())
}

// stop ends everything. Whatever goroutine is left after it makes the bubble
// fail.
func (r *rig) stop() {
	_ = r.client.Abort()
	_ = r.server.Abort()
	_ = r.l.Close()
}

// exchange proves that both directions work and are exact.
func (r *rig) exchange(n int) {
	r.t.Helper()
	requireExchange(r.t, r.client, r.server, n)
}

func requireExchange(t *testing.T, a, b net.Conn, n int) {
	t.Helper()
	for _, ends := range [][2]net.Conn{{a, b}, {b, a}} {
		data := rigData(n)
		sent := make(chan error, 1)
		go func() {
			_, err := ends[0].Write(data)
			sent <- err
		}()
		got := make([]byte, n)
		_, err := io.ReadFull(ends[1], got)
		require.NoError(t, err)
		require.NoError(t, <-sent)
		require.Equal(t, sha256.Sum256(data), sha256.Sum256(got))
	}
}

// rigData returns n bytes that tell a place from those nearby.
func rigData(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16*7)
	}
	return b
}

// inBubble runs a test for every suite in a bubble of its own.
func inBubble(t *testing.T, f func(t *testing.T, s testSuite)) {
	forEachSuite(t, func(t *testing.T, s testSuite) {
		synctest.Test(t, func(t *testing.T) { f(t, s) })
	})
}

// requireInstant runs f and requires that no time of the bubble passes.
func requireInstant(t *testing.T, f func()) {
	t.Helper()
	before := time.Now()
	f()
	require.Zero(t, time.Since(before))
}

// An eventLog collects events.
type eventLog struct {
	mu     sync.Mutex
	events []relink.Event
}

func (l *eventLog) add(e relink.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
}

// all returns the events so far, of those kinds if any are given. It waits for
// what is being delivered.
func (l *eventLog) all(kinds ...relink.EventKind) []relink.Event {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []relink.Event
	for _, e := range l.events {
		for _, k := range kinds {
			if e.Kind == k {
				found = append(found, e)
			}
		}
		if len(kinds) == 0 {
			found = append(found, e)
		}
	}
	return found
}

// kinds returns the kinds of the events so far.
func (l *eventLog) kinds() []relink.EventKind {
	var kinds []relink.EventKind
	for _, e := range l.all() {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

// errors returns what the events so far have as reasons.
func (l *eventLog) errors() []error {
	var errs []error
	for _, e := range l.all() {
		errs = append(errs, e.Err)
	}
	return errs
}

// linksOf returns how many links a session has had.
func linksOf(c *relink.Conn) int64 { return 1 + c.Stats().Resumes }

// live returns how many sessions the listener has that have not ended.
func live(l *relink.Listener) int {
	s := l.Stats()
	return s.Connected + s.Suspended
}

// unfinished returns how many handshakes and provisional sessions the listener has.
func unfinished(l *relink.Listener) [2]int {
	s := l.Stats()
	return [2]int{s.Handshakes, s.Provisional}
}

// holdings count what a listener holds.
type holdings struct{ live, provisional, handshakes, suspended int }

func holdingsOf(l *relink.Listener) holdings {
	s := l.Stats()
	return holdings{live(l), s.Provisional, s.Handshakes, s.Suspended}
}

// isInternal reports whether the library found a fault of its own, or of a callback.
func isInternal(err error) bool {
	return err != nil && strings.Contains(err.Error(), "relink: internal error")
}

// requireTimeout requires what net.Conn has for a deadline.
func requireTimeout(t *testing.T, err error) {
	t.Helper()
	var ne net.Error
	require.ErrorAs(t, err, &ne)
	require.True(t, ne.Timeout())
	require.ErrorIs(t, err, errDeadline)
}

// An outcome is what a Read, Write or Dial in the background has returned.
type outcome struct {
	n   int
	err error
	at  time.Time
}

// background calls f in a goroutine.
func background(f func() (int, error)) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		n, err := f()
		done <- outcome{n, err, time.Now()}
	}()
	return done
}

// stillBlocked requires that nothing has come, with everything else at rest.
func stillBlocked(t *testing.T, done <-chan outcome) {
	t.Helper()
	synctest.Wait()
	select {
	case o := <-done:
		require.Failf(t, "returned early", "%d, %v", o.n, o.err)
	default:
	}
}

// isLoss reports whether err is a typed end of a session, which is neither a
// deadline nor a local Close.
func isLoss(err error) bool {
	lost := errors.Is(err, relink.ErrSessionLost) || errors.Is(err, relink.ErrExpired) ||
		errors.Is(err, relink.ErrReplayGap) || errors.Is(err, relink.ErrCounters)
	return lost && !errors.Is(err, net.ErrClosed) && !errors.Is(err, errDeadline)
}

var (
	errDeadline = os.ErrDeadlineExceeded
	errClosed   = net.ErrClosed
)
