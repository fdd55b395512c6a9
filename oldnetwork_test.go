package relink_test

import (
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// The application reports a change of network in the moment in which an attempt
// has succeeded and is not yet the session's link: the transport is of the old
// network, and another is dialled.
func TestNetworkChangedInTheLastMoment(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		s, h, _ := hooked(s)
		r := newRig(t, s)
		r.exchange(100)
		resumed, encrypted := make(chan struct{}), make(chan struct{})
		afterResume, beforeEncrypt := func() { <-resumed }, func(int) { <-encrypted }
		h.resumed.Store(&afterResume)
		h.encrypting.Store(&beforeEncrypt)
		r.client.NetworkChanged()
		synctest.Wait()
		requireSuspended(t, r.client)

		// A Write that encrypts a little holds the lock. The report waits for it
		// first, and then the attempt, whose handshake is complete.
		write := background(func() (int, error) { return r.client.Write([]byte("x")) })
		stillBlocked(t, write) // else what is awaited below never comes
		reported := background(func() (int, error) { r.client.NetworkChanged(); return 0, nil })
		awaitLocked("relink.(*Conn).NetworkChanged(")
		close(resumed)
		awaitLocked("relink.(*Conn).attemptLocked(")
		close(encrypted)
		<-reported
		require.NoError(t, (<-write).err)

		requireRead(t, r.server, []byte("x"))
		r.exchange(100)
		require.Equal(t, 3, r.net.Dials())
		require.EqualValues(t, 2, linksOf(r.client))
		r.stop()
	})
}

// awaitLocked waits until a goroutine of this bubble that is in the function
// waits for a mutex. Nothing else tells, because such a wait is not durable.
func awaitLocked(function string) {
	buf := make([]byte, 1<<20)
	for {
		all := strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")
		own := bubbleName.FindStringSubmatch(all[0])
		for _, g := range all[1:] {
			m := bubbleName.FindStringSubmatch(g)
			if m != nil && m[1] == own[1] && strings.Contains(m[0], "[sync.Mutex.Lock") && strings.Contains(g, function) {
				return
			}
		}
		runtime.Gosched()
	}
}
