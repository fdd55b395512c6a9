package replay_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/replay"
)

// Memory is that of the smallest power of two that what is appended fits into, from
// 1 KiB to 256 KiB.
func TestChunkSizes(t *testing.T) {
	for n, size := range map[int]int{1: 1 << 10, 1 << 10: 1 << 10, 1<<10 + 1: 2 << 10, 2 << 10: 2 << 10, 2<<10 + 1: 4 << 10, 200 << 10: 256 << 10, 256 << 10: 256 << 10} {
		b := replay.New(1<<20, 0)
		require.Equal(t, n, b.Append(make([]byte, n)))
		require.Equal(t, size, b.Memory(), "%d bytes", n)
	}
}

// A short message is split only where it would be in more than two pieces anyway: what fits
// exactly goes beside what is there, what does not begins a chunk.
func TestShortMessagesInOnePiece(t *testing.T) {
	for n, first := range map[int]int{24: 1024, 25: 1000, 1024: 1000, 1025: 1024} {
		b := replay.New(1<<20, 0)
		b.Append(make([]byte, 1000))
		b.Append(make([]byte, n))
		loan := b.Lend(0, 0)
		require.Len(t, loan.Bytes(), first, "%d bytes behind 1000", n)
		b.Return(loan)
	}
}
