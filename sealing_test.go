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

// Records are sealed without the session's lock, so that anything can happen
// meanwhile: afterwards the transport may be gone, or the session.

// A Write whose records the transport does not take when they are sealed returns, and
// leaves them to the library. Its deadline has nothing to do with it.
func TestTransportFullAfterSealing(t *testing.T) {
	inAckBubble(t, func(t *testing.T, s testSuite) {
		s, h, _ := hooked(s)
		r := newRig(t, s, withPath(faultnet.Options{Buffer: 1000}))
		r.net.Last().Stall(faultnet.Up)
		synctest.Wait() // until nobody is sending any more for the handshake
		release := h.holdSeal()
		write := background(func() (int, error) { return r.client.Write(rigData(10_000)) })
		stillBlocked(t, write)
		require.NoError(t, r.client.SetWriteDeadline(time.Now().Add(time.Second)))
		time.Sleep(2 * time.Second)
		requireInstant(t, func() {
			release()
			o := <-write
			require.NoError(t, o.err)
			require.Equal(t, 10_000, o.n)
		})
		r.net.Last().Release(faultnet.Up)
		requireRead(t, r.server, rigData(10_000))
		r.stop()
	})
}

// A link that is lost while its records are being sealed has taken none of them.
func TestLossWhileSealing(t *testing.T) {
	inAckBubble(t, func(t *testing.T, s testSuite) {
		for what, lose := range map[string]func(r *rig){
			"cut":             func(r *rig) { r.net.Last().Cut(faultnet.Reset) },
			"network changed": func(r *rig) { r.client.NetworkChanged() },
			"cut twice": func(r *rig) {
				r.net.Last().Cut(faultnet.Reset)
				time.Sleep(time.Second)
				r.net.Last().Cut(faultnet.End)
			},
		} {
			whileSealing(t, s, what, func(r *rig, data []byte, release func(), write <-chan outcome) {
				lose(r)
				time.Sleep(time.Second)
				require.Positive(t, r.client.Stats().Resumes)
				release()
				o := <-write
				require.NoError(t, o.err)
				require.Equal(t, len(data), o.n)
				requireRead(t, r.server, data)
				r.exchange(1000)
				r.finish()
			})
		}
	})
}

// An end that comes while records are being sealed comes behind them.
func TestEndWhileSealing(t *testing.T) {
	inAckBubble(t, func(t *testing.T, s testSuite) {
		for what, end := range map[string]func(c *relink.Conn) error{
			"close":       (*relink.Conn).Close,
			"close write": (*relink.Conn).CloseWrite,
		} {
			whileSealing(t, s, what, func(r *rig, data []byte, release func(), write <-chan outcome) {
				require.NoError(t, end(r.client))
				release()
				require.NoError(t, (<-write).err)
				requireRead(t, r.server, data)
				requireEOF(t, r.server)
				r.stop()
			})
		}
	})
}

// After a session has been aborted nothing is left of what was being sealed.
func TestAbortWhileSealing(t *testing.T) {
	inAckBubble(t, func(t *testing.T, s testSuite) {
		for what, abort := range map[string]func(r *rig) error{
			"by this side": func(r *rig) error { return r.client.Abort() },
			"by the peer":  func(r *rig) error { return r.server.Abort() },
		} {
			whileSealing(t, s, what, func(r *rig, _ []byte, release func(), write <-chan outcome) {
				require.NoError(t, abort(r))
				time.Sleep(time.Second)
				require.Equal(t, relink.StateClosed, r.client.State())
				release()
				require.NoError(t, (<-write).err) // it was in the buffer before
				synctest.Wait()
				require.Zero(t, r.client.Stats().Memory)
				r.stop()
			})
		}
	})
}

// whileSealing runs f while a Write of the client, of each of several lengths,
// seals its records. release lets it go on.
func whileSealing(t *testing.T, s testSuite, what string, f func(r *rig, data []byte, release func(), write <-chan outcome)) {
	t.Helper()
	for _, n := range []int{1, 1000, 10_000, 100_000} {
		what := fmt.Sprintf("%s, %d bytes", what, n)
		s, h, _ := hooked(s)
		r := newRig(t, s)
		synctest.Wait() // until nobody is sending any more for the handshake
		release := h.holdSeal()
		data := rigData(n)
		write := background(func() (int, error) { return r.client.Write(data) })
		synctest.Wait()
		require.EqualValues(t, n, r.client.Stats().BytesWritten, what)
		t.Log(what)
		f(r, data, release, write)
	}
}
