package replay

import (
	"math/bits"
	"sync"
)

const (
	// The smallest chunk takes several small messages, and is all that a quiet
	// session ever needs.
	minChunkBits = 10
	minChunk     = 1 << minChunkBits

	// The largest chunk is what one system call can be given at once. Beyond
	// this size larger writes gain nothing, but more memory would be tied up in
	// chunks that are used in part.
	maxChunkBits = 18
	maxChunk     = 1 << maxChunkBits
)

// A chunk is a piece of memory that holds consecutive bytes of one Buffer.
type chunk struct {
	next *chunk
	buf  []byte
	base int64 // offset of buf[0]
	used int   // buf[:used] has been filled

	// While a chunk is pinned, by a loan or a reservation, it may be read or
	// written without the Buffer's knowledge and must not be used again.
	pins     int
	detached bool // no longer in the list: goes with its last pin
}

// end returns the offset after the last byte of c.
func (c *chunk) end() int64 { return c.base + int64(c.used) }

// chunkPools has a pool of *chunk for each size from minChunk to maxChunk.
var chunkPools [maxChunkBits - minChunkBits + 1]sync.Pool

func poolFor(size int) *sync.Pool {
	return &chunkPools[bits.TrailingZeros(uint(size))-minChunkBits]
}

// sizeFor returns the size of the smallest chunk that takes n bytes, or maxChunk
// if there is none.
func sizeFor(n int) int {
	if n <= minChunk {
		return minChunk
	}
	if n >= maxChunk {
		return maxChunk
	}
	return 1 << bits.Len(uint(n-1))
}

// newChunk returns an empty chunk of a size that sizeFor returns. Its memory can
// contain anything.
func newChunk(size int) *chunk {
	if c, ok := poolFor(size).Get().(*chunk); ok {
		return c
	}
	return &chunk{buf: make([]byte, size)}
}

// recycle makes c, which must not be in use any more, available to all Buffers.
func (c *chunk) recycle() {
	*c = chunk{buf: c.buf}
	poolFor(len(c.buf)).Put(c)
}
