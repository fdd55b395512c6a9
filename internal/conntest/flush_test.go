package conntest

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
func flushing(ctx context.Context, c *relink.Conn) <-chan Outcome {
	return Background(func() (int, error) { return 0, c.Flush(ctx) })
}

// Flush waits until what was written before is delivered, over whichever link,
// and no longer.
func TestFlush(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s, Unsuspecting, WithPath(faultnet.Options{Buffer: 1000}))
		require.NoError(t, r.Client.Flush(t.Context())) // of nothing
		for name, c := range r.Ends() {
			peer, dir := r.Server.Conn, faultnet.Up
			if name == "server" {
				peer, dir = r.Client.Conn, faultnet.Down
			}
			data := Data(50_000)
			r.Net.Last().Stall(dir)
			RequireWrite(t, c, data)
			done := flushing(t.Context(), c)
			time.Sleep(time.Second)
			StillBlocked(t, done)
			got := make([]byte, len(data))
			read := Background(func() (int, error) { return io.ReadFull(peer, got) })
			StillBlocked(t, done)
			start := time.Now()
			r.Net.Last().Release(dir)
			require.NoError(t, (<-done).Err)
			require.LessOrEqual(t, time.Since(start), 2*TickEvery) // the peer has read, and is not looking
			require.NoError(t, (<-read).Err)
			require.Equal(t, data, got)

			// A link that is lost meanwhile changes nothing.
			synctest.Wait()
			r.Net.Last().Stall(dir)
			RequireWrite(t, c, data)
			done = flushing(t.Context(), c)
			StillBlocked(t, done)
			r.Net.SetDown(faultnet.Refuse)
			r.Net.Last().Cut(faultnet.ResetNow)
			time.Sleep(time.Second)
			StillBlocked(t, done)
			r.Net.SetDown(faultnet.NotDown)
			r.Client.NetworkChanged()
			RequireRead(t, peer, data)
			require.NoError(t, (<-done).Err)
			r.Exchange(100)
		}
		r.Stop()
	})
}

// On a suite with acknowledgements Flush tells what the peer has, read or not.
func TestFlushIsNotRead(t *testing.T) {
	InAckBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s)
		data := Data(1000)
		RequireWrite(t, r.Client, data)
		require.NoError(t, r.Client.Flush(t.Context()))
		require.Zero(t, r.Client.Acked()) // nobody has read it
		r.Net.Last().Cut(faultnet.ResetNow)
		RequireRead(t, r.Server, data)
		r.Stop()
	})
}

// A Flush that cannot end as it should says how much is left, at once when its
// ctx or the session ends.
func TestFlushEnds(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s)
		r.Suspend(faultnet.Refuse, faultnet.Reset)
		RequireWrite(t, r.Client, Data(1234))

		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		requireUndelivered(t, r.Client.Flush(ctx), 1234, context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(start))

		ctx, cancel = context.WithCancel(t.Context())
		done := flushing(ctx, r.Client.Conn)
		StillBlocked(t, done)
		cancel()
		requireUndelivered(t, (<-done).Err, 1234, context.Canceled)

		done = flushing(t.Context(), r.Client.Conn)
		StillBlocked(t, done)
		require.NoError(t, r.Client.Abort())
		requireUndelivered(t, (<-done).Err, 1234, net.ErrClosed)
		require.Equal(t, time.Second, time.Since(start))
		requireUndelivered(t, r.Client.Flush(t.Context()), 1234, net.ErrClosed)

		// A session that expires.
		RequireWrite(t, r.Server, Data(99))
		requireUndelivered(t, r.Server.Flush(t.Context()), 99, r.Server.Err())
		require.NotNil(t, r.Server.Err())
		r.Stop()
	})
}

