package relink_test

import (
	"crypto/sha256"
	"hash"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strconv"
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
			inBubble(t, func(t *testing.T, s testSuite) {
				r := newRig(t, s, withBoth(func(c *relink.Config) { c.ReplayLimit = limit }))
				for name, c := range r.ends() {
					peer := r.client
					if name == "client" {
						peer = r.server
					}
					r.suspend(faultnet.Refuse, faultnet.Reset)
					data := rigData(3*limit + 17)
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
					write := background(func() (int, error) { return c.Write(data[n:]) })
					stillBlocked(t, write)
					time.Sleep(time.Minute)
					stillBlocked(t, write)
					r.net.SetDown(faultnet.NotDown)
					got := make([]byte, len(data))
					_, err = io.ReadFull(peer, got)
					require.NoError(t, err)
					require.Equal(t, data, got)
					o := <-write
					require.NoError(t, o.err)
					require.Equal(t, len(data)-n, o.n)
				}
				r.stop()
			})
		})
	}
}

// A blocked Write of a suspended session ends with Close, Abort and expiry, and
// tells what it had taken.
func TestBlockedWriteIsWoken(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		const limit = 4 << 10
		for name, wake := range map[string]func(c *relink.Conn){
			"close":  func(c *relink.Conn) { _ = c.Close() },
			"abort":  func(c *relink.Conn) { _ = c.Abort() },
			"expiry": func(*relink.Conn) { time.Sleep(time.Hour) },
		} {
			for _, end := range []string{"client", "server"} {
				r := newRig(t, s, withBoth(func(c *relink.Config) { c.ReplayLimit = limit }))
				r.suspend(faultnet.Refuse, faultnet.Reset)
				c := r.ends()[end]
				write := background(func() (int, error) { return c.Write(rigData(10 * limit)) })
				stillBlocked(t, write)
				second := background(func() (int, error) { return c.Write(rigData(1)) })
				stillBlocked(t, second)
				wake(c)
				sum := 0
				for _, done := range []<-chan outcome{write, second} {
					o := <-done
					sum += o.n
					if name == "expiry" {
						require.ErrorIs(t, o.err, relink.ErrExpired)
					} else {
						require.ErrorIs(t, o.err, errClosed)
					}
				}
				require.Equal(t, limit, sum)
				r.stop()
			}
		}
	})
}

// While connected to a peer that does not read, no more than the documented
// amounts are taken, and no more memory held.
func TestWriteToStalledPeer(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		const limit, buffer = 512 << 10, 32 << 10
		r := newRig(t, s, withBoth(func(c *relink.Config) { c.ReplayLimit = limit }), withPath(faultnet.Options{Buffer: buffer}))
		for _, c := range r.ends() {
			r.net.Last().Stall(faultnet.Up)
			r.net.Last().Stall(faultnet.Down)
			require.NoError(t, c.SetWriteDeadline(time.Now().Add(time.Second)))
			n, err := c.Write(rigData(2 * limit))
			requireTimeout(t, err)
			if isClassic(s) {
				require.LessOrEqual(t, n, buffer+stream.MaxPending)
			}
			require.LessOrEqual(t, n, limit+buffer)
			require.LessOrEqual(t, c.Stats().BytesPending, int64(limit))
			require.EqualValues(t, n, c.Stats().BytesWritten)
			require.LessOrEqual(t, c.Stats().Memory, int64(limit+(512<<10)))
		}
		r.stop()
	})
}

// Half the limit stays free for a suspension, also right after a lot was sent.
func TestHalfTheLimitIsFreeForASuspension(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		const limit = 16 << 10
		r := newRig(t, s, withBoth(func(c *relink.Config) { c.ReplayLimit = limit }))
		r.exchange(4*limit + 3)
		time.Sleep(time.Second) // acknowledgements that a cut destroyed would leave less
		r.suspend(faultnet.Refuse, faultnet.Reset)
		for _, c := range r.ends() {
			require.NoError(t, c.SetWriteDeadline(time.Now().Add(time.Second)))
			n, err := c.Write(rigData(limit/2 - 1))
			require.NoError(t, err)
			require.Equal(t, limit/2-1, n)
			require.NoError(t, c.SetWriteDeadline(time.Time{}))
		}
		r.net.SetDown(faultnet.NotDown)
		for _, c := range r.ends() {
			got := make([]byte, limit/2-1)
			_, err := io.ReadFull(c, got)
			require.NoError(t, err)
			require.Equal(t, rigData(len(got)), got)
		}
		r.stop()
	})
}

