package relink_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// requireUndelivered requires an error that says how much is not delivered, and
// why.
func requireUndelivered(t *testing.T, err error, bytes int, why error) {
	t.Helper()
	var u *relink.UndeliveredError
	require.ErrorAs(t, err, &u)
	require.EqualValues(t, bytes, u.Bytes)
	require.ErrorIs(t, err, why)
	var ne net.Error
	require.ErrorAs(t, err, &ne)
	require.Equal(t, errors.Is(why, context.DeadlineExceeded), ne.Timeout())
}

// flushing calls Flush in the background.
func flushing(ctx context.Context, c *relink.Conn) <-chan outcome {
	return background(func() (int, error) { return 0, c.Flush(ctx) })
}

// Flush waits until what was written before is delivered, over whichever link,
// and no longer.
func TestFlush(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s, withPath(faultnet.Options{Buffer: 1000}))
		require.NoError(t, r.client.Flush(t.Context())) // of nothing
		for name, c := range r.ends() {
			peer, dir := r.server, faultnet.Up
			if name == "server" {
				peer, dir = r.client, faultnet.Down
			}
			data := rigData(50_000)
			r.net.Last().Stall(dir)
			requireWrite(t, c, data)
			done := flushing(t.Context(), c)
			time.Sleep(time.Second)
			stillBlocked(t, done)
			got := make([]byte, len(data))
			read := background(func() (int, error) { return io.ReadFull(peer, got) })
			stillBlocked(t, done)
			start := time.Now()
			r.net.Last().Release(dir)
			require.NoError(t, (<-done).err)
			require.LessOrEqual(t, time.Since(start), 2*tickEvery) // the peer has read, and is not looking
			require.NoError(t, (<-read).err)
			require.Equal(t, data, got)

			// A link that is lost meanwhile changes nothing.
			synctest.Wait()
			r.net.Last().Stall(dir)
			requireWrite(t, c, data)
			done = flushing(t.Context(), c)
			stillBlocked(t, done)
			r.net.SetDown(faultnet.Refuse)
			r.net.Last().Cut(faultnet.ResetNow)
			time.Sleep(time.Second)
			stillBlocked(t, done)
			r.net.SetDown(faultnet.NotDown)
			r.client.NetworkChanged()
			requireRead(t, peer, data)
			require.NoError(t, (<-done).err)
			r.exchange(100)
		}
		r.stop()
	})
}

// On a suite with acknowledgements Flush tells what the peer has, read or not.
func TestFlushIsNotRead(t *testing.T) {
	inAckBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s)
		data := rigData(1000)
		requireWrite(t, r.client, data)
		require.NoError(t, r.client.Flush(t.Context()))
		require.Zero(t, r.client.Acked()) // nobody has read it
		r.net.Last().Cut(faultnet.ResetNow)
		requireRead(t, r.server, data)
		r.stop()
	})
}

// A Flush that cannot end as it should says how much is left, at once when its
// ctx or the session ends.
func TestFlushEnds(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s)
		r.suspend(faultnet.Refuse, faultnet.Reset)
		requireWrite(t, r.client, rigData(1234))

		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		requireUndelivered(t, r.client.Flush(ctx), 1234, context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(start))

		ctx, cancel = context.WithCancel(t.Context())
		done := flushing(ctx, r.client)
		stillBlocked(t, done)
		cancel()
		requireUndelivered(t, (<-done).err, 1234, context.Canceled)

		done = flushing(t.Context(), r.client)
		stillBlocked(t, done)
		require.NoError(t, r.client.Abort())
		requireUndelivered(t, (<-done).err, 1234, net.ErrClosed)
		require.Equal(t, time.Second, time.Since(start))
		requireUndelivered(t, r.client.Flush(t.Context()), 1234, net.ErrClosed)

		// A session that expires.
		requireWrite(t, r.server, rigData(99))
		requireUndelivered(t, r.server.Flush(t.Context()), 99, r.server.Err())
		require.NotNil(t, r.server.Err())
		r.stop()
	})
}

