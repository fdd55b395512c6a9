package quic_test

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/nettest"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/transport/transporttest"
	"github.com/relink-go/relink/transport/quic"
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

// session opens a session over the place.
func (p place) session(t testing.TB, s suite, cfg relink.Config) (client, server *relink.Conn, stop func()) {
	t.Helper()
	l, err := relink.NewListener(p.l, relink.ListenConfig{Config: cfg, Suites: []relink.ServerSuite{s.server}})
	require.NoError(t, err)
	d := relink.Dialer{
		Config: cfg, Suite: s.client, DialTransport: p.dialer.DialTransport,
		MinBackoff: time.Millisecond, MaxBackoff: 10 * time.Millisecond,
	}
	client, err = d.DialConn(context.Background(), "udp", p.at)
	require.NoError(t, err)
	server, err = l.AcceptConn()
	require.NoError(t, err)
	return client, server, func() {
		_ = client.Abort()
		_ = server.Abort()
		_ = l.Close()
		p.dialer.CloseIdleConnections()
	}
}

// TestRelinkNetConn is net.Conn's contract for sessions over QUIC.
func TestRelinkNetConn(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s suite) {
		nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
			c1, c2, stop := open(t, quic.Config{}, nil).session(t, s, relink.Config{ResumeTimeout: 300 * time.Millisecond})
			return c1, c2, stop, nil
		})
	})
}

// TestCuts sends data both ways while the connection is ended again and again, or
// becomes a black hole, in every place.
func TestCuts(t *testing.T) {
	for _, c := range []struct {
		name       string
		cuts, size int
		blackHoles bool
	}{{"ended", 40, 3 << 20, false}, {"black holes", 3, 1 << 20, true}} {
		t.Run(c.name, func(t *testing.T) {
			forEachSuite(t, func(t *testing.T, s suite) {
				transporttest.RequireNoLeak(t, func() {
					below := new(sockets)
					// On wires without acknowledgements a black hole is found by the idle time-out.
					p := open(t, quic.Config{}, &quic.Dialer{ListenPacket: below.listen, IdleTimeout: time.Second})
					client, server, stop := p.session(t, s, relink.Config{
						ReplayLimit:     16 << 20,
						LivenessTimeout: relink.MinLivenessTimeout,
					})
					quit, cut := make(chan struct{}), make(chan int)
					go func() {
						n := 0
						defer func() { cut <- n }()
						for n < c.cuts {
							select {
							case <-quit:
								return
							case <-time.After(time.Duration(rand.IntN(10_000)) * time.Microsecond):
							}
							resumes := client.Stats().Resumes
							if c.blackHoles {
								below.cut()
							} else {
								below.close()
							}
							n++
							for client.Stats().Resumes == resumes {
								select {
								case <-quit:
									return
								case <-time.After(time.Millisecond):
								}
							}
						}
						<-quit
					}()
					transporttest.RequireExchange(t, client, server, c.size)
					close(quit)
					require.Positive(t, <-cut)
					require.Positive(t, client.Stats().Resumes)
					stop()
				})
			})
		})
	}
}

// close ends the sockets that are there.
func (s *sockets) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.all {
		_ = c.Close()
	}
	s.all = nil
}

// Twenty resumes leave nothing behind, and go over the connection that is there.
func TestResumesLeakNothing(t *testing.T) {
	transporttest.RequireNoLeak(t, func() {
		below := new(sockets)
		d := quic.Patient()
		d.ListenPacket = below.listen
		p := open(t, quic.Config{}, d)
		client, server, stop := p.session(t, noise, relink.Config{})
		transporttest.RequireEcho(t, client, server)
		for i := range 20 {
			client.NetworkChanged()
			transporttest.Eventually(t, func() bool { return client.Stats().Resumes == int64(i+1) }, func() string { return client.String() })
			transporttest.RequireEcho(t, client, server)
		}
		require.Equal(t, 1, below.count())
		require.Equal(t, 1, p.l.Connections())
		stop()
	})
}

// The clean end of a session reaches the peer, for a wire that has a word for it
// and for one that has not.
func TestSessionEnds(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s suite) {
		for _, end := range []string{"client", "server"} {
			t.Run(end, func(t *testing.T) {
				transporttest.RequireNoLeak(t, func() {
					client, server, stop := open(t, quic.Config{}, nil).session(t, s, relink.Config{ResumeTimeout: time.Second})
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
