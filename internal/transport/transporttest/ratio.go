package transporttest

import (
	"io"
	"net"
	"slices"
	"testing"
	"time"
)

// Ends are the two ends of a connection.
type Ends struct{ Client, Server net.Conn }

// A Work is so many messages of a size.
type Work struct {
	Name        string
	Size, Batch int
	run         func(b *testing.B, e Ends, size, batch int)
}

// Run returns the work as [Ratio] wants it.
func (w Work) Run(b *testing.B) func(Ends) {
	return func(e Ends) { w.run(b, e, w.Size, w.Batch) }
}

// Works are those for transports.
var Works = []Work{{"echo", 128, 300, Echo}, {"echo", 4 << 10, 300, Echo}, {"bulk", 16 << 10, 1000, Bulk}}

// Ratio reports how long work takes over a subject relative to a rival: the median of
// the ratios and their quartiles. The two take turns in short batches on connections
// that stay open, so that what the machine does beside it falls on both.
func Ratio(b *testing.B, rival, subject Ends, work func(Ends)) {
	once := func(e Ends) time.Duration {
		start := time.Now()
		work(e)
		return time.Since(start)
	}
	once(rival)
	once(subject)
	var ratios []float64
	for n := 0; b.Loop(); n++ {
		var t0, t1 time.Duration
		if n%2 == 0 {
			t0, t1 = once(rival), once(subject)
		} else {
			t1, t0 = once(subject), once(rival)
		}
		ratios = append(ratios, float64(t1)/float64(t0))
	}
	slices.Sort(ratios)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(ratios[len(ratios)/2], "time-ratio")
	b.ReportMetric(ratios[len(ratios)/4], "quartile1")
	b.ReportMetric(ratios[len(ratios)*3/4], "quartile3")
}

// Echo sends messages there and back, one at a time.
func Echo(b *testing.B, e Ends, size, batch int) {
	done := make(chan error, 1)
	go func() {
		buf := make([]byte, size)
		for range batch {
			if _, err := io.ReadFull(e.Server, buf); err != nil {
				done <- err
				return
			}
			if _, err := e.Server.Write(buf); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	p := make([]byte, size)
	for range batch {
		if _, err := e.Client.Write(p); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(e.Client, p); err != nil {
			b.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

// Bulk sends messages one way, and ends when the last has arrived.
func Bulk(b *testing.B, e Ends, size, batch int) {
	done := make(chan error, 1)
	go func() {
		buf := make([]byte, 256<<10)
		for left := size * batch; left > 0; {
			n, err := e.Server.Read(buf[:min(left, len(buf))])
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
		if _, err := e.Client.Write(p); err != nil {
			b.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}
