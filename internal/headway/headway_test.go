package headway_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/headway"
)

const (
	most       = 52 << 10
	worthwhile = 3 * time.Second
)

// Links that die soon and carry nothing are counted, from the second on; whatever is carried,
// even if that is only learnt at the next link, ends the row, and so does a long life.
func TestFruitless(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r headway.Record
		r.End(0, false, worthwhile, false)
		require.Zero(t, r.Fruitless(), "the first link")
		row := func() {
			for range 3 {
				r.Begin(r.Exchanged(), 0, most)
				r.End(r.Exchanged(), false, worthwhile, false)
			}
		}
		row()
		require.Equal(t, 3, r.Fruitless())

		r.Begin(r.Exchanged()+1, 0, most)
		require.Zero(t, r.Fruitless(), "the one before has carried something")
		row()
		r.Begin(r.Exchanged(), 0, most)
		r.End(r.Exchanged()+1, false, worthwhile, false)
		require.Zero(t, r.Fruitless())
		row()
		r.Begin(r.Exchanged(), 0, most)
		time.Sleep(worthwhile)
		require.Equal(t, worthwhile, r.Lived())
		r.End(r.Exchanged(), false, worthwhile, false)
		require.Zero(t, r.Fruitless(), "it has lived")
		row()
		r.Begin(r.Exchanged(), 0, most)
		r.End(r.Exchanged(), false, worthwhile, true)
		require.Zero(t, r.Fruitless(), "it was given up")
	})
}

// Pieces shrink after links that were to carry something and did not, to a least, and
// grow again after others.
func TestPieces(t *testing.T) {
	var r headway.Record
	require.Equal(t, most, r.Piece(most))
	for _, want := range []int{13 << 10, 3328, 2 << 10, 2 << 10} {
		r.End(0, true, worthwhile, false)
		r.Begin(0, 0, most)
		require.Equal(t, want, r.Piece(most))
	}
	acked := int64(0)
	for _, want := range []int{4 << 10, 8 << 10, 16 << 10, 32 << 10, most, most} {
		acked++
		r.End(0, true, worthwhile, false)
		r.Begin(acked, acked, most)
		require.Equal(t, want, r.Piece(most), "it has carried something")
	}
	r.End(acked, true, worthwhile, true)
	r.Begin(acked, acked, most)
	require.Equal(t, most, r.Piece(most), "it was given up")
	r.End(acked, false, worthwhile, false)
	r.Begin(acked, acked, most)
	require.Equal(t, most, r.Piece(most), "there was nothing to carry")
}
