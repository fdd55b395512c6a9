package replay_test

import (
	"bytes"
	"math"
	"sync"
	"testing"
	"unsafe"

	"github.com/relink-go/relink/replay"
)

func TestZeroValue(t *testing.T) {
	var b replay.Buffer
	if n := b.Append([]byte("x")); n != 0 {
		t.Errorf("Append took %d", n)
	}
	if p := b.Reserve(1); p != nil {
		t.Errorf("Reserve gave %d", len(p))
	}
	l := b.Lend(0, 0)
	if len(l.Bytes()) != 0 {
		t.Errorf("Lend gave %q", l.Bytes())
	}
	b.Return(l)
	if l := b.Extend(1); len(l.Bytes()) != 0 {
		t.Errorf("Extend gave %d", len(l.Bytes()))
	}
	b.Commit(0)
	b.Free(0)
	if n := b.CopyTo(make([]byte, 1), 0); n != 0 {
		t.Errorf("CopyTo gave %d", n)
	}
	if b.Limit() != 0 || b.Start() != 0 || b.End() != 0 || b.Len() != 0 || b.Room() != 0 || b.Memory() != 0 {
		t.Error("not empty")
	}
}

// Every session has two Buffers, most of them idle.
func TestSmallWhenIdle(t *testing.T) {
	if size := unsafe.Sizeof(replay.Buffer{}); size > 96 {
		t.Errorf("a Buffer takes %d bytes", size)
	}
	b := replay.New(4<<20, 0)
	for range 100 {
		b.Append(make([]byte, 100_000))
		b.Free(b.End() - 1)
	}
	if b.Memory() > 2*replay.MaxChunk {
		t.Errorf("%d bytes of memory hold one byte", b.Memory())
	}
	b.Free(b.End())
	if b.Memory() != 0 {
		t.Errorf("%d bytes of memory hold nothing", b.Memory())
	}
}

func TestGrowth(t *testing.T) {
	b := replay.New(8<<20, 0)
	for b.Room() > 0 {
		b.Append(make([]byte, 100))
		if b.Memory() > 2*b.Len()+replay.MinChunk {
			t.Fatalf("%d bytes of memory hold %d", b.Memory(), b.Len())
		}
	}
	first := b.Lend(4<<20, 0) // from the middle of a chunk
	next := b.Lend(4<<20+int64(len(first.Bytes())), 0)
	if n := len(next.Bytes()); n != replay.MaxChunk {
		t.Errorf("a chunk of %d bytes when 4 MiB are held", n)
	}
	b.Return(next)
	b.Return(first)

	b.Reset(1<<20, 0)
	b.Append(make([]byte, 64<<10))
	if l := b.Lend(0, 0); len(l.Bytes()) != 64<<10 {
		t.Errorf("the first 64 KiB are split at %d", len(l.Bytes()))
	}
}

// Messages of which one or two are held at a time are never split, neither for
// who fills them nor for who sends them.
func TestMessagesStayWhole(t *testing.T) {
	for _, size := range []int{1, 60, 100, 128, 1000, replay.MinChunk} {
		b := replay.New(1<<20, 0)
		for range 100 {
			off := b.End()
			if p := b.Reserve(size); len(p) != size {
				t.Fatalf("room for %d of %d bytes", len(p), size)
			}
			b.Commit(size)
			l := b.Lend(off, 0)
			if len(l.Bytes()) != size {
				t.Fatalf("%d of %d bytes are in one piece", len(l.Bytes()), size)
			}
			b.Return(l)
			b.Free(off) // the one before
			if most := 3 * replay.MinChunk; b.Memory() > most {
				t.Fatalf("%d bytes of memory hold %d", b.Memory(), b.Len())
			}
		}
	}
}

// Extend takes all or nothing, into the chunk that there is or, if the Buffer is
// empty, into a new one.
func TestExtend(t *testing.T) {
	const limit = 3 * replay.MinChunk / 2
	for _, c := range []struct {
		held, n int
		ok      bool
	}{
		{0, 0, false},
		{0, 1, true},
		{0, limit, true},
		{0, limit + 1, false},
		{1, -1, false},
		{1, 0, false},
		{1, 1, true},
		{1, replay.MinChunk - 1, true},
		{1, replay.MinChunk, false},
		{replay.MinChunk, 1, false},
		{replay.MinChunk + 1, limit - replay.MinChunk - 1, true},
		{replay.MinChunk + 1, limit - replay.MinChunk, false}, // the limit
	} {
		b := replay.New(limit, 7)
		for range c.held {
			b.Append([]byte("x"))
		}
		if l := b.Extend(c.n); (len(l.Bytes()) == c.n && c.n > 0) != c.ok || b.Len() != c.held+len(l.Bytes()) {
			t.Errorf("Extend(%d) of %d bytes gave %d and left %d", c.n, c.held, len(l.Bytes()), b.Len())
		}
		if b.Len() < limit && c.held > 0 {
			b.Reserve(1)
			if l := b.Extend(1); len(l.Bytes()) != 0 {
				t.Errorf("Extend during a reservation gave %d", len(l.Bytes()))
			}
			b.Commit(0)
		}
	}
	b := replay.New(2*replay.MaxChunk, 7)
	if l := b.Extend(replay.MaxChunk + 1); len(l.Bytes()) != 0 || b.Memory() != 0 {
		t.Errorf("Extend by more than a chunk gave %d and took %d", len(l.Bytes()), b.Memory())
	}
	if l := b.Extend(replay.MaxChunk); len(l.Bytes()) != replay.MaxChunk {
		t.Errorf("Extend by a chunk gave %d", len(l.Bytes()))
	}
}

