package relink_test

import (
	"context"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// FuzzServerHandshake gives a listener with all suites arbitrary bytes as the
// whole of a client's conversation. A session that lives beside it must not
// notice, and nothing may be left after the time limits.
func FuzzServerHandshake(f *testing.F) {
	f.Add([]byte(nil), uint8(0))
	f.Add([]byte{0x52}, uint8(1))
	f.Add(append([]byte{0}, "publickeyprooffffffffffff"...), uint8(2))
	f.Add(snetResume("0123456789abcdef", 1, 2), uint8(0))
	f.Add(snetResume("0000000000000001", 1<<63, 1<<63), uint8(3))
	f.Add(scpPacket("0\nBwAAAAAAAAA=\nworld\n1"), uint8(0))
	f.Add(scpPacket("0\nBwAAAAAAAAA="), uint8(4))
	f.Add(scpResume("1", 1, 0), uint8(0))
	f.Add([]byte{4, 1, '0', '\n'}, uint8(0))
	f.Add([]byte("R\x01xxxxxxxxxxxx"), uint8(0))
	f.Fuzz(func(t *testing.T, said []byte, piece uint8) {
		synctest.Test(t, func(t *testing.T) { fuzzServerHandshake(t, said, int(piece)) })
	})
}

func fuzzServerHandshake(t *testing.T, said []byte, piece int) {
	n := faultnet.New()
	n.SetOptions(faultnet.Options{Segment: piece})
	var internal atomic.Pointer[error]
	l, err := relink.NewListener(n.Listen(), setup{
		OnEvent: func(e relink.Event) {
			if isInternal(e.Err) {
				internal.Store(&e.Err)
			}
		},
	}.listener(fuzzSuites()...))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d := relink.Dialer{Suite: scpSuite, DialTransport: n.Dial}
	c, err := d.DialConn(context.Background(), "tcp", "server")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Abort()
	server, err := l.AcceptConn()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Abort()
	// SCP has no confirmation: arbitrary bytes can open a session.
	go func() {
		for {
			c, err := l.AcceptConn()
			if err != nil {
				return
			}
			_ = c.Abort()
		}
	}()

	stranger, err := n.Dial(context.Background(), "tcp", "server")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = stranger.Write(said)
	}()
	go func() { _, _ = io.Copy(io.Discard, stranger) }()
	echo := func() {
		for _, ends := range [][2]*relink.Conn{{c, server}, {server, c}} {
			if _, err := ends[0].Write([]byte("still here")); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 10)
			if _, err := io.ReadFull(ends[1], b); err != nil || string(b) != "still here" {
				t.Fatalf("%q, %v", b, err)
			}
		}
	}
	synctest.Wait()
	echo()
	time.Sleep(30 * time.Second)
	synctest.Wait()
	echo()
	if resumes := server.Stats().Resumes; resumes != 0 {
		t.Fatalf("%d resumes", resumes)
	}
	if left := unfinished(l); left != [2]int{} {
		t.Fatalf("%v handshakes and provisional sessions are left", left)
	}
	if err := internal.Load(); err != nil {
		t.Fatal(*err)
	}
	_ = stranger.Close()
	<-done
}

// fuzzSuites returns one suite of every wire there is.
func fuzzSuites() []relink.ServerSuite {
	var all []relink.ServerSuite
	for _, s := range suites {
		cfg := relink.ListenConfig{Suites: append(all[:len(all):len(all)], s)}
		if l, err := relink.NewListener(faultnet.New().Listen(), cfg); err == nil {
			all = cfg.Suites
			_ = l.Close()
		}
	}
	return all
}
