package conntest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
	"github.com/relink-go/relink/internal/stream"
	"github.com/relink-go/relink/internal/suite"
)

// A Write far larger than the buffer, while there is no transport: it takes
// what the limit allows, says exactly how much that was, and can be continued.
func TestWriteBeyondLimitWhileSuspended(t *testing.T) {
	for _, limit := range []int{relink.MinReplayLimit, 40 << 10} {
		t.Run(strconv.Itoa(limit), func(t *testing.T) {
			InBubble(t, func(t *testing.T, s Suite) {
				r := New(t, s, WithBoth(func(c *relink.Config) { c.ReplayLimit = limit }))
				for name, c := range r.Ends() {
					peer := r.Client.Conn
					if name == "client" {
						peer = r.Server.Conn
					}
					r.Suspend(faultnet.Refuse, faultnet.Reset)
					data := Data(3*limit + 17)
					require.NoError(t, c.SetWriteDeadline(time.Now().Add(time.Second)))
					start := time.Now()
					n, err := c.Write(data)
					requireTimeout(t, err)
					require.Equal(t, time.Second, time.Since(start))
					// Nothing gives way while suspended, and half the limit is free
					// whatever went before.
					require.LessOrEqual(t, n, limit)
					require.GreaterOrEqual(t, n, limit/2)
					require.LessOrEqual(t, c.Stats().Memory, int64(2*limit+(2<<10)))

					// The same deadline holds for the next Write, until it is moved.
					k, err := c.Write(data[n:])
					require.Zero(t, k)
					requireTimeout(t, err)
					require.NoError(t, c.SetWriteDeadline(time.Time{}))
					write := Background(func() (int, error) { return c.Write(data[n:]) })
					StillBlocked(t, write)
					time.Sleep(time.Minute)
					StillBlocked(t, write)
					r.Net.SetDown(faultnet.NotDown)
					got := make([]byte, len(data))
					_, err = io.ReadFull(peer, got)
					require.NoError(t, err)
					require.Equal(t, data, got)
					o := <-write
					require.NoError(t, o.Err)
					require.Equal(t, len(data)-n, o.N)
				}
				r.Stop()
			})
		})
	}
}

// A blocked Write of a suspended session ends with Close, Abort and expiry, and
// tells what it had taken.
func TestBlockedWriteIsWoken(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		const limit = 4 << 10
		for name, wake := range map[string]func(c *relink.Conn){
			"close":  func(c *relink.Conn) { _ = c.Close() },
			"abort":  func(c *relink.Conn) { _ = c.Abort() },
			"expiry": func(*relink.Conn) { time.Sleep(time.Hour) },
		} {
			for _, end := range []string{"client", "server"} {
				r := New(t, s, WithBoth(func(c *relink.Config) { c.ReplayLimit = limit }))
				r.Suspend(faultnet.Refuse, faultnet.Reset)
				c := r.Ends()[end]
				write := Background(func() (int, error) { return c.Write(Data(10 * limit)) })
				StillBlocked(t, write)
				second := Background(func() (int, error) { return c.Write(Data(1)) })
				StillBlocked(t, second)
				wake(c)
				sum := 0
				for _, done := range []<-chan Outcome{write, second} {
					o := <-done
					sum += o.N
					if name == "expiry" {
						require.ErrorIs(t, o.Err, relink.ErrExpired)
					} else {
						require.ErrorIs(t, o.Err, net.ErrClosed)
					}
				}
				require.Equal(t, limit, sum)
				r.Stop()
			}
		}
	})
}

// While connected to a peer that does not read, no more than the documented
// amounts are taken, and no more memory held.
func TestWriteToStalledPeer(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		const limit, buffer = 512 << 10, 32 << 10
		r := New(t, s, Unsuspecting, WithBoth(func(c *relink.Config) { c.ReplayLimit = limit }), WithPath(faultnet.Options{Buffer: buffer}))
		for _, c := range r.Ends() {
			r.Net.Last().Stall(faultnet.Up)
			r.Net.Last().Stall(faultnet.Down)
			require.NoError(t, c.SetWriteDeadline(time.Now().Add(time.Second)))
			n, err := c.Write(Data(2 * limit))
			requireTimeout(t, err)
			if IsClassic(s) {
				require.LessOrEqual(t, n, buffer+stream.MaxPending)
			}
			require.LessOrEqual(t, n, limit+buffer)
			require.LessOrEqual(t, c.Stats().BytesPending, int64(limit))
			require.EqualValues(t, n, c.Stats().BytesWritten)
			require.LessOrEqual(t, c.Stats().Memory, int64(limit+(512<<10)))
		}
		r.Stop()
	})
}

