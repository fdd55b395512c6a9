package relink_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
	"github.com/relink-go/relink/internal/suite"
)

func TestAcknowledgementsFreeTheBuffer(t *testing.T) {
	inAckBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s, withLimit(64<<10))
		r.exchange(1 << 20)
		time.Sleep(time.Second)
		require.Zero(t, r.client.Stats().Memory)
		require.Zero(t, r.server.Stats().Memory)
		// One small message is acknowledged too, although nothing comes back.
		requireWrite(t, r.client, []byte("one"))
		requireRead(t, r.server, []byte("one"))
		require.Positive(t, r.client.Stats().Memory)
		time.Sleep(time.Second)
		require.Zero(t, r.client.Stats().Memory)
		r.finish()
	})
}

// A full buffer blocks a Write and loses nothing, connected or not.
func TestFullBufferBlocks(t *testing.T) {
	const limit = 64 << 10
	for _, suspended := range []bool{false, true} {
		t.Run(fmt.Sprintf("suspended=%v", suspended), func(t *testing.T) {
			inAckBubble(t, func(t *testing.T, s testSuite) {
				r := newRig(t, s, withLimit(limit))
				data := rigData(5 * limit)
				if suspended {
					r.suspend(faultnet.Refuse, faultnet.Reset)
				} else {
					r.net.Last().Stall(faultnet.Up) // nothing arrives, so nothing is acknowledged
				}
				require.NoError(t, r.client.SetWriteDeadline(time.Now().Add(time.Second)))
				n, err := r.client.Write(data)
				requireTimeout(t, err)
				require.Equal(t, limit, n)
				n, err = r.client.Write(data[n:])
				requireTimeout(t, err)
				require.Zero(t, n)
				require.NoError(t, r.client.SetWriteDeadline(time.Time{}))
				done := background(func() (int, error) { return r.client.Write(data[limit:]) })
				stillBlocked(t, done)
				r.net.SetDown(faultnet.NotDown)
				r.net.Last().Release(faultnet.Up)
				requireRead(t, r.server, data)
				require.NoError(t, (<-done).err)
				r.finish()
			})
		})
	}
}

// A sender whose buffer is smaller than the receiver's window does not wait for
// the receiver's next tick each time that it is full.
func TestSmallBufferIsFast(t *testing.T) {
	inAckBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s, withClient(func(c *relink.Dialer) { c.ReplayLimit = relink.MinReplayLimit }))
		data := rigData(1 << 20)
		done := background(func() (int, error) { return r.client.Write(data) })
		before := time.Now()
		requireRead(t, r.server, data)
		require.NoError(t, (<-done).err)
		require.Less(t, time.Since(before), time.Second)
		r.finish()
	})
}

// Data stops at the peer's limit; control does not.
func TestWindow(t *testing.T) {
	const window = 64 << 10
	inRecordBubble(t, func(t *testing.T, p *records, s testSuite) {
		var sent atomic.Int64
		watch := func(_ string, client bool, data []byte, k suite.Control) ([]byte, suite.Control) {
			if client {
				sent.Add(int64(len(data)))
			}
			return data, k
		}
		p.tamper.Store(&watch)
		r := newRig(t, s, withServer(func(c *relink.ListenConfig) { c.ReplayLimit = window }))
		data := rigData(10 * window)
		requireWrite(t, r.client, data)
		time.Sleep(time.Second)
		require.EqualValues(t, window, sent.Load())

		// The client's acknowledgements pass its own blocked data.
		requireWrite(t, r.server, data[:window/2])
		requireRead(t, r.client, data[:window/2])
		require.NoError(t, r.server.WaitAcked(context.Background(), window/2))

		// The limit holds on the next transport too.
		r.net.Last().Cut(faultnet.Reset)
		time.Sleep(time.Second)
		require.EqualValues(t, 1, r.server.Stats().Resumes)
		require.LessOrEqual(t, r.server.Stats().Memory, int64(2*window))
		requireRead(t, r.server, data)
		r.finish()
	})
}

func TestAcked(t *testing.T) {
	inAckBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s)
		ctx := context.Background()
		require.NoError(t, r.client.WaitAcked(ctx, 0))
		require.Error(t, r.client.WaitAcked(ctx, -1))
		require.Error(t, r.client.WaitAcked(ctx, 1)) // never written
		requireWrite(t, r.client, rigData(1000))

		// Arrival is not enough: the application must have taken it.
		short, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		require.ErrorIs(t, r.client.WaitAcked(short, 1000), context.DeadlineExceeded)
		require.Zero(t, r.client.Acked())
		require.ErrorIs(t, r.client.WaitAcked(short, 1000), context.DeadlineExceeded)

		requireRead(t, r.server, rigData(1000)[:400])
		require.NoError(t, r.client.WaitAcked(ctx, 400))
		require.EqualValues(t, 400, r.client.Acked())

		// It waits through a cut, and through a Read of its own side.
		done := background(func() (int, error) { return 0, r.client.WaitAcked(ctx, 1000) })
		reading := background(func() (int, error) { return r.client.Read(make([]byte, 1)) })
		stillBlocked(t, done)
		r.net.Last().Cut(faultnet.Reset)
		requireRead(t, r.server, rigData(1000)[400:])
		require.NoError(t, (<-done).err)
		requireWrite(t, r.server, []byte{1})
		require.NoError(t, (<-reading).err)

		// The end of either side ends the wait.
		requireWrite(t, r.client, rigData(10))
		done = background(func() (int, error) { return 0, r.client.WaitAcked(ctx, 1010) })
		stillBlocked(t, done)
		require.NoError(t, r.server.Close())
		require.ErrorIs(t, (<-done).err, relink.ErrPeerClosed)
		require.NoError(t, r.client.Close())
		require.ErrorIs(t, r.client.WaitAcked(ctx, 1010), net.ErrClosed)
		require.NoError(t, r.client.WaitAcked(ctx, 1000))
		r.stop()
	})
}

func TestAckedUnsupported(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s testSuite) {
		if traitsOf(s).Acks {
			t.Skip("the suite acknowledges")
		}
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, s)
			requireWrite(t, r.client, []byte("x"))
			requireRead(t, r.server, []byte("x"))
			require.ErrorIs(t, r.client.WaitAcked(context.Background(), 1), errors.ErrUnsupported)
			require.Zero(t, r.client.Acked())
			require.ErrorIs(t, r.client.CloseWrite(), errors.ErrUnsupported)
			r.exchange(100)
			r.stop()
		})
	})
}
