package faultnet_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relink-go/relink/internal/faultnet"
)

var message = []byte("0123456789")

type ends struct{ from, to net.Conn }

// oriented returns the ends of p as direction d sees them.
func oriented(p *faultnet.Path, d faultnet.Dir) ends {
	if d == faultnet.Up {
		return ends{p.Client(), p.Server()}
	}
	return ends{p.Server(), p.Client()}
}

// result is what a call returned.
type result struct {
	n   int
	err error
}

// readAll reads until an error, with a deadline.
func readAll(c net.Conn) ([]byte, error) {
	_ = c.SetReadDeadline(time.Now().Add(time.Second))
	defer func() { _ = c.SetReadDeadline(time.Time{}) }()
	var all []byte
	buf := make([]byte, 4)
	for {
		n, err := c.Read(buf)
		all = append(all, buf[:n]...)
		if err != nil {
			return all, err
		}
	}
}

func wantErr(t *testing.T, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) || (want == nil) != (got == nil) {
		t.Errorf("%s: got error %v, want %v", what, got, want)
	}
}

// TestCutAt cuts at every offset of a message, in each direction, with every
// kind, with and without a buffer, with the message in one piece and byte by byte.
func TestCutAt(t *testing.T) {
	type want struct{ write, read, backWrite, backRead error }
	timeout := os.ErrDeadlineExceeded
	kinds := map[faultnet.Kind]want{
		faultnet.Reset:     {syscall.ECONNRESET, syscall.ECONNRESET, syscall.ECONNRESET, syscall.ECONNRESET},
		faultnet.End:       {syscall.EPIPE, io.EOF, syscall.EPIPE, io.EOF},
		faultnet.BlackHole: {nil, timeout, nil, timeout},
	}
	for kind, want := range kinds {
		for _, d := range []faultnet.Dir{faultnet.Up, faultnet.Down} {
			for _, o := range []faultnet.Options{{}, {Buffer: -1}, {Segment: 3, Delay: time.Millisecond}} {
				for _, piece := range []int{1, len(message)} {
					for offset := 0; offset <= len(message); offset++ {
						name := fmt.Sprintf("%v/%v/%+v/piece %d/offset %d", kind, d, o, piece, offset)
						synctest.Test(t, func(t *testing.T) {
							_, _, p := faultnet.Pair(o)
							e := oriented(p, d)
							unbuffered := o.Buffer < 0
							back := []byte("back")
							if unbuffered {
								back = nil // Nothing can be under way there.
							} else if _, err := e.to.Write(back); err != nil {
								t.Fatal(err)
							}
							p.CutAt(d, int64(offset), kind)

							wrote := make(chan result, 1)
							go func() {
								_ = e.from.SetWriteDeadline(time.Now().Add(time.Second))
								total := 0
								for m := range slices.Chunk(message, piece) {
									n, err := e.from.Write(m)
									total += n
									if err != nil {
										wrote <- result{total, err}
										return
									}
								}
								wrote <- result{total, nil}
							}()
							got, err := readAll(e.to)
							if !bytes.Equal(got, message[:offset]) {
								t.Errorf("%s: read %q", name, got)
							}
							wantErr(t, name+": read", err, want.read)

							w := <-wrote
							switch {
							case kind == faultnet.BlackHole && !unbuffered:
								wantErr(t, name+": write", w.err, nil)
								if w.n != len(message) {
									t.Errorf("%s: wrote %d", name, w.n)
								}
							case offset == len(message):
								wantErr(t, name+": write", w.err, nil)
							case kind == faultnet.BlackHole:
								wantErr(t, name+": write", w.err, timeout)
							default:
								wantErr(t, name+": write", w.err, want.write)
							}
							if (kind != faultnet.BlackHole || unbuffered) && w.n != offset {
								t.Errorf("%s: wrote %d", name, w.n)
							}

							got, err = readAll(e.from)
							if !bytes.Equal(got, back) {
								t.Errorf("%s: read back %q", name, got)
							}
							wantErr(t, name+": read back", err, want.backRead)
							if !unbuffered {
								_, err = e.to.Write(back)
								wantErr(t, name+": write back", err, want.backWrite)
							}
							if p.Delivered(d) != int64(offset) {
								t.Errorf("%s: delivered %d", name, p.Delivered(d))
							}
							closeAll(e.from, e.to)
						})
					}
				}
			}
		}
	}
}

