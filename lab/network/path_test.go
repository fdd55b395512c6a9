package network

import (
	"encoding/binary"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

// A device is one that a path carries packets from and to.
type device struct{ in, out chan []byte }

func newDevice() *device { return &device{make(chan []byte, 10_000), make(chan []byte, 10_000)} }

func (d *device) Read(p []byte) (int, error) {
	b, ok := <-d.in
	if !ok {
		return 0, io.EOF
	}
	return copy(p, b), nil
}

func (d *device) Write(p []byte) (int, error) {
	d.out <- append([]byte(nil), p...)
	return len(p), nil
}

func (d *device) Close() error {
	close(d.in)
	return nil
}

// numbered returns the numbers of the packets that arrive within a time.
func (d *device) numbered(within time.Duration) []uint64 {
	var got []uint64
	timer := time.NewTimer(within)
	for {
		select {
		case b := <-d.out:
			got = append(got, binary.LittleEndian.Uint64(b))
		case <-timer.C:
			return got
		}
	}
}

func number(i int) []byte { return binary.LittleEndian.AppendUint64(nil, uint64(i)) }

func TestPathIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newDevice(), newDevice()
		p := newPath(a, b, 25*time.Millisecond, 1)
		defer p.close()
		for _, ends := range [][2]*device{{a, b}, {b, a}} {
			start := time.Now()
			for i := range 1000 {
				ends[0].in <- number(i)
			}
			for i := range 1000 {
				if got := binary.LittleEndian.Uint64(<-ends[1].out); got != uint64(i) {
					t.Fatalf("packet %d came as number %d", got, i)
				}
			}
			if took := time.Since(start); took != 25*time.Millisecond {
				t.Errorf("the packets took %v", took)
			}
		}
	})
}

func TestPathLosesItsShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const packets = 10_000
		send := func(seed uint64) []uint64 {
			a, b := newDevice(), newDevice()
			p := newPath(a, b, time.Millisecond, seed)
			defer p.close()
			p.SetLoss(0.05)
			for i := range packets {
				a.in <- number(i)
			}
			got := b.numbered(time.Second)
			p.SetLoss(0)
			a.in <- number(packets)
			if last := b.numbered(time.Second); len(last) != 1 {
				t.Errorf("without loss %d packets of 1 came", len(last))
			}
			return got
		}
		first, again, other := send(1), send(1), send(2)
		if lost := packets - len(first); lost < 400 || lost > 600 {
			t.Errorf("%d packets of %d were lost, at 5 %%", lost, packets)
		}
		same := func(x, y []uint64) bool {
			if len(x) != len(y) {
				return false
			}
			for i := range x {
				if x[i] != y[i] {
					return false
				}
			}
			return true
		}
		if !same(first, again) {
			t.Error("the same seed lost other packets")
		}
		if same(first, other) {
			t.Error("another seed lost the same packets")
		}
	})
}

// A queue that is full drops, and does not wait.
func TestPathQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &device{make(chan []byte), nil}, &device{make(chan []byte), make(chan []byte, 3*pathQueue)}
		p := newPath(a, b, time.Hour, 1)
		defer p.close()
		for i := range 2 * pathQueue {
			a.in <- number(i)
		}
		if got := len(b.numbered(2 * time.Hour)); got < pathQueue || got > pathQueue+1 { // one is in hand
			t.Errorf("%d packets came of a queue of %d", got, pathQueue)
		}
	})
}
