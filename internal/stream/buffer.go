package stream

import "github.com/relink-go/relink/replay"

// A Buffer is that of a [Send], and what it may hold: a limit that changes, within the greatest.
type Buffer struct {
	buf     replay.Buffer
	most    int // the greatest limit that buf may have
	history int // how much of what was sent is kept without acknowledgements
}

// Memory is the bytes of memory that the buffer takes.
func (b *Buffer) Memory() int { return b.buf.Memory() }

// Held is how many bytes the buffer holds.
func (b *Buffer) Held() int { return b.buf.Len() }

// Limit is how many bytes the buffer may hold now.
func (b *Buffer) Limit() int { return b.buf.Limit() }

// Most is the greatest limit that the buffer may be given.
func (b *Buffer) Most() int { return b.most }

// SetLimit changes how many bytes the buffer may hold, within Most. It never becomes less than
// what is held.
func (b *Buffer) SetLimit(limit int) { b.buf.SetLimit(min(limit, b.most)) }

// First is the limit that a buffer may have without being granted more, or Most if that is less. Without
// acknowledgements half of what is sent is history, and it is twice as much, so that
// history is never less than [FirstWindow].
func (b *Buffer) First(acks bool) int {
	if acks {
		return min(FirstWindow, b.most)
	}
	return min(2*FirstWindow, b.most)
}

// Spare reports whether the limit is more than First, and little of it is used.
func (b *Buffer) Spare(acks bool) bool {
	return b.Limit() > b.First(acks) && b.Held() <= b.Limit()/4
}

// KeepAll undoes [Send.KeepLess]: history gives way at half of the greatest limit.
func (b *Buffer) KeepAll() { b.history = b.most / 2 }

// KeepsLess reports whether history gives way sooner than it should.
func (b *Buffer) KeepsLess() bool { return b.history < b.most/2 }

// MaxRoom is the most that there is room for while there is a link.
func (b *Buffer) MaxRoom(acks bool) int {
	if acks {
		return b.most
	}
	return maxPending(b.most)
}
