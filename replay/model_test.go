package replay_test

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/relink-go/relink/replay"
)

// A pair is a Buffer beside the trivial model of it: a slice and the offset of
// its first byte. Every operation is done on both, and compared.
type pair struct {
	t     testing.TB
	b     *replay.Buffer
	limit int
	most  int // that the limit has been since the last reset
	start int64
	held  []byte

	loans    []lent
	reserved []byte // of the Buffer
	fill     []byte // what was written to it
	stale    bool   // reset since
	written  int    // how much of the pattern
}

type lent struct {
	replay.Loan
	want []byte
}

func newPair(t testing.TB, limit int, offset int64) *pair {
	return &pair{t: t, b: replay.New(limit, offset), limit: limit, most: limit, start: offset}
}

func (p *pair) end() int64 { return p.start + int64(len(p.held)) }

func (p *pair) room() int {
	return int(min(int64(p.limit-len(p.held)), math.MaxInt64-p.end()))
}

// pattern repeats at a prime length, which no size of chunk is a multiple of.
var pattern = func() []byte {
	p := make([]byte, 65521)
	_, _ = rand.NewChaCha8([32]byte{}).Read(p)
	return p
}()

// next returns n bytes that tell a place from all others nearby.
func (p *pair) next(n int) []byte {
	out := make([]byte, n)
	for i := 0; i < n; {
		k := copy(out[i:], pattern[p.written%len(pattern):])
		p.written += k
		i += k
	}
	return out
}

func (p *pair) append(n int) {
	if p.reserved != nil {
		return
	}
	data := p.next(n)
	want := min(n, p.room())
	if got := p.b.Append(data); got != want {
		p.t.Fatalf("Append of %d took %d, want %d", n, got, want)
	}
	p.held = append(p.held, data[:want]...)
	clear(data) // Append must not keep it
}

func (p *pair) reserve(n int) {
	if p.reserved != nil {
		return
	}
	got := p.b.Reserve(n)
	most := max(0, min(n, p.room()))
	if len(got) > most || (len(got) == 0) != (most == 0) || cap(got) != len(got) {
		p.t.Fatalf("Reserve(%d) gave %d, cap %d; at most %d possible", n, len(got), cap(got), most)
	}
	if len(got) > 0 {
		p.reserved, p.fill, p.stale = got, p.next(len(got)), false
		copy(p.reserved, p.fill)
	}
}

func (p *pair) extend(n int) {
	l := p.b.Extend(n)
	got := l.Bytes()
	if len(got) == 0 {
		return // that it can be so is for TestExtend; check sees that nothing was appended
	}
	if len(got) != n || cap(got) != n || n > p.room() || p.reserved != nil {
		p.t.Fatalf("Extend(%d) gave %d, cap %d; room for %d, reserved %v", n, len(got), cap(got), p.room(), p.reserved != nil)
	}
	data := p.next(n)
	copy(got, data)
	p.held = append(p.held, data...)
	p.loans = append(p.loans, lent{l, data})
}

func (p *pair) commit(n int) {
	if p.reserved == nil {
		p.b.Commit(0)
		return
	}
	n = min(n, len(p.reserved))
	if !bytes.Equal(p.reserved, p.fill) {
		p.t.Fatal("a reservation was overwritten")
	}
	p.b.Commit(n)
	if !p.stale {
		p.held = append(p.held, p.fill[:n]...)
	}
	p.reserved, p.fill = nil, nil
}

func (p *pair) lend(at, most int) {
	at = min(at, len(p.held))
	l := p.b.Lend(p.start+int64(at), most)
	got, want := l.Bytes(), p.held[at:]
	if most > 0 {
		want = want[:min(most, len(want))]
	}
	if len(got) > len(want) || (len(got) == 0) != (len(want) == 0) || cap(got) != len(got) {
		p.t.Fatalf("Lend gave %d bytes, cap %d; at most %d possible", len(got), cap(got), len(want))
	}
	p.loans = append(p.loans, lent{l, bytes.Clone(want[:len(got)])})
}

func (p *pair) giveBack(i int) {
	if len(p.loans) == 0 {
		return
	}
	i %= len(p.loans)
	if !bytes.Equal(p.loans[i].Bytes(), p.loans[i].want) {
		p.t.Fatal("a loan was overwritten")
	}
	p.b.Return(p.loans[i].Loan)
	p.loans = slices.Delete(p.loans, i, i+1)
}

func (p *pair) free(n int) {
	n = min(n, len(p.held))
	p.b.Free(p.start + int64(n))
	if n > 0 {
		p.start += int64(n)
		p.held = p.held[n:]
	}
}

