package relink_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// Where all processors are busy, goroutines begin late, and what arrives is noticed
// late. A stream goes on nevertheless.

// inStreamBubble runs a test for every suite whose wire carries the stream alone.
func inStreamBubble(t *testing.T, f func(t *testing.T, s relink.Suite)) {
	inBubble(t, func(t *testing.T, s relink.Suite) {
		if !relink.TraitsOf(s).Acks {
			f(t, s)
		}
	})
}

const (
	busyData = 1 << 20
	busyCall = 52 << 10 // for so much that waits a Write does not wait for a flusher
)

// What Writes append goes out although the flusher that was called for does not
// begin, but for the last, which is less than a call of the transport is worth. It
// goes out when the flusher begins.
func TestWriteSendsForAFlusherThatHasNotBegun(t *testing.T) {
	inStreamBubble(t, func(t *testing.T, s relink.Suite) {
		for _, size := range []int{4 << 10, 16 << 10, 64 << 10, busyData} {
			r := newRig(t, s, withPath(faultnet.Options{Buffer: 2 * busyData}))
			synctest.Wait()
			release := relink.HoldFlusher(r.client)
			data := rigData(busyData)
			write := background(func() (int, error) {
				for at := 0; at < len(data); at += size {
					if _, err := r.client.Write(data[at : at+size]); err != nil {
						return at, err
					}
				}
				return len(data), nil
			})
			most := busyCall - 1 + 16<<10 // what is enciphered at once
			requireRead(t, r.server, data[:busyData-most])
			require.NoError(t, (<-write).err)
			require.Equal(t, int64(busyData), r.client.Stats().BytesWritten)
			release()
			requireRead(t, r.server, data[busyData-most:])
			r.exchange(100_000)
			r.stop()
		}
	})
}

// A Write that sends for the flusher is a sender as any other: a deadline interrupts
// it, Close ends it, a cut does not lose anything.
func TestEndOfAWriteThatSendsForTheFlusher(t *testing.T) {
	inStreamBubble(t, func(t *testing.T, s relink.Suite) {
		for what, f := range map[string]func(r *rig) (wrote bool){
			"deadline": func(r *rig) bool {
				require.NoError(r.t, r.client.SetWriteDeadline(time.Now().Add(time.Second)))
				return false
			},
			"close": func(r *rig) bool { require.NoError(r.t, r.client.Close()); return false },
			"abort": func(r *rig) bool { _ = r.client.Abort(); return false },
			"cut":   func(r *rig) bool { r.net.Last().Cut(faultnet.Reset); return true },
		} {
			r := newRig(t, s, withPath(faultnet.Options{Buffer: 100 << 10}))
			synctest.Wait()
			release := relink.HoldFlusher(r.client)
			data := rigData(busyData)
			write := background(func() (int, error) { return r.client.Write(data) })
			synctest.Wait() // the transport is full
			require.Less(t, relink.TakenAlong(r.client), int64(200<<10), what)
			wrote := f(r)
			time.Sleep(2 * time.Second)
			release()
			if wrote {
				requireRead(t, r.server, data)
				require.NoError(t, (<-write).err, what)
				r.exchange(1000)
			} else {
				done := <-write
				require.Error(t, done.err, what)
				require.Less(t, done.n, busyData, what)
				if what != "abort" {
					requireRead(t, r.server, data[:done.n]) // what was taken counts as written
				}
				if what == "deadline" {
					require.NoError(t, r.client.SetWriteDeadline(time.Time{}))
					r.exchange(1000)
				}
			}
			r.stop()
		}
	})
}

// A flusher that begins while the Write sends has nothing to do, and one that is
// called for afterwards begins again.
func TestFlusherThatBeginsLate(t *testing.T) {
	inStreamBubble(t, func(t *testing.T, s relink.Suite) {
		r := newRig(t, s, withPath(faultnet.Options{Buffer: 100 << 10}))
		synctest.Wait()
		release := relink.HoldFlusher(r.client)
		data := rigData(busyData)
		write := background(func() (int, error) { return r.client.Write(data) })
		synctest.Wait() // the transport is full, and the Write in it
		sent := relink.TakenAlong(r.client)
		release()
		synctest.Wait()
		require.Equal(t, sent, relink.TakenAlong(r.client))
		requireRead(t, r.server, data)
		require.NoError(t, (<-write).err)
		for range 3 { // bursts, which are for a flusher
			for at := 0; at < 8000; at += 1000 {
				requireWrite(t, r.client, data[at:at+1000])
			}
			requireRead(t, r.server, data[:8000])
		}
		r.stop()
	})
}

