package conntest

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// Abort while the transport is taking a record tells the peer, if the transport goes on
// soon; one that has been stuck is closed at once, since whoever takes nothing hears
// nothing.
func TestAbortBesideTheFlusher(t *testing.T) {
	InAckBubble(t, func(t *testing.T, s Suite) {
		for _, stuck := range []time.Duration{0, 50 * time.Millisecond, time.Second} {
			for _, byClient := range []bool{true, false} {
				r := New(t, s, Unsuspecting, WithPath(faultnet.Options{Buffer: 4 << 10}),
					WithBoth(func(c *relink.Config) { c.ResumeTimeout = 20 * time.Second }))
				from, to := r.Client, r.Server
				if !byClient {
					from, to = to, from
				}
				r.Exchange(100)
				time.Sleep(time.Second)
				path := r.Net.Last()
				way := faultnet.Up
				if !byClient {
					way = faultnet.Down
				}
				path.Stall(way)
				RequireWrite(t, from, make([]byte, 30_000)) // more than the path takes
				time.Sleep(stuck)
				synctest.Wait()
				start := time.Now()
				require.NoError(t, from.Abort())
				require.Zero(t, time.Since(start))
				r.Net.SetDown(faultnet.Refuse)
				time.Sleep(10 * time.Millisecond)
				path.Release(way)
				_, err := io.Copy(io.Discard, to)
				if stuck < time.Second {
					require.ErrorIs(t, err, relink.ErrSessionLost)
					require.Less(t, time.Since(start), time.Second)
				} else {
					require.ErrorIs(t, err, relink.ErrExpired)
				}
				r.Stop()
				time.Sleep(time.Second)
			}
		}
	})
}
