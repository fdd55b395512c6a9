package transporttest

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"testing"
	"time"
)

// A HalfCloser is a transport that can end one direction.
type HalfCloser interface {
	net.Conn
	CloseWrite() error
}

// RequireEcho requires that a short message arrives in each direction.
func RequireEcho(t testing.TB, a, b net.Conn) {
	t.Helper()
	for _, ends := range [][2]net.Conn{{a, b}, {b, a}} {
		if _, err := ends[0].Write([]byte("echo")); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 4)
		if _, err := io.ReadFull(ends[1], got); err != nil || string(got) != "echo" {
			t.Fatalf("read %q, %v", got, err)
		}
	}
}

// RequireHalfClose requires that each end, once it has ended its direction, is refused
// further writes, and that the other end reads all and then io.EOF.
func RequireHalfClose(t testing.TB, a, b HalfCloser) {
	t.Helper()
	for _, ends := range [][2]HalfCloser{{a, b}, {b, a}} {
		if _, err := ends[0].Write([]byte("the end")); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := ends[0].CloseWrite(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := ends[0].Write([]byte("more")); err == nil {
			t.Fatal("a write after CloseWrite has succeeded")
		}
		if got, err := io.ReadAll(ends[1]); err != nil || string(got) != "the end" {
			t.Fatalf("read %q, %v", got, err)
		}
		if n, err := ends[1].Read(make([]byte, 1)); n != 0 || err != io.EOF { //nolint:errorlint // a stream's end is bare
			t.Fatalf("after the end: %d bytes, %v", n, err)
		}
	}
}

// RequireExchange sends size bytes both ways at once, a little at a time, and requires
// that they arrive exactly.
func RequireExchange(t testing.TB, a, b net.Conn, size int) {
	t.Helper()
	data := Data(size)
	want := sha256.Sum256(data)
	results := make(chan error, 4)
	for _, from := range []net.Conn{a, b} {
		go func() {
			var err error
			for rest := data; err == nil && len(rest) > 0; {
				n := min(len(rest), 1+rand.IntN(50_000))
				_, err = from.Write(rest[:n])
				rest = rest[n:]
			}
			results <- err
		}()
	}
	for _, to := range []net.Conn{a, b} {
		go func() {
			h := sha256.New()
			_, err := io.CopyN(h, to, int64(size))
			if err == nil && [sha256.Size]byte(h.Sum(nil)) != want {
				err = fmt.Errorf("other bytes arrived than were sent, of %d", size)
			}
			results <- err
		}()
	}
	for range cap(results) {
		if err := <-results; err != nil {
			t.Fatal(err)
		}
	}
}

// RequireNoLeak calls f and waits until there are no more goroutines than before.
func RequireNoLeak(t testing.TB, f func()) {
	t.Helper()
	before := runtime.NumGoroutine()
	f()
	Eventually(t, func() bool { return runtime.NumGoroutine() <= before }, func() string {
		buf := make([]byte, 1<<20)
		return string(buf[:runtime.Stack(buf, true)])
	})
}

// Eventually waits for a condition. The time is for a machine that hangs.
func Eventually(t testing.TB, ok func() bool, explain func() string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); {
		if time.Now().After(deadline) {
			t.Fatal("waited for a minute in vain: ", explain())
		}
		time.Sleep(time.Millisecond)
	}
}

// Data returns n bytes that tell a place from those nearby.
func Data(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16*7)
	}
	return b
}
