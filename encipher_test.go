package relink_test

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// A leftRig is a session whose client has a goroutine of the library in the transport,
// which does not take more, with short Writes after it that have left their cipher to
// that goroutine.
type leftRig struct {
	*rig
	data []byte // what is written, from the beginning of the stream
	next int    // so much of it has been

	classic bool // else the suite has records, and nothing is ever left
}

func newLeftRig(t *testing.T, s testSuite) *leftRig {
	t.Helper()
	r := &leftRig{rig: newRig(t, s, withPath(faultnet.Options{Buffer: 100})), data: rigData(300 << 10)}
	r.classic = isClassic(s)
	synctest.Wait() // until nobody is sending any more for the handshake
	r.write(200)
	synctest.Wait()
	for range 5 {
		r.write(40)
	}
	require.Equal(t, r.leaves(200), relink.LeftOf(r.client))
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
	r.t.Helper()
	requireInstant(r.t, func() {
		_, err := r.client.Write(r.take(n))
		require.NoError(r.t, err)
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
	r.t.Helper()
	got := make([]byte, r.next)
	_, err := io.ReadFull(r.server, got)
	require.NoError(r.t, err)
	require.Equal(r.t, r.data[:r.next], got)
	require.Zero(r.t, relink.LeftOf(r.client))
}

func TestSenderEnciphersWhatWritesLeave(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newLeftRig(t, s)
		r.requireAll()
		r.exchange(1000)
		r.stop()
	})
}

// Behind bytes that were left a Write of any length has to leave its own.
func TestLongWriteBehindShortOnes(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newLeftRig(t, s)
		r.write(100 << 10)
		require.Equal(t, r.leaves(200+100<<10), relink.LeftOf(r.client))
		r.write(1)
		r.requireAll()
		r.stop()
	})
}

// What was left when a transport was lost is enciphered for the next one, with
// what was written between them.
func TestLeftCipherOutlivesTransport(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		for _, between := range []int{0, 1, 500, 100 << 10} {
			r := newLeftRig(t, s)
			r.net.SetDown(faultnet.Refuse)
			r.net.Last().Cut(faultnet.Reset)
			synctest.Wait()
			requireSuspended(t, r.client)
			if between > 0 {
				r.write(between)
			}
			require.Equal(t, r.leaves(int64(200+between)), relink.LeftOf(r.client))
			r.net.SetDown(faultnet.NotDown)
			r.requireAll()
			r.exchange(1000)
			r.stop()
		}
	})
}

func TestCloseWithCipherLeft(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newLeftRig(t, s)
		require.NoError(t, r.client.Close())
		r.requireAll()
		_, err := r.server.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)
		require.NoError(t, r.server.Close())
		<-r.client.Done()
		r.stop()
	})
}

func TestAbortWithCipherLeft(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newLeftRig(t, s)
		require.NoError(t, r.client.Abort())
		synctest.Wait()
		require.Zero(t, r.client.Stats().Memory)
		r.stop()
	})
}

// A peer cannot have received what was not yet fit to be sent.
func TestPeerClaimsWhatIsLeft(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newLeftRig(t, s)
		end := r.client.Stats().BytesWritten
		fit := end - relink.LeftOf(r.client)
		require.NoError(t, relink.CheckOf(r.client, fit))
		require.ErrorIs(t, relink.CheckOf(r.client, fit+1), relink.ErrCounters)
		r.requireAll()
		time.Sleep(time.Second)
		require.NoError(t, relink.CheckOf(r.client, end))
		require.ErrorIs(t, relink.CheckOf(r.client, end+1), relink.ErrCounters)
		r.stop()
	})
}
