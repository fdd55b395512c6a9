package faultnet_test

import (
	"bytes"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/relink-go/relink/internal/faultnet"
)

// relayed returns a relay, a listener behind it, and what dials through both.
func relayed(t *testing.T) (r *faultnet.Relay, dial func() (client, server *net.TCPConn)) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	if r, err = faultnet.NewRelay(l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.Close()
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		if strings.Contains(string(stacks), "faultnet.(*Relay)") {
			t.Errorf("the relay left goroutines:\n%s", stacks)
		}
	})
	return r, func() (client, server *net.TCPConn) {
		t.Helper()
		c, err := net.Dial("tcp", r.Addr())
		if err != nil {
			t.Fatal(err)
		}
		s, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { closeAll(c, s) })
		return c.(*net.TCPConn), s.(*net.TCPConn)
	}
}

// expect reads until an error and compares.
func expect(t *testing.T, c net.Conn, patience time.Duration, want string, wantError error) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	got, err := io.ReadAll(c)
	if err == nil {
		err = io.EOF
	}
	if string(got) != want {
		t.Errorf("read %q, want %q", got, want)
	}
	wantErr(t, "read", err, wantError)
}

const (
	long  = 5 * time.Second       // never waited for in full
	short = 50 * time.Millisecond // waited for where nothing must come
)

func TestRelayForwards(t *testing.T) {
	r, dial := relayed(t)
	r.SetBuffers(4096)
	c, s := dial()
	data := bytes.Repeat(message, 1000)
	go func() {
		_, _ = c.Write(data)
		_ = c.CloseWrite()
	}()
	got, err := io.ReadAll(s)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
	_, _ = s.Write(message)
	_ = s.Close()
	expect(t, c, long, string(message), io.EOF)
	if r.Forwarded(faultnet.Up) != int64(len(data)) || r.Forwarded(faultnet.Down) != 10 || r.Accepted() != 1 {
		t.Error(r.Forwarded(faultnet.Up), r.Forwarded(faultnet.Down), r.Accepted())
	}
}

func TestRelayEndOneWay(t *testing.T) {
	r, dial := relayed(t)
	c, s := dial()
	_, _ = c.Write(message)
	_, _ = io.ReadFull(s, make([]byte, 10))
	r.Cut(faultnet.EndUp)
	expect(t, s, long, "", io.EOF)
	_, err := c.Write(message)
	wantErr(t, "write", err, nil)
	_, _ = s.Write(message)
	_ = s.CloseWrite()
	expect(t, c, long, string(message), io.EOF)
}

func TestRelayCut(t *testing.T) {
	for kind, want := range map[faultnet.Kind]error{
		faultnet.Reset:     syscall.ECONNRESET,
		faultnet.End:       io.EOF,
		faultnet.BlackHole: os.ErrDeadlineExceeded,
	} {
		t.Run(kind.String(), func(t *testing.T) {
			r, dial := relayed(t)
			c, s := dial()
			_, _ = c.Write(message)
			_, _ = io.ReadFull(s, make([]byte, 10))
			r.Cut(kind)
			patience := long
			if kind == faultnet.BlackHole {
				patience = short
				_, _ = c.Write(message)
			}
			expect(t, c, patience, "", want)
			expect(t, s, patience, "", want)
			if kind == faultnet.BlackHole {
				if r.Live() != 1 {
					t.Error(r.Live(), "connections live")
				}
				r.Cut(faultnet.Reset)
				expect(t, s, long, "", syscall.ECONNRESET)
			}
		})
	}
}

func TestRelayCutAfter(t *testing.T) {
	for kind, want := range map[faultnet.Kind]error{
		faultnet.Reset:       syscall.ECONNRESET,
		faultnet.End:         io.EOF,
		faultnet.BlackHoleUp: os.ErrDeadlineExceeded,
	} {
		t.Run(kind.String(), func(t *testing.T) {
			r, dial := relayed(t)
			r.CutAfter(faultnet.Up, 4, kind)
			c, s := dial()
			_, _ = c.Write(message)
			patience := long
			if kind == faultnet.BlackHoleUp {
				patience = short
			}
			expect(t, s, patience, "0123", want)
			if kind == faultnet.BlackHoleUp {
				_, _ = s.Write(message)
				_ = s.Close()
				expect(t, c, long, string(message), io.EOF)
			}
			// The next connection is whole.
			c, s = dial()
			_, _ = c.Write(message)
			_ = c.CloseWrite()
			expect(t, s, long, string(message), io.EOF)
		})
	}
}

func TestRelayStall(t *testing.T) {
	r, dial := relayed(t)
	c, s := dial()
	r.Stall(faultnet.Up)
	_, _ = c.Write(message)
	_ = c.Close()
	expect(t, s, short, "", os.ErrDeadlineExceeded)
	r.Release(faultnet.Up)
	expect(t, s, long, string(message), io.EOF)
}

func TestRelayStallAfter(t *testing.T) {
	r, dial := relayed(t)
	c, s := dial()
	r.StallAfter(faultnet.Up, 3)
	_, _ = c.Write(message)
	_ = c.Close()
	expect(t, s, short, string(message[:3]), os.ErrDeadlineExceeded)
	r.StallAfter(faultnet.Up, 5)
	expect(t, s, short, string(message[3:5]), os.ErrDeadlineExceeded)
	r.Release(faultnet.Up)
	expect(t, s, long, string(message[5:]), io.EOF)
}

func TestRelayRefused(t *testing.T) {
	r, _ := relayed(t)
	l, _ := net.Listen("tcp", "127.0.0.1:0")
	r.SetTarget(l.Addr().String())
	_ = l.Close()
	c, err := net.Dial("tcp", r.Addr())
	if err != nil { // The reset may come before the dial has returned.
		wantErr(t, "dial", err, syscall.ECONNRESET)
		return
	}
	defer func() { _ = c.Close() }()
	expect(t, c, long, "", syscall.ECONNRESET)
}

// TestRelayCloseWithBlockedEverything closes a relay whose directions wait for a
// stall and for a peer that does not read.
func TestRelayCloseWithBlockedEverything(t *testing.T) {
	r, dial := relayed(t)
	r.SetBuffers(4096)
	c, s := dial()
	r.Stall(faultnet.Down)
	_, _ = s.Write(message)
	_ = c.SetWriteDeadline(time.Now().Add(short))
	_, _ = c.Write(make([]byte, 32<<20))
	// The cleanup closes the relay and looks for goroutines.
}