// A full Buffer of which a little is freed and refilled at a time must neither
// exceed its memory nor end up in tiny pieces.
func TestFullForLong(t *testing.T) {
	for _, step := range []int{1000, 1448, 20_000, 65_536, 300_000} {
		const limit = 4 << 20
		b := replay.New(limit, 0)
		b.Append(make([]byte, limit))
		most := 0
		for range 8*limit/step + 1 {
			b.Free(b.Start() + int64(step))
			b.Append(make([]byte, step))
			most = max(most, b.Memory())
		}
		if most > memoryBound(limit) {
			t.Errorf("step %d: %d bytes of memory", step, most)
		}
		pieces := 0
		for off := b.Start(); off < b.End(); pieces++ {
			l := b.Lend(off, 0)
			off += int64(len(l.Bytes()))
			b.Return(l)
		}
		if average := limit / pieces; average < 32<<10 {
			t.Errorf("step %d: %d pieces of %d bytes on average", step, pieces, average)
		}
		b.Reset(0, 0)
	}
}

func TestOffsetsEnd(t *testing.T) {
	b := replay.New(100, math.MaxInt64-10)
	if n := b.Room(); n != 10 {
		t.Errorf("room %d", n)
	}
	if n := b.Append([]byte("12345678")); n != 8 {
		t.Errorf("Append took %d of 8", n)
	}
	if p := b.Reserve(50); len(p) != 2 {
		t.Fatalf("Reserve gave %d of 2", len(p))
	}
	b.Commit(2)
	if n := b.Append([]byte("x")); n != 0 || b.End() != math.MaxInt64 {
		t.Errorf("Append took %d, end %d", n, b.End())
	}
	b.Free(math.MaxInt64)
	if b.Room() != 0 || b.Len() != 0 || b.Reserve(1) != nil {
		t.Error("room after the last offset")
	}
	if b := replay.New(math.MaxInt, 0); b.Append(make([]byte, 5000)) != 5000 || b.Room() != math.MaxInt-5000 {
		t.Error("an unlimited Buffer refuses")
	}
}

// The bytes of a reservation survive that everything before them is freed.
func TestFreeUnderReservation(t *testing.T) {
	for _, before := range []int{0, 1, 100, replay.MinChunk, 5000} {
		b := replay.New(1<<20, 7)
		b.Append(make([]byte, before))
		p := b.Reserve(3)
		n := copy(p, "new")
		b.Free(b.End())
		other := replay.New(1<<20, 0) // takes what would be recycled
		other.Append(bytes.Repeat([]byte{0xff}, 4*replay.MinChunk))
		b.Commit(n)
		if got := make([]byte, 3); b.CopyTo(got, b.Start()) != 3 || string(got) != "new" || b.Start() != int64(7+before) {
			t.Errorf("after %d bytes: %q at %d", before, got, b.Start())
		}
		p = b.Reserve(3)
		b.Free(b.End())
		b.Commit(0)
		if p == nil || b.Memory() != 0 {
			t.Errorf("after %d bytes: memory %d", before, b.Memory())
		}
	}
}

func TestResetUnderLoanAndReservation(t *testing.T) {
	b := replay.New(1<<20, 0)
	b.Append([]byte("lent"))
	l := b.Lend(0, 0)
	p := b.Reserve(4)
	copy(p, "res.")
	b.Reset(1<<20, 1000)
	if b.Memory() != replay.MinChunk {
		t.Errorf("memory %d", b.Memory())
	}
	b.Commit(4)
	if b.Len() != 0 || b.End() != 1000 {
		t.Errorf("what was reserved before the Reset is at %d", b.Start())
	}
	b.Append(make([]byte, 2000))
	if string(l.Bytes()) != "lent" || string(p) != "res." {
		t.Errorf("overwritten: %q %q", l.Bytes(), p)
	}
	b.Return(l)
	b.Reset(0, 0)
	if b.Memory() != 0 {
		t.Errorf("memory %d at the end", b.Memory())
	}
}

