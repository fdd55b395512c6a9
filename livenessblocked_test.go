package relink_test

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/faultnet"
)

// A transport without a buffer, as a pipe or a stream whose window is closed,
// takes nothing more from the middle of the first record on, and says nothing.
// Nobody uses the session, and nothing was ever sent; the silence is found all the same.
func TestFirstRecordIsStuck(t *testing.T) {
	for _, s := range suites {
		if !traitsOf(s).Pings {
			continue
		}
		t.Run(s.String(), func(t *testing.T) {
			// Up to where, a run without a cut says.
			stuck, end := 0, int64(math.MaxInt64)
			for off := int64(-1); off < end; off++ {
				synctest.Test(t, func(t *testing.T) {
					sc := newScene(t, s, setup{}, faultnet.Options{Buffer: -1, Opaque: true})
					if off < 0 {
						sc.open()
						synctest.Wait()
						end = sc.net.Last().Sent(faultnet.Up)
						return
					}
					sc.net.OnDial(func(i int, p *faultnet.Path) error {
						if i == 0 {
							p.CutAt(faultnet.Up, off, faultnet.BlackHole)
						}
						return nil
					})
					c, err := sc.dialer.DialConn(t.Context(), "tcp", "server")
					if err != nil {
						return // the handshake was cut, which Dial reports
					}
					stuck++
					sc.client.Conn = c
					time.Sleep(defaultLivenessTimeout + time.Second)
					synctest.Wait()
					require.GreaterOrEqual(t, len(sc.net.Paths()), 2, "cut at %d: the silence was not found", off)
				})
			}
			require.Positive(t, stuck)
		})
	}
}
