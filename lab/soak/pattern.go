package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// The byte at an offset of a stream is a function of the stream's key and of
// the offset, so that one that is lost, doubled or out of place shows, and shows
// which it is.

// word returns the eight bytes from offset 8·i on. It is SplitMix64 (Steele, Lea
// and Flood, 2014) at its i-th step from the key.
func word(key uint64, i int64) uint64 {
	x := key + uint64(i)*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// fill writes the stream's bytes from the offset on into p.
func fill(p []byte, key uint64, offset int64) {
	for len(p) > 0 && (offset%8 != 0 || len(p) < 8) {
		p[0] = byte(word(key, offset/8) >> (8 * (offset % 8)))
		p, offset = p[1:], offset+1
		if offset%8 == 0 && len(p) >= 8 {
			break
		}
	}
	for ; len(p) >= 8; p, offset = p[8:], offset+8 {
		binary.LittleEndian.PutUint64(p, word(key, offset/8))
	}
	for i := range p {
		p[i] = byte(word(key, offset/8) >> (8 * (offset%8 + int64(i))))
	}
}

// A mismatch is what must not happen.
type mismatch struct {
	offset int64  // where the stream was wrong
	what   string // "lost", "doubled" or "out of place"
	bytes  int64  // how many
}

func (m *mismatch) Error() string {
	return fmt.Sprintf("at offset %d of a stream, %d bytes are %s", m.offset, m.bytes, m.what)
}

const (
	needle   = 16      // bytes by which a place in the stream is recognised
	searched = 4 << 20 // how far to both sides it is looked for
)

// A verifier looks at a stream as it comes.
type verifier struct {
	key    uint64
	offset int64
	want   []byte
}

// check takes the next bytes of the stream, and returns a *mismatch if they are
// others than they should be.
func (v *verifier) check(p []byte) error {
	for len(p) > 0 {
		n := min(len(p), 16<<10)
		if cap(v.want) < n {
			v.want = make([]byte, n)
		}
		fill(v.want[:n], v.key, v.offset)
		if !bytes.Equal(v.want[:n], p[:n]) {
			i := 0
			for v.want[i] == p[i] {
				i++
			}
			return v.explain(v.offset+int64(i), p[i:])
		}
		v.offset += int64(n)
		p = p[n:]
	}
	return nil
}

// explain finds out where in the stream the bytes belong that came at offset.
func (v *verifier) explain(offset int64, p []byte) error {
	if len(p) >= needle {
		from := max(0, offset-searched)
		around := make([]byte, offset-from+searched)
		fill(around, v.key, from)
		for i := 0; i+needle <= len(around); {
			k := bytes.Index(around[i:], p[:needle])
			if k < 0 {
				break
			}
			if i += k; from+int64(i) > offset {
				return &mismatch{offset, lost, from + int64(i) - offset}
			} else if from+int64(i) < offset {
				return &mismatch{offset, doubled, offset - from - int64(i)}
			}
			i++
		}
	}
	return &mismatch{offset, misplaced, int64(len(p))}
}

// What can be wrong with a byte.
const (
	lost      = "lost"
	doubled   = "doubled"
	misplaced = "out of place"
)