// Half the limit stays free for a suspension, also right after a lot was sent.
func TestHalfTheLimitIsFreeForASuspension(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		const limit = 16 << 10
		r := New(t, s, WithBoth(func(c *relink.Config) { c.ReplayLimit = limit }))
		r.Exchange(4*limit + 3)
		time.Sleep(time.Second) // acknowledgements that a cut destroyed would leave less
		r.Suspend(faultnet.Refuse, faultnet.Reset)
		for _, c := range r.Ends() {
			require.NoError(t, c.SetWriteDeadline(time.Now().Add(time.Second)))
			n, err := c.Write(Data(limit/2 - 1))
			require.NoError(t, err)
			require.Equal(t, limit/2-1, n)
			require.NoError(t, c.SetWriteDeadline(time.Time{}))
		}
		r.Net.SetDown(faultnet.NotDown)
		for _, c := range r.Ends() {
			got := make([]byte, limit/2-1)
			_, err := io.ReadFull(c, got)
			require.NoError(t, err)
			require.Equal(t, Data(len(got)), got)
		}
		r.Stop()
	})
}

// What half the limit can lose to the network is kept, also while more than
// that waits because a suspension has filled the buffer.
func TestHistoryAfterASuspension(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		const limit = 16 << 10
		r := New(t, s, WithPath(faultnet.Options{Buffer: limit / 2}), WithBoth(func(c *relink.Config) { c.ReplayLimit = limit }))
		r.Suspend(faultnet.Refuse, faultnet.Reset)
		data := Data(limit)
		n, err := r.Client.Write(data)
		require.NoError(t, err)
		require.Equal(t, limit, n)
		dials := 0
		r.Net.OnDial(func(_ int, p *faultnet.Path) error {
			if dials++; dials == 1 {
				p.CutAt(faultnet.Up, 300, faultnet.BlackHole) // behind a handshake of the classic suites
			}
			return nil
		})
		r.Net.SetDown(faultnet.NotDown)
		time.Sleep(5 * time.Second) // the path has swallowed what it can
		r.Net.Last().Cut(faultnet.ResetNow)
		got := make([]byte, limit)
		_, err = io.ReadFull(r.Server, got)
		require.NoError(t, err)
		require.Equal(t, data, got)
		require.Greater(t, dials, 1)
		r.Stop()
	})
}

// A client that claims to have sent 2^62 bytes which never come makes the
// server neither allocate nor wait: it has to drain the replay, but within a
// bound.
func TestClaimOfReplayThatNeverComes(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		if IsSCP(s) || !IsClassic(s) {
			return // the wire does not tell how much the peer will replay
		}
		const limit = 64 << 10
		s, h, _ := hooked(s)
		r := New(t, s, WithBoth(func(c *relink.Config) { c.ReplayLimit = limit }))
		before := HeapNow()
		claim := func(o suite.Offsets) suite.Offsets { return suite.Offsets{Sent: 1 << 62, Received: o.Received} }
		h.offsets.Store(&claim)
		r.Client.NetworkChanged()
		r.Exchange(100)
		require.EqualValues(t, 1, r.Server.Stats().Resumes)
		// What comes while the application is away is taken up to the limit.
		require.NoError(t, r.Client.SetWriteDeadline(time.Now().Add(time.Second)))
		n, err := r.Client.Write(Data(10 * limit))
		requireTimeout(t, err)
		require.LessOrEqual(t, r.Server.Stats().Memory, int64(2*limit))
		require.Less(t, HeapNow()-before, int64(4<<20))
		_, err = io.ReadFull(r.Server, make([]byte, n))
		require.NoError(t, err)
		r.Stop()
	})
}

