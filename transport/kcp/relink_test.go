package kcp_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/nettest"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/transport/transporttest"
	"github.com/relink-go/relink/transport/kcp"
)

// A session is both ends of one, over a relay.
type session struct {
	r              *relay
	l              *relink.Listener
	client, server *relink.Conn

	mu         sync.Mutex // guards transports
	transports []*kcp.Conn
}

func open(t testing.TB, s transporttest.Suite, kcpConfig kcp.Config, cfg relink.Config) *session {
	t.Helper()
	inner, err := kcp.Listen("127.0.0.1:0", kcpConfig)
	require.NoError(t, err)
	o := &session{r: newRelay(t, inner.Addr().String())}
	o.l, err = relink.NewListener(inner, relink.ListenConfig{Config: cfg, Suites: []relink.ServerSuite{s.Server}})
	require.NoError(t, err)
	kd := kcp.Dialer{Config: kcpConfig}
	d := relink.Dialer{Config: cfg, Suite: s.Client, MinBackoff: time.Millisecond, MaxBackoff: 10 * time.Millisecond, DialTransport: func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := kd.DialContext(ctx, network, address)
		if err == nil {
			o.mu.Lock()
			defer o.mu.Unlock()
			o.transports = append(o.transports, c.(*kcp.Conn))
		}
		return c, err
	}}
	o.client, err = d.DialConn(context.Background(), "tcp", o.r.addr())
	require.NoError(t, err)
	o.server, err = o.l.AcceptConn()
	require.NoError(t, err)
	return o
}

// last returns the client's newest transport.
func (o *session) last() *kcp.Conn {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.transports[len(o.transports)-1]
}

func (o *session) end() {
	_, _ = o.client.Abort(), o.server.Abort()
	_ = o.l.Close()
}

func forEachSuite(t *testing.T, f func(t *testing.T, s transporttest.Suite)) {
	for _, s := range transporttest.Suites() {
		t.Run(s.Client.String(), func(t *testing.T) { f(t, s) })
	}
}

// A bare Conn and a classic session cannot pass this: KCP has no end, and their
// Reads no io.EOF.
func TestSessionNetConn(t *testing.T) {
	defer kcp.SetLingerTime(50 * time.Millisecond)()
	nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
		o := open(t, transporttest.Suites()[0], kcp.Config{}, relink.Config{})
		return o.client, o.server, o.end, nil
	})
}

// TestSessionCuts ends transports under a session in every way that there is,
// while data goes both ways.
func TestSessionCuts(t *testing.T) {
	defer kcp.SetLingerTime(50 * time.Millisecond)()
	forEachSuite(t, func(t *testing.T, s transporttest.Suite) {
		o := open(t, s, kcp.Config{Timeout: timeout}, relink.Config{LivenessTimeout: timeout})
		cuts := []func(){
			func() { _ = o.last().Close() }, // the server hears nothing
			func() { _, _ = o.last().SetLinger(0), o.last().Close() },
			o.r.cut, // the path is silent
			o.client.NetworkChanged,
		}
		const piece = 100 << 10
		var wg sync.WaitGroup
		next := [2]chan []byte{make(chan []byte), make(chan []byte)}
		for i, ends := range [][2]*relink.Conn{{o.client, o.server}, {o.server, o.client}} {
			wg.Go(func() {
				for b := range next[i] {
					if _, err := ends[0].Write(b); err != nil {
						t.Error(err)
					}
				}
			})
		}
		b := data(piece)
		for i := range 3 * len(cuts) {
			before := o.client.Stats().Resumes
			next[0] <- b
			next[1] <- b
			requireRead(t, o.server, b[:piece/3]) // in the middle of it
			cuts[i%len(cuts)]()
			requireRead(t, o.client, b)
			requireRead(t, o.server, b[piece/3:])
			require.Eventually(t, func() bool { return o.client.Stats().Resumes > before }, time.Minute, time.Millisecond)
		}
		close(next[0])
		close(next[1])
		wg.Wait()
		o.end()
		requireNothingLeft(t)
	})
}

// A session whose server's side of the transport has gone, with nothing said, goes on.
// So it does where nothing is under way: the classic suite has no pings, and KCP's
// own question finds it.
func TestSessionFindsSilence(t *testing.T) {
	defer kcp.SetLingerTime(50 * time.Millisecond)()
	forEachSuite(t, func(t *testing.T, s transporttest.Suite) {
		o := open(t, s, kcp.Config{Timeout: timeout}, relink.Config{LivenessTimeout: timeout})
		for i := range 2 {
			before := o.client.Stats().Resumes
			o.r.cut()
			if i == 1 {
				_, err := o.server.Write([]byte("x"))
				require.NoError(t, err)
				requireRead(t, o.client, []byte("x"))
			}
			require.Eventually(t, func() bool { return o.client.Stats().Resumes > before }, time.Minute, time.Millisecond)
		}
		_, err := o.client.Write([]byte("still here"))
		require.NoError(t, err)
		requireRead(t, o.server, []byte("still here"))
		o.end()
		requireNothingLeft(t)
	})
}

// What a classic session has written when it closes arrives, over a network that
// loses packets.
func TestSessionCloseDelivers(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s transporttest.Suite) {
		o := open(t, s, kcp.Config{Timeout: time.Minute}, relink.Config{CloseTimeout: time.Minute})
		o.r.set(0.2, false)
		b := data(100 << 10)
		_, err := o.client.Write(b)
		require.NoError(t, err)
		require.NoError(t, o.client.Close())
		requireRead(t, o.server, b)
		defer kcp.SetLingerTime(50 * time.Millisecond)()
		o.end()
	})
}

// Fifty resumes leave nothing behind.
func TestResumesLeaveNothing(t *testing.T) {
	defer kcp.SetLingerTime(50 * time.Millisecond)()
	s := transporttest.Suites()[0]
	o := open(t, s, kcp.Config{}, relink.Config{})
	for range 50 {
		before := o.client.Stats().Resumes
		o.client.NetworkChanged()
		require.Eventually(t, func() bool { return o.client.Stats().Resumes > before }, time.Minute, time.Millisecond)
	}
	_, err := o.client.Write([]byte("x"))
	require.NoError(t, err)
	requireRead(t, o.server, []byte("x"))
	o.end()
	requireNothingLeft(t)
}
