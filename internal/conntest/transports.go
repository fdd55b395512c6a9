package conntest

import (
	"context"
	"math/rand/v2"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// A TransportKind makes listeners and dialers of one kind of transport.
type TransportKind struct {
	name string
	open func(t testing.TB) (net.Listener, func(context.Context, string, string) (net.Conn, error))
}

// TransportKinds are those that net.Conn's contract is tested on.
var TransportKinds = []TransportKind{
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
	{"cut", func(testing.TB) (net.Listener, func(context.Context, string, string) (net.Conn, error)) {
		n := faultnet.New()
		n.OnDial(cutAgainAndAgain)
		return n.Listen(), n.Dial
	}},
}

// cutAgainAndAgain cuts every path in one direction, somewhere behind the longest
// handshake: that of a new session is tried only once.
func cutAgainAndAgain(i int, p *faultnet.Path) error {
	handshake := 512
	if i == 0 {
		handshake = 1400
	}
	most := 64 << (i % 16) // some live long enough for something to get through
	kind := [...]faultnet.Kind{faultnet.Reset, faultnet.ResetNow, faultnet.End}[i%3]
	p.CutAt(faultnet.Dir(rand.IntN(2)), int64(handshake+rand.IntN(most)), kind)
	return nil
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

func (l *pipeListener) Close() error { close(l.quit); return nil }

func (l *pipeListener) Addr() net.Addr { return faultnet.Addr("pipe") }

// Pair opens a session and returns both ends.
func Pair(t testing.TB, s Suite, k TransportKind, cfg Setup) (client, server *relink.Conn, l *relink.Listener) {
	inner, dial := k.open(t)
	l, err := relink.NewListener(inner, cfg.listener(s))
	require.NoError(t, err)
	d := cfg.dialer(s, dial)
	client, err = d.DialConn(context.Background(), "tcp", "server")
	require.NoError(t, err)
	server, err = l.AcceptConn()
	require.NoError(t, err)
	return client, server, l
}
