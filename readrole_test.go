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

// The last Read ends after Close, while it decrypts: somebody must go on reading
// for as long as the session lingers, or the transport is closed over what the
// peer still sends, which destroys what is under way to it.
func TestCloseWhileReadDecrypts(t *testing.T) {
	inBubble(t, func(t *testing.T, s relink.Suite) {
		if !relink.IsClassic(s) {
			return // its records are opened elsewhere
		}
		r := newRig(t, s, withPath(faultnet.Options{Buffer: 16 << 10}))
		r.exchange(100)
		requireWrite(t, r.client, rigData(4<<10))
		synctest.Wait() // it goes out in two pieces, and one Read is to have them
		release := relink.HoldDecrypt(r.server)
		read := background(func() (int, error) { return r.server.Read(make([]byte, 8<<10)) })
		stillBlocked(t, read)
		r.net.Last().Stall(faultnet.Down) // so that the client does not hear of the end
		require.NoError(t, r.server.Close())
		synctest.Wait()
		release()
		require.Positive(t, (<-read).n)
		start := time.Now()
		requireWrite(t, r.client, rigData(500<<10))
		require.Less(t, time.Since(start), time.Second)
		r.stop()
	})
}

// A Read ends with data of a link that was replaced meanwhile by one whose Reads
// cannot be interrupted: a standby reads that.
func TestOpaqueLinkWhileReadDecrypts(t *testing.T) {
	inBubble(t, func(t *testing.T, s relink.Suite) {
		if !relink.IsClassic(s) {
			return
		}
		r := newRig(t, s)
		r.exchange(100)
		r.net.SetOptions(faultnet.Options{Opaque: true})
		requireWrite(t, r.client, []byte("x"))
		_, err := io.ReadFull(r.server, make([]byte, 1))
		require.NoError(t, err)
		data := rigData(4<<10 + 100)
		release := relink.HoldDecrypt(r.client)
		requireWrite(t, r.server, data[:4<<10])
		synctest.Wait()
		got := make([]byte, len(data))
		read := background(func() (int, error) { return r.client.Read(got) })
		stillBlocked(t, read)
		r.client.NetworkChanged()
		synctest.Wait()
		require.Equal(t, relink.StateConnected, r.client.State())
		release()
		o := <-read
		require.NoError(t, o.err)
		requireWrite(t, r.server, data[4<<10:])
		rest := background(func() (int, error) { return io.ReadFull(r.client, got[o.n:]) })
		synctest.Wait()
		select {
		case o := <-rest:
			require.NoError(t, o.err)
		default:
			require.Fail(t, "nobody reads the new transport")
		}
		require.Equal(t, data, got)
		r.stop()
	})
}
