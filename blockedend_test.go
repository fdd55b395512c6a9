package relink_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// Close and Abort end every call at once, also while the transport holds what is being
// sent: a Read while the last words do not get out.
func TestEndWhileTheTransportHolds(t *testing.T) {
	for name, end := range map[string]func(*relink.Conn) error{"Close": (*relink.Conn).Close, "Abort": (*relink.Conn).Abort} {
		for _, held := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				inBubble(t, func(t *testing.T, s testSuite) {
					r := newRig(t, s, withPath(faultnet.Options{Buffer: -1}))
					reader := background(func() (int, error) { return r.client.Read(make([]byte, 1)) })
					standby := background(func() (int, error) { return r.server.Read(make([]byte, 1)) })
					synctest.Wait()
					p := r.net.Last()
					p.Stall(faultnet.Up) // without a buffer a Write then waits in the transport
					if held {
						requireWrite(t, r.client, rigData(100))
						synctest.Wait() // the library's goroutine is in the transport
					}
					stillBlocked(t, reader)
					requireInstant(t, func() {
						require.NoError(t, end(r.client))
						require.ErrorIs(t, (<-reader).err, errClosed)
					})
					p.Release(faultnet.Up)
					_ = r.server.Abort()
					<-standby
					r.stop()
					time.Sleep(time.Second) // the last words have their time
				})
			})
		}
	}
}