// What half the limit can lose to the network is kept, also while more than
// that waits because a suspension has filled the buffer.
func TestHistoryAfterASuspension(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		const limit = 16 << 10
		r := newRig(t, s, withPath(faultnet.Options{Buffer: limit / 2}), withBoth(func(c *relink.Config) { c.ReplayLimit = limit }))
		r.suspend(faultnet.Refuse, faultnet.Reset)
		data := rigData(limit)
		n, err := r.client.Write(data)
		require.NoError(t, err)
		require.Equal(t, limit, n)
		dials := 0
		r.net.OnDial(func(_ int, p *faultnet.Path) error {
			if dials++; dials == 1 {
				p.CutAt(faultnet.Up, 300, faultnet.BlackHole) // behind a handshake of the classic suites
			}
			return nil
		})
		r.net.SetDown(faultnet.NotDown)
		time.Sleep(5 * time.Second) // the path has swallowed what it can
		r.net.Last().Cut(faultnet.ResetNow)
		got := make([]byte, limit)
		_, err = io.ReadFull(r.server, got)
		require.NoError(t, err)
		require.Equal(t, data, got)
		require.Greater(t, dials, 1)
		r.stop()
	})
}

// counters are offsets around which integers of some size wrap.
var counters = []int64{
	1<<31 - 1500, 1<<32 - 1500, 1<<32 + 1<<31 - 1500, 5<<32 - 700, 1<<53 - 900, 1<<62 - 1000, math.MaxInt64 - 100_000,
}

// Resumes work when the counts of bytes cross 2^31, 2^32 (which is where the
// counts of SCP wrap), and far beyond.
func TestCountersNearPowersOfTwo(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		if !isClassic(s) {
			return // the offsets of records are in the records, not only in the counts
		}
		for _, up := range counters {
			for _, down := range []int64{up, 17, 1<<32 - 1} {
				r := newRig(t, s, withBoth(func(c *relink.Config) { c.ReplayLimit = 64 << 10 }))
				r.client.SetCounters(up, down)
				r.server.SetCounters(down, up)
				for i := range 8 {
					r.exchange(700)
					// Cut with data under way in both directions.
					r.net.Last().CutAt(faultnet.Up, r.net.Last().Sent(faultnet.Up)+int64(100*i), faultnet.Reset)
					r.exchange(900)
				}
				require.EqualValues(t, 8, r.server.Stats().Resumes)
				r.stop()
			}
		}
	})
}

// A stream ends at offset 2^63-1 with a typed error, not with a panic, a wrap
// or a wait for room that can never be.
func TestEndOfCounters(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		if !isClassic(s) {
			return // as above
		}
		const left = 1000
		r := newRig(t, s)
		r.client.SetCounters(math.MaxInt64-left, 0)
		r.server.SetCounters(0, math.MaxInt64-left)
		data := rigData(left + 10)
		n, err := r.client.Write(data)
		require.Equal(t, left, n)
		require.ErrorIs(t, err, relink.ErrCounters)
		got := make([]byte, left)
		_, err = io.ReadFull(r.server, got)
		require.NoError(t, err)
		require.Equal(t, data[:left], got)
		// The other direction is not concerned, nor is a resume.
		r.net.Last().Cut(faultnet.Reset)
		_, err = r.server.Write([]byte("x"))
		require.NoError(t, err)
		_, err = io.ReadFull(r.client, got[:1])
		require.NoError(t, err)
		n, err = r.client.Write(data)
		require.Zero(t, n)
		require.ErrorIs(t, err, relink.ErrCounters)
		r.stop()
	})
}

// A peer whose stream passes 2^63-1 ends the session.
func TestPeerPassesEndOfCounters(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		if !isClassic(s) {
			return // as above
		}
		r := newRig(t, s)
		r.server.SetCounters(0, math.MaxInt64-5)
		_, err := r.client.Write(rigData(100))
		require.NoError(t, err)
		_, err = r.server.Read(make([]byte, 100))
		require.ErrorIs(t, err, relink.ErrCounters)
		require.Equal(t, relink.StateClosed, r.server.State())
		r.stop()
	})
}

// A contradiction is a moved counter that makes a resume impossible.
type contradiction struct {
	name   string
	client [2]int64 // what is added to the client's counts
	server [2]int64
	want   error // at the client
}

