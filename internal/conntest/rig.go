package conntest

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"os"
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

// LibraryGoroutines returns the stacks of the library's own goroutines that
// belong to sessions.
func LibraryGoroutines() []string {
	b := make([]byte, 1<<20)
	var found []string
	for _, g := range strings.Split(string(b[:runtime.Stack(b, true)]), "\n\n") {
		_, by, ok := strings.Cut(g, "created by github.com/relink-go/relink.")
		if ok && !strings.HasPrefix(by, "(*Listener).addLocked") {
			found = append(found, g)
		}
	}
	return found
}

// HeapNow returns the bytes of living heap.
func HeapNow() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// InAckBubble runs a test in a bubble of its own for every suite with
// acknowledgements.
func InAckBubble(t *testing.T, f func(t *testing.T, s Suite)) {
	t.Helper()
	for _, s := range ackSuites {
		t.Run(s.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, s) })
		})
	}
}

// ackSuites are the suites with acknowledgements.
var ackSuites = func() (found []Suite) {
	for _, s := range Suites {
		if TraitsOf(s).Acks {
			found = append(found, s)
		}
	}
	return found
}()

// Lengths are those of a suite's handshakes, in bytes.
type lengths struct {
	request, answer             int64 // of a new session
	resumeRequest, resumeAnswer int64 // of a resume without early data
}

// lengthsOf returns the lengths of the handshakes of a suite with
// acknowledgements.
func lengthsOf(s Suite) lengths {
	switch s.String() {
	case Records.String():
		return lengths{recNewLen, recNewAnswerLen, recResumeHead + 4, recResumeAnswerLen}
	case Noise.String():
		return lengths{1269, 1172, 99, 66}
	default: // without the server's key
		return lengths{1237, 1172, 99, 66}
	}
}

// inRecordBubble runs a test in a bubble of its own with a protocol of its own.
func inRecordBubble(t *testing.T, f func(t *testing.T, p *RecordProtocol, s Suite)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p, s := newRecords()
		f(t, p, s)
	})
}

// WithLimit sets both sides' ReplayLimit.
func WithLimit(n int) Option {
	return WithBoth(func(c *relink.Config) { c.ReplayLimit = n })
}

// Finish closes both sides and requires that nothing is left undelivered.
func (r *Rig) Finish() {
	r.T.Helper()
	require.NoError(r.T, r.Client.Close())
	require.NoError(r.T, r.Server.Close())
	<-r.Client.Done()
	<-r.Server.Done()
	_ = r.Listener.Close()
	for name, l := range map[string]*EventLog{"client": r.ClientEvents, "server": r.ServerEvents} {
		synctest.Wait()
		for _, e := range l.All(relink.EventClosed) {
			require.NoError(r.T, e.Err, name)
		}
	}
}

func RequireRead(t *testing.T, c net.Conn, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	_, err := io.ReadFull(c, got)
	require.NoError(t, err)
	require.True(t, string(got) == string(want), "the stream differs")
}

func RequireWrite(t *testing.T, c net.Conn, b []byte) {
	t.Helper()
	n, err := c.Write(b)
	require.NoError(t, err)
	require.Equal(t, len(b), n)
}

// RequireEOF requires io.EOF, and again.
func RequireEOF(t *testing.T, c net.Conn) {
	t.Helper()
	for range 2 {
		n, err := c.Read(make([]byte, 10))
		require.Zero(t, n)
		require.Equal(t, io.EOF, err)
	}
}

// A Rig is a network with a listener, a session, and all events of both sides.
type Rig struct {
	T        *testing.T
	Net      *faultnet.Network
	inner    *faultnet.Listener
	Listener *relink.Listener
	Dialer   *relink.Dialer
	Wrap     func(net.Listener) net.Listener // nil, or what lies between inner and l

	Client, Server *relink.Conn
	ClientEvents   *EventLog
	ServerEvents   *EventLog
}

// A Option changes a rig before it is put up.
type Option func(r *Rig, server *relink.ListenConfig)

// WithBoth changes what both sides have.
func WithBoth(f func(*relink.Config)) Option {
	return func(r *Rig, server *relink.ListenConfig) {
		f(&r.Dialer.Config)
		f(&server.Config)
	}
}

func WithClient(f func(*relink.Dialer)) Option {
	return func(r *Rig, _ *relink.ListenConfig) { f(r.Dialer) }
}

func WithServer(f func(*relink.ListenConfig)) Option {
	return func(_ *Rig, server *relink.ListenConfig) { f(server) }
}

func WithPath(o faultnet.Options) Option {
	return func(r *Rig, _ *relink.ListenConfig) { r.Net.SetOptions(o) }
}

// New opens a session in the bubble of the caller.
func New(t *testing.T, s Suite, options ...Option) *Rig {
	t.Helper()
	r := &Rig{T: t, Net: faultnet.New(), ClientEvents: new(EventLog), ServerEvents: new(EventLog)}
	cfg := relink.ListenConfig{Suites: []relink.ServerSuite{s}}
	r.Dialer = &relink.Dialer{Suite: s, DialTransport: r.Net.Dial}
	r.Dialer.OnEvent = r.ClientEvents.add
	cfg.OnEvent = r.ServerEvents.add
	for _, o := range options {
		o(r, &cfg)
	}
	r.inner = r.Net.Listen()
	var err error
	inner := net.Listener(r.inner)
	if r.Wrap != nil {
		inner = r.Wrap(inner)
	}
	r.Listener, err = relink.NewListener(inner, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = r.Listener.Close() })
	r.Client, r.Server = r.Open()
	return r
}

