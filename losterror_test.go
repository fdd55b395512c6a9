package relink_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"testing"

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
