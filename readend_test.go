package relink_test

import (
	"context"
	"io"
	"net"
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

// resettable makes a transport in memory one that can be reset, as TCP's can.
type resettable struct {
	net.Conn
	path   *faultnet.Path
	linger int // by one goroutine at a time; 0 makes Close a reset
}

func (c *resettable) Interruptible() bool { return true }

func (c *resettable) CloseWrite() error {
	return c.Conn.(interface{ CloseWrite() error }).CloseWrite()
}

func (c *resettable) SetLinger(seconds int) error {
	c.linger = seconds
	return nil
}

func (c *resettable) Close() error {
	if c.linger == 0 {
		c.path.Cut(faultnet.Reset)
	}
	return c.Conn.Close()
}

// A client that gives a resume up which the server has taken for done leaves no
// clean end behind, which an application would take for that of the stream. In
// SCP the request is the proof.
func TestAbandonedResumeIsNoCleanEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 4 << 10
		r := newRig(t, relink.SCP(), withBoth(func(c *relink.Config) { c.ReplayLimit = limit }), func(r *rig, _ *relink.Config) {
			r.dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := r.net.Dial(ctx, network, address)
				if err != nil {
					return nil, err
				}
				return &resettable{c, r.net.Last(), -1}, nil
			}
		})
		r.exchange(100)
		r.net.Last().Stall(faultnet.Up)
		requireWrite(t, r.client, rigData(5*limit))
		r.net.Last().Cut(faultnet.ResetNow)
		_, err := r.client.Read(make([]byte, 1))
		require.ErrorIs(t, err, relink.ErrReplayGap)
		_, err = r.server.Read(make([]byte, 1))
		require.ErrorIs(t, err, relink.ErrExpired)
		r.stop()
	})
}

// Close over a transport whose direction cannot be ended by itself leaves what is
// under way to that transport, and does not take the session over to ask.
func TestCloseOverOpaqueTransport(t *testing.T) {
	inBubble(t, func(t *testing.T, s relink.Suite) {
		r := newRig(t, s, withPath(faultnet.Options{Opaque: true}), withBoth(func(c *relink.Config) { c.ReplayLimit = 64 << 10 }))
		r.exchange(100)
		data := rigData(40 << 10)
		requireWrite(t, r.client, data)
		require.NoError(t, r.client.Close())
		synctest.Wait()
		got := make([]byte, len(data))
		_, err := io.ReadFull(r.server, got)
		require.NoError(t, err)
		require.Equal(t, data, got)
		<-r.client.Done()
		require.NoError(t, r.clientEvents.all(relink.EventClosed)[0].Err)
		require.Equal(t, 1, r.net.Dials())
		r.stop()
	})
}
