// Package transporttest has the tests that every transport passes: sessions of
// relink over it, in a network that fails on command.
package transporttest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/nettest"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// A DialFunc is what relink.Dialer.DialTransport is.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// A Transport is what is tested, as layers over a network's connections.
type Transport struct {
	Listen func(t testing.TB, inner net.Listener) net.Listener
	Dial   func(t testing.TB, inner DialFunc) DialFunc

	// Handshake is what a direction carries at most, in bytes, before the
	// transport and relink's new session are there. They are tried only once.
	Handshake int64
}

// A Suite is both sides of one.
type Suite struct {
	Server relink.ServerSuite
	Client relink.ClientSuite
}

// Suites are those to run over a transport: one that has acknowledgements and
// pings, and one that has nothing of it.
func Suites() []Suite {
	key := relink.GenerateKey()
	return []Suite{
		{relink.NoiseServer{Keys: []relink.PrivateKey{key}}, relink.NoiseClient{ServerKeys: []relink.PublicKey{key.PublicKey()}}},
		{relink.SCPServer{}, relink.SCPClient{}},
	}
}

// TestSessions runs all tests.
func TestSessions(t *testing.T, tr Transport) {
	for i, s := range Suites() {
		pings := i == 0
		t.Run(s.Client.String(), func(t *testing.T) {
			t.Run("NetConn", func(t *testing.T) { testNetConn(t, tr, s) })
			t.Run("Storm", func(t *testing.T) { testStorm(t, tr, s) })
			t.Run("EveryCut", func(t *testing.T) { testEveryCut(t, tr, s, pings) })
		})
	}
}

// A pair is a session and its listener.
type pair struct {
	l              *relink.Listener
	client, server *relink.Conn
}

func open(t testing.TB, tr Transport, n *faultnet.Network, s Suite, cfg relink.Config) pair {
	t.Helper()
	l, err := relink.NewListener(tr.Listen(t, n.Listen()), relink.ListenConfig{Config: cfg, Suites: []relink.ServerSuite{s.Server}})
	if err != nil {
		t.Fatal(err)
	}
	d := relink.Dialer{Config: cfg, Suite: s.Client, DialTransport: tr.Dial(t, n.Dial)}
	client, err := d.DialConn(context.Background(), "tcp", "server.test:7000")
	if err != nil {
		_ = l.Close()
		t.Fatal(err)
	}
	server, err := l.AcceptConn()
	if err != nil {
		t.Fatal(err)
	}
	return pair{l, client, server}
}

func testNetConn(t *testing.T, tr Transport, s Suite) {
	nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
		// The end of a classic session shows only after ResumeTimeout.
		p := open(t, tr, faultnet.New(), s, relink.Config{ResumeTimeout: 300 * time.Millisecond})
		return p.client, p.server, func() {
			_, _ = p.client.Abort(), p.server.Abort()
			_ = p.l.Close()
		}, nil
	})
}

// exchange sends n bytes in both directions at once and ends the session. It
// returns what has gone wrong.
func exchange(p pair, n int) error {
	data := Data(n)
	errs := make(chan error, 4)
	var wg sync.WaitGroup
	for name, ends := range map[string][2]*relink.Conn{"up": {p.client, p.server}, "down": {p.server, p.client}} {
		wg.Go(func() {
			if _, err := ends[0].Write(data); err != nil {
				errs <- fmt.Errorf("%s: write: %w", name, err)
			}
		})
		wg.Go(func() {
			got := make([]byte, n)
			if k, err := io.ReadFull(ends[1], got); err != nil {
				errs <- fmt.Errorf("%s: read after %d bytes: %w", name, k, err)
			} else if !bytes.Equal(got, data) {
				errs <- fmt.Errorf("%s: other bytes arrived than were sent", name)
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}

// end ends everything at once.
func (p pair) end() {
	_, _ = p.client.Abort(), p.server.Abort()
	<-p.client.Done()
	<-p.server.Done()
	_ = p.l.Close()
}

// sessionHandshake is more than either side sends in the handshake of a new session, the
// dial of which is not repeated if it is cut.
const sessionHandshake = 1500

// testStorm cuts every transport somewhere, most of them soon.
func testStorm(t *testing.T, tr Transport, s Suite) {
	synctest.Test(t, func(t *testing.T) {
		n := faultnet.New()
		n.OnDial(func(i int, p *faultnet.Path) error {
			kind := [...]faultnet.Kind{faultnet.Reset, faultnet.ResetNow, faultnet.End}[i%3]
			whole := tr.Handshake
			if i == 0 {
				whole += sessionHandshake
			}
			p.CutAt(faultnet.Up, whole+int64(64<<(i%12)), kind)
			p.CutAt(faultnet.Down, whole+int64(64<<((i+6)%12)), kind)
			return nil
		})
		p := open(t, tr, n, s, relink.Config{})
		if err := exchange(p, 256<<10); err != nil {
			t.Error(err)
		}
		if n := p.client.Stats().Resumes; n < 3 {
			t.Errorf("only %d resumes", n)
		}
		p.end()
	})
}

// testEveryCut cuts the second transport at every so many bytes of its opening.
func testEveryCut(t *testing.T, tr Transport, s Suite, pings bool) {
	kinds := []faultnet.Kind{faultnet.Reset, faultnet.ResetNow, faultnet.End}
	if pings {
		kinds = append(kinds, faultnet.BlackHole)
	}
	stride := 1 + tr.Handshake/97
	i := 0
	for at := int64(0); at < tr.Handshake+200; at += stride {
		dir, kind := faultnet.Dir(i%2), kinds[i/2%len(kinds)]
		i++
		synctest.Test(t, func(t *testing.T) {
			n := faultnet.New()
			n.OnDial(func(i int, p *faultnet.Path) error {
				switch i {
				case 0:
					p.CutAt(faultnet.Up, tr.Handshake+sessionHandshake, faultnet.Reset)
				case 1:
					p.CutAt(dir, at, kind)
				}
				return nil
			})
			p := open(t, tr, n, s, relink.Config{})
			if err := exchange(p, 8<<10); err != nil {
				t.Errorf("%v of direction %v at byte %d: %v", kind, dir, at, err)
			}
			p.end()
		})
	}
}
