package relink_test

import (
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkRatio reports how long relink takes relative to its rival: the same
// cipher over TCP without resumption. The two take turns in short batches on connections that
// stay open, and the median of the ratios is reported: what the machine does
// beside it falls on both.
func BenchmarkRatio(b *testing.B) {
	for _, work := range []struct {
		name  string
		batch int
		run   func(b *testing.B, c, s net.Conn, size, batch int)
		sizes []int
	}{
		{"echo", 300, echoBatch, []int{16, 128, 4 << 10}},
		{"write", 32 << 20, writeBatch, []int{64, 256, 1 << 10, 16 << 10, 64 << 10}},
	} {
		for _, size := range work.sizes {
			for _, im := range implementations {
				if im.rival == "" {
					continue
				}
				b.Run(fmt.Sprintf("%s/size=%d/%s-vs-%s", work.name, size, im.name, im.rival), func(b *testing.B) {
					c0, s0 := implementationNamed(im.rival).open(b)
					c1, s1 := im.open(b)
					defer func() { _, _, _, _ = c0.Close(), s0.Close(), c1.Close(), s1.Close() }()
					batch := work.batch
					if work.name == "write" {
						batch = max(1, min(batch/size, 20000))
					}
					once := func(c, s net.Conn) time.Duration {
						start := time.Now()
						work.run(b, c, s, size, batch)
						return time.Since(start)
					}
					once(c0, s0)
					once(c1, s1)
					var ratios []float64
					for n := 0; b.Loop(); n++ {
						var t0, t1 time.Duration
						if n%2 == 0 {
							t0, t1 = once(c0, s0), once(c1, s1)
						} else {
							t1, t0 = once(c1, s1), once(c0, s0)
						}
						ratios = append(ratios, float64(t1)/float64(t0))
					}
					slices.Sort(ratios)
					b.ReportMetric(0, "ns/op")
					b.ReportMetric(ratios[len(ratios)/2], "time-ratio")
					b.ReportMetric(ratios[len(ratios)/4], "quartile1")
					b.ReportMetric(ratios[len(ratios)*3/4], "quartile3")
				})
			}
		}
	}
}

// echoBatch sends messages there and back, one at a time.
func echoBatch(b *testing.B, c, s net.Conn, size, batch int) {
	done := make(chan error, 1)
	go func() {
		buf := make([]byte, size)
		for range batch {
			if _, err := io.ReadFull(s, buf); err != nil {
				done <- err
				return
			}
			if _, err := s.Write(buf); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	p := make([]byte, size)
	for range batch {
		if _, err := c.Write(p); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, p); err != nil {
			b.Fatal(err)
		}
	}
	require.NoError(b, <-done)
}

// writeBatch sends messages one way, and ends when the last has arrived.
func writeBatch(b *testing.B, c, s net.Conn, size, batch int) {
	done := make(chan error, 1)
	go func() {
		buf := make([]byte, 256<<10)
		for left := size * batch; left > 0; {
			n, err := s.Read(buf[:min(left, len(buf))])
			if err != nil {
				done <- err
				return
			}
			left -= n
		}
		done <- nil
	}()
	p := make([]byte, size)
	for range batch {
		if _, err := c.Write(p); err != nil {
			b.Fatal(err)
		}
	}
	require.NoError(b, <-done)
}
