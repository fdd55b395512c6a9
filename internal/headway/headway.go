// Package headway judges whether the links of a session bring its stream forward, one after the
// other, and what follows for the next where they do not.
package headway

import (
	"time"

	"github.com/relink-go/relink/internal/clock"
)

// leastPiece is the least that a transport is handed at once, in bytes, where there is more. A
// transport that refuses that is of no use.
const leastPiece = 2 << 10

// A Record is that of one session. The zero value is that of a session on its first link,
// of which it does not matter how soon it dies. Its owner calls one method at a time.
type Record struct {
	began     clock.Time // the present link; zero for the first
	exchanged int64      // in both directions, when it began
	acked     int64      // of our direction then
	fruitless int        // links in a row
	piece     int        // the most to hand to a transport at once, or zero
	wanting   bool       // the link that was lost had something of ours to carry
}

// Begin notes that a link has begun, and what is known to have been exchanged by then, in both
// directions and of our own: on a wire without acknowledgements that is also how it turns out
// what the one before has carried. most is what a transport is usually handed at once. A
// quarter of the last piece, and no less than leastPiece, is what follows a link that carried
// nothing, and up to twice as much what follows another.
func (r *Record) Begin(exchanged, acked int64, most int) {
	if exchanged > r.exchanged {
		r.fruitless = 0
	}
	piece := r.Piece(most)
	if r.wanting && acked == r.acked {
		r.piece = max(leastPiece, piece/4)
	} else if r.piece = 2 * piece; r.piece >= most {
		r.piece = 0
	}
	*r = Record{began: clock.Now(), exchanged: exchanged, acked: acked, fruitless: r.fruitless, piece: r.piece}
}

// End notes that the link is lost: what was exchanged by then as far as is known, whether
// something of ours was to be carried, and how long a link must live to be no waste. One that is
// given up because the network has changed is none either.
func (r *Record) End(exchanged int64, wanting bool, worthwhile time.Duration, givenUp bool) {
	r.wanting = wanting && !givenUp
	if givenUp || r.began == 0 || r.Lived() >= worthwhile || exchanged > r.exchanged {
		r.fruitless = 0
		return
	}
	r.fruitless++
}

// Lived is the time since the newest link has begun.
func (r *Record) Lived() time.Duration { return r.began.Since() }

// Fruitless is how many links in a row were lost soon and have carried nothing.
func (r *Record) Fruitless() int { return r.fruitless }

// Exchanged is what had been exchanged when the newest link began.
func (r *Record) Exchanged() int64 { return r.exchanged }

// Piece is how much the link's transport is to be handed at once, where it is usually most.
func (r *Record) Piece(most int) int {
	if r.piece != 0 {
		return r.piece
	}
	return most
}
