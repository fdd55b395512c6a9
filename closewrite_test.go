package relink_test

import (
	"context"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// The end of one direction arrives once, at its offset, whatever happens to the
// transport; the other direction goes on over the next ones.
func TestCloseWrite(t *testing.T) {
	for _, kind := range []faultnet.Kind{faultnet.Reset, faultnet.ResetNow, faultnet.End} {
		for _, fromClient := range []bool{true, false} {
			t.Run(fmt.Sprintf("%v/client=%v", kind, fromClient), func(t *testing.T) {
				inAckBubble(t, func(t *testing.T, s testSuite) {
					r := newRig(t, s)
					from, to := r.client, r.server
					if !fromClient {
						from, to = to, from
					}
					data := rigData(300_000)
					requireWrite(t, from, data)
					require.NoError(t, from.CloseWrite())
					require.ErrorIs(t, from.CloseWrite(), net.ErrClosed)
					_, err := from.Write([]byte("more"))
					require.ErrorIs(t, err, net.ErrClosed)
					for i := range 4 {
						r.net.Last().Cut(kind)
						requireWrite(t, to, data[i:i+100])
						requireRead(t, from, data[i:i+100])
						if i == 1 {
							requireRead(t, to, data)
							requireEOF(t, to)
						}
					}
					requireEOF(t, to)
					require.NoError(t, from.WaitAcked(context.Background(), int64(len(data))))
					require.NoError(t, to.CloseWrite())
					requireEOF(t, from)
					r.finish()
				})
			})
		}
	}
}

// A Write that is still encrypting when CloseWrite or Close is called does not
// put its bytes behind the end.
func TestCloseDuringWrite(t *testing.T) {
	for _, name := range []string{"CloseWrite", "Close"} {
		t.Run(name, func(t *testing.T) {
			inRecordBubble(t, func(t *testing.T, p *records, s testSuite) {
				r := newRig(t, s)
				gate := make(chan struct{})
				wait := func() { <-gate }
				p.encrypting.Store(&wait)
				data := rigData(100_000) // more than is encrypted under the lock
				done := background(func() (int, error) { return r.client.Write(data) })
				stillBlocked(t, done)
				end := r.client.CloseWrite
				if name == "Close" {
					end = r.client.Close
				}
				require.NoError(t, end())
				synctest.Wait()
				p.encrypting.Store(nil)
				close(gate)
				o := <-done
				requireRead(t, r.server, data[:o.n])
				requireEOF(t, r.server)
				require.NoError(t, r.server.Close())
				_ = r.client.Close()
				<-r.client.Done()
				<-r.server.Done()
				_ = r.l.Close()
				synctest.Wait() // the events are delivered
				require.NoError(t, r.clientEvents.all(relink.EventClosed)[0].Err)
			})
		})
	}
}

// Close delivers everything and then the end, although the transport is cut at
// once and again.
func TestCloseDelivers(t *testing.T) {
	for _, kind := range []faultnet.Kind{faultnet.Reset, faultnet.ResetNow, faultnet.End} {
		for _, fromClient := range []bool{true, false} {
			for _, unread := range []bool{true, false} {
				t.Run(fmt.Sprintf("%v/client=%v/unread=%v", kind, fromClient, unread), func(t *testing.T) {
					inAckBubble(t, func(t *testing.T, s testSuite) {
						r := newRig(t, s, withPath(faultnet.Options{ResetOnUnread: true, Buffer: 16 << 10}))
						from, to := r.client, r.server
						if !fromClient {
							from, to = to, from
						}
						data := rigData(200_000)
						if unread {
							requireWrite(t, to, data)
						}
						writing := background(func() (int, error) { return from.Write(data) })
						require.NoError(t, (<-writing).err)
						require.NoError(t, from.Close())
						for range 3 {
							r.net.Last().Cut(kind)
							time.Sleep(100 * time.Millisecond)
						}
						requireRead(t, to, data)
						requireEOF(t, to)
						_, err := to.Write([]byte("x"))
						require.ErrorIs(t, err, relink.ErrPeerClosed)
						<-from.Done()
						require.NoError(t, to.Close())
						<-to.Done()
						_ = r.l.Close()
					})
				})
			}
		}
	}
}

func TestClosesMeet(t *testing.T) {
	for _, cut := range []bool{false, true} {
		t.Run(fmt.Sprintf("cut=%v", cut), func(t *testing.T) {
			inAckBubble(t, func(t *testing.T, s testSuite) {
				r := newRig(t, s, withPath(faultnet.Options{ResetOnUnread: true, Delay: 10 * time.Millisecond}))
				requireWrite(t, r.client, rigData(100_000))
				requireWrite(t, r.server, rigData(100_000))
				if cut {
					r.net.Last().Cut(faultnet.Reset)
				}
				require.NoError(t, r.client.Close())
				require.NoError(t, r.server.Close())
				before := time.Now()
				<-r.client.Done()
				<-r.server.Done()
				require.LessOrEqual(t, time.Since(before), defaultCloseTimeout)
				_ = r.l.Close()
			})
		})
	}
}

// After CloseWrite, Close still tells the peer that nobody reads any more, and
// makes sure that it hears it.
func TestCloseAfterCloseWrite(t *testing.T) {
	for _, cut := range []bool{false, true} {
		t.Run(fmt.Sprintf("cut=%v", cut), func(t *testing.T) {
			inAckBubble(t, func(t *testing.T, s testSuite) {
				r := newRig(t, s)
				data := rigData(1000)
				requireWrite(t, r.client, data)
				require.NoError(t, r.client.CloseWrite())
				requireRead(t, r.server, data)
				requireEOF(t, r.server)
				requireWrite(t, r.server, data)
				requireRead(t, r.client, data)
				time.Sleep(time.Second) // the end is acknowledged
				if cut {
					r.net.Last().Stall(faultnet.Up) // what Close says is lost
				}
				require.NoError(t, r.client.Close())
				synctest.Wait()
				r.net.Last().Cut(faultnet.ResetNow)
				time.Sleep(time.Second)
				_, err := r.server.Write([]byte("x"))
				require.ErrorIs(t, err, relink.ErrPeerClosed)
				requireEOF(t, r.server)
				r.server.Close()
				<-r.server.Done()
				<-r.client.Done()
				_ = r.l.Close()
				synctest.Wait()
				require.NoError(t, r.serverEvents.all(relink.EventClosed)[0].Err)
				require.NoError(t, r.clientEvents.all(relink.EventClosed)[0].Err)
			})
		})
	}
}

func TestAbortIsTyped(t *testing.T) {
	for _, opaque := range []bool{false, true} {
		for _, fromClient := range []bool{true, false} {
			t.Run(fmt.Sprintf("opaque=%v/client=%v", opaque, fromClient), func(t *testing.T) {
				inAckBubble(t, func(t *testing.T, s testSuite) {
					r := newRig(t, s, withPath(faultnet.Options{Opaque: opaque}))
					from, to := r.client, r.server
					if !fromClient {
						from, to = to, from
					}
					requireWrite(t, from, []byte("hello"))
					requireRead(t, to, []byte("hello"))
					reading := background(func() (int, error) { return to.Read(make([]byte, 1)) })
					stillBlocked(t, reading)
					before := time.Now()
					require.NoError(t, from.Abort())
					require.ErrorIs(t, (<-reading).err, relink.ErrSessionLost)
					require.Less(t, time.Since(before), time.Second)
					_, err := to.Write([]byte("x"))
					require.ErrorIs(t, err, relink.ErrSessionLost)
					_ = to.Close()
					_ = r.l.Close()
				})
			})
		}
	}
}

// Abort in the middle of an attempt takes the buffer away that the attempt is
// about to look into.
func TestAbortDuringAttempt(t *testing.T) {
	inRecordBubble(t, func(t *testing.T, p *records, s testSuite) {
		r := newRig(t, s)
		r.net.Last().Stall(faultnet.Down) // nothing is acknowledged
		requireWrite(t, r.client, rigData(1000))
		abort := func() { _ = r.client.Abort() }
		p.resuming.Store(&abort)
		r.net.Last().Cut(faultnet.ResetNow)
		r.client.NetworkChanged()
		<-r.client.Done()
		synctest.Wait()
		r.stop()
	})
}
