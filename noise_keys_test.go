package relink_test

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// Whatever is cut, stalled or raced, no record is sealed with a key and a
// counter that another was sealed with, and no key serves two links or two
// directions.
func TestNoiseNoncesAreFresh(t *testing.T) {
	cuts := 250 // seconds under the race detector
	if everything {
		cuts = 20_000
	}
	synctest.Test(t, func(t *testing.T) {
		w, s, _ := newTap(t)
		kinds := []faultnet.Kind{faultnet.Reset, faultnet.ResetNow, faultnet.End, faultnet.BlackHole}
		r := newRig(t, s, withLimit(16<<10), withPath(faultnet.Options{Buffer: 2 << 10, Delay: time.Millisecond}),
			withBoth(func(c *relink.Config) { c.LivenessTimeout = time.Second }),
			withClient(func(d *relink.Dialer) {
				d.AttemptTimeout, d.MinBackoff, d.MaxBackoff = time.Second, time.Millisecond, 10*time.Millisecond
			}))
		r.net.OnDial(func(i int, p *faultnet.Path) error {
			if i < cuts {
				p.CutAt(faultnet.Dir(i%2), rand.Int64N(20_000), kinds[rand.IntN(len(kinds))])
			}
			return nil
		})
		r.net.Last().Cut(faultnet.Reset)
		for len(r.net.Paths()) < cuts {
			if rand.IntN(4) == 0 {
				r.client.NetworkChanged()
			}
			r.exchange(5000 + rand.IntN(20_000))
		}
		r.exchange(1000)
		r.finish()
		w.mu.Lock()
		defer w.mu.Unlock()
		require.Empty(t, w.twice)
		require.Len(t, w.seen, len(w.links))
		require.Greater(t, w.records, cuts)
		t.Logf("%d transports, %d resumes, %d keys, %d records", len(r.net.Paths()), r.client.Stats().Resumes, len(w.seen), w.records)
	})
}

// Abort in the middle of an attempt takes the buffer away that the attempt is
// about to look into.
func TestNoiseAbortDuringAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s, _ := newTap(t)
		r := newRig(t, s)
		r.net.Last().Stall(faultnet.Down) // nothing is acknowledged
		requireWrite(t, r.client, rigData(1000))
		w.resuming = func() { _ = r.client.Abort() }
		r.net.Last().Cut(faultnet.ResetNow)
		r.client.NetworkChanged()
		<-r.client.Done()
		synctest.Wait()
		r.stop()
	})
}
