package relink_test

import (
	"bytes"
	"io"
	"math"
	"net"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/conntest"
	"github.com/relink-go/relink/internal/faultnet"
)

// A leftRig is a session whose client has a goroutine of the library in the transport,
// which does not take more, with short Writes after it that have left their cipher to
// that goroutine.
type leftRig struct {
	*conntest.Rig
	data []byte // what is written, from the beginning of the stream
	next int    // so much of it has been

	classic bool // else the suite has records, and nothing is ever left
}

func newLeftRig(t *testing.T, s conntest.Suite) *leftRig {
	t.Helper()
	r := &leftRig{Rig: conntest.New(t, s, conntest.WithPath(faultnet.Options{Buffer: 100})), data: conntest.Data(300 << 10)}
	r.classic = conntest.IsClassic(s)
	synctest.Wait() // until nobody is sending any more for the handshake
	r.write(200)
	synctest.Wait()
	for range 5 {
		r.write(40)
	}
	require.Equal(t, r.leaves(200), relink.LeftOf(r.Client.Conn))
	return r
}

// take returns the next n bytes of the stream.
func (r *leftRig) take(n int) []byte {
	p := r.data[r.next : r.next+n]
	r.next += n
	return p
}

// write writes the next n bytes, which waits for nothing.
func (r *leftRig) write(n int) {
	r.T.Helper()
	conntest.RequireInstant(r.T, func() {
		_, err := r.Client.Write(r.take(n))
		require.NoError(r.T, err)
	})
}

// leaves is what of n bytes is left to the sender on the rig's suite.
func (r *leftRig) leaves(n int64) int64 {
	if r.classic {
		return n
	}
	return 0
}

// requireAll reads all that was written, and nothing else, and sees nothing left
// to be enciphered.
func (r *leftRig) requireAll() {
	r.T.Helper()
	got := make([]byte, r.next)
	_, err := io.ReadFull(r.Server, got)
	require.NoError(r.T, err)
	require.Equal(r.T, r.data[:r.next], got)
	require.Zero(r.T, relink.LeftOf(r.Client.Conn))
}

func TestSenderEnciphersWhatWritesLeave(t *testing.T) {
	conntest.InBubble(t, func(t *testing.T, s conntest.Suite) {
		r := newLeftRig(t, s)
		r.requireAll()
		r.Exchange(1000)
		r.Stop()
	})
}

// Behind bytes that were left a Write of any length has to leave its own.
func TestLongWriteBehindShortOnes(t *testing.T) {
	conntest.InBubble(t, func(t *testing.T, s conntest.Suite) {
		r := newLeftRig(t, s)
		r.write(100 << 10)
		require.Equal(t, r.leaves(200+100<<10), relink.LeftOf(r.Client.Conn))
		r.write(1)
		r.requireAll()
		r.Stop()
	})
}

// What was left when a transport was lost is enciphered for the next one, with
// what was written between them.
func TestLeftCipherOutlivesTransport(t *testing.T) {
	conntest.InBubble(t, func(t *testing.T, s conntest.Suite) {
		for _, between := range []int{0, 1, 500, 100 << 10} {
			r := newLeftRig(t, s)
			r.Net.SetDown(faultnet.Refuse)
			r.Net.Last().Cut(faultnet.Reset)
			synctest.Wait()
			conntest.RequireSuspended(t, r.Client.Conn)
			if between > 0 {
				r.write(between)
			}
			require.Equal(t, r.leaves(int64(200+between)), relink.LeftOf(r.Client.Conn))
			r.Net.SetDown(faultnet.NotDown)
			r.requireAll()
			r.Exchange(1000)
			r.Stop()
		}
	})
}

func TestCloseWithCipherLeft(t *testing.T) {
	conntest.InBubble(t, func(t *testing.T, s conntest.Suite) {
		r := newLeftRig(t, s)
		require.NoError(t, r.Client.Close())
		r.requireAll()
		_, err := r.Server.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)
		require.NoError(t, r.Server.Close())
		<-r.Client.Done()
		r.Stop()
	})
}