// A program that calls CloseContext and exits has lost nothing: afterwards no
// network is needed any more.
func TestCloseContext(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		for _, by := range []string{"client", "server"} {
			for _, cut := range []bool{false, true} {
				r := newRig(t, s, withPath(faultnet.Options{Buffer: 1000, Delay: time.Millisecond}))
				c, peer := r.client, r.server
				if by == "server" {
					c, peer = peer, c
				}
				data := rigData(50_000)
				requireWrite(t, c, data[:100])
				requireRead(t, peer, data[:100])
				read := make(chan []byte, 1)
				go func() {
					b := make([]byte, len(data))
					n, _ := io.ReadFull(peer, b)
					read <- b[:n]
					_, _ = io.Copy(io.Discard, peer) // to the end
				}()
				requireWrite(t, c, data)
				if cut {
					r.net.Last().Cut(faultnet.Reset)
				}
				require.NoError(t, c.CloseContext(t.Context()))
				<-c.Done()
				require.NoError(t, c.Err())
				require.NoError(t, c.CloseContext(t.Context())) // it may be called again
				r.net.SetDown(faultnet.Refuse)
				for _, p := range r.net.Paths() {
					p.Cut(faultnet.ResetNow)
				}
				require.Equal(t, data, <-read)
				r.stop()
			}
		}
	})
}

// A CloseContext that cannot deliver says how much is left: when its ctx ends, and
// else after CloseTimeout.
func TestCloseContextUndelivered(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		for _, by := range []string{"client", "server"} {
			r := newRig(t, s)
			c := r.ends()[by]
			r.suspend(faultnet.Refuse, faultnet.Reset)
			requireWrite(t, c, rigData(1234))

			start := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			err := c.CloseContext(ctx)
			requireUndelivered(t, err, 1234, context.DeadlineExceeded)
			require.ErrorContains(t, err, "up to 1234 bytes")
			cancel()
			require.Equal(t, time.Second, time.Since(start))
			require.Equal(t, relink.StateClosing, c.State()) // it goes on trying
			require.NoError(t, c.Err())

			ctx, cancel = context.WithCancel(t.Context())
			cancel()
			requireInstant(t, func() { requireUndelivered(t, c.CloseContext(ctx), 1234, context.Canceled) })

			requireUndelivered(t, c.CloseContext(t.Context()), 1234, relink.ErrExpired)
			require.Equal(t, defaultCloseTimeout, time.Since(start))
			require.ErrorIs(t, c.Err(), relink.ErrExpired)
			r.stop()
			requireUndelivered(t, c.CloseContext(t.Context()), 1234, relink.ErrExpired)
		}
	})
}

// Abort gives up what is not delivered, and CloseContext says so.
func TestCloseContextAfterAbort(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s)
		r.suspend(faultnet.Refuse, faultnet.Reset)
		requireWrite(t, r.client, rigData(7))
		done := background(func() (int, error) { return 0, r.client.CloseContext(context.Background()) })
		stillBlocked(t, done)
		require.NoError(t, r.client.Abort())
		requireUndelivered(t, (<-done).err, 7, net.ErrClosed)
		require.NoError(t, r.client.Err()) // it was meant
		require.NoError(t, r.server.Abort())
		require.NoError(t, r.server.CloseContext(t.Context())) // it had written nothing
		r.stop()
	})
}

// Err says nothing before the end, and then what the event says.
func TestErr(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s)
		r.exchange(100)
		require.NoError(t, r.client.Err())
		r.suspend(faultnet.Refuse, faultnet.Reset)
		require.NoError(t, r.client.Err())
		<-r.client.Done()
		<-r.server.Done()
		for _, c := range r.ends() {
			require.ErrorIs(t, c.Err(), relink.ErrExpired)
		}
		for _, log := range []*eventLog{r.clientEvents, r.serverEvents} {
			closed := log.all(relink.EventClosed)
			require.Len(t, closed, 1)
			require.Equal(t, closed[0].Err, closed[0].Conn.Err())
		}
		first := r.client.Err()
		_ = r.client.Close()
		require.Equal(t, first, r.client.Err()) // the first reason stays
		r.stop()
	})
}
