// Package replay holds the bytes of a stream that may have to be sent again.
//
// A [Buffer] is a queue of bytes addressed by their offset in the stream. The
// sender appends at the end, sends what it borrows at any offset, and frees the
// front once the peer has it. When a connection is replaced, the sender goes
// back to the offset that the peer reports and borrows from there again.
//
// The bytes lie in chunks that grow with use, from 1 KiB up to 256 KiB, and
// that all Buffers of a process share through pools. A Buffer that holds
// nothing has no chunk.
//
// Two windows make a single pass over the bytes possible. [Buffer.Reserve]
// gives room to encrypt or read into, and [Buffer.Lend] gives bytes to write to
// a socket; both kinds of slices stay valid and unchanged by the Buffer, whatever
// happens to it, until they are given back. [Buffer.Extend] is both in one, for
// a short message.
package replay

import "math"

// A Buffer holds the bytes of a stream from [Buffer.Start] to [Buffer.End], at
// most [Buffer.Limit] of them. Its zero value is an empty Buffer with limit 0
// at offset 0, which takes nothing until [Buffer.Reset].
//
// Offsets count bytes from the beginning of the stream and reach up to
// [math.MaxInt64], where the stream can take no more.
//
// A Buffer is not safe for concurrent use: one mutex of the caller guards all
// methods. That mutex need not be held to write to the slice of a
// [Buffer.Reserve] or to use that of a [Buffer.Lend] or a [Buffer.Extend], from the
// call that gave the slice until the one that takes it back. A Buffer must not be
// copied once it has been used.
type Buffer struct {
	limit      int
	start, end int64

	// The chunks from head to tail hold [start, end) without a gap. Only the
	// tail can have room. Apart from the one being filled, a chunk without a
	// byte in use can only be a tail behind other chunks.
	head, tail *chunk
	recent     *chunk // where the last search ended; nil or in the list
	listed     int    // bytes of memory of the chunks in the list
	detached   int    // and of those that left it while pinned

	filling  *chunk // has the open reservation; nil when there is none
	reserved int    // its length
}

// New returns a Buffer that holds up to limit bytes and whose first byte will
// have the given offset. It allocates no room for them. New panics if limit or
// offset is negative.
func New(limit int, offset int64) *Buffer {
	b := new(Buffer)
	b.Reset(limit, offset)
	return b
}

// Reset drops all bytes, returns their memory, and makes b ready as [New] does.
// It panics if limit or offset is negative.
//
// Loans stay valid and are to be returned as ever. A reservation that is open
// stays valid too and remains to be committed, but since it belongs to what b
// held before, [Buffer.Commit] drops its bytes.
func (b *Buffer) Reset(limit int, offset int64) {
	if limit < 0 {
		panic("replay: negative limit")
	}
	if offset < 0 {
		panic("replay: negative offset")
	}
	for b.head != nil {
		b.dropHead()
	}
	b.limit = limit
	b.start, b.end = offset, offset
}

// Limit returns how many bytes b can hold.
func (b *Buffer) Limit() int { return b.limit }

// SetLimit changes how many bytes b can hold. No byte is dropped: if limit is less than
// what b holds, or is about to because a reservation is open, its limit becomes that. What [Buffer.Memory] can be
// goes by the greatest limit since the last [Buffer.Reset].
func (b *Buffer) SetLimit(limit int) { b.limit = max(limit, b.Len()+b.reserved) }

// Start returns the offset of the oldest byte held. It equals [Buffer.End] when
// b is empty.
func (b *Buffer) Start() int64 { return b.start }

// End returns the offset after the newest byte, which the next byte will have.
func (b *Buffer) End() int64 { return b.end }

// Len returns the number of bytes held.
func (b *Buffer) Len() int { return int(b.end - b.start) }

// Room returns how many bytes [Buffer.Append] would take: the limit less what
// is held, and never more than there are offsets left.
func (b *Buffer) Room() int {
	return int(min(int64(b.limit-b.Len()), math.MaxInt64-b.end))
}

// Memory returns the bytes of memory in use for chunks, including chunks that
// were freed while lent and wait for their loans. Without those it is at most
// the limit, plus 2 KiB, plus one chunk: 256 KiB or, if that is less, the limit
// rounded up to a power of two.
func (b *Buffer) Memory() int { return b.listed + b.detached }

