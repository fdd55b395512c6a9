package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/examples/internal/suiteflag"
	"github.com/relink-go/relink/internal/faultnet"
)

// output is a run's standard output or error, which can be read meanwhile.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// outcome runs the program and checks what holds for every run.
func outcome(ctx context.Context, t *testing.T, stdout io.Writer, args ...string) (status int, stderr string) {
	t.Helper()
	var errOut output
	status = run(ctx, args, stdout, &errOut)
	if text, ok := stdout.(*output); ok {
		if i := strings.IndexFunc(text.String(), func(r rune) bool { return unicode.IsControl(r) && r != '\n' }); i >= 0 {
			t.Errorf("a control character in the output: %q", text)
		}
	}
	if (status == 0) != (errOut.String() == "") {
		t.Errorf("status %d with this on standard error: %q", status, errOut.String())
	}
	return status, errOut.String()
}

// holds checks that the text has a match for each pattern.
func holds(t *testing.T, text string, patterns ...string) {
	t.Helper()
	for _, p := range patterns {
		if !regexp.MustCompile(p).MatchString(text) {
			t.Errorf("nothing matches %q in\n%s", p, text)
		}
	}
}

func TestOneProcess(t *testing.T) {
	for _, suite := range suiteflag.Names() {
		t.Run(suite, func(t *testing.T) {
			t.Parallel()
			var out output
			status, stderr := outcome(t.Context(), t, &out, "-suite", suite, "-size", "3M", "-cuts", "12", "-blackholes", "0")
			if status != 0 {
				t.Fatalf("status %d: %s", status, stderr)
			}
			holds(t, out.String(), `sending random data, 3.0 MiB, with `+suite, `sent      SHA-256 [0-9a-f]{64}\n`,
				`received  SHA-256 [0-9a-f]{64}, identical\n`, `cuts +1[0-2]: [56] resets, [56] clean ends, 0 black holes\n`, `resumes +\d+\n`,
				`replayed +[\d.]+ `, `gap +\S+ at most`, `time +\S+ for 3145728 bytes`)
		})
	}
}

func TestTransports(t *testing.T) {
	for _, tr := range transports {
		for _, suite := range []string{"noise", "dh64rc4"} {
			t.Run(tr.name+" "+suite, func(t *testing.T) {
				t.Parallel()
				var out output
				status, stderr := outcome(t.Context(), t, &out, "-transport", tr.name, "-suite", suite, "-size", "3M", "-cuts", "12", "-blackholes", "0")
				if status != 0 {
					t.Fatalf("status %d: %s", status, stderr)
				}
				holds(t, out.String(), `with `+suite+` over `+tr.name+`\n`, `identical\n`, `cuts +1[0-2]: \d+ resets, \d+ clean ends, 0 black holes\n`, `resumes +[1-9]`)
			})
		}
	}
}

func TestCutsByTheClock(t *testing.T) {
	t.Parallel()
	var out output
	if status, stderr := outcome(t.Context(), t, &out, "-size", "8M", "-cut-every", "5ms", "-blackholes", "0"); status != 0 {
		t.Fatalf("status %d: %s", status, stderr)
	}
	holds(t, out.String(), `identical`, `cuts +[1-9]`)
}

func TestBlackHole(t *testing.T) {
	if testing.Short() {
		t.Skip("finding a black hole takes a second or more")
	}
	for _, tr := range transports {
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			var out output
			if status, stderr := outcome(t.Context(), t, &out, "-transport", tr.name, "-size", "4M", "-cuts", "1", "-blackholes", "1"); status != 0 {
				t.Fatalf("status %d: %s", status, stderr)
			}
			holds(t, out.String(), `identical`, `cuts +1: 0 resets, 0 clean ends, 1 black holes`, `resumes +1\n`)
		})
	}
}