func TestPanics(t *testing.T) {
	tests := []struct {
		name string
		f    func(b *replay.Buffer) // b holds [10, 20) of at most 15
	}{
		{"New with a negative limit", func(*replay.Buffer) { replay.New(-1, 0) }},
		{"New at a negative offset", func(*replay.Buffer) { replay.New(0, -1) }},
		{"Lend before Start", func(b *replay.Buffer) { b.Lend(9, 1) }},
		{"Lend after End", func(b *replay.Buffer) { b.Lend(21, 1) }},
		{"CopyTo before Start", func(b *replay.Buffer) { b.CopyTo(nil, 9) }},
		{"CopyTo after End", func(b *replay.Buffer) { b.CopyTo(nil, 21) }},
		{"Free after End", func(b *replay.Buffer) { b.Free(21) }},
		{"Commit of a negative number", func(b *replay.Buffer) { b.Reserve(2); b.Commit(-1) }},
		{"Commit of too much", func(b *replay.Buffer) { b.Reserve(2); b.Commit(3) }},
		{"Commit of nothing reserved", func(b *replay.Buffer) { b.Commit(1) }},
		{"Commit twice", func(b *replay.Buffer) { b.Reserve(2); b.Commit(2); b.Commit(2) }},
		{"Reserve twice", func(b *replay.Buffer) { b.Reserve(2); b.Reserve(2) }},
		{"Append while reserved", func(b *replay.Buffer) { b.Reserve(2); b.Append(nil) }},
		{"Return twice", func(b *replay.Buffer) { l := b.Lend(10, 1); b.Return(l); b.Return(l) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := replay.New(15, 10)
			b.Append(make([]byte, 10))
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			tt.f(b)
		})
	}
}

// One goroutine fills reservations and one reads loans, neither with the lock
// held, while the front is freed: as a session's writer, sender and receiver do.
func TestUnlockedWindows(t *testing.T) {
	const total = 4 << 20
	var (
		mu      sync.Mutex
		changed = sync.NewCond(&mu)
		b       = replay.New(100_000, 0)
		wg      sync.WaitGroup
	)
	wg.Go(func() {
		mu.Lock()
		defer mu.Unlock()
		for off := int64(0); off < total; {
			p := b.Reserve(min(int(off%9000)+1, int(total-off)))
			if p == nil {
				changed.Wait()
				continue
			}
			mu.Unlock()
			for i := range p {
				p[i] = byte((off + int64(i)) % 251)
			}
			mu.Lock()
			b.Commit(len(p))
			off += int64(len(p))
			changed.Broadcast()
		}
	})
	wg.Go(func() {
		mu.Lock()
		defer mu.Unlock()
		for off := int64(0); off < total; {
			l := b.Lend(off, int(off%20_000))
			if len(l.Bytes()) == 0 {
				changed.Wait()
				continue
			}
			off += int64(len(l.Bytes()))
			b.Free(off) // what is still being read
			changed.Broadcast()
			mu.Unlock()
			for i, x := range l.Bytes() {
				if x != byte((off-int64(len(l.Bytes()))+int64(i))%251) {
					t.Errorf("wrong byte before %d", off)
					break
				}
			}
			mu.Lock()
			b.Return(l)
		}
	})
	wg.Wait()
	if b.Memory() != 0 {
		t.Errorf("memory %d at the end", b.Memory())
	}
}

func TestNoAllocation(t *testing.T) {
	if raceEnabled {
		t.Skip("sync.Pool drops objects under the race detector")
	}
	for _, size := range []int{1, 128, 1 << 10, 64 << 10, 300_000} {
		for _, window := range []int64{0, 100_000} {
			b := replay.New(1<<20, 0)
			data := make([]byte, size)
			step := func() {
				b.Append(data[:size/2])
				for left := size - size/2; left > 0; {
					p := b.Reserve(left)
					b.Commit(len(p))
					left -= len(p)
				}
				for off := b.End() - int64(size); off < b.End(); {
					l := b.Lend(off, 0)
					off += int64(len(l.Bytes()))
					b.Return(l)
				}
				b.CopyTo(data, b.End()-int64(size))
				b.Free(b.End() - window)
			}
			for range 300_000/size + 10 {
				step()
			}
			if n := testing.AllocsPerRun(1000, step); n != 0 {
				t.Errorf("%d bytes, window %d: %v allocations", size, window, n)
			}
		}
	}
}

// What a caller changes through a loan is what the Buffer holds from then on,
// in every chunk that it lies in.
func TestChangedInPlace(t *testing.T) {
	const size = 3 * replay.MaxChunk
	b := replay.New(size, 0)
	b.Append(make([]byte, size))
	for off := int64(0); off < b.End(); {
		l := b.Lend(off, 1000)
		for i := range l.Bytes() {
			l.Bytes()[i] = byte(off + int64(i))
		}
		off += int64(len(l.Bytes()))
		b.Return(l)
	}
	got := make([]byte, size)
	b.CopyTo(got, 0)
	for i, v := range got {
		if v != byte(i) {
			t.Fatalf("the byte at %d is %d", i, v)
		}
	}
}