// Append copies bytes from the front of p to the end of b, as many as there is
// room for, and returns their number. It panics if a reservation is open.
func (b *Buffer) Append(p []byte) int {
	b.checkNoReservation()
	n := min(len(p), b.Room())
	if c := b.tail; c != nil && n <= len(c.buf)-c.used { // mostly, and then without a call
		b.extend(c, copy(c.buf[c.used:], p[:n]))
	} else {
		b.appendChunks(p[:n])
	}
	return n
}

// appendChunks is Append across chunks.
func (b *Buffer) appendChunks(p []byte) {
	for len(p) > 0 {
		c := b.tailWithRoom(len(p))
		k := copy(c.buf[c.used:], p)
		b.extend(c, k)
		p = p[k:]
	}
}

// Extend appends n bytes that are in one piece with the newest, and lends them to
// the caller, who fills them in before anybody looks at them: what is in them is
// unspecified. If there is no room for all of them, or not in one piece, or n is not
// positive, or a reservation is open, nothing is appended and the Loan is empty.
// An empty Buffer has one piece of up to 256 KiB.
// Where [Buffer.Reserve] needs three calls to append a short message and lend it,
// Extend needs one.
func (b *Buffer) Extend(n int) Loan {
	if n <= 0 || n > b.Room() || b.filling != nil {
		return Loan{}
	}
	c := b.tail
	if c == nil && n <= maxChunk {
		c = b.tailWithRoom(n)
	}
	if c == nil || n > len(c.buf)-c.used {
		return Loan{}
	}
	p := c.buf[c.used : c.used+n : c.used+n]
	c.pins++
	b.extend(c, n)
	return Loan{p, c}
}

// Reserve returns room at the end of b for up to n bytes, to be filled by the
// caller and then taken into b by [Buffer.Commit]. The slice can be shorter
// than n, down to one byte, because it is contiguous: callers loop. What is in
// it is unspecified. Reserve returns nil, and there is nothing to commit, when
// n is not positive or there is no room.
//
// There is one reservation at a time: Reserve panics if one is open.
func (b *Buffer) Reserve(n int) []byte {
	b.checkNoReservation()
	n = min(n, b.Room())
	if n <= 0 {
		return nil
	}
	c := b.tailWithRoom(n)
	room := c.buf[c.used:]
	room = room[:min(n, len(room))]
	c.pins++
	b.filling, b.reserved = c, len(room)
	return room[:len(room):len(room)]
}

// Commit ends the open reservation and appends its first n bytes to b; with n =
// 0 it gives all of it back. The bytes go to [Buffer.End], also when everything
// before them has been freed meanwhile. After a [Buffer.Reset] they are dropped.
//
// Commit panics if n is negative or more than the length of the reservation.
// Without a reservation, Commit(0) does nothing.
func (b *Buffer) Commit(n int) {
	if n < 0 || n > b.reserved {
		panic("replay: Commit of more than was reserved")
	}
	c := b.filling
	if c == nil {
		return
	}
	b.filling, b.reserved = nil, 0
	if !c.detached {
		b.extend(c, n)
		if b.start == b.end {
			b.dropHead() // c, which Free had to leave
		}
	}
	b.unpin(c)
}

// A Loan is a piece of a [Buffer] that does not change until it is returned,
// even if the Buffer frees these bytes or is reset. The zero value is an empty
// Loan.
type Loan struct {
	bytes []byte
	chunk *chunk
}

// Bytes returns the bytes lent, which may be read until the Loan is returned. They
// are those of the Buffer: a caller that knows of nobody else who looks at them
// may change them in place, say encrypt them. An empty Loan has none.
func (l Loan) Bytes() []byte { return l.bytes }

// Lend lends the bytes from offset off on: as many as are contiguous in memory
// but, if max is positive, at most max. The Loan is empty only if off is
// [Buffer.End]. A Loan that is not empty must be returned with [Buffer.Return],
// once; several may be out, also of the same bytes. Lend panics if off is
// outside of [Buffer.Start] to [Buffer.End].
func (b *Buffer) Lend(off int64, max int) Loan {
	p, c := b.at(off)
	if c == nil {
		return Loan{}
	}
	if max > 0 && len(p) > max {
		p = p[:max]
	}
	c.pins++
	return Loan{p[:len(p):len(p)], c}
}