func (p *pair) reset(limit int, offset int64) {
	p.b.Reset(limit, offset)
	p.limit, p.most = limit, limit
	p.start, p.held, p.stale = offset, nil, true
}

func (p *pair) copyTo(at, n int) {
	at = min(at, len(p.held))
	dst := make([]byte, n)
	want := p.held[at:min(at+n, len(p.held))]
	if k := p.b.CopyTo(dst, p.start+int64(at)); !bytes.Equal(dst[:k], want) {
		p.t.Fatalf("CopyTo of %d bytes differs", n)
	}
}

func (p *pair) check() {
	b := p.b
	if b.Limit() != p.limit || b.Start() != p.start || b.End() != p.end() ||
		b.Len() != len(p.held) || b.Room() != p.room() {
		p.t.Fatalf("limit %d, [%d, %d), len %d, room %d; want limit %d, [%d, %d), len %d, room %d",
			b.Limit(), b.Start(), b.End(), b.Len(), b.Room(),
			p.limit, p.start, p.end(), len(p.held), p.room())
	}
	if b.Memory() < b.Len() {
		p.t.Fatalf("memory %d for %d bytes", b.Memory(), b.Len())
	}
	if len(p.loans) == 0 && p.reserved == nil {
		if most := memoryBound(p.most); b.Memory() > most {
			p.t.Fatalf("memory %d, limit %d", b.Memory(), p.limit)
		}
		if b.Len() == 0 && b.Memory() != 0 {
			p.t.Fatalf("memory %d although empty", b.Memory())
		}
	}
}

// finish gives everything back and compares what is left.
func (p *pair) finish() {
	p.commit(math.MaxInt)
	for len(p.loans) > 0 {
		p.giveBack(0)
	}
	p.copyTo(0, len(p.held)+1)
	p.free(math.MaxInt)
	p.check()
}

// memoryBound is the documented bound of Memory.
func memoryBound(limit int) int {
	chunk := replay.MinChunk
	for chunk < limit && chunk < replay.MaxChunk {
		chunk *= 2
	}
	return limit + 2*replay.MinChunk + chunk
}

// do does the operation that op selects, with two arguments.
func (p *pair) do(op byte, x, y int) {
	switch op % 19 {
	case 0, 1, 2:
		p.append(x)
	case 3, 4, 5:
		p.reserve(x)
	case 6, 7, 8:
		p.commit(x)
	case 9, 10:
		p.lend(x, y)
	case 11, 12:
		p.giveBack(x)
	case 13:
		p.free(x)
	case 14:
		p.copyTo(x, y)
	case 15:
		if y%8 == 0 { // rarely, so that something collects
			p.reset(x, min(p.end(), math.MaxInt64-int64(y)))
		}
	case 16:
		p.extend(x)
	case 18:
		p.b.SetLimit(x)
		p.limit = max(x, len(p.held)+len(p.reserved))
		p.most = max(p.most, x)
	case 17:
		p.extend(x % 100)
	}
	p.check()
}

func TestModel(t *testing.T) {
	offsets := []int64{0, 1<<31 - 5000, 1<<32 - 5000, math.MaxInt64 - 1<<20, math.MaxInt64 - 100, math.MaxInt64}
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		largest := 64 << (seed % 4 * 4) // 64 bytes to 256 KiB at once
		limit := rnd.IntN(8*largest + 2)
		p := newPair(t, limit, offsets[int(seed)%len(offsets)])
		for range 300 {
			x := rnd.IntN(largest)
			if rnd.IntN(4) == 0 {
				x = p.limit // all there is
			}
			p.do(byte(rnd.Uint32()), x, rnd.IntN(largest))
		}
		p.finish()
	}
}

func FuzzBuffer(f *testing.F) {
	f.Add(uint16(4096), int64(0), []byte{0, 200, 3, 200, 9, 5, 13, 255, 6, 100, 11, 0})
	f.Add(uint16(100), int64(math.MaxInt64-50), []byte{0, 40, 3, 40, 6, 255, 15, 8, 0, 10})
	f.Fuzz(func(t *testing.T, limit uint16, offset int64, ops []byte) {
		if offset < 0 || len(ops) > 200 {
			return
		}
		p := newPair(t, int(limit), offset)
		for ; len(ops) >= 2; ops = ops[2:] {
			// The square reaches beyond a chunk, and small sizes exactly; the
			// upper half of the operation scales its second argument.
			x := int(ops[1])
			p.do(ops[0], x*x, x<<(ops[0]>>4)>>8)
		}
		p.finish()
	})
}