// More than 4 GiB through SCP, whose counts are mod 2^32, with cuts all the way.
// It takes a minute, hence on demand.
func TestLongSCP(t *testing.T) {
	if os.Getenv("RELINK_LONG") != "1" {
		t.Skip("sends more than 4 GiB: set RELINK_LONG=1 to run it")
	}
	const total int64 = 4<<30 + 300<<20
	// What the kernels of both sides of the relay hold can be missing after a
	// cut, and they grow their buffers to several MiB on a fast path.
	cfg := Setup{ReplayLimit: 64 << 20}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l, err := relink.NewListener(inner, cfg.listener(SCP))
	require.NoError(t, err)
	relay, err := faultnet.NewRelay(l.Addr().String())
	require.NoError(t, err)
	relay.SetBuffers(128 << 10)
	c, err := (&relink.Dialer{Suite: SCP, Config: cfg.shared()}).DialConn(t.Context(), "tcp", relay.Addr())
	require.NoError(t, err)
	server, err := l.AcceptConn()
	require.NoError(t, err)

	stop := make(chan struct{})
	cutter := make(chan int)
	go func() {
		kinds := []faultnet.Kind{faultnet.Reset, faultnet.End}
		for i := 0; ; i++ {
			select {
			case <-stop:
				cutter <- i
				return
			case <-time.After(time.Duration(50+rand.IntN(200)) * time.Millisecond):
				relay.Cut(kinds[i%len(kinds)])
			}
		}
	}()
	sums := make(chan []byte, 2)
	go func() {
		sums <- longStream(t, total, func(b []byte, h hash.Hash) error {
			_, err := c.Write(b)
			h.Write(b)
			return err
		})
	}()
	sums <- longStream(t, total, func(b []byte, h hash.Hash) error {
		_, err := io.ReadFull(server, b)
		h.Write(b)
		return err
	})
	a, b := <-sums, <-sums
	close(stop)
	cuts := <-cutter
	require.Equal(t, a, b)
	require.Greater(t, server.Stats().Resumes, int64(cuts/4))
	require.NotNil(t, a)
	require.EqualValues(t, total, server.Stats().BytesRead)
	t.Logf("%d cuts, client %+v", cuts, c.Stats())
	_, _ = c.Abort(), server.Abort()
	_, _ = relay.Close(), l.Close()
}

// longStream calls f with pieces of the stream and returns its sum.
func longStream(t *testing.T, total int64, f func([]byte, hash.Hash) error) []byte {
	h := sha256.New()
	piece := make([]byte, 256<<10)
	random := rand.NewChaCha8([32]byte{1})
	for n := int64(0); n < total; {
		_, _ = random.Read(piece)
		k := min(int64(len(piece)), total-n)
		if err := f(piece[:k], h); err != nil {
			t.Error(err)
			return nil
		}
		n += k
	}
	return h.Sum(nil)
}

// A session that has carried nothing holds no buffer memory, and gives back
// what it had once it has ended.
func TestMemoryIsGivenBack(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s)
		for _, c := range r.Ends() {
			require.Zero(t, c.Stats().Memory)
		}
		r.Exchange(200 << 10)
		if IsClassic(s) { // history, which nobody acknowledges
			require.Positive(t, r.Client.Stats().Memory)
		}
		for _, c := range r.Ends() {
			_, err := c.Write(Data(30 << 10))
			require.NoError(t, err)
		}
		synctest.Wait()
		for _, c := range r.Ends() {
			require.NoError(t, c.Abort())
		}
		synctest.Wait()
		for _, c := range r.Ends() {
			require.Zero(t, c.Stats().Memory)
			require.EqualValues(t, 230<<10, c.Stats().BytesWritten)
		}
		r.Stop()
	})
}

func TestAcknowledgementsFreeTheBuffer(t *testing.T) {
	InAckBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s, WithLimit(64<<10))
		r.Exchange(1 << 20)
		time.Sleep(time.Second)
		require.Zero(t, r.Client.Stats().Memory)
		require.Zero(t, r.Server.Stats().Memory)
		// One small message is acknowledged too, although nothing comes back.
		RequireWrite(t, r.Client, []byte("one"))
		RequireRead(t, r.Server, []byte("one"))
		require.Positive(t, r.Client.Stats().Memory)
		time.Sleep(time.Second)
		require.Zero(t, r.Client.Stats().Memory)
		r.Finish()
	})
}

// A full buffer blocks a Write and loses nothing, connected or not.
func TestFullBufferBlocks(t *testing.T) {
	const limit = 64 << 10
	for _, suspended := range []bool{false, true} {
		t.Run(fmt.Sprintf("suspended=%v", suspended), func(t *testing.T) {
			InAckBubble(t, func(t *testing.T, s Suite) {
				r := New(t, s, Unsuspecting, WithLimit(limit))
				data := Data(5 * limit)
				if suspended {
					r.Suspend(faultnet.Refuse, faultnet.Reset)
				} else {
					r.Net.Last().Stall(faultnet.Up) // nothing arrives, so nothing is acknowledged
				}
				require.NoError(t, r.Client.SetWriteDeadline(time.Now().Add(time.Second)))
				n, err := r.Client.Write(data)
				requireTimeout(t, err)
				require.Equal(t, limit, n)
				n, err = r.Client.Write(data[n:])
				requireTimeout(t, err)
				require.Zero(t, n)
				require.NoError(t, r.Client.SetWriteDeadline(time.Time{}))
				done := Background(func() (int, error) { return r.Client.Write(data[limit:]) })
				StillBlocked(t, done)
				r.Net.SetDown(faultnet.NotDown)
				r.Net.Last().Release(faultnet.Up)
				RequireRead(t, r.Server, data)
				require.NoError(t, (<-done).Err)
				r.Finish()
			})
		})
	}
}