// A Read that has called for an acknowledgement lets it out before it returns, also
// where nobody else has a processor to send it with.
func TestReadLetsItsAcknowledgementOut(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const reads, every = 12, 256 << 10 // well within the window
	inAckBubble(t, func(t *testing.T, s relink.Suite) {
		r := newRig(t, s, withPath(faultnet.Options{Buffer: 2 * reads * every}))
		requireWrite(t, r.client, rigData(reads*every))
		synctest.Wait()
		late := 0
		for range reads {
			_, err := io.ReadFull(r.server, make([]byte, every))
			require.NoError(t, err)
			if relink.CallsForAck(r.server) {
				late++
			}
		}
		// The scheduler takes some other goroutine now and then, one time in 61.
		require.Less(t, late, reads/2)
		r.finish()
	})
}

// A countsLooks transport counts how often a Read of it is interrupted.
type countsLooks struct {
	net.Conn
	gate  atomic.Pointer[chan struct{}] // nil, or closed when Writes may begin
	looks atomic.Int32
}

func (c *countsLooks) Interruptible() bool { return true }

func (c *countsLooks) Write(p []byte) (int, error) {
	if gate := c.gate.Load(); gate != nil {
		<-*gate
	}
	return c.Conn.Write(p)
}

func (c *countsLooks) SetReadDeadline(t time.Time) error {
	if !t.IsZero() && t.Before(time.Now()) {
		c.looks.Add(1)
	}
	return c.Conn.SetReadDeadline(t)
}

// A sender with half of the buffer to send, for which a Write waits, has whoever reads
// the transport look at it, whether that is a Read or the library, and no more often
// than that. Who reads does not notice. Where no Write waits, nobody is disturbed.
func TestSenderLooksForAcknowledgements(t *testing.T) {
	inAckBubble(t, func(t *testing.T, s relink.Suite) {
		for _, waits := range []bool{true, false} {
			for _, reads := range []bool{true, false} {
				var transport *countsLooks
				r := newRig(t, s, func(r *rig, _ *relink.Config) {
					r.net.SetOptions(faultnet.Options{Buffer: 16 << 20})
					r.dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
						c, err := r.net.Dial(ctx, network, address)
						transport = &countsLooks{Conn: c}
						return transport, err
					}
				})
				requireWrite(t, r.server, []byte("ready"))
				requireRead(t, r.client, []byte("ready")) // so that the client knows the server's limit
				var read <-chan outcome
				answer := make([]byte, 6)
				if reads {
					read = background(func() (int, error) { return r.client.Read(answer) })
				}
				synctest.Wait()
				gate := make(chan struct{})
				transport.gate.Store(&gate)
				size := relink.DefaultReplayLimit
				if waits {
					size += 100
				}
				data := rigData(size)
				write := background(func() (int, error) { return r.client.Write(data) })
				synctest.Wait() // the buffer is full
				before := transport.looks.Load()
				close(gate)
				synctest.Wait() // all is under way, and the server has not read any of it
				looks := transport.looks.Load() - before
				what := fmt.Sprintf("a Write waits: %v, a Read: %v", waits, reads)
				if waits {
					require.GreaterOrEqual(t, looks, int32(1), what)
					require.LessOrEqual(t, looks, int32(3), what) // the Read may have to take its role back once
				} else {
					require.Zero(t, looks, what)
				}
				requireRead(t, r.server, data)
				require.NoError(t, (<-write).err)
				requireWrite(t, r.server, []byte("answer"))
				if reads {
					require.NoError(t, (<-read).err)
				} else {
					requireRead(t, r.client, []byte("answer"))
				}
				r.finish()
			}
		}
	})
}
