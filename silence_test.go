package relink_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// A silent loss shows within LivenessTimeout on any transport, whoever waits,
// and the session goes on over the next one.
func TestBlackHole(t *testing.T) {
	const timeout = 4 * time.Second
	for _, kind := range []faultnet.Kind{faultnet.BlackHole, faultnet.BlackHoleUp, faultnet.BlackHoleDown} {
		for _, opaque := range []bool{false, true} {
			for _, busy := range []string{"idle", "reading", "writing"} {
				t.Run(fmt.Sprintf("%v/opaque=%v/%s", kind, opaque, busy), func(t *testing.T) {
					inAckBubble(t, func(t *testing.T, s testSuite) {
						r := newRig(t, s, withPath(faultnet.Options{Opaque: opaque}),
							withBoth(func(c *relink.Config) { c.LivenessTimeout = timeout }))
						r.exchange(1000)
						time.Sleep(time.Minute) // an idle session stays
						require.Zero(t, r.client.Stats().Resumes)
						var reading <-chan outcome
						data := rigData(200_000)
						switch busy {
						case "reading":
							reading = background(func() (int, error) { return r.client.Read(make([]byte, 1)) })
						case "writing":
							requireWrite(t, r.client, data)
						}
						synctest.Wait()
						r.net.Last().Cut(kind)
						time.Sleep(2*timeout + time.Second)
						require.EqualValues(t, 1, r.client.Stats().Resumes)
						require.EqualValues(t, 1, r.server.Stats().Resumes)
						if busy == "writing" {
							requireRead(t, r.server, data)
						}
						if reading != nil {
							requireWrite(t, r.server, []byte{1})
							require.NoError(t, (<-reading).err)
						}
						r.exchange(1000)
						require.EqualValues(t, 1, r.client.Stats().Resumes)
						r.finish()
					})
				})
			}
		}
	}
}

// An application that pauses reading is not dead, however long it pauses and
// however much is sent to it.
func TestPauseIsNotDeath(t *testing.T) {
	for _, opaque := range []bool{false, true} {
		for _, clientPauses := range []bool{true, false} {
			t.Run(fmt.Sprintf("opaque=%v/client=%v", opaque, clientPauses), func(t *testing.T) {
				inAckBubble(t, func(t *testing.T, s testSuite) {
					r := newRig(t, s, withLimit(64<<10), withPath(faultnet.Options{Opaque: opaque}))
					from, to := r.client, r.server
					if clientPauses {
						from, to = to, from
					}
					data := rigData(1 << 20)
					done := background(func() (int, error) { return from.Write(data) })
					time.Sleep(3*defaultLivenessTimeout + defaultResumeTimeout)
					stillBlocked(t, done)
					requireRead(t, to, data)
					require.NoError(t, (<-done).err)
					require.Zero(t, r.client.Stats().Resumes)
					r.finish()
				})
			})
		}
	}
}
