package relink_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// Whatever the transports' errors are, that of a lost session never says that
// the stream is complete, that a deadline has passed and the call can be repeated,
// or that the session was closed on this side.
func TestErrorOfALostSession(t *testing.T) {
	for _, cause := range []error{io.EOF, os.ErrDeadlineExceeded, net.ErrClosed} {
		t.Run(cause.Error(), func(t *testing.T) {
			inBubble(t, func(t *testing.T, s relink.Suite) {
				r := newRig(t, s)
				r.exchange(100)
				r.net.OnDial(func(int, *faultnet.Path) error { return fmt.Errorf("the last attempt: %w", cause) })
				r.net.Last().Cut(faultnet.Reset)
				for range 2 {
					_, err := r.client.Read(make([]byte, 1))
					require.True(t, isLoss(err), "%v", err)
					require.NotErrorIs(t, err, io.EOF)
					require.ErrorContains(t, err, "the last attempt: "+cause.Error())
				}
				r.stop()
			})
		})
	}
}

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
