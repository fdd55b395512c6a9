package relink_test

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// requireTryWrite requires that TryWrite decides at once, and returns how.
func requireTryWrite(t *testing.T, c *relink.Conn, p []byte) (ok bool) {
	t.Helper()
	requireInstant(t, func() {
		var err error
		ok, err = c.TryWrite(p)
		require.NoError(t, err)
	})
	return ok
}

// TryWrite takes messages as long as there is room for all of one, at once, connected
// to a peer that does not read and suspended, and what it took arrives. Where it takes
// one and where it does not is what Room says.
func TestTryWriteUntilFull(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		for _, size := range []int{1, 100, 1000, 5000, 40_000} {
			for _, suspended := range []bool{false, true} {
				r := newRig(t, s, withPath(faultnet.Options{Buffer: 1000}), withBoth(func(c *relink.Config) { c.ReplayLimit = 256 << 10 }))
				if suspended {
					r.suspend(faultnet.Refuse, faultnet.Reset)
				} else {
					r.net.Last().Stall(faultnet.Up)
				}
				message := rigData(size)
				taken, refused := 0, 0
				for refused < 3 {
					room := r.client.Room()
					ok := requireTryWrite(t, r.client, message)
					require.Equal(t, room >= size, ok)
					if ok {
						taken++
					} else {
						refused++
					}
					synctest.Wait()
				}
				require.Positive(t, taken)
				require.EqualValues(t, taken*size, r.client.Stats().BytesWritten)
				if suspended {
					r.net.SetDown(faultnet.NotDown)
				} else {
					r.net.Last().Release(faultnet.Up)
				}
				requireRead(t, r.server, bytes.Repeat(message, taken))
				time.Sleep(time.Second)
				require.True(t, requireTryWrite(t, r.client, message)) // there is room again
				requireRead(t, r.server, message)
				r.exchange(1000)
				r.stop()
			}
		}
	})
}

// What TryWrite says does not depend on how the transport takes it.
func TestTryWriteOverTransports(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		for _, o := range []faultnet.Options{{}, {ShortWrites: true}, {Segment: 7}, {Buffer: -1}, {Opaque: true}} {
			r := newRig(t, s, withPath(o))
			for n := 1; n < 10_000; n = n*3 + 1 {
				require.True(t, requireTryWrite(t, r.client, rigData(n)))
				requireRead(t, r.server, rigData(n))
			}
			r.stop()
			time.Sleep(time.Second) // for what an Abort still says to a transport that holds nothing
		}
	})
}

func TestTryWriteErrors(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s)
		ok, err := r.client.TryWrite(nil)
		require.NoError(t, err)
		require.True(t, ok)

		ok, err = r.client.TryWrite(make([]byte, defaultReplayLimit+1))
		require.ErrorContains(t, err, "ReplayLimit")
		require.False(t, ok)

		require.NoError(t, r.client.SetWriteDeadline(time.Now()))
		ok, err = r.client.TryWrite([]byte("x"))
		require.ErrorIs(t, err, errDeadline)
		require.False(t, ok)
		require.Zero(t, r.client.Room())
		require.NoError(t, r.client.SetWriteDeadline(time.Time{}))
		require.Positive(t, r.client.Room())
		r.exchange(100)

		require.NoError(t, r.client.Close())
		ok, err = r.client.TryWrite([]byte("x"))
		require.ErrorIs(t, err, errClosed)
		require.False(t, ok)
		require.Zero(t, r.client.Room())
		r.stop()
	})
}

// Beside a Write that is under way there is no room.
func TestTryWriteBesideWrite(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s)
		release := relink.HoldWriting(r.client)
		require.Zero(t, r.client.Room())
		require.False(t, requireTryWrite(t, r.client, []byte("x")))
		release()
		require.True(t, requireTryWrite(t, r.client, []byte("x")))
		requireRead(t, r.server, []byte("x"))
		r.stop()
	})
}

// While TryWrite encrypts, anything can happen: what it then says is true.
func TestTryWriteWhileEncrypting(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		for what, f := range map[string]func(r *rig) (arrives bool){
			"close": func(r *rig) bool { require.NoError(r.t, r.client.Close()); return true },
			"abort": func(r *rig) bool { require.NoError(r.t, r.client.Abort()); return false },
			"cut":   func(r *rig) bool { r.net.Last().Cut(faultnet.Reset); time.Sleep(time.Second); return true },
			"full": func(r *rig) bool { // a new link has nothing of what was handed to the old one
				r.net.SetDown(faultnet.Refuse)
				r.net.Last().Cut(faultnet.Reset)
				time.Sleep(time.Second)
				r.net.SetDown(faultnet.NotDown)
				time.Sleep(10 * time.Second)
				return true
			},
		} {
			s, h, _ := hooked(s)
			r := newRig(t, s)
			data := rigData(20_000)
			release := h.holdEncrypt()
			type answer struct {
				ok  bool
				err error
			}
			answers := make(chan answer)
			go func() {
				ok, err := r.client.TryWrite(data)
				answers <- answer{ok, err}
			}()
			synctest.Wait()
			arrives := f(r)
			release()
			a := <-answers
			require.Equal(t, arrives, a.ok, what)
			require.Equal(t, arrives, a.err == nil, what)
			if arrives {
				requireRead(t, r.server, data)
			}
			r.stop()
		}
	})
}
