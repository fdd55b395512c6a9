package relink_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/nettest"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// suites are what the tests of the contract run for.
var suites = []relink.Suite{
	relink.DH64RC4(),
	relink.DH64RC4(relink.WithClearStream()),
	relink.SCP(),
}

// forEachSuite runs a test for every suite.
func forEachSuite(t *testing.T, f func(t *testing.T, s relink.Suite)) {
	for _, s := range suites {
		t.Run(s.String(), func(t *testing.T) { f(t, s) })
	}
}

// A transportKind makes listeners and dialers of one kind of transport.
type transportKind struct {
	name string
	open func(t testing.TB) (net.Listener, func(context.Context, string, string) (net.Conn, error))
}

var transportKinds = []transportKind{
	{"TCP", func(t testing.TB) (net.Listener, func(context.Context, string, string) (net.Conn, error)) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		return l, func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
		}
	}},
	{"pipe", func(testing.TB) (net.Listener, func(context.Context, string, string) (net.Conn, error)) {
		l := newPipeListener()
		return l, l.dial
	}},
	{"opaque", func(testing.TB) (net.Listener, func(context.Context, string, string) (net.Conn, error)) {
		n := faultnet.New()
		n.SetOptions(faultnet.Options{Opaque: true})
		return n.Listen(), n.Dial
	}},
}

// A pipeListener hands out the ends of net.Pipe.
type pipeListener struct {
	conns chan net.Conn
	quit  chan struct{}
}

func newPipeListener() *pipeListener {
	return &pipeListener{make(chan net.Conn), make(chan struct{})}
}

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	a, b := net.Pipe()
	select {
	case l.conns <- b:
		return a, nil
	case <-l.quit:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.quit:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { close(l.quit); return nil }
func (l *pipeListener) Addr() net.Addr { return faultnet.Addr("pipe") }

// pair opens a session and returns both ends.
func pair(t testing.TB, s relink.Suite, k transportKind, cfg relink.Config) (client, server *relink.Conn, l *relink.Listener) {
	cfg.Suites = []relink.Suite{s}
	inner, dial := k.open(t)
	l, err := relink.NewListener(inner, cfg)
	require.NoError(t, err)
	d := relink.Dialer{Config: cfg, DialTransport: dial}
	client, err = d.Dial(context.Background(), "tcp", "server")
	require.NoError(t, err)
	server, err = l.AcceptConn()
	require.NoError(t, err)
	return client, server, l
}

func TestNetConn(t *testing.T) {
	for _, k := range transportKinds {
		t.Run(k.name, func(t *testing.T) {
			forEachSuite(t, func(t *testing.T, s relink.Suite) {
				nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
					c1, c2, l := pair(t, s, k, relink.Config{ResumeTimeout: 300 * time.Millisecond})
					return c1, c2, func() {
						_ = c1.Abort()
						_ = c2.Abort()
						_ = l.Close()
					}, nil
				})
			})
		})
	}
}