// A sender whose buffer is smaller than the receiver's window does not wait for
// the receiver's next tick each time that it is full.
func TestSmallBufferIsFast(t *testing.T) {
	InAckBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s, WithClient(func(c *relink.Dialer) { c.ReplayLimit = relink.MinReplayLimit }))
		data := Data(1 << 20)
		done := Background(func() (int, error) { return r.Client.Write(data) })
		before := time.Now()
		RequireRead(t, r.Server, data)
		require.NoError(t, (<-done).Err)
		require.Less(t, time.Since(before), time.Second)
		r.Finish()
	})
}

// Data stops at the peer's limit; control does not.
func TestWindow(t *testing.T) {
	const window = 64 << 10
	inRecordBubble(t, func(t *testing.T, p *RecordProtocol, s Suite) {
		var sent atomic.Int64
		watch := func(_ string, client bool, data []byte, k suite.Control) ([]byte, suite.Control) {
			if client {
				sent.Add(int64(len(data)))
			}
			return data, k
		}
		p.tamper.Store(&watch)
		r := New(t, s, WithServer(func(c *relink.ListenConfig) { c.ReplayLimit = window }))
		data := Data(10 * window)
		RequireWrite(t, r.Client, data)
		time.Sleep(time.Second)
		require.EqualValues(t, window, sent.Load())

		// The client's acknowledgements pass its own blocked data.
		RequireWrite(t, r.Server, data[:window/2])
		RequireRead(t, r.Client, data[:window/2])
		require.NoError(t, r.Server.WaitAcked(context.Background(), window/2))

		// The limit holds on the next transport too.
		r.Net.Last().Cut(faultnet.Reset)
		time.Sleep(time.Second)
		require.EqualValues(t, 1, r.Server.Stats().Resumes)
		require.LessOrEqual(t, r.Server.Stats().Memory, int64(2*window))
		RequireRead(t, r.Server, data)
		r.Finish()
	})
}

func TestAcked(t *testing.T) {
	InAckBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s)
		ctx := context.Background()
		require.NoError(t, r.Client.WaitAcked(ctx, 0))
		require.Error(t, r.Client.WaitAcked(ctx, -1))
		require.Error(t, r.Client.WaitAcked(ctx, 1)) // never written
		RequireWrite(t, r.Client, Data(1000))

		// Arrival is not enough: the application must have taken it.
		short, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		require.ErrorIs(t, r.Client.WaitAcked(short, 1000), context.DeadlineExceeded)
		require.Zero(t, r.Client.Acked())
		require.ErrorIs(t, r.Client.WaitAcked(short, 1000), context.DeadlineExceeded)

		RequireRead(t, r.Server, Data(1000)[:400])
		require.NoError(t, r.Client.WaitAcked(ctx, 400))
		require.EqualValues(t, 400, r.Client.Acked())

		// It waits through a cut, and through a Read of its own side.
		done := Background(func() (int, error) { return 0, r.Client.WaitAcked(ctx, 1000) })
		reading := Background(func() (int, error) { return r.Client.Read(make([]byte, 1)) })
		StillBlocked(t, done)
		r.Net.Last().Cut(faultnet.Reset)
		RequireRead(t, r.Server, Data(1000)[400:])
		require.NoError(t, (<-done).Err)
		RequireWrite(t, r.Server, []byte{1})
		require.NoError(t, (<-reading).Err)

		// The end of either side ends the wait.
		RequireWrite(t, r.Client, Data(10))
		done = Background(func() (int, error) { return 0, r.Client.WaitAcked(ctx, 1010) })
		StillBlocked(t, done)
		require.NoError(t, r.Server.Close())
		require.ErrorIs(t, (<-done).Err, relink.ErrPeerClosed)
		require.NoError(t, r.Client.Close())
		require.ErrorIs(t, r.Client.WaitAcked(ctx, 1010), net.ErrClosed)
		require.NoError(t, r.Client.WaitAcked(ctx, 1000))
		r.Stop()
	})
}

func TestAckedUnsupported(t *testing.T) {
	ForEachSuite(t, func(t *testing.T, s Suite) {
		if TraitsOf(s).Acks {
			t.Skip("the suite acknowledges")
		}
		synctest.Test(t, func(t *testing.T) {
			r := New(t, s)
			RequireWrite(t, r.Client, []byte("x"))
			RequireRead(t, r.Server, []byte("x"))
			require.ErrorIs(t, r.Client.WaitAcked(context.Background(), 1), errors.ErrUnsupported)
			require.Zero(t, r.Client.Acked())
			require.ErrorIs(t, r.Client.CloseWrite(), errors.ErrUnsupported)
			r.Exchange(100)
			r.Stop()
		})
	})
}