// Return gives back a Loan of b. Its bytes must not be read any more. Returning
// an empty Loan does nothing. To return one twice, or to another Buffer, is an
// error that corrupts data; Return panics if it can tell.
func (b *Buffer) Return(l Loan) {
	if l.chunk != nil {
		b.unpin(l.chunk)
	}
}

// CopyTo copies the bytes from offset off on to dst, as many as there are and
// dst takes, and returns their number. It panics if off is outside of
// [Buffer.Start] to [Buffer.End].
func (b *Buffer) CopyTo(dst []byte, off int64) int {
	n := 0
	for {
		p, _ := b.at(off + int64(n))
		if len(p) == 0 || n == len(dst) {
			return n
		}
		n += copy(dst[n:], p)
	}
}

// Free drops the bytes before offset off and returns memory that is no longer
// needed. It does nothing if they are dropped already, and panics if off is
// after [Buffer.End].
func (b *Buffer) Free(off int64) {
	if off > b.end {
		panic("replay: Free beyond the end")
	}
	if off <= b.start {
		return
	}
	b.start = off
	for b.head != nil && b.head.end() <= off && b.head != b.filling {
		b.dropHead()
	}
}

func (b *Buffer) checkNoReservation() {
	if b.filling != nil {
		panic("replay: a reservation is open")
	}
}

// at returns the contiguous bytes from off on and the chunk that they are in,
// or nothing at the end of b.
func (b *Buffer) at(off int64) ([]byte, *chunk) {
	if off < b.start || off > b.end {
		panic("replay: offset out of range")
	}
	if off == b.end {
		return nil, nil
	}
	c := b.tail
	if off < c.base {
		// Senders go through b in order, so the chunk is the one used last or
		// the one after it.
		if c = b.recent; c == nil || off < c.base {
			c = b.head
		}
		for off >= c.end() {
			c = c.next
		}
		b.recent = c
	}
	return c.buf[off-c.base : c.used], c
}

// tailWithRoom returns the last chunk, or a new one behind it if it is full.
// The caller wants to add n bytes, for which b has room.
//
// Where b holds little, a message that does not fit into the rest of its only
// chunk begins the next one, so that it is sent in one piece: a session that
// sends a message now and then would otherwise split each tenth.
func (b *Buffer) tailWithRoom(n int) *chunk {
	if c := b.tail; c != nil && c.used < len(c.buf) {
		if n <= len(c.buf)-c.used || n > minChunk || len(c.buf) > minChunk || c != b.head {
			return c
		}
	}
	// Large enough to send all n bytes in one go, and doubling the memory as
	// long as what is held grows. Since up to one chunk's worth can be free
	// space at the front, a Buffer near its limit settles for less.
	size := sizeFor(max(n, b.Len()))
	for spare := sizeFor(b.limit); size > minChunk && b.listed+size-spare > b.limit; {
		size /= 2
	}
	c := newChunk(size)
	c.base = b.end
	if b.tail == nil {
		b.head = c
	} else {
		b.tail.next = c
	}
	b.tail = c
	b.listed += size
	return c
}

// extend takes the next n bytes of the last chunk, c, into b.
func (b *Buffer) extend(c *chunk, n int) {
	c.used += n
	b.end += int64(n)
}

// dropHead takes the first chunk off the list, and recycles it if nobody is
// looking at it.
func (b *Buffer) dropHead() {
	c := b.head
	b.head = c.next
	if b.head == nil {
		b.tail = nil
	}
	if b.recent == c {
		b.recent = nil
	}
	c.next = nil
	b.listed -= len(c.buf)
	if c.pins == 0 {
		c.recycle()
		return
	}
	c.detached = true
	b.detached += len(c.buf)
}

// unpin ends one look at c, by a loan or the reservation. After the last one a
// chunk that has left the list is recycled.
func (b *Buffer) unpin(c *chunk) {
	if c.pins == 0 {
		panic("replay: Loan returned twice")
	}
	c.pins--
	if c.pins == 0 && c.detached {
		b.detached -= len(c.buf)
		c.recycle()
	}
}
