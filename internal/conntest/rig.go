package conntest

import (
	"context"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// A Rig is a listener and a dialer on a network that fails on command, and a
// session between them, with all events of both sides.
type Rig struct {
	T        testing.TB
	Net      *faultnet.Network // nil where the transports are others
	Listener *relink.Listener
	Dialer   *relink.Dialer
	Wrap     func(net.Listener) net.Listener // nil, or what lies between the network and Listener

	Client, Server *Side

	inner *faultnet.Listener // the network's
}

// An Option changes a rig before it is put up.
type Option func(r *Rig, server *relink.ListenConfig)

// With sets what a setup has. What other options set comes behind it.
func With(cfg Setup) Option {
	return func(r *Rig, server *relink.ListenConfig) {
		clientEvents, serverEvents := r.Dialer.OnEvent, server.OnEvent
		*r.Dialer = *cfg.dialer(r.Dialer.Suite, r.Dialer.DialTransport)
		*server = cfg.listener(server.Suites...)
		r.Dialer.OnEvent, server.OnEvent = clientEvents, serverEvents
	}
}

// WithBoth changes what both sides have.
func WithBoth(f func(*relink.Config)) Option {
	return func(r *Rig, server *relink.ListenConfig) {
		f(&r.Dialer.Config)
		f(&server.Config)
	}
}

// WithLimit sets both sides' ReplayLimit.
func WithLimit(n int) Option {
	return WithBoth(func(c *relink.Config) { c.ReplayLimit = n })
}

// WithClient changes what the dialer has.
func WithClient(f func(*relink.Dialer)) Option {
	return func(r *Rig, _ *relink.ListenConfig) { f(r.Dialer) }
}

// WithServer changes what the listener has.
func WithServer(f func(*relink.ListenConfig)) Option {
	return func(_ *Rig, server *relink.ListenConfig) { f(server) }
}

// WithPath sets what the network's paths are like.
func WithPath(o faultnet.Options) Option {
	return func(r *Rig, _ *relink.ListenConfig) { r.Net.SetOptions(o) }
}

// New opens a session in the bubble of the caller.
func New(t testing.TB, s Suite, options ...Option) *Rig {
	t.Helper()
	r := NewIdle(t, s, options...)
	r.Connect()
	return r
}

// NewIdle returns a rig without a session.
func NewIdle(t testing.TB, s Suite, options ...Option) *Rig {
	t.Helper()
	n := faultnet.New()
	r := &Rig{T: t, Net: n}
	r.setUp(s, n.Dial, func() net.Listener { r.inner = n.Listen(); return r.inner }, options)
	t.Cleanup(func() {
		for _, p := range n.Paths() {
			p.Cut(faultnet.ResetNow)
		}
	})
	return r
}

// newIdleOn returns a rig without a session on any kind of transport.
func newIdleOn(t testing.TB, s Suite, inner net.Listener, dial func(context.Context, string, string) (net.Conn, error), options ...Option) *Rig {
	t.Helper()
	r := &Rig{T: t}
	r.setUp(s, dial, func() net.Listener { return inner }, options)
	return r
}

func (r *Rig) setUp(s Suite, dial func(context.Context, string, string) (net.Conn, error), listen func() net.Listener, options []Option) {
	r.T.Helper()
	r.Client = &Side{t: r.T, name: "client", salt: clientSalt, peerSalt: serverSalt}
	r.Server = &Side{t: r.T, name: "server", salt: serverSalt, peerSalt: clientSalt}
	cfg := relink.ListenConfig{Suites: []relink.ServerSuite{s}}
	cfg.OnEvent = r.Server.Events.add
	r.Dialer = &relink.Dialer{Suite: s, DialTransport: dial}
	r.Dialer.OnEvent = r.Client.Events.add
	for _, o := range options {
		o(r, &cfg)
	}
	inner := listen()
	if r.Wrap != nil {
		inner = r.Wrap(inner)
	}
	l, err := relink.NewListener(inner, cfg)
	require.NoError(r.T, err)
	r.Listener = l
	// A bubble cannot end before its goroutines have, also after a failure.
	r.T.Cleanup(func() {
		for _, e := range []*Side{r.Client, r.Server} {
			if e.Conn != nil {
				_ = e.Abort()
			}
		}
		_ = l.Close()
	})
}

// Connect opens the session.
func (r *Rig) Connect() {
	r.T.Helper()
	r.Client.Conn, r.Server.Conn = r.Open()
	require.Equal(r.T, r.Client.ID(), r.Server.ID())
}

// Open opens one more session.
func (r *Rig) Open() (client, server *relink.Conn) {
	r.T.Helper()
	client, err := r.Dialer.DialConn(context.Background(), "tcp", "server")
	require.NoError(r.T, err)
	server, err = r.Listener.AcceptConn()
	require.NoError(r.T, err)
	r.T.Cleanup(func() { _, _ = client.Abort(), server.Abort() })
	return client, server
}

// Ends returns both ends, for tests that hold for either.
func (r *Rig) Ends() map[string]*relink.Conn {
	return map[string]*relink.Conn{"client": r.Client.Conn, "server": r.Server.Conn}
}

// Stop ends everything. Whatever goroutine is left after it makes the bubble
// fail.
func (r *Rig) Stop() {
	_ = r.Client.Abort()
	_ = r.Server.Abort()
	_ = r.Listener.Close()
}

// Finish closes both sides and requires that nothing is left, undelivered or else.
func (r *Rig) Finish() {
	r.T.Helper()
	for _, e := range []*Side{r.Client, r.Server} {
		require.NoError(r.T, e.Close())
	}
	for _, e := range []*Side{r.Client, r.Server} {
		e.awaitDone()
		for _, ended := range e.Events.All(relink.EventClosed) {
			require.NoError(r.T, ended.Err, e.name)
		}
	}
	require.NoError(r.T, r.Listener.Close())
	requireNothingLeft(r.T)
}

// label says, after a failure, which of many like it this scene was.
func (r *Rig) label(format string, a ...any) {
	r.T.Cleanup(func() {
		if r.T.Failed() {
			r.T.Logf(format, a...)
		}
	})
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

// Exchange proves that both directions work and are exact.
func (r *Rig) Exchange(n int) {
	r.T.Helper()
	RequireExchange(r.T, r.Client, r.Server, n)
}

// Echo sends bytes both ways and requires that they arrive within the time.
func (r *Rig) Echo(n int, within time.Duration) {
	r.T.Helper()
	for _, e := range []*Side{r.Client, r.Server} {
		require.NoError(r.T, e.SetDeadline(time.Now().Add(within)))
	}
	done := r.Client.writing(n)
	r.Server.Receive(n)
	<-done
	done = r.Server.writing(n)
	r.Client.Receive(n)
	<-done
	for _, e := range []*Side{r.Client, r.Server} {
		require.NoError(r.T, e.SetDeadline(time.Time{}))
	}
}

// ReplayBoth makes each side write n bytes that the current transport takes and
// never delivers, and cuts it.
func (r *Rig) ReplayBoth(n int, k faultnet.Kind) {
	r.T.Helper()
	r.replayBothAfter(r.Net.Last(), n, k)
}

// replayBothAfter is replayBoth where the session's transport is not the newest
// of the network.
func (r *Rig) replayBothAfter(p *faultnet.Path, n int, k faultnet.Kind) {
	r.T.Helper()
	p.Stall(faultnet.Up)
	p.Stall(faultnet.Down)
	r.Client.Send(n)
	r.Server.Send(n)
	synctest.Wait()
	p.Cut(k)
}

// NothingMore requires that neither side has a byte to read.
func (r *Rig) NothingMore() {
	r.T.Helper()
	for _, e := range []*Side{r.Client, r.Server} {
		require.NoError(r.T, e.SetReadDeadline(time.Now().Add(time.Second)))
		n, err := e.Read(make([]byte, 64))
		require.ErrorIs(r.T, err, os.ErrDeadlineExceeded, "%s", e.name)
		require.Zero(r.T, n, "%s: bytes that nobody has sent", e.name)
		require.NoError(r.T, e.SetReadDeadline(time.Time{}))
	}
}

// relayed opens a session over TCP through a relay that fails on command. It is
// for what a kernel does and a path in memory does not.
func relayed(t *testing.T, s Suite, options ...Option) (*Rig, *faultnet.Relay) {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	relay, err := faultnet.NewRelay(inner.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = relay.Close() })
	r := newIdleOn(t, s, inner, func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, relay.Addr())
	}, options...)
	r.Connect()
	return r, relay
}

// Unsuspecting has a client wait for what a stalled path holds back, and dial nothing
// beside it.
var Unsuspecting = WithClient(func(d *relink.Dialer) { d.Vigilance = relink.VigilanceOff })
