package main

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	core "github.com/relink-go/relink"
)

// cuts is through how many cuts the client talks.
const cuts = 200

// A cutListener remembers the transports it has accepted.
type cutListener struct {
	net.Listener
	mu  sync.Mutex // guards all
	all []net.Conn
}

func (l *cutListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, c)
	return c, err
}

func (l *cutListener) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.all {
		if c, ok := c.(*net.TCPConn); ok {
			_ = c.SetLinger(0)
			_ = c.Close()
		}
	}
	l.all = nil
}

// A program in C, built with the address sanitizer, talks through cuts from two threads
// at once, and makes every mistake that the functions allow.
func TestFromC(t *testing.T) {
	cc := os.Getenv("CC")
	if cc == "" {
		cc = "cc"
	}
	if _, err := exec.LookPath(cc); err != nil {
		t.Skipf("there is no C compiler: %v", err)
	}
	dir := t.TempDir()
	build(t, "go", "build", "-buildmode=c-shared", "-o", filepath.Join(dir, "librelink.so"), ".")
	program := filepath.Join(dir, "client")
	build(t, cc, "-std=c11", "-Wall", "-Wextra", "-Werror", "-g", "-fsanitize=address", "-fno-omit-frame-pointer", "-I.",
		"-o", program, "testdata/client.c", "-L"+dir, "-lrelink", "-lpthread", "-Wl,-rpath,"+dir)

	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cutter := &cutListener{Listener: inner}
	key := core.GenerateKey()
	l, err := core.NewListener(cutter, core.ListenConfig{Suites: []core.ServerSuite{core.NoiseServer{Keys: []core.PrivateKey{key}}}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const total = cuts * 20_000
	done := make(chan int, 1)
	go echo(l, cutter, done)

	cmd := exec.Command(program, inner.Addr().String(), key.PublicKey().String(), strconv.Itoa(total))
	out := new(strings.Builder)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	watchdog := time.AfterFunc(4*time.Minute, func() { _ = cmd.Process.Kill() })
	err = cmd.Wait()
	watchdog.Stop()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
	if n := <-done; n < cuts-1 {
		t.Errorf("%d cuts", n)
	}
	if l.Stats().Resumes == 0 {
		t.Error("no session was resumed")
	}
}

// echo answers every session with what it says, and cuts the first one's transport after
// each 20,000 bytes.
func echo(l *core.Listener, cutter *cutListener, done chan<- int) {
	for first := true; ; first = false {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			b := make([]byte, 4096)
			n, made := 0, 0
			for {
				k, err := conn.Read(b)
				if k > 0 {
					if _, err := conn.Write(b[:k]); err != nil {
						return
					}
				}
				if n += k; first && n/20_000 > made {
					made++
					cutter.cut()
				}
				if err != nil {
					if first && errors.Is(err, io.EOF) {
						done <- made
					}
					return
				}
			}
		}()
	}
}

func build(t *testing.T, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
}
