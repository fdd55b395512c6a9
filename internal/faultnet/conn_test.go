package faultnet_test

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relink-go/relink/internal/faultnet"
)

func TestDeadlineMovesWhileBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, _ := faultnet.Pair(faultnet.Options{})
		start := time.Now()
		_ = c.SetReadDeadline(start.Add(time.Second))
		go func() {
			time.Sleep(500 * time.Millisecond)
			_ = c.SetReadDeadline(start.Add(3 * time.Second))
		}()
		_, err := c.Read(make([]byte, 1))
		var ne net.Error
		if !errors.As(err, &ne) || !ne.Timeout() || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
		if time.Since(start) != 3*time.Second {
			t.Error("returned after", time.Since(start))
		}
		_ = c.SetReadDeadline(time.Time{})
		go func() {
			time.Sleep(time.Hour)
			_ = c.SetReadDeadline(time.Unix(1, 0))
		}()
		_, err = c.Read(make([]byte, 1))
		wantErr(t, "past", err, os.ErrDeadlineExceeded)
	})
}

func TestPartialWrite(t *testing.T) {
	for _, buffer := range []int{4, -1} {
		synctest.Test(t, func(t *testing.T) {
			c, s, p := faultnet.Pair(faultnet.Options{Buffer: buffer})
			want := 4
			if buffer < 0 {
				want = 3
				go func() { _, _ = io.ReadFull(s, make([]byte, 3)) }()
			}
			_ = c.SetWriteDeadline(time.Now().Add(time.Second))
			n, err := c.Write(message)
			if n != want || !errors.Is(err, os.ErrDeadlineExceeded) || p.Sent(faultnet.Up) != int64(want) {
				t.Errorf("buffer %d: wrote %d, %v, sent %d", buffer, n, err, p.Sent(faultnet.Up))
			}
			_ = c.SetWriteDeadline(time.Time{})
			go func() { _, _ = c.Write(message[n:]); _ = c.Close() }()
			got, err := io.ReadAll(s)
			if err != nil || p.Delivered(faultnet.Up) != int64(len(message)) {
				t.Errorf("buffer %d: read %q, %v", buffer, got, err)
			}
		})
	}
}

// TestTurns checks that concurrent Writes do not mix and that one that waits for
// its turn honours its deadline inside a bubble.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s, _ := faultnet.Pair(faultnet.Options{Buffer: -1})
		var wg sync.WaitGroup
		for _, b := range []string{"aaaa", "bbbb"} {
			wg.Go(func() {
				_, err := c.Write([]byte(b))
				wantErr(t, "write", err, nil)
			})
		}
		synctest.Wait()
		got := make([]byte, 8)
		for i := range got {
			_, _ = s.Read(got[i : i+1])
		}
		if string(got) != "aaaabbbb" && string(got) != "bbbbaaaa" {
			t.Errorf("read %q", got)
		}
		wg.Wait()
		_ = c.SetWriteDeadline(time.Now().Add(time.Second))
		for range 2 {
			wg.Go(func() {
				n, err := c.Write(message)
				wantErr(t, "write", err, os.ErrDeadlineExceeded)
				if n != 0 {
					t.Error("wrote", n)
				}
			})
		}
		wg.Wait()
	})
}

func TestCloseWrite(t *testing.T) {
	c, s, _ := faultnet.Pair(faultnet.Options{})
	_, _ = c.Write(message)
	cw := c.(interface{ CloseWrite() error })
	for range 2 {
		wantErr(t, "CloseWrite", cw.CloseWrite(), nil)
	}
	_, err := c.Write(message)
	wantErr(t, "write", err, syscall.EPIPE)
	if got, err := io.ReadAll(s); err != nil || string(got) != string(message) {
		t.Errorf("read %q, %v", got, err)
	}
	_, _ = s.Write([]byte("on"))
	_ = s.Close()
	if got, err := io.ReadAll(c); err != nil || string(got) != "on" {
		t.Errorf("read %q, %v", got, err)
	}
	_ = c.Close()
	wantErr(t, "CloseWrite", cw.CloseWrite(), net.ErrClosed)
}

