package relink_test

import (
	"context"
	"fmt"
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

// libraryGoroutines returns the stacks of the library's own goroutines that
// belong to sessions.
func libraryGoroutines() []string {
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

// conversation is what the tests of every cut have: data both ways, the end of
// one direction, the end of all. It ends with every byte delivered once.
func conversation(r *rig) {
	up, down := rigData(120), rigData(150)
	var wg sync.WaitGroup
	wg.Go(func() {
		requireWrite(r.t, r.client, up[:50])
		requireRead(r.t, r.client, down[:70])
		requireWrite(r.t, r.client, up[50:])
		require.NoError(r.t, r.client.CloseWrite())
		requireRead(r.t, r.client, down[70:])
		requireEOF(r.t, r.client)
		require.NoError(r.t, r.client.Close())
	})
	wg.Go(func() {
		requireRead(r.t, r.server, up[:50])
		requireWrite(r.t, r.server, down[:70])
		requireRead(r.t, r.server, up[50:])
		requireEOF(r.t, r.server)
		requireWrite(r.t, r.server, down[70:])
		require.NoError(r.t, r.server.Close())
	})
	wg.Wait()
	<-r.client.Done()
	<-r.server.Done()
	_ = r.l.Close()
}

// cutConversation runs the conversation on paths that are cut as f says.
func cutConversation(t *testing.T, s testSuite, f func(i int, p *faultnet.Path)) (sent [2]int64) {
	synctest.Test(t, func(t *testing.T) {
		n := faultnet.New()
		n.OnDial(func(i int, p *faultnet.Path) error { f(i, p); return nil })
		inner := n.Listen()
		// A close, and the time that a client has to confirm its session, last
		// longer than it takes to notice a silent loss.
		cfg := setup{CloseTimeout: time.Minute, HandshakeTimeout: time.Minute}
		l, err := relink.NewListener(inner, cfg.listener(s))
		require.NoError(t, err)
		d := &relink.Dialer{Suite: s, Config: cfg.shared(), DialTransport: n.Dial}
		client, err := d.DialConn(context.Background(), "tcp", "server")
		require.NoError(t, err)
		server, err := l.AcceptConn()
		require.NoError(t, err)
		conversation(&rig{t: t, net: n, inner: inner, l: l, dialer: d, client: client, server: server})
		sent[faultnet.Up] = n.Paths()[0].Sent(faultnet.Up)
		sent[faultnet.Down] = n.Paths()[0].Sent(faultnet.Down)
	})
	return sent
}

// firstCut is the first byte of a direction at which a cut leaves Dial what it
// needs, because it is tried once.
func firstCut(s testSuite, d faultnet.Dir) int64 {
	if d == faultnet.Down {
		return lengthsOf(s).answer + 1
	}
	return lengthsOf(s).request + 1
}

// TestEveryCut cuts the conversation at every byte of either direction, behind
// what Dial needs.
func TestEveryCut(t *testing.T) {
	for _, s := range ackSuites {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			testEveryCut(t, s)
		})
	}
}

func testEveryCut(t *testing.T, s testSuite) {
	whole := cutConversation(t, s, func(int, *faultnet.Path) {})
	for _, kind := range []faultnet.Kind{faultnet.Reset, faultnet.ResetNow, faultnet.End, faultnet.BlackHole} {
		for _, dir := range []faultnet.Dir{faultnet.Up, faultnet.Down} {
			t.Run(fmt.Sprintf("%v/%v", kind, dir), func(t *testing.T) {
				for at := firstCut(s, dir); at <= whole[dir]; at += strideOf(s) {
					cutConversation(t, s, func(i int, p *faultnet.Path) {
						if i == 0 {
							p.CutAt(dir, at, kind)
						}
					})
					if t.Failed() {
						t.Fatalf("cut at byte %d", at)
					}
				}
			})
		}
	}
}

// TestCutTwice cuts the first transport somewhere and the second at every byte
// of its handshake and replay.
func TestCutTwice(t *testing.T) {
	for _, s := range ackSuites {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			testCutTwice(t, s)
		})
	}
}

func testCutTwice(t *testing.T, s testSuite) {
	whole := cutConversation(t, s, func(int, *faultnet.Path) {})
	kinds := []faultnet.Kind{faultnet.Reset, faultnet.End, faultnet.BlackHole}
	for _, first := range []faultnet.Dir{faultnet.Up, faultnet.Down} {
		for _, second := range []faultnet.Dir{faultnet.Up, faultnet.Down} {
			t.Run(fmt.Sprintf("%v/%v", first, second), func(t *testing.T) {
				for n := int64(0); n < 400; n += strideOf(s) {
					from := firstCut(s, first)
					firstAt := from + n*37%(whole[first]-from)
					cutConversation(t, s, func(i int, p *faultnet.Path) {
						switch i {
						case 0:
							p.CutAt(first, firstAt, kinds[n%3])
						case 1:
							p.CutAt(second, n, kinds[n/3%3])
						}
					})
					if t.Failed() {
						t.Fatalf("cut at %d and then at %d", firstAt, n)
					}
				}
			})
		}
	}
}
