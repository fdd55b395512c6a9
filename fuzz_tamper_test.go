package relink_test

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relink-go/relink/internal/faultnet"
)

// A tamperedConn is a transport on whose way somebody changes bytes: those of
// one direction from an offset on are combined with the mask.
type tamperedConn struct {
	net.Conn
	up   bool
	from int
	mask []byte

	pos atomic.Int64 // of the direction
}

func (c *tamperedConn) Interruptible() bool { return true }

func (c *tamperedConn) CloseWrite() error {
	return c.Conn.(interface{ CloseWrite() error }).CloseWrite()
}

func (c *tamperedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if !c.up {
		c.change(p[:n])
	}
	return n, err
}

func (c *tamperedConn) Write(p []byte) (int, error) {
	if !c.up {
		return c.Conn.Write(p)
	}
	b := append([]byte(nil), p...)
	c.change(b)
	return c.Conn.Write(b)
}

func (c *tamperedConn) change(b []byte) {
	start := int(c.pos.Add(int64(len(b)))) - len(b)
	for i := range b {
		if at := start + i - c.from; 0 <= at && at < len(c.mask) {
			b[i] ^= c.mask[at]
		}
	}
}

// FuzzTamper changes bytes of an honest resume, of its handshake or of what is
// replayed, on their way to one of the two sides. On Noise that costs a
// transport and nothing else. The wires without integrity may lose the session,
// but they end it with a typed error and leave nothing behind.
func FuzzTamper(f *testing.F) {
	for which := range uint8(len(suites)) {
		for _, from := range []uint16{0, 1, 5, 9, 17, 23, 25, 40, 41, 60, 80, 98, 120} {
			f.Add(which, true, from, []byte{1})
			f.Add(which, false, from, []byte{0x80, 0, 0xff})
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, up bool, from uint16, mask []byte) {
		synctest.Test(t, func(t *testing.T) {
			fuzzTamper(t, suites[int(which)%len(suites)], &tamperedConn{up: up, from: int(from), mask: mask})
		})
	})
}

func fuzzTamper(t *testing.T, s testSuite, way *tamperedConn) {
	cfg := setup{ResumeTimeout: 30 * time.Second, LivenessTimeout: 4 * time.Second}
	sc := newScene(t, s, cfg, faultnet.Options{})
	tamper := false
	dial := sc.dialer.DialTransport
	sc.dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil || !tamper {
			return c, err
		}
		tamper = false
		way.Conn = c
		return way, nil
	}
	sc.open()
	sc.echo(100, time.Minute)
	tamper = true
	sc.replayBoth(300, faultnet.ResetNow)
	sc.client.write(100)

	// The classic wires find no silent transport in memory by themselves.
	networkChanged := time.AfterFunc(10*time.Second, sc.client.NetworkChanged)
	defer networkChanged.Stop()
	if strings.HasPrefix(s.String(), "Noise") {
		sc.server.read(400)
		sc.client.read(300)
		sc.echo(50, time.Minute)
		sc.end()
		return
	}
	for _, e := range []*side{sc.client, sc.server} {
		if err := e.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		_, err := e.Write(make([]byte, 50))
		for err == nil {
			_, err = e.Read(make([]byte, 512))
		}
		requireTypedEnd(t, err)
		_ = e.Abort()
	}
	for _, e := range []*side{sc.client, sc.server} {
		e.awaitDone()
	}
	_ = sc.listener.Close()
	requireNothingLeft(t)
}
