package simulation

import (
	"bytes"
	"fmt"
	"math/rand/v2"
)

// The byte at an offset of a stream is a function of the schedule's seed, the
// session, the side and the offset: a place on a tape of random bytes. So any
// Read can be checked by itself, and a byte that is lost, repeated, moved or
// changed shows at once.

const tapeLen = 1 << 20

// tape is the random bytes, with a piece of its beginning behind its end.
var tape = func() []byte {
	b := make([]byte, tapeLen+maxOperation)
	chacha := rand.NewChaCha8([32]byte{'t', 'a', 'p', 'e'})
	_, _ = chacha.Read(b[:tapeLen]) // it never fails
	copy(b[tapeLen:], b)
	return b
}()

// maxOperation is the most that one Read or Write of an application is given.
const maxOperation = 256 << 10

// A stream is what one side of a session writes, all of it.
type stream struct{ start int64 }

func newStream(seed uint64, conn int, s Side) stream {
	x := seed*0x9e3779b97f4a7c15 + uint64(conn)*0xbf58476d1ce4e5b9
	if s == Server {
		x += 0x94d049bb133111eb
	}
	return stream{int64(rand.New(rand.NewPCG(x, 3)).Uint64N(tapeLen))}
}

// at returns the n bytes from the offset on. They must not be changed.
func (s stream) at(offset int64, n int) []byte {
	i := (s.start + offset) % tapeLen
	return tape[i : i+int64(n)]
}

// check returns what is wrong with bytes that were read at the offset.
func (s stream) check(offset int64, got []byte) error {
	want := s.at(offset, len(got))
	if bytes.Equal(got, want) {
		return nil
	}
	i := 0
	for got[i] == want[i] {
		i++
	}
	is := "what belongs nowhere near"
	if probe := got[i:min(len(got), i+12)]; len(probe) >= 6 {
		const around = 64 << 10
		from := max(0, offset-around)
		if k := bytes.Index(s.at(from, 2*around), probe); k >= 0 {
			is = fmt.Sprintf("what belongs at offset %d", from+int64(k))
		}
	}
	return fmt.Errorf("byte %d of a Read of %d at offset %d is %s", i, len(got), offset, is)
}
