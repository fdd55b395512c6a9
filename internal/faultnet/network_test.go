package faultnet_test

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relink-go/relink/internal/faultnet"
)

func TestDialAndRestart(t *testing.T) {
	n := faultnet.New()
	ctx := t.Context()
	_, err := n.Dial(ctx, "tcp", "x:1")
	wantErr(t, "dial without a listener", err, syscall.ECONNREFUSED)
	for range 2 {
		l := n.Listen()
		c, err := n.Dial(ctx, "tcp", "x:1")
		wantErr(t, "dial", err, nil)
		s, err := l.Accept()
		wantErr(t, "accept", err, nil)
		p := n.Last()
		if p.Client() != c || p.Server() != s || s.RemoteAddr().String() != c.LocalAddr().String() {
			t.Error("the path is not the one dialled")
		}
		queued, err := n.Dial(ctx, "tcp", "x:1")
		wantErr(t, "dial", err, nil)
		if queued.LocalAddr().String() == c.LocalAddr().String() {
			t.Error("two dials have one address")
		}
		wantErr(t, "close", l.Close(), nil)
		wantErr(t, "close again", l.Close(), net.ErrClosed)
		_, err = l.Accept()
		wantErr(t, "accept", err, net.ErrClosed)
		_, err = queued.Read(make([]byte, 1))
		wantErr(t, "read in the backlog", err, syscall.ECONNRESET)
		_, err = c.Write(message)
		wantErr(t, "write on an accepted path", err, nil)
	}
	if n.Dials() != 5 || len(n.Paths()) != 4 {
		t.Error(n.Dials(), len(n.Paths()))
	}
	n.Listen()
	n.SetClientHost("192.168.7.7")
	c, _ := n.Dial(ctx, "tcp", "x:1")
	if got := c.LocalAddr().String(); got != "192.168.7.7:40005" || c.LocalAddr().Network() != "faultnet" {
		t.Error(got)
	}
}

func TestDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := faultnet.New()
		n.Listen()
		n.SetDown(faultnet.Refuse)
		_, err := n.Dial(t.Context(), "tcp", "x:1")
		wantErr(t, "refused", err, syscall.ECONNREFUSED)

		n.SetDown(faultnet.Hang)
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err = n.Dial(ctx, "tcp", "x:1")
		wantErr(t, "hang", err, context.DeadlineExceeded)
		var ne net.Error
		if !errors.As(err, &ne) || !ne.Timeout() || time.Since(start) != time.Minute {
			t.Error(err, time.Since(start))
		}
		go func() {
			time.Sleep(time.Second)
			n.SetDown(faultnet.NotDown)
		}()
		_, err = n.Dial(t.Context(), "tcp", "x:1")
		wantErr(t, "up again", err, nil)

		n.SetOptions(faultnet.Options{Delay: time.Second})
		start = time.Now()
		_, err = n.Dial(t.Context(), "tcp", "x:1")
		wantErr(t, "delayed", err, nil)
		if time.Since(start) != 2*time.Second {
			t.Error("dialled in", time.Since(start))
		}
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = n.Dial(ctx, "tcp", "x:1")
		wantErr(t, "too slow", err, context.DeadlineExceeded)
	})
}

func TestOnDial(t *testing.T) {
	n := faultnet.New()
	l := n.Listen()
	wrong := errors.New("wrong")
	n.OnDial(func(i int, p *faultnet.Path) error {
		switch i {
		case 0:
			return wrong
		case 1:
			p.CutAt(faultnet.Up, 3, faultnet.End)
		}
		return nil
	})
	_, err := n.Dial(t.Context(), "tcp", "x:1")
	wantErr(t, "dial 0", err, wrong)
	c, err := n.Dial(t.Context(), "tcp", "x:1")
	wantErr(t, "dial 1", err, nil)
	_, _ = c.Write(message)
	s, _ := l.Accept()
	if got, err := io.ReadAll(s); string(got) != "012" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
}

func TestFailNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := faultnet.New()
		l := n.Listen()
		other := errors.New("other")
		go func() {
			time.Sleep(time.Second)
			l.FailNext(faultnet.ErrTooManyFiles, other)
		}()
		_, err := l.Accept()
		wantErr(t, "first", err, syscall.EMFILE)
		var temporary interface{ Temporary() bool }
		if !errors.As(err, &temporary) || !temporary.Temporary() {
			t.Error("not temporary:", err)
		}
		_, err = l.Accept()
		wantErr(t, "second", err, other)
		_, _ = n.Dial(t.Context(), "tcp", "x:1")
		_, err = l.Accept()
		wantErr(t, "third", err, nil)
		go func() {
			time.Sleep(time.Second)
			_ = l.Close()
		}()
		_, err = l.Accept()
		wantErr(t, "closed", err, net.ErrClosed)
	})
}

// TestOpen counts the ends that somebody has to close.
func TestOpen(t *testing.T) {
	n := faultnet.New()
	l := n.Listen()
	var own []*faultnet.Path
	c, err := n.DialThrough(t.Context(), func(p *faultnet.Path) error {
		own = append(own, p)
		return nil
	})
	wantErr(t, "dial", err, nil)
	if len(own) != 1 || own[0].Client() != c || n.Open() != 1 {
		t.Error(len(own), n.Open())
	}
	s, err := l.Accept()
	wantErr(t, "accept", err, nil)
	if n.Open() != 2 {
		t.Error(n.Open())
	}
	_ = c.Close()
	_ = s.Close()
	_, err = n.DialThrough(t.Context(), func(*faultnet.Path) error { return net.ErrClosed })
	wantErr(t, "dial that is refused", err, net.ErrClosed)
	if n.Open() != 0 || len(n.Paths()) != 1 {
		t.Error(n.Open(), len(n.Paths()))
	}
}
