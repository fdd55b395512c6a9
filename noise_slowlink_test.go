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

// On a network on which a long record takes longer than LivenessTimeout, and one
// of those that a handshake carries longer than HandshakeTimeout, data gets
// through all the same, in not much more time than the network needs: records
// are short there.
func TestRecordsOverSlowNetwork(t *testing.T) {
	const size = 60_000
	const delay = 80 * time.Millisecond
	for _, bytes := range []int{200, 100, 50} { // in each delay
		for _, directions := range []string{"up", "down", "up and down"} {
			t.Run(fmt.Sprintf("%d bytes %s", bytes, directions), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, noiseSuite, withPath(faultnet.Options{Buffer: bytes, Delay: delay}))
					r.exchange(1) // so that the first link has carried something
					start := time.Now()
					var arrived []<-chan time.Time
					send := func(from, to *relink.Conn) {
						go func() { _, _ = from.Write(rigData(size)) }()
						arrived = append(arrived, arrival(t, to, size))
					}
					if directions != "down" {
						send(r.client, r.server)
					}
					if directions != "up" {
						send(r.server, r.client)
					}
					best := time.Duration(size/bytes) * delay
					for _, a := range arrived {
						select {
						case at := <-a:
							require.Less(t, at.Sub(start), best*3/2+2*time.Minute)
						case <-time.After(time.Hour):
							t.Fatalf("client %v, server %v", r.client, r.server)
						}
					}
					require.Less(t, r.client.Stats().Resumes, int64(8))
					r.stop()
					time.Sleep(time.Second)
				})
			})
		}
	}
}

// Where the network is fast after all, records soon are long again.
func TestRecordsGrowAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, noiseSuite, withPath(faultnet.Options{Buffer: 1 << 20, Delay: time.Millisecond}))
		r.net.Last().Cut(faultnet.BlackHole)
		requireWrite(t, r.client, rigData(1000))
		requireRead(t, r.server, rigData(1000))
		time.Sleep(time.Second)
		require.EqualValues(t, 1, r.client.Stats().Resumes)
		for range 20 {
			r.exchange(500_000)
			time.Sleep(50 * time.Millisecond)
		}
		p := r.net.Last()
		before := p.Sent(faultnet.Up)
		const size = 1 << 20
		go func() { _, _ = r.client.Write(rigData(size)) }()
		requireRead(t, r.server, rigData(size))
		require.Less(t, p.Sent(faultnet.Up)-before, int64(size+40*36)) // a record costs 19 bytes, or 36
		r.finish()
	})
}