func TestFile(t *testing.T) {
	t.Parallel()
	data := []byte("a small file")
	name := filepath.Join(t.TempDir(), "small")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	var out output
	if status, stderr := outcome(t.Context(), t, &out, "-file", name, "-cuts", "0"); status != 0 {
		t.Fatalf("status %d: %s", status, stderr)
	}
	holds(t, out.String(), `sending .*small, 12 bytes`, fmt.Sprintf(`sent      SHA-256 %x\n`, sha256.Sum256(data)))
}

func TestNothing(t *testing.T) {
	t.Parallel()
	var out output
	if status, stderr := outcome(t.Context(), t, &out, "-size", "0"); status != 0 {
		t.Fatalf("status %d: %s", status, stderr)
	}
	holds(t, out.String(), `identical`, `for 0 bytes`)
}

// listening starts a listening half, and returns its address, the flags for the
// other half, and what ends it and returns its status.
func listening(t *testing.T, out *output, flags ...string) (address string, needs []string, end func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	status := make(chan int, 1)
	go func() { status <- run(ctx, append(flags, "-listen", "127.0.0.1:0"), out, io.Discard) }()
	waiting := regexp.MustCompile(`waiting at (\S+) with \S+; the other half needs (.*)\n`)
	until(t, func() bool { return waiting.MatchString(out.String()) })
	m := waiting.FindStringSubmatch(out.String())
	return m[1], strings.Fields(m[2]), func() int {
		cancel()
		return <-status
	}
}

// until waits for something that happens in another goroutine.
func until(t *testing.T, happened func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for ticker := time.NewTicker(time.Millisecond); !happened(); <-ticker.C {
		if time.Now().After(deadline) {
			t.Fatal("it does not happen")
		}
	}
}

// The network between the halves goes away altogether and comes back, several
// times.
func TestTwoHalves(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(relink.GenerateKey().EncodeSecret()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Run("noise", func(t *testing.T) {
		t.Parallel()
		twoHalves(t, "-key", key)
	})
	t.Run("dh64rc4", func(t *testing.T) {
		t.Parallel()
		twoHalves(t, "-suite", "dh64rc4")
	})
	t.Run("websocket", func(t *testing.T) {
		t.Parallel()
		twoHalves(t, "-key", key, "-transport", "websocket")
	})
	t.Run("tls", func(t *testing.T) {
		t.Parallel()
		twoHalves(t, "-key", key, "-transport", "tls")
	})
	for _, name := range []string{"quic", "kcp"} { // no relay carries them
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var sent, received output
			address, needs, end := listening(t, &received, "-key", key, "-transport", name)
			status, stderr := outcome(t.Context(), t, &sent, append(needs, "-connect", address, "-size", "2M", "-cuts", "5", "-blackholes", "0")...)
			if status != 0 {
				t.Errorf("the sending half: status %d: %s", status, stderr)
			}
			until(t, func() bool { return strings.Contains(received.String(), "time ") })
			if status := end(); status != 0 {
				t.Errorf("the receiving half: status %d", status)
			}
			holds(t, sent.String(), `identical`, `resumes +[1-9]`)
		})
	}
}

func twoHalves(t *testing.T, flags ...string) {
	var sent, received output
	address, needs, end := listening(t, &received, flags...)
	network, err := faultnet.NewRelay(address)
	if err != nil {
		t.Fatal(err)
	}
	defer network.Close()
	network.StallAfter(faultnet.Up, 1<<20) // so that the transfer is not over before it is cut
	done := make(chan struct{})
	var status int
	var stderr string
	go func() {
		defer close(done)
		status, stderr = outcome(t.Context(), t, &sent, append(needs, "-connect", network.Addr(), "-size", "8M")...)
	}()
	for i := range 3 {
		until(t, func() bool { return network.Forwarded(faultnet.Up) >= int64(i+1)<<20 })
		seen := network.Accepted()
		network.SetTarget("127.0.0.1:1") // where nobody listens
		network.Cut(faultnet.Reset)
		if i < 2 {
			network.StallAfter(faultnet.Up, int64(i+2)<<20)
		} else {
			network.Release(faultnet.Up)
		}
		until(t, func() bool { return network.Accepted() > seen+1 })
		network.SetTarget(address)
	}
	<-done
	if status != 0 {
		t.Errorf("the sending half: status %d: %s", status, stderr)
	}
	until(t, func() bool { return strings.Contains(received.String(), "time ") })
	if status := end(); status != 0 {
		t.Errorf("the receiving half: status %d", status)
	}
	sum := regexp.MustCompile(`SHA-256 [0-9a-f]{64}`)
	if a, b := sum.FindString(sent.String()), sum.FindString(received.String()); a != b || a == "" {
		t.Errorf("the halves disagree: %q and %q", a, b)
	}
	for _, out := range []*output{&sent, &received} {
		holds(t, out.String(), `identical`, `resumes +[1-9]`)
	}
}

