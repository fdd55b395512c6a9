package quic_test

import (
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/transport/quic"
)

// BenchmarkRatio reports how long a session over QUIC takes relative to a bare
// stream, in turns on connections that stay open: the median.
func BenchmarkRatio(b *testing.B) {
	for _, s := range []suite{noise, classic} {
		for _, work := range []struct {
			name        string
			size, batch int
			run         func(b *testing.B, c, s net.Conn, size, batch int)
		}{{"echo", 128, 300, echoBatch}, {"echo", 4 << 10, 300, echoBatch}, {"bulk", 16 << 10, 1000, bulkBatch}} {
			b.Run(fmt.Sprintf("%v/%s/size=%d", s, work.name, work.size), func(b *testing.B) {
				c0, s0 := open(b, quic.Config{}, nil).pair(b)
				c1, s1, stop := open(b, quic.Config{}, nil).session(b, s, relink.Config{})
				defer stop()
				once := func(c, s net.Conn) time.Duration {
					start := time.Now()
					work.run(b, c, s, work.size, work.batch)
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
			})
		}
	}
}

// BenchmarkDial compares a stream on a kept connection with one on a new one.
func BenchmarkDial(b *testing.B) {
	for _, kept := range []bool{true, false} {
		b.Run(fmt.Sprintf("kept=%v", kept), func(b *testing.B) {
			p := open(b, quic.Config{}, quic.Patient())
			for b.Loop() {
				c, s, err := p.connect()
				require.NoError(b, err)
				abort(c, s)
				if !kept {
					p.dialer.CloseIdleConnections()
				}
			}
		})
	}
}

func echoBatch(b *testing.B, c, s net.Conn, size, batch int) {
	done := make(chan error, 1)
	go func() {
		buf := make([]byte, size)
		var err error
		for range batch {
			if _, err = io.ReadFull(s, buf); err == nil {
				_, err = s.Write(buf)
			}
			if err != nil {
				break
			}
		}
		done <- err
	}()
	buf := make([]byte, size)
	for range batch {
		if _, err := c.Write(buf); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, buf); err != nil {
			b.Fatal(err)
		}
	}
	require.NoError(b, <-done)
}

func bulkBatch(b *testing.B, c, s net.Conn, size, batch int) {
	done := make(chan error, 1)
	go func() {
		_, err := io.CopyN(io.Discard, s, int64(size*batch))
		done <- err
	}()
	buf := make([]byte, size)
	for range batch {
		if _, err := c.Write(buf); err != nil {
			b.Fatal(err)
		}
	}
	require.NoError(b, <-done)
}
