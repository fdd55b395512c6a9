package websocket_test

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/nettest"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
	"github.com/relink-go/relink/internal/transport/transporttest"
	"github.com/relink-go/relink/transport/websocket"
)

// A suite is both sides of one.
type suite struct {
	server relink.ServerSuite
	client relink.ClientSuite
}

func (s suite) String() string { return s.client.String() }

var (
	noise = func() suite {
		k := relink.GenerateKey()
		return suite{relink.NoiseServer{Keys: []relink.PrivateKey{k}}, relink.NoiseClient{ServerKeys: []relink.PublicKey{k.PublicKey()}}}
	}()
	classic = suite{relink.DH64RC4Server{}, relink.DH64RC4Client{}}
)

func forEachSuite(t *testing.T, f func(t *testing.T, s suite)) {
	for _, s := range []suite{noise, classic, {relink.SCPServer{}, relink.SCPClient{}}} {
		t.Run(s.String(), func(t *testing.T) { f(t, s) })
	}
}

// session opens a session over the place, through the relay if there is one.
func (p place) session(t testing.TB, s suite, cfg relink.Config, relay *faultnet.Relay) (client, server *relink.Conn, stop func()) {
	t.Helper()
	l, err := relink.NewListener(p.l, relink.ListenConfig{Config: cfg, Suites: []relink.ServerSuite{s.server}})
	require.NoError(t, err)
	d := relink.Dialer{
		Config: cfg, Suite: s.client, DialTransport: p.dialer.DialTransport,
		MinBackoff: time.Millisecond, MaxBackoff: 10 * time.Millisecond,
	}
	if relay != nil {
		p.dialer.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, relay.Addr())
		}
	}
	client, err = d.DialConn(context.Background(), "websocket", "")
	require.NoError(t, err)
	server, err = l.AcceptConn()
	require.NoError(t, err)
	return client, server, func() {
		_ = client.Abort()
		_ = server.Abort()
		_ = l.Close()
	}
}

// host returns where the place's TCP connections go.
func (p place) host() string {
	_, rest, _ := strings.Cut(p.dialer.URL, "://")
	host, _, _ := strings.Cut(rest, "/")
	return host
}

// TestRelinkNetConn is net.Conn's contract for sessions over WebSocket.
func TestRelinkNetConn(t *testing.T) {
	for _, k := range places[1:] {
		t.Run(k.name, func(t *testing.T) {
			forEachSuite(t, func(t *testing.T, s suite) {
				nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
					c1, c2, stop := k.open(t, websocket.Config{}).session(t, s, relink.Config{ResumeTimeout: 300 * time.Millisecond}, nil)
					return c1, c2, stop, nil
				})
			})
		})
	}
}

// TestCuts sends data in both directions while the TCP connection is cut in
// every way and place: in HTTP's handshake, in relink's, and in frames.
func TestCuts(t *testing.T) {
	for _, k := range places[1:] {
		t.Run(k.name, func(t *testing.T) {
			forEachSuite(t, func(t *testing.T, s suite) {
				const cuts, size = 20, 2 << 20
				p := k.open(t, websocket.Config{})
				transporttest.RequireNoLeak(t, func() {
					relay, err := faultnet.NewRelay(p.host())
					require.NoError(t, err)
					relay.SetBuffers(64 << 10)
					client, server, stop := p.session(t, s, relink.Config{ReplayLimit: 8 << 20}, relay)
					quit := make(chan struct{})
					cut := make(chan int)
					go func() {
						n := 0
						for ; n < cuts; n++ {
							relay.CutAfter(faultnet.Dir(n%2), int64(rand.IntN(100_000)), [...]faultnet.Kind{faultnet.Reset, faultnet.End}[n/2%2])
							accepted := relay.Accepted()
							relay.Cut([...]faultnet.Kind{faultnet.Reset, faultnet.End}[n%2])
							for relay.Accepted() == accepted {
								select {
								case <-quit:
									cut <- n
									return
								case <-time.After(time.Millisecond):
								}
							}
						}
						<-quit
						cut <- n
					}()
					transporttest.RequireExchange(t, client, server, size)
					close(quit)
					require.Positive(t, <-cut)
					require.Positive(t, client.Stats().Resumes)
					stop()
					_ = relay.Close()
					_ = p.l.Close()
				})
			})
		})
	}
}

// The clean end of a session reaches the peer, for a wire that has a word for it
// and for one that has not.
func TestSessionEnds(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s suite) {
		for _, end := range []string{"client", "server"} {
			t.Run(end, func(t *testing.T) {
				p := openHandler(t, websocket.Config{})
				transporttest.RequireNoLeak(t, func() {
					client, server, stop := p.session(t, s, relink.Config{ResumeTimeout: time.Second}, nil)
					a, b := client, server
					if end == "server" {
						a, b = server, client
					}
					transporttest.RequireEcho(t, a, b)
					_, err := a.Write([]byte("last words"))
					require.NoError(t, err)
					require.NoError(t, a.Close())
					got, err := io.ReadAll(b)
					require.NoError(t, err)
					require.Equal(t, "last words", string(got))
					require.NoError(t, b.Close())
					<-a.Done()
					<-b.Done()
					stop()
				})
			})
		}
	})
}

// What speaks relink without WebSocket is refused, and nobody else is disturbed.
func TestRawClient(t *testing.T) {
	p := openListen(t, websocket.Config{HandshakeTimeout: 100 * time.Millisecond}) // it waits for the rest of a request
	client, server, stop := p.session(t, noise, relink.Config{}, nil)
	defer stop()
	_, err := relink.Dial("tcp", p.host(), noise.client)
	require.Error(t, err)
	transporttest.RequireEcho(t, client, server)
	require.Zero(t, client.Stats().Resumes)
}