func TestAbortWithCipherLeft(t *testing.T) {
	conntest.InBubble(t, func(t *testing.T, s conntest.Suite) {
		r := newLeftRig(t, s)
		require.NoError(t, r.Client.Abort())
		synctest.Wait()
		require.Zero(t, r.Client.Stats().Memory)
		r.Stop()
	})
}

// A peer cannot have received what was not yet fit to be sent.
func TestPeerClaimsWhatIsLeft(t *testing.T) {
	conntest.InBubble(t, func(t *testing.T, s conntest.Suite) {
		r := newLeftRig(t, s)
		end := r.Client.Stats().BytesWritten
		fit := end - relink.LeftOf(r.Client.Conn)
		require.NoError(t, relink.CheckOf(r.Client.Conn, fit))
		require.ErrorIs(t, relink.CheckOf(r.Client.Conn, fit+1), relink.ErrCounters)
		r.requireAll()
		time.Sleep(time.Second)
		require.NoError(t, relink.CheckOf(r.Client.Conn, end))
		require.ErrorIs(t, relink.CheckOf(r.Client.Conn, end+1), relink.ErrCounters)
		r.Stop()
	})
}

// A Read that has called for an acknowledgement lets it out before it returns, also
// where nobody else has a processor to send it with.
func TestReadLetsItsAcknowledgementOut(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const reads, every = 12, 256 << 10 // well within the window
	conntest.InAckBubble(t, func(t *testing.T, s conntest.Suite) {
		r := conntest.New(t, s, conntest.WithPath(faultnet.Options{Buffer: 2 * reads * every}))
		conntest.RequireWrite(t, r.Client, conntest.Data(reads*every))
		synctest.Wait()
		late := 0
		for range reads {
			_, err := io.ReadFull(r.Server, make([]byte, every))
			require.NoError(t, err)
			if relink.AckWaits(r.Server.Conn) {
				late++
			}
		}
		// The scheduler takes some other goroutine now and then, one time in 61.
		require.Less(t, late, reads/2)
		r.Finish()
	})
}

// A long Write on a wire without records hands all of its bytes over itself, as long as
// the transport takes them, and where it does not the rest is sent by the library.
func TestLongWriteSendsItself(t *testing.T) {
	conntest.InBubble(t, func(t *testing.T, s conntest.Suite) {
		if conntest.TraitsOf(s).Acks {
			return // it has a goroutine seal while it goes on
		}
		for _, size := range []int{2000, 20_000, 64 << 10, 100_000, 1 << 20} {
			r := conntest.New(t, s, conntest.WithPath(faultnet.Options{Buffer: 2 << 20}))
			r.Exchange(10)
			synctest.Wait()
			release := relink.HoldFlusher(r.Client.Conn)
			data := conntest.Data(size)
			conntest.RequireWrite(t, r.Client, data)
			require.EqualValues(t, 10+size, relink.TakenAlong(r.Client.Conn), "of %d bytes", size)
			conntest.RequireRead(t, r.Server, data)

			r.Net.Last().Stall(faultnet.Up)
			sent := 0
			for r.Client.Room() >= size { // until the transport is full, and a flusher called for
				conntest.RequireWrite(t, r.Client, data)
				sent++
			}
			release()
			r.Net.Last().Release(faultnet.Up)
			conntest.RequireRead(t, r.Server, bytes.Repeat(data, sent))
			r.Exchange(100)
			r.Stop()
		}
	})
}

// A short Write waits for a long one that there is room for again and that has
// not taken it yet, with nobody sending meanwhile.
func TestShortWriteBehindOneThatWaitedForRoom(t *testing.T) {
	conntest.InBubble(t, func(t *testing.T, s conntest.Suite) {
		r := conntest.New(t, s)
		r.Exchange(10) // the ordinary case but for this
		release := relink.HoldWriting(r.Client.Conn)
		short := conntest.Background(func() (int, error) { return r.Client.Write([]byte("x")) })
		conntest.StillBlocked(t, short)
		release()
		require.NoError(t, (<-short).Err)
		_, err := io.ReadFull(r.Server, make([]byte, 1))
		require.NoError(t, err)
		r.Stop()
	})
}

