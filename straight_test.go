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
	inBubble(t, func(t *testing.T, s relink.Suite) {
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
	inBubble(t, func(t *testing.T, s relink.Suite) {
		r := newRig(t, s)
		r.exchange(10)
		release := relink.HoldEncrypt(r.client)
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

// No Write is taken once Close was called, while what went before it is still
// being delivered, and once CloseWrite was.
func TestShortWriteAfterClose(t *testing.T) {
	inBubble(t, func(t *testing.T, s relink.Suite) {
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

// A write deadline that is set while a Write seals its records interrupts it
// when the transport does not take them.
func TestDeadlineWhileSealing(t *testing.T) {
	inBubble(t, func(t *testing.T, s relink.Suite) {
		if relink.IsClassic(s) {
			return // which has no records
		}
		r := newRig(t, s, withPath(faultnet.Options{Buffer: 1000}))
		r.net.Last().Stall(faultnet.Up)
		release := relink.HoldSeal(r.client)
		write := background(func() (int, error) { return r.client.Write(rigData(10_000)) })
		stillBlocked(t, write)
		until := time.Now().Add(time.Second)
		require.NoError(t, r.client.SetWriteDeadline(until))
		release()
		o := <-write
		require.NoError(t, o.err) // all of it is in the buffer
		require.Equal(t, 10_000, o.n)
		require.Equal(t, until, o.at)
		r.net.Last().Release(faultnet.Up)
		got := make([]byte, 10_000)
		_, err := io.ReadFull(r.server, got)
		require.NoError(t, err)
		require.Equal(t, rigData(10_000), got)
		r.stop()
	})
}