func TestResetNowDiscards(t *testing.T) {
	for _, stalled := range []bool{false, true} {
		c, s, p := faultnet.Pair(faultnet.Options{})
		if stalled {
			p.Stall(faultnet.Up)
		}
		_, _ = c.Write(message)
		_, _ = s.Write(message)
		p.Cut(faultnet.ResetNow)
		for _, end := range []net.Conn{c, s} {
			n, err := end.Read(make([]byte, 10))
			if n != 0 || !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("read %d, %v", n, err)
			}
			var op *net.OpError
			if _, err = end.Write(message); !errors.As(err, &op) || !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("write: %v", err)
			}
		}
	}
}

func TestBlackHoleHidesCloseAndFills(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s, p := faultnet.Pair(faultnet.Options{Buffer: 8})
		p.Cut(faultnet.BlackHole)
		_ = c.SetWriteDeadline(time.Now().Add(time.Second))
		n, err := c.Write(message)
		if n != 8 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("wrote %d, %v", n, err)
		}
		_ = c.Close()
		if got, err := readAll(s); len(got) != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read %q, %v", got, err)
		}
		_, err = s.Write([]byte("12345678"))
		wantErr(t, "write to a closed end in a black hole", err, nil)
		p.Cut(faultnet.Reset)
		_, err = s.Read(message)
		wantErr(t, "read after the reset", err, syscall.ECONNRESET)
	})
}

func TestBlackHoleOneWay(t *testing.T) {
	for d, kind := range []faultnet.Kind{faultnet.BlackHoleUp, faultnet.BlackHoleDown} {
		synctest.Test(t, func(t *testing.T) {
			_, _, p := faultnet.Pair(faultnet.Options{})
			e := oriented(p, faultnet.Dir(d))
			p.Cut(kind)
			_, err := e.from.Write(message)
			wantErr(t, "write", err, nil)
			got, err := readAll(e.to)
			wantErr(t, "read", err, os.ErrDeadlineExceeded)
			if len(got) != 0 {
				t.Errorf("read %q", got)
			}
			_, _ = e.to.Write(message)
			_ = e.to.Close()
			got, err = readAll(e.from)
			wantErr(t, "read back", err, io.EOF)
			if !bytes.Equal(got, message) {
				t.Errorf("read back %q", got)
			}
			_, err = e.from.Write(message)
			wantErr(t, "write after the peer closed", err, nil)
		})
	}
}

func TestEndOneWay(t *testing.T) {
	for d, kind := range []faultnet.Kind{faultnet.EndUp, faultnet.EndDown} {
		synctest.Test(t, func(t *testing.T) {
			_, _, p := faultnet.Pair(faultnet.Options{})
			e := oriented(p, faultnet.Dir(d))
			_, err := e.from.Write(message)
			wantErr(t, "write before", err, nil)
			p.Cut(kind)
			_, err = e.from.Write(message)
			wantErr(t, "write", err, nil)
			got, err := readAll(e.to)
			wantErr(t, "read", err, io.EOF)
			if !bytes.Equal(got, message) {
				t.Errorf("read %q", got)
			}
			_, err = e.to.Write(message)
			wantErr(t, "write back", err, nil)
			_ = e.to.Close()
			got, err = readAll(e.from)
			wantErr(t, "read back", err, io.EOF)
			if !bytes.Equal(got, message) {
				t.Errorf("read back %q", got)
			}
		})
	}
}

// TestLateDelivery lets the bytes of an old transport come after its end.
func TestLateDelivery(t *testing.T) {
	ways := map[string]struct {
		end  func(p *faultnet.Path)
		want error
	}{
		"close": {func(p *faultnet.Path) { _ = p.Client().Close() }, io.EOF},
		"reset": {func(p *faultnet.Path) { p.Cut(faultnet.Reset) }, syscall.ECONNRESET},
		"end":   {func(p *faultnet.Path) { p.Cut(faultnet.End) }, io.EOF},
		"hole":  {func(p *faultnet.Path) { p.Cut(faultnet.BlackHole) }, os.ErrDeadlineExceeded},
	}
	for name, way := range ways {
		synctest.Test(t, func(t *testing.T) {
			c, s, p := faultnet.Pair(faultnet.Options{})
			p.Stall(faultnet.Up)
			_, err := c.Write(message)
			wantErr(t, name, err, nil)
			way.end(p)
			got, err := readAll(s)
			wantErr(t, name+": stalled", err, os.ErrDeadlineExceeded)
			if len(got) != 0 {
				t.Errorf("%s: read %q through a stall", name, got)
			}
			p.Release(faultnet.Up)
			got, err = readAll(s)
			wantErr(t, name+": released", err, way.want)
			if !bytes.Equal(got, message) {
				t.Errorf("%s: read %q", name, got)
			}
		})
	}
}

func TestStallBlocksUnbufferedWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s, p := faultnet.Pair(faultnet.Options{Buffer: -1})
		p.Stall(faultnet.Up)
		go func() { _, _ = c.Write(message) }()
		_, err := readAll(s)
		wantErr(t, "stalled", err, os.ErrDeadlineExceeded)
		go p.Release(faultnet.Up)
		got, _ := readAll(s)
		if !bytes.Equal(got, message) {
			t.Errorf("read %q", got)
		}
	})
}

func TestRecordAndCounters(t *testing.T) {
	c, s, p := faultnet.Pair(faultnet.Options{Segment: 4})
	_, _ = c.Write([]byte("unseen"))
	p.Record()
	_, _ = c.Write(message)
	_, _ = s.Write([]byte("answer"))
	n, _ := s.Read(make([]byte, 100))
	if n != 4 || p.Sent(faultnet.Up) != 16 || p.Delivered(faultnet.Up) != 4 || p.Sent(faultnet.Down) != 6 {
		t.Error(n, p.Sent(faultnet.Up), p.Delivered(faultnet.Up), p.Sent(faultnet.Down))
	}
	if up, down := p.Bytes(faultnet.Up), p.Bytes(faultnet.Down); !bytes.Equal(up, message) || string(down) != "answer" {
		t.Errorf("recorded %q and %q", up, down)
	}
}

// TestSeveralCuts checks that bytes in a black hole count towards a later cut,
// and that a cut need not be set in order.
func TestSeveralCuts(t *testing.T) {
	c, s, p := faultnet.Pair(faultnet.Options{})
	p.CutAt(faultnet.Up, 7, faultnet.Reset)
	p.CutAt(faultnet.Up, 3, faultnet.BlackHole)
	n, err := c.Write(message)
	if n != 7 || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("wrote %d, %v", n, err)
	}
	got, err := readAll(s)
	if string(got) != "012" || !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read %q, %v", got, err)
	}
}

func TestDelay(t *testing.T) {
	const delay = 30 * time.Millisecond
	for _, buffer := range []int{0, -1} {
		synctest.Test(t, func(t *testing.T) {
			c, s, _ := faultnet.Pair(faultnet.Options{Buffer: buffer, Delay: delay})
			start := time.Now()
			go func() {
				_, _ = c.Write(message)
				_ = c.Close()
			}()
			buf := make([]byte, 10)
			if n, err := s.Read(buf); n != 10 || err != nil || time.Since(start) != delay {
				t.Error(n, err, time.Since(start))
			}
			_, err := s.Read(buf)
			wantErr(t, "end", err, io.EOF)
			want := delay
			if buffer < 0 {
				want = 2 * delay // The Write returned when its bytes had been read.
			}
			if time.Since(start) != want {
				t.Error("end after", time.Since(start))
			}
		})
	}
}

// A path that becomes slower or faster delays what is written from then on, and keeps
// the order.
func TestSetDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, s, p := faultnet.Pair(faultnet.Options{Delay: time.Millisecond})
		start := time.Now()
		for i, d := range []time.Duration{time.Millisecond, time.Second, 0} {
			p.SetDelay(d)
			if n, err := c.Write([]byte{byte(i)}); n != 1 || err != nil {
				t.Error(n, err)
			}
		}
		for i, want := range []time.Duration{time.Millisecond, time.Second, time.Second} {
			b := make([]byte, 1)
			if n, err := s.Read(b); n != 1 || err != nil || b[0] != byte(i) || time.Since(start) != want {
				t.Error(i, n, err, b, time.Since(start))
			}
		}
		_, _ = c.Close(), s.Close()
	})
}