// Short Writes that find nobody sending go out at once, until the peer has no room
// for them. The rest waits for it.
func TestShortWritesUpToThePeersLimit(t *testing.T) {
	const limit, size = relink.MinReplayLimit + 130, 100 // more than a chunk, so that a chunk's end is not in the way
	conntest.InAckBubble(t, func(t *testing.T, s conntest.Suite) {
		r := conntest.New(t, s, conntest.WithServer(func(c *relink.ListenConfig) { c.ReplayLimit = limit }))
		r.Exchange(10) // the ordinary case until there is no room
		data := conntest.Data(20 * size)
		for at := 0; at < len(data); at += size {
			conntest.RequireWrite(t, r.Server, []byte("x"))
			conntest.RequireRead(t, r.Client, []byte("x")) // so that the Write is not one of a row
			conntest.RequireWrite(t, r.Client, data[at:at+size])
			synctest.Wait()
		}
		require.Equal(t, int64(10+limit), relink.TakenAlong(r.Client.Conn))
		conntest.RequireRead(t, r.Server, data)
		r.Exchange(1000)
		r.Finish()
	})
}

// Nor is one taken beside a Write that is still being sent.
func TestShortWriteBesideSenderAfterClose(t *testing.T) {
	conntest.InBubble(t, func(t *testing.T, s conntest.Suite) {
		r := newLeftRig(t, s)
		end := r.Client.CloseWrite
		if conntest.IsClassic(s) { // which have no end of one direction
			end = r.Client.Close
		}
		require.NoError(t, end())
		_, err := r.Client.Write([]byte("x"))
		require.ErrorIs(t, err, net.ErrClosed)
		r.requireAll()
		r.Stop()
	})
}

// Beside a Write that is under way there is no room.
func TestTryWriteBesideWrite(t *testing.T) {
	conntest.InBubble(t, func(t *testing.T, s conntest.Suite) {
		r := conntest.New(t, s)
		release := relink.HoldWriting(r.Client.Conn)
		require.Zero(t, r.Client.Room())
		require.False(t, conntest.RequireTryWrite(t, r.Client.Conn, []byte("x")))
		release()
		require.True(t, conntest.RequireTryWrite(t, r.Client.Conn, []byte("x")))
		conntest.RequireRead(t, r.Server, []byte("x"))
		r.Stop()
	})
}

// counters are offsets around which integers of some size wrap.
var counters = []int64{
	1<<31 - 1500, 1<<32 - 1500, 1<<32 + 1<<31 - 1500, 5<<32 - 700, 1<<53 - 900, 1<<62 - 1000, math.MaxInt64 - 100_000,
}

// Resumes work when the counts of bytes cross 2^31, 2^32 (which is where the
// counts of SCP wrap), and far beyond.
func TestCountersNearPowersOfTwo(t *testing.T) {
	conntest.InBubble(t, func(t *testing.T, s conntest.Suite) {
		if !conntest.IsClassic(s) {
			return // the offsets of records are in the records, not only in the counts
		}
		for _, up := range counters {
			for _, down := range []int64{up, 17, 1<<32 - 1} {
				r := conntest.New(t, s, conntest.WithBoth(func(c *relink.Config) { c.ReplayLimit = 64 << 10 }))
				r.Client.SetCounters(up, down)
				r.Server.SetCounters(down, up)
				for i := range 8 {
					r.Exchange(700)
					// Cut with data under way in both directions.
					r.Net.Last().CutAt(faultnet.Up, r.Net.Last().Sent(faultnet.Up)+int64(100*i), faultnet.Reset)
					r.Exchange(900)
				}
				require.EqualValues(t, 8, r.Server.Stats().Resumes)
				r.Stop()
			}
		}
	})
}

