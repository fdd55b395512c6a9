package network

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"time"
)

// A flow is one direction of a connection: what one application writes, and
// what the other sees of it. Every byte is a function of its offset and of the
// flow, so that a byte that is lost, doubled, changed, out of order or of
// another connection shows at the place where it is.
type flow struct {
	seed uint64

	mu       sync.Mutex // guards the fields below
	written  int64
	read     int64
	wrong    error     // the first byte that was not what was written
	failure  error     // what Read or Write failed with first
	failed   time.Time // and when
	last     time.Time // of the newest arrival
	watching time.Time // gaps that end after this count; zero: none does
	gap      time.Duration
	until    int64     // what is written from here on was written after the fault
	resumed  time.Time // when something of it arrived
}

// settle is how long after that a gap counts: what a machine does to a
// connection minutes later has nothing to do with the fault.
const settle = time.Second

// fill puts the flow's bytes from the offset into p.
func (f *flow) fill(p []byte, offset int64) {
	var word [8]byte
	for i := range p {
		if at := offset + int64(i); i == 0 || at&7 == 0 {
			binary.LittleEndian.PutUint64(word[:], mix(f.seed+uint64(at>>3)))
		}
		p[i] = word[(offset+int64(i))&7]
	}
}

// mix is the finalizer of SplitMix64 (Steele, Lea and Flood, 2014): neighbours
// have nothing in common, so that a shifted stream does not look right.
func mix(x uint64) uint64 {
	x *= 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// A load is how an application writes. The zero load writes nothing.
type load struct {
	size  int
	every time.Duration
}

// produce writes until ctx ends or a Write fails.
func (f *flow) produce(ctx context.Context, w io.Writer, l load) {
	ticker := time.NewTicker(l.every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if !f.write(w, l.size) {
				return
			}
		}
	}
}

// write writes one message and reports whether it could.
func (f *flow) write(w io.Writer, size int) bool {
	message := make([]byte, size)
	f.mu.Lock()
	f.fill(message, f.written)
	f.mu.Unlock()
	n, err := w.Write(message)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.written += int64(n)
	f.failLocked(err)
	return err == nil
}

// consume reads until the connection ends or brings a wrong byte.
func (f *flow) consume(r io.Reader) {
	buffer := make([]byte, 64<<10)
	want := make([]byte, len(buffer))
	for {
		n, err := r.Read(buffer)
		at := time.Now()
		f.mu.Lock()
		f.fill(want[:n], f.read)
		f.wrong = difference(buffer[:n], want[:n], f.read)
		f.read += int64(n)
		if n > 0 {
			if f.watchedLocked() && at.After(f.watching) {
				f.gap = max(f.gap, at.Sub(f.last))
			}
			if f.last = at; f.resumed.IsZero() && f.read > f.until {
				f.resumed = at
			}
		}
		f.failLocked(err)
		stop := err != nil || f.wrong != nil
		f.mu.Unlock()
		if stop {
			return
		}
	}
}

// difference says where two slices differ first, or returns nil.
func difference(got, want []byte, offset int64) error {
	for i := range got {
		if got[i] != want[i] {
			return fmt.Errorf("the byte at offset %d is %#02x, and %#02x was written", offset+int64(i), got[i], want[i])
		}
	}
	return nil
}

func (f *flow) failLocked(err error) {
	if err != nil && f.failure == nil {
		f.failure, f.failed = err, time.Now()
	}
}

// watch begins to look for gaps. One that has begun before counts as a whole.
func (f *flow) watch(at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watching, f.gap, f.until, f.resumed = at, 0, math.MaxInt64, time.Time{}
	if f.last.IsZero() {
		f.last = at
	}
}

// watchedLocked says whether a gap that begins with the newest arrival counts.
func (f *flow) watchedLocked() bool {
	return !f.watching.IsZero() && (f.resumed.IsZero() || f.last.Before(f.resumed.Add(settle)))
}

// over is called when the fault is.
func (f *flow) over() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.until = f.written
}

// flowing reports whether the stream goes on after the fault, or never will.
func (f *flow) flowing() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.resumed.IsZero() || f.failure != nil || f.wrong != nil
}

// drained reports whether everything written has arrived, or nothing will.
func (f *flow) drained() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.read == f.written || f.failure != nil || f.wrong != nil
}

// arrived is how many bytes have.
func (f *flow) arrived() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.read
}

// ErrIncomplete says that not everything had arrived when the run ended, and
// that the connection had not failed.
var ErrIncomplete = errors.New("network: not everything has arrived")

// exact returns an error unless exactly what was written has arrived.
func (f *flow) exact() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.wrong != nil:
		return f.wrong
	case f.failure != nil:
		return fmt.Errorf("after %d bytes of %d: %w", f.read, f.written, f.failure)
	case f.read > f.written:
		return fmt.Errorf("%d bytes have arrived and %d were written", f.read, f.written)
	case f.read < f.written:
		return fmt.Errorf("%w: %d bytes of %d", ErrIncomplete, f.read, f.written)
	default:
		return nil
	}
}

// A View is what an application saw of a fault.
type View struct {
	Gap   time.Duration // the longest time from one arrival to the next
	Open  bool          // it had not ended when the run did
	Err   error         // what its connection failed with
	ErrAt time.Duration // how long after the fault
}

// String shows the view in a line.
func (v View) String() string {
	s := v.Gap.Round(time.Millisecond).String()
	if v.Open {
		s += " and on"
	}
	if v.Err != nil {
		s += fmt.Sprintf(" (after %v: %v)", v.ErrAt.Round(time.Millisecond), v.Err)
	}
	return s
}

// view says what was seen until now. What has not ended is a gap if it is longer
// than all that have, and the stream has not gone on.
func (f *flow) view(now time.Time) View {
	f.mu.Lock()
	defer f.mu.Unlock()
	v := View{Gap: f.gap}
	if f.failure != nil && !errors.Is(f.failure, io.EOF) {
		v.Err, v.ErrAt = f.failure, f.failed.Sub(f.watching)
	}
	if open := now.Sub(f.last); open > v.Gap && f.resumed.IsZero() {
		v.Gap, v.Open = open, true
	}
	return v
}
