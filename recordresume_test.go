package relink_test

import (
	"context"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// An answer that is lost, and a confirmation that is lost, any number of times
// in a row and in any mixture, leave both sides able to go on.
func TestLostAnswersAndConfirmations(t *testing.T) {
	for pattern := range 1 << 6 {
		t.Run(fmt.Sprintf("%06b", pattern), func(t *testing.T) {
			inAckBubble(t, func(t *testing.T, s testSuite) {
				r := newRig(t, s)
				r.exchange(100)
				time.Sleep(time.Second)
				first := len(r.net.Paths())
				r.net.OnDial(func(i int, p *faultnet.Path) error {
					switch k := i - first; {
					case k >= 6:
					case pattern>>k&1 == 0:
						p.CutAt(faultnet.Down, lengthsOf(s).resumeAnswer-1, faultnet.Reset)
					default:
						p.CutAt(faultnet.Up, lengthsOf(s).resumeRequest+10, faultnet.Reset)
					}
					return nil
				})
				r.net.Last().Cut(faultnet.Reset)
				r.exchange(100)
				require.Len(t, r.net.Paths(), first+7)
				r.finish()
			})
		})
	}
}

// Data that rides in the client's first message is taken before anything is
// confirmed, and only once.
func TestEarlyData(t *testing.T) {
	inAckBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s)
		data := rigData(3000)
		time.Sleep(time.Second)           // the limits are known
		r.net.Last().Stall(faultnet.Down) // and no acknowledgement comes
		requireWrite(t, r.client, data[:1000])
		requireRead(t, r.server, data[:1000])
		r.suspend(faultnet.Refuse, faultnet.ResetNow)
		requireWrite(t, r.client, data[1000:2000])
		r.net.OnDial(func(_ int, p *faultnet.Path) error {
			p.Stall(faultnet.Down) // the client never sees the answer
			return nil
		})
		r.net.SetDown(faultnet.NotDown)

		requireRead(t, r.server, data[1000:2000])
		require.Equal(t, relink.StateSuspended, r.server.State())
		requireWrite(t, r.client, data[2000:])
		r.net.OnDial(nil)
		r.net.Last().Cut(faultnet.ResetNow)
		requireRead(t, r.server, data[2000:])
		time.Sleep(10 * time.Second) // the client gives up the attempt without an answer
		r.exchange(100)
		require.EqualValues(t, 1, r.server.Stats().Resumes)
		r.finish()
	})
}

// A request that somebody has recorded changes nothing: not the stream, not the
// link, not what a genuine resume needs afterwards.
func TestReplayedRequest(t *testing.T) {
	inAckBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s)
		r.net.OnDial(func(_ int, p *faultnet.Path) error { p.Record(); return nil })
		for range 3 {
			r.net.Last().Cut(faultnet.Reset)
			r.exchange(1000)
			synctest.Wait() // handshakes carry data, and may not be confirmed yet
		}
		r.net.OnDial(nil)
		for _, p := range r.net.Paths()[1:] {
			seen := p.Bytes(faultnet.Up)
			for n := 0; n < len(seen); n += 7 {
				c, err := r.net.Dial(context.Background(), "tcp", "server")
				require.NoError(t, err)
				_, _ = c.Write(seen[:n])
				synctest.Wait()
				require.NoError(t, c.Close())
			}
		}
		r.exchange(1000)
		require.EqualValues(t, 3, r.server.Stats().Resumes)
		// Cut the one that the session uses.
		r.net.Paths()[3].Cut(faultnet.Reset)
		r.exchange(1000)
		synctest.Wait()
		require.EqualValues(t, 4, r.server.Stats().Resumes)
		r.finish()
	})
}

// A request that is authentic and fresh, but not followed by a valid record,
// takes nothing over: the link that the server has stays, and so do the keys.
func TestUnprovenResumeChangesNothing(t *testing.T) {
	inAckBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s)
		r.exchange(1000)
		// The server does not notice that its link is gone, and the request of
		// the client's first attempt falls into other hands.
		r.net.Last().Cut(faultnet.BlackHole)
		r.net.OnDial(func(_ int, p *faultnet.Path) error {
			p.Record()
			p.Stall(faultnet.Up)
			return nil
		})
		r.client.NetworkChanged()
		synctest.Wait()
		r.net.OnDial(nil)
		stolen := r.net.Last()
		thief, err := r.net.Dial(context.Background(), "tcp", "server")
		require.NoError(t, err)
		_, err = thief.Write(stolen.Bytes(faultnet.Up))
		require.NoError(t, err)
		_, err = io.ReadFull(thief, make([]byte, lengthsOf(s).resumeAnswer)) // more than a refusal
		require.NoError(t, err)
		_, err = thief.Write(make([]byte, 100))
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, relink.StateConnected, r.server.State())
		require.EqualValues(t, 1, linksOf(r.server))

		// The client's own request comes too late now; its next attempt works.
		stolen.Release(faultnet.Up)
		r.exchange(1000)
		require.EqualValues(t, 2, linksOf(r.server))
		_ = thief.Close()
		r.finish()
	})
}

// The old transport still delivers while the client resumes: the server then
// acknowledges more than it had told the client, and more than the client has
// sent over the new one.
func TestOldTransportDeliversToRecords(t *testing.T) {
	const delay = 50 * time.Millisecond
	inAckBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s, withPath(faultnet.Options{Delay: delay, Buffer: 1 << 20}))
		time.Sleep(time.Second) // the limits are known
		data := rigData(200_000)
		got := make(chan []byte, 1)
		go func() {
			b := make([]byte, len(data))
			_, _ = io.ReadFull(r.server, b)
			got <- b
		}()
		old := r.net.Last()
		old.Stall(faultnet.Up)
		requireWrite(t, r.client, data)
		synctest.Wait()
		r.net.SetOptions(faultnet.Options{Delay: delay, Buffer: 1 << 10})
		r.client.NetworkChanged()
		// The new path carries 1 KiB a delay. Once the server has answered, the
		// client's first record is on its way for a while.
		for r.client.State() != relink.StateConnected {
			time.Sleep(delay)
		}
		require.EqualValues(t, 1, linksOf(r.server))
		old.Release(faultnet.Up)
		require.True(t, string(<-got) == string(data), "the stream differs")
		r.exchange(1000)
		require.EqualValues(t, 1, r.server.Stats().Resumes)
		r.finish()
	})
}

// Two full buffers are sent again at once over a transport without a buffer.
func TestFullBuffersMeetUnbuffered(t *testing.T) {
	const limit = 256 << 10
	inAckBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s, withLimit(limit), withPath(faultnet.Options{Buffer: -1}))
		r.suspend(faultnet.Refuse, faultnet.Reset)
		data := rigData(limit)
		requireWrite(t, r.client, data)
		requireWrite(t, r.server, data)
		r.net.SetDown(faultnet.NotDown)
		time.Sleep(10 * time.Second)
		// Both have arrived although nobody reads.
		require.Zero(t, r.client.Stats().BytesPending)
		require.Zero(t, r.server.Stats().BytesPending)
		requireRead(t, r.client, data)
		requireRead(t, r.server, data)
		require.EqualValues(t, 1, r.client.Stats().Resumes)
		r.finish()
	})
}