// A stream ends at offset 2^63-1 with a typed error, not with a panic, a wrap
// or a wait for room that can never be.
func TestEndOfCounters(t *testing.T) {
	conntest.InBubble(t, func(t *testing.T, s conntest.Suite) {
		if !conntest.IsClassic(s) {
			return // as above
		}
		const left = 1000
		r := conntest.New(t, s)
		r.Client.SetCounters(math.MaxInt64-left, 0)
		r.Server.SetCounters(0, math.MaxInt64-left)
		data := conntest.Data(left + 10)
		n, err := r.Client.Write(data)
		require.Equal(t, left, n)
		require.ErrorIs(t, err, relink.ErrCounters)
		got := make([]byte, left)
		_, err = io.ReadFull(r.Server, got)
		require.NoError(t, err)
		require.Equal(t, data[:left], got)
		// The other direction is not concerned, nor is a resume.
		r.Net.Last().Cut(faultnet.Reset)
		_, err = r.Server.Write([]byte("x"))
		require.NoError(t, err)
		_, err = io.ReadFull(r.Client, got[:1])
		require.NoError(t, err)
		n, err = r.Client.Write(data)
		require.Zero(t, n)
		require.ErrorIs(t, err, relink.ErrCounters)
		r.Stop()
	})
}

// A peer whose stream passes 2^63-1 ends the session.
func TestPeerPassesEndOfCounters(t *testing.T) {
	conntest.InBubble(t, func(t *testing.T, s conntest.Suite) {
		if !conntest.IsClassic(s) {
			return // as above
		}
		for _, away := range []bool{false, true} {
			r := conntest.New(t, s)
			r.Client.SetCounters(0, math.MaxInt64-5)
			_, err := r.Server.Write(conntest.Data(100))
			require.NoError(t, err)
			if away { // a standby finds it
				time.Sleep(time.Second)
				synctest.Wait()
				require.Equal(t, relink.StateClosed, r.Client.State())
			}
			_, err = r.Client.Read(make([]byte, 100))
			require.ErrorIs(t, err, relink.ErrCounters)
			require.Equal(t, relink.StateClosed, r.Client.State())
			r.Stop()
		}
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
			conntest.InBubble(t, func(t *testing.T, s conntest.Suite) {
				if !conntest.IsClassic(s) {
					return // as above
				}
				r := conntest.New(t, s, conntest.WithBoth(func(c *relink.Config) { c.ReplayLimit = limit }))
				r.Client.SetCounters(base+tt.client[0], base+tt.client[1])
				r.Server.SetCounters(base+tt.server[0], base+tt.server[1])
				_, _ = r.Server.Write([]byte("a")) // so that neither side is idle
				before := conntest.HeapNow()
				r.Net.Last().Cut(faultnet.Reset)
				_, err := io.ReadFull(r.Client, make([]byte, 10))
				require.Error(t, err)
				require.True(t, conntest.IsLoss(err), err)
				if !conntest.IsSCP(s) { // its counts are mod 2^32, so it finds a gap instead
					require.ErrorIs(t, err, tt.want)
				}
				require.Less(t, conntest.HeapNow()-before, int64(4<<20))
				// The server keeps what it has until it expires: an attacker who can
				// speak for a client must not be able to end its session.
				require.NotEqual(t, relink.StateClosed, r.Server.State())
				r.Stop()
			})
		})
	}
}

// A session that keeps what its state does not bear out says so. With the tag relinkdebug it
// looks at itself whenever its lock is given up.
func TestContradictionsAreSeen(t *testing.T) {
	conntest.InBubble(t, func(t *testing.T, s conntest.Suite) {
		r := conntest.New(t, s)
		r.Open()
		synctest.Wait()
		require.Equal(t, []string{
			"", "not everything is ordinary for a Write", "not everything is ordinary for a Read", "ticks are wanted, and there are none",
		}, relink.Contradictions(r.Client.Conn))
		r.Stop()
	})
}
