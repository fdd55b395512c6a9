package replay_test

import (
	"fmt"
	"testing"

	"github.com/relink-go/relink/replay"
)

var benchSizes = []int{128, 1 << 10, 64 << 10}

// window is how many bytes stay held behind the newest in the benchmarks.
var benchWindows = []int{0, 256 << 10}

func BenchmarkBuffer(b *testing.B) {
	for _, window := range benchWindows {
		for _, size := range benchSizes {
			b.Run(fmt.Sprintf("window=%d/size=%d", window, size), func(b *testing.B) {
				buf := replay.New(1<<20, 0)
				data := make([]byte, size)
				sink := 0
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					off := buf.End()
					buf.Append(data)
					for off < buf.End() {
						l := buf.Lend(off, 0)
						sink += int(l.Bytes()[0])
						off += int64(len(l.Bytes()))
						buf.Return(l)
					}
					buf.Free(off - int64(window))
				}
				_ = sink
			})
		}
	}
}

// BenchmarkRing is the yardstick: a ring of a fixed size that keeps its memory
// and protects nobody who reads it without the lock.
func BenchmarkRing(b *testing.B) {
	for _, window := range benchWindows {
		for _, size := range benchSizes {
			b.Run(fmt.Sprintf("window=%d/size=%d", window, size), func(b *testing.B) {
				const limit = 1 << 20
				ring := make([]byte, limit)
				data := make([]byte, size)
				var start, end int64
				sink := 0
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					off := end
					for p := data; len(p) > 0 && end-start < limit; {
						k := copy(ring[end%limit:], p)
						p = p[k:]
						end += int64(k)
					}
					for off < end {
						at := off % limit
						l := ring[at:min(limit, at+end-off)]
						sink += int(l[0])
						off += int64(len(l))
					}
					start = max(start, off-int64(window))
				}
				_ = sink
			})
		}
	}
}