// Counts that contradict each other, or that miss what is no longer buffered,
// end the session with a typed error at the client, whatever their size: 2^62
// missing bytes are not allocated.
func TestCountersThatContradict(t *testing.T) {
	// A multiple of 2^32 would be nothing to SCP.
	const base, far, limit = 100_000, 1<<62 + 1<<31, 4 << 10
	for _, tt := range []contradiction{
		{"client has sent less than received", [2]int64{-50_000, 0}, [2]int64{}, relink.ErrSessionLost},
		{"client has received more than sent", [2]int64{0, 50}, [2]int64{}, relink.ErrSessionLost},
		{"client has received far more than sent", [2]int64{0, far}, [2]int64{}, relink.ErrSessionLost},
		{"client misses more than is buffered", [2]int64{0, -50_000}, [2]int64{}, relink.ErrSessionLost},
		{"client misses far more than is buffered", [2]int64{}, [2]int64{far, 0}, relink.ErrSessionLost},
		{"server misses more than is buffered", [2]int64{}, [2]int64{0, -50_000}, relink.ErrReplayGap},
		{"server misses far more than is buffered", [2]int64{far, 0}, [2]int64{}, relink.ErrReplayGap},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s testSuite) {
				if !isClassic(s) {
					return // as above
				}
				r := newRig(t, s, withBoth(func(c *relink.Config) { c.ReplayLimit = limit }))
				r.client.SetCounters(base+tt.client[0], base+tt.client[1])
				r.server.SetCounters(base+tt.server[0], base+tt.server[1])
				_, _ = r.server.Write([]byte("a")) // so that neither side is idle
				before := heapNow()
				r.net.Last().Cut(faultnet.Reset)
				_, err := io.ReadFull(r.client, make([]byte, 10))
				require.Error(t, err)
				require.True(t, isLoss(err), err)
				if !isSCP(s) { // its counts are mod 2^32, so it finds a gap instead
					require.ErrorIs(t, err, tt.want)
				}
				require.Less(t, heapNow()-before, int64(4<<20))
				// The server keeps what it has until it expires: an attacker who can
				// speak for a client must not be able to end its session.
				require.NotEqual(t, relink.StateClosed, r.server.State())
				r.stop()
			})
		})
	}
}

// A client that claims to have sent 2^62 bytes which never come makes the
// server neither allocate nor wait: it has to drain the replay, but within a
// bound.
func TestClaimOfReplayThatNeverComes(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		if isSCP(s) || !isClassic(s) {
			return // the wire does not tell how much the peer will replay
		}
		const limit = 64 << 10
		s, h, _ := hooked(s)
		r := newRig(t, s, withBoth(func(c *relink.Config) { c.ReplayLimit = limit }))
		before := heapNow()
		claim := func(o suite.Offsets) suite.Offsets { return suite.Offsets{Sent: 1 << 62, Received: o.Received} }
		h.offsets.Store(&claim)
		r.client.NetworkChanged()
		r.exchange(100)
		require.EqualValues(t, 1, r.server.Stats().Resumes)
		// What comes while the application is away is taken up to the limit.
		require.NoError(t, r.client.SetWriteDeadline(time.Now().Add(time.Second)))
		n, err := r.client.Write(rigData(10 * limit))
		requireTimeout(t, err)
		require.LessOrEqual(t, r.server.Stats().Memory, int64(2*limit))
		require.Less(t, heapNow()-before, int64(4<<20))
		_, err = io.ReadFull(r.server, make([]byte, n))
		require.NoError(t, err)
		r.stop()
	})
}

// heapNow returns the bytes of living heap.
func heapNow() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
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
	cfg := setup{ReplayLimit: 64 << 20}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l, err := relink.NewListener(inner, cfg.listener(scpSuite))
	require.NoError(t, err)
	relay, err := faultnet.NewRelay(l.Addr().String())
	require.NoError(t, err)
	relay.SetBuffers(128 << 10)
	c, err := (&relink.Dialer{Suite: scpSuite, Config: cfg.shared()}).DialConn(t.Context(), "tcp", relay.Addr())
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
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s)
		for _, c := range r.ends() {
			require.Zero(t, c.Stats().Memory)
		}
		r.exchange(200 << 10)
		if isClassic(s) { // history, which nobody acknowledges
			require.Positive(t, r.client.Stats().Memory)
		}
		for _, c := range r.ends() {
			_, err := c.Write(rigData(30 << 10))
			require.NoError(t, err)
		}
		synctest.Wait()
		for _, c := range r.ends() {
			require.NoError(t, c.Abort())
		}
		synctest.Wait()
		for _, c := range r.ends() {
			require.Zero(t, c.Stats().Memory)
			require.EqualValues(t, 230<<10, c.Stats().BytesWritten)
		}
		r.stop()
	})
}