// Open opens one more session.
func (r *Rig) Open() (client, server *relink.Conn) {
	r.T.Helper()
	client, err := r.Dialer.DialConn(context.Background(), "tcp", "server")
	require.NoError(r.T, err)
	server, err = r.Listener.AcceptConn()
	require.NoError(r.T, err)
	// A test that fails says so only if nothing is left in its bubble.
	r.T.Cleanup(func() { _, _ = client.Abort(), server.Abort() })
	return client, server
}

// Ends returns both ends, for tests that hold for either.
func (r *Rig) Ends() map[string]*relink.Conn {
	return map[string]*relink.Conn{"client": r.Client, "server": r.Server}
}

// Suspend takes the network away and waits until both sides have noticed.
func (r *Rig) Suspend(down faultnet.DownKind, k faultnet.Kind) {
	r.T.Helper()
	r.Net.SetDown(down)
	r.Net.Last().Cut(k)
	// A server looks at its transport only when the application does, so that it
	// must be made to.
	for _, c := range r.Ends() {
		_ = c.SetReadDeadline(time.Now().Add(time.Nanosecond))
		_, _ = c.Read(make([]byte, 1))
		_ = c.SetReadDeadline(time.Time{})
		RequireSuspended(r.T, c)
	}
}

// RequireSuspended requires a session without a transport. A client may be just
// trying to get one.
func RequireSuspended(t testing.TB, c *relink.Conn) {
	t.Helper()
	require.Contains(t, []relink.State{relink.StateSuspended, relink.StateResuming}, c.State())
}

// Stop ends everything. Whatever goroutine is left after it makes the bubble
// fail.
func (r *Rig) Stop() {
	_ = r.Client.Abort()
	_ = r.Server.Abort()
	_ = r.Listener.Close()
}

// Exchange proves that both directions work and are exact.
func (r *Rig) Exchange(n int) {
	r.T.Helper()
	RequireExchange(r.T, r.Client, r.Server, n)
}

func RequireExchange(t *testing.T, a, b net.Conn, n int) {
	t.Helper()
	for _, ends := range [][2]net.Conn{{a, b}, {b, a}} {
		data := Data(n)
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

// Data returns n bytes that tell a place from those nearby.
func Data(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16*7)
	}
	return b
}

// InBubble runs a test for every suite in a bubble of its own.
func InBubble(t *testing.T, f func(t *testing.T, s Suite)) {
	ForEachSuite(t, func(t *testing.T, s Suite) {
		synctest.Test(t, func(t *testing.T) { f(t, s) })
	})
}

// RequireInstant runs f and requires that no time of the bubble passes.
func RequireInstant(t *testing.T, f func()) {
	t.Helper()
	before := time.Now()
	f()
	require.Zero(t, time.Since(before))
}

// An EventLog collects events.
type EventLog struct {
	mu     sync.Mutex
	events []relink.Event
}

func (l *EventLog) add(e relink.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, e)
}

// All returns the events so far, of those kinds if any are given. It waits for
// what is being delivered.
func (l *EventLog) All(kinds ...relink.EventKind) []relink.Event {
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
func (l *EventLog) kinds() []relink.EventKind {
	var kinds []relink.EventKind
	for _, e := range l.All() {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

// errors returns what the events so far have as reasons.
func (l *EventLog) errors() []error {
	var errs []error
	for _, e := range l.All() {
		errs = append(errs, e.Err)
	}
	return errs
}

// LinksOf returns how many links a session has had.
func LinksOf(c *relink.Conn) int64 { return 1 + c.Stats().Resumes }

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

// Holdings count what a listener holds.
type Holdings struct{ Live, Provisional, Handshakes, Suspended int }

func HoldingsOf(l *relink.Listener) Holdings {
	s := l.Stats()
	return Holdings{live(l), s.Provisional, s.Handshakes, s.Suspended}
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

// An Outcome is what a Read, Write or Dial in the background has returned.
type Outcome struct {
	N   int
	Err error
	At  time.Time
}

// Background calls f in a goroutine.
func Background(f func() (int, error)) <-chan Outcome {
	done := make(chan Outcome, 1)
	go func() {
		n, err := f()
		done <- Outcome{n, err, time.Now()}
	}()
	return done
}

// StillBlocked requires that nothing has come, with everything else at rest.
func StillBlocked(t *testing.T, done <-chan Outcome) {
	t.Helper()
	synctest.Wait()
	select {
	case o := <-done:
		require.Failf(t, "returned early", "%d, %v", o.N, o.Err)
	default:
	}
}

// IsLoss reports whether err is a typed end of a session, which is neither a
// deadline nor a local Close.
func IsLoss(err error) bool {
	lost := errors.Is(err, relink.ErrSessionLost) || errors.Is(err, relink.ErrExpired) ||
		errors.Is(err, relink.ErrReplayGap) || errors.Is(err, relink.ErrCounters)
	return lost && !errors.Is(err, net.ErrClosed) && !errors.Is(err, errDeadline)
}

var (
	errDeadline = os.ErrDeadlineExceeded
	ErrClosed   = net.ErrClosed
)

// RequireTryWrite requires that TryWrite decides at once, and returns how.
func RequireTryWrite(t *testing.T, c *relink.Conn, p []byte) (ok bool) {
	t.Helper()
	RequireInstant(t, func() {
		var err error
		ok, err = c.TryWrite(p)
		require.NoError(t, err)
	})
	return ok
}