// A receiver that is wrong about what it got.
func TestSenderSeesDifference(t *testing.T) {
	t.Parallel()
	l, err := relink.Listen("tcp", "127.0.0.1:0", relink.DH64RC4Server{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.CopyN(io.Discard, conn, 8+1000+32)
		_, _ = conn.Write(make([]byte, 32))
	}()
	var out output
	status, stderr := outcome(t.Context(), t, &out, "-suite", "dh64rc4", "-connect", l.Addr().String(), "-size", "1000")
	if status != 1 {
		t.Errorf("status %d, want 1", status)
	}
	holds(t, out.String(), `received  SHA-256 0{64}, DIFFERENT`)
	holds(t, stderr, `what has arrived is not what was sent`)
}

// A sender that is wrong about what it sent.
func TestReceiverSeesDifference(t *testing.T) {
	t.Parallel()
	var out output
	address, _, end := listening(t, &out, "-suite", "dh64rc4")
	conn, err := relink.Dial("tcp", address, relink.DH64RC4Client{})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = conn.Write(append([]byte{0, 0, 0, 0, 0, 0, 0, 1, 'x'}, make([]byte, 32)...))
	if err != nil {
		t.Fatal(err)
	}
	until(t, func() bool { return strings.Contains(out.String(), "time ") })
	if status := end(); status != 1 {
		t.Errorf("status %d, want 1", status)
	}
	holds(t, out.String(), `sent      SHA-256 0{64}\n`, `DIFFERENT`)
}

func TestInterrupt(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	var out output
	go func() {
		until(t, func() bool { return strings.Contains(out.String(), "%") })
		cancel()
	}()
	status, stderr := outcome(ctx, t, &out, "-size", "1T")
	if status != 1 || stderr != "transfer: interrupted\n" {
		t.Errorf("status %d: %q", status, stderr)
	}
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	var out output
	status, stderr := outcome(t.Context(), t, &out, "-suite", "insecure-noise", "-connect", "127.0.0.1:1", "-size", "1")
	if status != 1 {
		t.Errorf("status %d, want 1", status)
	}
	holds(t, stderr, `is the other half there`)
}

func TestWrongFlags(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"-speed 3", `-help lists the flags`},
		{"-cuts many", `-help lists the flags`},
		{"file.txt", `unexpected argument "file.txt": name a file with -file`},
		{"-suite rot13", `-suite takes one of noise, insecure-noise, dh64rc4, scp`},
		{"-transport pigeon", `-transport takes one of tcp, tls, websocket, quic, kcp`},
		{"-listen :0", `-listen with the suite noise needs -key FILE: make one with go run ./examples/keygen`},
		{"-connect :1", `-connect with the suite noise needs -server-key`},
		{"-key x", `-key goes with -listen`},
		{"-listen :0 -suite scp -key x", `scp has no keys`},
		{"-file x -size 3", `-file and -size exclude each other`},
		{"-listen :0 -connect :1", `-listen and -connect exclude each other`},
		{"-listen :0 -size 3", `-listen only receives`},
		{"-listen :0 -cuts 3", `-listen only receives`},
		{"-cuts -1", `no negative values`},
		{"-cut-every -1s", `no negative values`},
		{"-size 3X", `want a number of bytes`},
		{"-size -3", `want a number of bytes`},
		{"-size 9000000T", `want a number of bytes`},
		{"-size=", `want a number of bytes`},
	} {
		var out output
		status, stderr := outcome(t.Context(), t, &out, strings.Fields(c.args)...)
		if status != 2 || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: status %d, %q", c.args, status, stderr)
		}
	}
	var out output
	if status, stderr := outcome(t.Context(), t, &out, "-file", filepath.Join(t.TempDir(), "none")); status != 1 || !strings.Contains(stderr, "name another file") {
		t.Errorf("a missing file: status %d, %q", status, stderr)
	}
	if status, stderr := outcome(t.Context(), t, &out, "-file", t.TempDir()); status != 1 || !strings.Contains(stderr, "not a regular file") {
		t.Errorf("a directory: status %d, %q", status, stderr)
	}
}

