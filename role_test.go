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

// A Read that waits for a library's goroutine to read for it goes on over the
// next transport.
func TestReadOfOpaqueTransportResumes(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s, withPath(faultnet.Options{Opaque: true}))
		read := background(func() (int, error) { return io.ReadFull(r.client, make([]byte, 3)) })
		stillBlocked(t, read)
		r.net.Last().Cut(faultnet.Reset)
		time.Sleep(time.Second)
		_, err := r.server.Write([]byte("abc"))
		require.NoError(t, err)
		require.NoError(t, (<-read).err)
		r.stop()
	})
}

// A Read takes the receiver role from the standby; if its deadline passes just
// then, the standby comes back, so that a lost link is noticed.
func TestStandbyReturnsAfterReadTimedOut(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s)
		for range 20 { // the moment is not always met
			time.Sleep(time.Second) // brings the standby
			require.NoError(t, r.client.SetReadDeadline(time.Now().Add(time.Hour)))
			go func() { _, _ = r.client.Read(make([]byte, 1)) }()
			go func() { _ = r.client.SetReadDeadline(time.Now()) }()
			time.Sleep(time.Second)
			dials := r.net.Dials()
			r.net.Last().Cut(faultnet.Reset)
			time.Sleep(time.Second)
			require.Greater(t, r.net.Dials(), dials, "nobody has noticed the loss")
		}
		r.stop()
	})
}

// A Write that waits for acknowledgements has them read when the application's
// only Read leaves.
func TestWriteGoesOnAfterReadLeft(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		const size = 1 << 20
		r := newRig(t, s, withBoth(func(c *relink.Config) { c.ReplayLimit = 64 << 10 }))
		read := background(func() (int, error) { return r.client.Read(make([]byte, 1)) })
		stillBlocked(t, read)
		write := background(func() (int, error) { return r.client.Write(make([]byte, size)) })
		stillBlocked(t, write)
		_, err := r.server.Write([]byte("x"))
		require.NoError(t, err)
		require.NoError(t, (<-read).err)
		start := time.Now()
		_, err = io.ReadFull(r.server, make([]byte, size))
		require.NoError(t, err)
		require.NoError(t, (<-write).err)
		require.Less(t, time.Since(start), time.Second)
		r.stop()
	})
}

// A session that waits for its tick gets it although others keep waking the
// sweeper.
func TestTicksAreNotPutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, dh64rc4Suite)
		client, server := r.open()
		for _, c := range []*relink.Conn{client, server} {
			go func() { _, _ = io.Copy(io.Discard, c) }()
		}
		time.Sleep(time.Second) // before Accept it was looked after
		_, err := r.server.Write([]byte("x"))
		require.NoError(t, err)
		require.Equal(t, 1, relink.WatchedBy(r.l))
		for range 20 { // suspended and resumed, again and again
			time.Sleep(50 * time.Millisecond)
			r.net.Last().Cut(faultnet.Reset)
			synctest.Wait()
		}
		require.Zero(t, relink.WatchedBy(r.l))
		_, _ = client.Abort(), server.Abort()
		r.stop()
	})
}

// A client whose links die as soon as they live, and bring nothing forward,
// pauses between them as it does between failed attempts.
func TestUselessLinksAreNotRedialledInALoop(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s, withPath(faultnet.Options{Delay: time.Millisecond}))
		r.net.OnDial(func(_ int, p *faultnet.Path) error {
			time.AfterFunc(10*time.Millisecond, func() { p.Cut(faultnet.Reset) })
			return nil
		})
		before := r.net.Dials()
		r.client.NetworkChanged()
		require.NoError(t, r.client.SetReadDeadline(time.Now().Add(30*time.Second)))
		_, err := r.client.Read(make([]byte, 1))
		requireTimeout(t, err)
		require.Less(t, r.net.Dials()-before, 200)
		require.Positive(t, r.client.Stats().Resumes)
		r.net.OnDial(nil)
		require.NoError(t, r.client.SetReadDeadline(time.Time{}))
		time.Sleep(10 * time.Second)
		r.exchange(100)
		r.stop()
	})
}

// The last Read ends after Close, while it decrypts: somebody must go on reading
// for as long as the session lingers, or the transport is closed over what the
// peer still sends, which destroys what is under way to it.
func TestCloseWhileReadDecrypts(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		if !isClassic(s) {
			return // its records are opened elsewhere
		}
		s, _, h := hooked(s)
		r := newRig(t, s, withPath(faultnet.Options{Buffer: 16 << 10}))
		r.exchange(100)
		requireWrite(t, r.client, rigData(4<<10))
		synctest.Wait() // it goes out in two pieces, and one Read is to have them
		release := h.holdDecrypt()
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
	inBubble(t, func(t *testing.T, s testSuite) {
		if !isClassic(s) {
			return
		}
		s, h, _ := hooked(s)
		r := newRig(t, s)
		r.exchange(100)
		r.net.SetOptions(faultnet.Options{Opaque: true})
		requireWrite(t, r.client, []byte("x"))
		_, err := io.ReadFull(r.server, make([]byte, 1))
		require.NoError(t, err)
		data := rigData(4<<10 + 100)
		release := h.holdDecrypt()
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
