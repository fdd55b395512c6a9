package main

import (
	"bytes"
	"context"
	"errors"
	"math"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/relink-go/relink"
)

// start opens an arena on free ports, which is closed at the end of the test.
func start(t *testing.T, o *options) *arena {
	t.Helper()
	o.tcp, o.http = "127.0.0.1:0", "127.0.0.1:0"
	a, err := open(o)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- a.serve() }()
	t.Cleanup(func() {
		a.close()
		if err := <-served; err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "closed") {
			t.Error(err)
		}
	})
	return a
}

func (a *arena) dialer() *relink.Dialer {
	return &relink.Dialer{Suite: relink.NoiseClient{ServerKeys: []relink.PublicKey{a.key}}}
}

// Bots play while somebody's transport is cut again and again. A bot fails if an event is
// lost or comes twice.
func TestBotsThroughCuts(t *testing.T) {
	a := start(t, &options{built: t.TempDir()})
	ctx, cancel := context.WithCancel(t.Context())
	played := make(chan error, 1)
	go func() { played <- bots(ctx, a.dialer(), a.listener.Addr().String(), 8) }()
	p, err := join(t.Context(), a.dialer(), a.listener.Addr().String(), "witness")
	if err != nil {
		t.Fatal(err)
	}
	defer p.conn.Abort()
	for p.events < 300 {
		if _, err := p.next(); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-played:
			t.Fatal("the bots have left: ", err)
		default:
		}
		if p.events%3 == 0 {
			a.cutter.cut()
		}
	}
	if p.conn.Stats().Resumes == 0 && a.listener.Stats().Resumes == 0 {
		t.Error("nothing was cut")
	}
	cancel()
	if err := <-played; err != nil {
		t.Fatal(err)
	}
}

// A player whose network is gone stands still and keeps its place; one that is gone for
// good is taken out.
func TestAwayAndGone(t *testing.T) {
	a := start(t, &options{built: t.TempDir()})
	witness, err := join(t.Context(), a.dialer(), a.listener.Addr().String(), "witness")
	if err != nil {
		t.Fatal(err)
	}
	defer witness.conn.Abort()
	other := a.dialer()
	open := make(chan struct{}, 1)
	open <- struct{}{}
	var transport net.Conn
	other.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
		select {
		case <-open:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		transport = c
		return c, err
	}
	p, err := join(t.Context(), other, a.listener.Addr().String(), "other")
	if err != nil {
		t.Fatal(err)
	}
	hear := func(kind string) {
		t.Helper()
		for {
			m, err := witness.next()
			if err != nil {
				t.Fatal(err)
			}
			if m.Type == "event" && m.Kind == kind && m.Player == p.number {
				return
			}
		}
	}
	hear(joined)
	_ = transport.Close()
	hear(away)
	open <- struct{}{} // and only now it can come back
	hear(back)
	if err := p.conn.Close(); err != nil {
		t.Fatal(err)
	}
	hear(left)
}

// What a client sends is not trusted.
func TestBadClients(t *testing.T) {
	a := start(t, &options{built: t.TempDir()})
	for _, lines := range []string{"nonsense\n", "{\"type\":\"move\"}\n", "{\"type\":\"state\"}\n", strings.Repeat("x", maxLine+1), message{Type: "join", Name: strings.Repeat("x", maxName+1)}.lineString()} {
		conn, err := a.dialer().DialConn(t.Context(), "tcp", a.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte(lines)); err != nil {
			t.Fatal(err)
		}
		if n, err := conn.Read(make([]byte, 1)); err == nil {
			t.Errorf("%.20q: the server has answered with %d bytes", lines, n)
		}
		_ = conn.Abort()
	}
	b := newWorld().join("x")
	b.steer(math.Inf(1), math.NaN())
	b.steer(3, 4)
	if math.Hypot(b.dx, b.dy) > 1.000001 {
		t.Errorf("faster than allowed: %v, %v", b.dx, b.dy)
	}
}

func (m message) lineString() string { return string(m.line()) }

func TestWorld(t *testing.T) {
	w := newWorld()
	b := w.join("x")
	b.x, b.y = 10, 10
	w.coins[0] = [2]float64{11, 10}
	b.steer(1, 0)
	if took := w.step(); len(took) != 1 || took[0] != b || b.score != 1 {
		t.Errorf("the coin was not taken: %v", took)
	}
	if b.x <= 10 {
		t.Error("it does not move")
	}
	b.away = true
	x := b.x
	w.step()
	if b.x != x {
		t.Error("a player that is away moves")
	}
	b.away = false
	b.x = width
	w.step()
	if b.x > width {
		t.Error("it has left the arena")
	}
	w.leave(b)
	if len(w.state().Players) != 0 {
		t.Error("it is still there")
	}
}

func TestFlags(t *testing.T) {
	for _, bad := range [][]string{{"-bots", "-1"}, {"-connect", "x:1"}, {"-name", strings.Repeat("x", 30)}, {"-cut-every", "-1s"}, {"what"}, {"-server-key", "x"}} {
		if _, err := parseFlags(bad, new(bytes.Buffer)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestPicture(t *testing.T) {
	p := &player{number: 1, state: message{Players: [][5]int{{1, 0, 0, 7, 0}, {2, 1000, 600, 0, 1}, {3, 500, 300, 0, 0}}, Coins: [][2]int{{100, 100}}}}
	term := new(terminal)
	term.heard(relink.Event{Kind: relink.EventSuspended})
	picture := term.picture(p)
	for _, want := range []string{"@", "*", "o", ".", "7 coins, 3 players", "the network is gone"} {
		if !strings.Contains(picture, want) {
			t.Errorf("the picture lacks %q:\n%s", want, picture)
		}
	}
}

// The page is played in a real browser, which .ci/run installs: Chromium, and Node.js
// with playwright-core in the directory that RELINK_PLAYWRIGHT names.
func TestPageInChromium(t *testing.T) {
	if os.Getenv("RELINK_PLAYWRIGHT") == "" {
		t.Skip("RELINK_PLAYWRIGHT does not name a directory with playwright-core: .ci/run browser installs it")
	}
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal(err)
	}
	built := t.TempDir()
	if err := build(built); err != nil {
		t.Fatal(err)
	}
	a := start(t, &options{built: built, cutEvery: 50 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	played := make(chan error, 1)
	go func() { played <- bots(ctx, a.dialer(), a.listener.Addr().String(), 4) }()
	screenshots := os.Getenv("RELINK_SCREENSHOTS")
	if screenshots == "" {
		screenshots = t.TempDir()
	}
	limit, stop := context.WithTimeout(t.Context(), 8*time.Minute)
	defer stop()
	cmd := exec.CommandContext(limit, "node", "testdata/play.mjs", a.url(), chromium, screenshots)
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-played; err != nil {
		t.Fatal(err)
	}
}
