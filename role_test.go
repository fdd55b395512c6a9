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
	inBubble(t, func(t *testing.T, s relink.Suite) {
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
	inBubble(t, func(t *testing.T, s relink.Suite) {
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
	inBubble(t, func(t *testing.T, s relink.Suite) {
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
		r := newRig(t, relink.DH64RC4())
		client, server := r.open()
		for _, c := range []*relink.Conn{client, server} {
			go func() { _, _ = io.Copy(io.Discard, c) }()
		}
		_, err := r.server.Write([]byte("x"))
		require.NoError(t, err)
		require.Equal(t, 1, relink.HoldingsOf(r.l).Watched)
		for range 20 { // suspended and resumed, again and again
			time.Sleep(50 * time.Millisecond)
			r.net.Last().Cut(faultnet.Reset)
			synctest.Wait()
		}
		require.Zero(t, relink.HoldingsOf(r.l).Watched)
		_, _ = client.Abort(), server.Abort()
		r.stop()
	})
}

// A client whose links die as soon as they live, and bring nothing forward,
// pauses between them as it does between failed attempts.
func TestUselessLinksAreNotRedialledInALoop(t *testing.T) {
	inBubble(t, func(t *testing.T, s relink.Suite) {
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
