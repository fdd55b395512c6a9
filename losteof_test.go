package relink_test

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// A session that is lost behind a clean end of its transport is not taken for a
// complete stream by who asks errors.Is(err, io.EOF). Only the classic wires
// have nothing else to go by.
func TestALostSessionIsNoEOF(t *testing.T) {
	inBubble(t, func(t *testing.T, s relink.Suite) {
		if relink.IsClassic(s) {
			t.Skip("a clean end of the last transport is io.EOF on the classic wires")
		}
		r := newRig(t, s)
		r.exchange(100)
		r.suspend(faultnet.Refuse, faultnet.End)
		time.Sleep(2 * relink.DefaultResumeTimeout)
		synctest.Wait()
		for name, c := range r.ends() {
			_, err := c.Read(make([]byte, 1))
			require.ErrorIs(t, err, relink.ErrExpired, name)
			require.NotErrorIs(t, err, io.EOF, name)
			_, err = c.Write(make([]byte, 1))
			require.NotErrorIs(t, err, io.EOF, name)
		}
		r.stop()
	})
}