func TestHelp(t *testing.T) {
	var out bytes.Buffer // flag indents with tabs
	if status, stderr := outcome(t.Context(), t, &out, "-help"); status != 0 {
		t.Errorf("status %d: %s", status, stderr)
	}
	holds(t, out.String(), `-blackholes`, `-connect`, `-cut-every`, `-cuts`, `-file`, `-key`, `-listen`, `-server-key`, `-size`, `-suite`, `-transport`, `default noise`, `default tcp`)
}

func TestSizes(t *testing.T) {
	for in, want := range map[string]int64{"0": 0, "500000": 500000, "1k": 1 << 10, "64M": 64 << 20, "64MiB": 64 << 20, "2G": 2 << 30, "2GB": 2 << 30, "7T": 7 << 40} {
		if got, err := parseSize(in); err != nil || got != want {
			t.Errorf("parseSize(%q) = %d, %v", in, got, err)
		}
	}
	for in, want := range map[int64]string{12: "12 bytes", 1 << 10: "1.0 KiB", 3 << 19: "1.5 MiB", 7 << 40: "7.0 TiB", 7 << 50: "7168.0 TiB"} {
		if got := formatSize(in); got != want {
			t.Errorf("formatSize(%d) = %q, want %q", in, got, want)
		}
	}
}

func TestGoBinary(t *testing.T) {
	if info, err := os.Stat(goBinary()); err != nil || info.Size() < 1<<20 {
		t.Errorf("%s is no large file: %v", goBinary(), err)
	}
}

func TestBar(t *testing.T) {
	var terminal bytes.Buffer
	show := barOn(&terminal)
	show(512, 1024, "3 cuts, 2 resumes", false)
	show(1024, 1024, "4 cuts, 4 resumes", true)
	holds(t, terminal.String(), `\r`, `3 cuts, 2 resumes +50%`, `4 cuts, 4 resumes 100%`)
	if !strings.HasSuffix(terminal.String(), "\n") {
		t.Errorf("what follows the bar would not begin on a line of its own: %q", terminal.String())
	}
}

func TestPlan(t *testing.T) {
	for _, c := range []struct{ cuts, holes, of, want int }{
		{cuts: 30, holes: 3, of: 30, want: 3},
		{cuts: 2, holes: 3, of: 2, want: 2},
		{cuts: 7, holes: 0, of: 7, want: 0},
		{cuts: unbounded, holes: 3, of: 100, want: 3},
		{cuts: unbounded, holes: 3, of: 20, want: 2},
	} {
		p := plan{cuts: c.cuts, blackHoles: c.holes}
		n := 0
		for i := range c.of {
			if p.kind(i) == faultnet.BlackHole {
				n++
			}
		}
		if n != c.want {
			t.Errorf("%d black holes in the first %d cuts of %+v, want %d", n, c.of, p, c.want)
		}
	}
}
