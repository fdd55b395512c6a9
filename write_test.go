package relink_test

import (
	"bytes"
	"io"
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