func TestClosed(t *testing.T) {
	c, s, _ := faultnet.Pair(faultnet.Options{})
	wantErr(t, "close", c.Close(), nil)
	wantErr(t, "close again", c.Close(), net.ErrClosed)
	_, err := c.Read(make([]byte, 1))
	wantErr(t, "read", err, net.ErrClosed)
	_, err = c.Write(message)
	wantErr(t, "write", err, net.ErrClosed)
	wantErr(t, "deadline", c.SetDeadline(time.Now()), net.ErrClosed)
	_, err = s.Write(message)
	wantErr(t, "peer's write", err, syscall.EPIPE)
	_, err = s.Read(make([]byte, 1))
	wantErr(t, "peer's read", err, io.EOF)
}

func TestOpaque(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s, p := faultnet.Pair(faultnet.Options{Opaque: true})
		if _, ok := c.(interface{ Interruptible() bool }); ok {
			t.Error("an opaque conn has Interruptible")
		}
		if _, ok := c.(interface{ CloseWrite() error }); ok {
			t.Error("an opaque conn has CloseWrite")
		}
		if p.Client() != c || p.Server() != s {
			t.Error("the path has other ends")
		}
		_ = c.SetDeadline(time.Now().Add(time.Second))
		_ = c.SetDeadline(time.Time{}) // In time: no harm.
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
		_, err := c.Read(make([]byte, 1))
		wantErr(t, "read", err, os.ErrDeadlineExceeded)
		_ = c.SetReadDeadline(time.Time{})
		_, _ = s.Write(message)
		_, err = c.Read(make([]byte, 1))
		wantErr(t, "read later", err, faultnet.ErrBroken)
		_, err = c.Write(message)
		wantErr(t, "write", err, nil)

		_ = c.SetWriteDeadline(time.Now().Add(time.Second))
		time.Sleep(2 * time.Second) // Nobody waits when it passes.
		_ = c.SetWriteDeadline(time.Time{})
		_, err = c.Write(message)
		wantErr(t, "write later", err, faultnet.ErrBroken)
	})
	c, _, _ := faultnet.Pair(faultnet.Options{})
	if i, ok := c.(interface{ Interruptible() bool }); !ok || !i.Interruptible() {
		t.Error("a plain conn is not interruptible")
	}
}

func TestResetOnUnread(t *testing.T) {
	c, s, _ := faultnet.Pair(faultnet.Options{ResetOnUnread: true})
	_, _ = c.Write(message)
	_, _ = s.Write(message)
	_ = c.Close()
	_, err := s.Read(make([]byte, 1))
	wantErr(t, "read after a close with unread bytes", err, syscall.ECONNRESET)

	c, s, _ = faultnet.Pair(faultnet.Options{ResetOnUnread: true})
	_, _ = c.Write(message)
	_ = c.Close()
	_, err = s.Read(make([]byte, 1))
	wantErr(t, "read after a close", err, nil)
	_, err = s.Write(message)
	wantErr(t, "write after a close", err, syscall.ECONNRESET)
	_, err = s.Read(make([]byte, 1))
	wantErr(t, "read after that write", err, syscall.ECONNRESET)
}

func TestOddities(t *testing.T) {
	c, s, _ := faultnet.Pair(faultnet.Options{ShortWrites: true, EOFWithData: true})
	var ns []int
	for range 6 {
		n, err := c.Write(message)
		wantErr(t, "write", err, nil)
		ns = append(ns, n)
	}
	if ns[2] != 5 || ns[5] != 5 || ns[0]+ns[1]+ns[3]+ns[4] != 40 {
		t.Error("wrote", ns)
	}
	_ = c.Close()
	n, err := s.Read(make([]byte, 100))
	if n != 50 || !errors.Is(err, io.EOF) {
		t.Errorf("read %d, %v", n, err)
	}
	n, err = s.Read(make([]byte, 100))
	if n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("read %d, %v", n, err)
	}
}
