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

// A request and its answer, in sizes on both sides of every bound of the
// straight way, over transports that take and bring less than they are given.
func TestRequestsAndAnswers(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		for _, o := range []faultnet.Options{{}, {ShortWrites: true}, {Segment: 7}, {Buffer: -1}, {Opaque: true}} {
			r := newRig(t, s, withPath(o))
			go func() { _, _ = io.Copy(r.server, r.server) }()
			data := rigData(10 << 10)
			for n := 1; n <= 6<<10; n += 1 + n/5 {
				request, answer := data[n/3:n/3+n], make([]byte, n)
				write := background(func() (int, error) { return r.client.Write(request) })
				_, err := io.ReadFull(r.client, answer)
				require.NoError(t, err)
				require.NoError(t, (<-write).err)
				require.Equal(t, request, answer)
			}
			r.stop()
			time.Sleep(time.Second) // for what an Abort still says to a transport that holds nothing
		}
	})
}

// A short Write waits for a long one that is being enciphered, with nobody
// sending meanwhile.
func TestShortWriteBehindLongOne(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		s, h, _ := hooked(s)
		r := newRig(t, s)
		r.exchange(10)
		release := h.holdEncrypt()
		data := rigData(10_010)
		long := background(func() (int, error) { return r.client.Write(data[:10_000]) })
		stillBlocked(t, long)
		_, err := r.server.Write([]byte("y")) // the Read of it begins a new request
		require.NoError(t, err)
		_, err = r.client.Read(make([]byte, 1))
		require.NoError(t, err)
		short := background(func() (int, error) { return r.client.Write(data[10_000:]) })
		stillBlocked(t, short)
		release()
		require.NoError(t, (<-long).err)
		require.NoError(t, (<-short).err)
		got := make([]byte, len(data))
		_, err = io.ReadFull(r.server, got)
		require.NoError(t, err)
		require.Equal(t, data, got)
		r.stop()
	})
}

// A short Write waits for a long one that is being enciphered, beside a third
// that is being sent.
func TestShortWriteBehindLongOneBesideSender(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		s, h, _ := hooked(s)
		r := newRig(t, s, withPath(faultnet.Options{Buffer: 100}))
		r.net.Last().Stall(faultnet.Up)
		synctest.Wait() // until nobody is sending any more for the handshake
		data := rigData(10_500)
		requireWrite(t, r.client, data[:400])
		synctest.Wait() // the library's goroutine is in the transport
		release := h.holdEncrypt()
		long := background(func() (int, error) { return r.client.Write(data[400:10_400]) })
		stillBlocked(t, long)
		short := background(func() (int, error) { return r.client.Write(data[10_400:]) })
		stillBlocked(t, short)
		release()
		require.NoError(t, (<-long).err)
		require.NoError(t, (<-short).err)
		r.net.Last().Release(faultnet.Up)
		got := make([]byte, len(data))
		_, err := io.ReadFull(r.server, got)
		require.NoError(t, err)
		require.Equal(t, data, got)
		r.stop()
	})
}

// A short Write waits for a long one that there is room for again and that has
// not taken it yet, with nobody sending meanwhile.
func TestShortWriteBehindOneThatWaitedForRoom(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s)
		r.exchange(10) // the ordinary case but for this
		release := relink.HoldWriting(r.client)
		short := background(func() (int, error) { return r.client.Write([]byte("x")) })
		stillBlocked(t, short)
		release()
		require.NoError(t, (<-short).err)
		_, err := io.ReadFull(r.server, make([]byte, 1))
		require.NoError(t, err)
		r.stop()
	})
}

// Short Writes that find nobody sending go out at once, until the peer has no room
// for them. The rest waits for it.
func TestShortWritesUpToThePeersLimit(t *testing.T) {
	const limit, size = relink.MinReplayLimit + 130, 100 // more than a chunk, so that a chunk's end is not in the way
	inAckBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s, withServer(func(c *relink.ListenConfig) { c.ReplayLimit = limit }))
		r.exchange(10) // the ordinary case until there is no room
		data := rigData(20 * size)
		for at := 0; at < len(data); at += size {
			requireWrite(t, r.server, []byte("x"))
			requireRead(t, r.client, []byte("x")) // so that the Write is not one of a row
			requireWrite(t, r.client, data[at:at+size])
			synctest.Wait()
		}
		require.Equal(t, int64(10+limit), relink.TakenAlong(r.client))
		requireRead(t, r.server, data)
		r.exchange(1000)
		r.finish()
	})
}

// Short Writes beside one that is being sent go on until there is no room, and
// then wait for it, their deadline or the end.
func TestShortWritesBesideSenderUntilFull(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s, withPath(faultnet.Options{Buffer: 100}), withBoth(func(c *relink.Config) { c.ReplayLimit = 64 << 10 }))
		r.net.Last().Stall(faultnet.Up)
		synctest.Wait() // until nobody is sending any more for the handshake
		data := rigData(100 << 10)
		requireWrite(t, r.client, data[:400])
		synctest.Wait() // the library's goroutine is in the transport
		next := 400
		var last <-chan outcome
		for size := 1; last == nil; size = (size+37)%1000 + 1 { // all of them short
			p := data[next : next+size]
			w := background(func() (int, error) { return r.client.Write(p) })
			synctest.Wait()
			select {
			case o := <-w:
				require.NoError(t, o.err)
				require.Equal(t, size, o.n)
				next += size
			default:
				last = w
			}
		}
		until := time.Now().Add(time.Second)
		require.NoError(t, r.client.SetWriteDeadline(until))
		o := <-last
		require.ErrorIs(t, o.err, errDeadline)
		require.Equal(t, until, o.at)
		next += o.n // a part of it
		_, err := r.client.Write(data[next : next+1])
		require.ErrorIs(t, err, errDeadline)
		require.NoError(t, r.client.SetWriteDeadline(time.Time{}))
		r.net.Last().Release(faultnet.Up)

		got := make([]byte, next)
		_, err = io.ReadFull(r.server, got)
		require.NoError(t, err)
		require.Equal(t, data[:next], got)
		r.stop()
	})
}

// Nor is one taken beside a Write that is still being sent.
func TestShortWriteBesideSenderAfterClose(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newLeftRig(t, s)
		end := r.client.CloseWrite
		if isClassic(s) { // which have no end of one direction
			end = r.client.Close
		}
		require.NoError(t, end())
		_, err := r.client.Write([]byte("x"))
		require.ErrorIs(t, err, errClosed)
		r.requireAll()
		r.stop()
	})
}

// No Write is taken once Close was called, while what went before it is still
// being delivered, and once CloseWrite was.
func TestShortWriteAfterClose(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s)
		r.exchange(10) // the ordinary case until now
		if err := r.client.CloseWrite(); err == nil {
			_, err = r.client.Write([]byte("x"))
			require.ErrorIs(t, err, errClosed)
		}
		for _, c := range r.ends() {
			require.NoError(t, c.Close())
			for range 2 {
				_, err := c.Write([]byte("x"))
				require.ErrorIs(t, err, errClosed)
				_, err = c.Read(make([]byte, 1))
				require.ErrorIs(t, err, errClosed)
				synctest.Wait() // nobody is sending any more, and a classic link is still there
			}
		}
		r.stop()
	})
}