// A program that calls CloseContext and exits has lost nothing: afterwards no
// network is needed any more.
func TestCloseContext(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		for _, by := range []string{"client", "server"} {
			for _, cut := range []bool{false, true} {
				r := New(t, s, WithPath(faultnet.Options{Buffer: 1000, Delay: time.Millisecond}))
				c, peer := r.Client.Conn, r.Server.Conn
				if by == "server" {
					c, peer = peer, c
				}
				data := Data(50_000)
				RequireWrite(t, c, data[:100])
				RequireRead(t, peer, data[:100])
				read := make(chan []byte, 1)
				go func() {
					b := make([]byte, len(data))
					n, _ := io.ReadFull(peer, b)
					read <- b[:n]
					_, _ = io.Copy(io.Discard, peer) // to the end
				}()
				RequireWrite(t, c, data)
				if cut {
					r.Net.Last().Cut(faultnet.Reset)
				}
				require.NoError(t, c.CloseContext(t.Context()))
				<-c.Done()
				require.NoError(t, c.Err())
				require.NoError(t, c.CloseContext(t.Context())) // it may be called again
				r.Net.SetDown(faultnet.Refuse)
				for _, p := range r.Net.Paths() {
					p.Cut(faultnet.ResetNow)
				}
				require.Equal(t, data, <-read)
				r.Stop()
			}
		}
	})
}

// A CloseContext that cannot deliver says how much is left: when its ctx ends, and
// else after CloseTimeout.
func TestCloseContextUndelivered(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		for _, by := range []string{"client", "server"} {
			r := New(t, s)
			c := r.Ends()[by]
			r.Suspend(faultnet.Refuse, faultnet.Reset)
			RequireWrite(t, c, Data(1234))

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
			RequireInstant(t, func() { requireUndelivered(t, c.CloseContext(ctx), 1234, context.Canceled) })

			requireUndelivered(t, c.CloseContext(t.Context()), 1234, relink.ErrExpired)
			require.Equal(t, DefaultCloseTimeout, time.Since(start))
			require.ErrorIs(t, c.Err(), relink.ErrExpired)
			r.Stop()
			requireUndelivered(t, c.CloseContext(t.Context()), 1234, relink.ErrExpired)
		}
	})
}

// Abort gives up what is not delivered, and CloseContext says so.
func TestCloseContextAfterAbort(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s)
		r.Suspend(faultnet.Refuse, faultnet.Reset)
		RequireWrite(t, r.Client, Data(7))
		done := Background(func() (int, error) { return 0, r.Client.CloseContext(context.Background()) })
		StillBlocked(t, done)
		require.NoError(t, r.Client.Abort())
		requireUndelivered(t, (<-done).Err, 7, net.ErrClosed)
		require.NoError(t, r.Client.Err()) // it was meant
		require.NoError(t, r.Server.Abort())
		require.NoError(t, r.Server.CloseContext(t.Context())) // it had written nothing
		r.Stop()
	})
}

// Err says nothing before the end, and then what the event says.
func TestErr(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s)
		r.Exchange(100)
		require.NoError(t, r.Client.Err())
		r.Suspend(faultnet.Refuse, faultnet.Reset)
		require.NoError(t, r.Client.Err())
		<-r.Client.Done()
		<-r.Server.Done()
		for _, c := range r.Ends() {
			require.ErrorIs(t, c.Err(), relink.ErrExpired)
		}
		for _, log := range []*EventLog{&r.Client.Events, &r.Server.Events} {
			closed := log.All(relink.EventClosed)
			require.Len(t, closed, 1)
			require.Equal(t, closed[0].Err, closed[0].Conn.Err())
		}
		first := r.Client.Err()
		_ = r.Client.Close()
		require.Equal(t, first, r.Client.Err()) // the first reason stays
		r.Stop()
	})
}

// A network so slow that a handshake with data in it takes longer than an
// attempt may is no reason to lose the session: later attempts carry none.
func TestResumeOverSlowNetwork(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s, WithPath(faultnet.Options{Buffer: 300, Delay: 80 * time.Millisecond}))
		for _, c := range r.Ends() {
			go func() { _, _ = c.Write(make([]byte, 50_000)) }()
		}
		time.Sleep(10 * time.Millisecond)
		r.Net.Last().Cut(faultnet.ResetNow)
		time.Sleep(time.Minute)
		require.Equal(t, relink.StateConnected, r.Client.State())
		require.Positive(t, r.Client.Stats().Resumes)
		r.Stop()
	})
}
