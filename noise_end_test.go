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
	"github.com/relink-go/relink/internal/suite"
)

// The ends of a session with the suite Noise that need its handshake or a
// kernel; what all suites with acknowledgements have in common is in
// closewrite_test.go and end_test.go.

// Close on a kernel's TCP, with data unread that makes it answer with a reset,
// and with the transport cut at once: the peer reads every byte and then the
// end, once.
func TestNoiseCloseOverTCP(t *testing.T) {
	const size = 300_000
	for _, cut := range []bool{false, true} {
		for _, byClient := range []bool{true, false} {
			t.Run(fmt.Sprintf("cut=%v/client=%v", cut, byClient), func(t *testing.T) {
				sc, relay := relayed(t, noiseSuite, setup{})
				from, to := sc.client, sc.server
				if !byClient {
					from, to = to, from
				}
				to.write(size) // that nobody reads
				from.write(size)
				require.NoError(t, from.Close())
				if cut {
					relay.Cut(faultnet.Reset)
				}
				require.NoError(t, to.SetReadDeadline(time.Now().Add(30*time.Second)))
				require.Equal(t, io.EOF, to.readAll())
				require.EqualValues(t, size, to.got)
				requireEOF(t, to.Conn)
				_, err := to.Write([]byte("x"))
				require.ErrorIs(t, err, relink.ErrPeerClosed)
				require.NoError(t, to.Close())
				from.awaitDone()
				to.awaitDone()
			})
		}
	}
}

// CloseWrite of either side, or of both, before, during and after the loss of a
// transport: one end, at its offset, while the other direction goes on over as
// many transports as it takes.
func TestNoiseCloseWriteAcrossResumes(t *testing.T) {
	for _, when := range []string{"before", "while suspended", "while resuming"} {
		for _, byClient := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/client=%v", when, byClient), func(t *testing.T) {
				inScene(t, noiseSuite, setup{}, faultnet.Options{Delay: time.Millisecond}, func(sc *scene) {
					from, to := sc.client, sc.server
					if !byClient {
						from, to = to, from
					}
					sc.echo(100, time.Second)
					sc.net.Last().Stall(faultnet.Up)
					sc.net.Last().Stall(faultnet.Down)
					from.write(40_000) // more than handshakes carry
					switch when {
					case "before":
						require.NoError(t, from.CloseWrite())
						synctest.Wait()
						sc.net.Last().Cut(faultnet.ResetNow)
					case "while suspended":
						sc.net.SetDown(faultnet.Refuse)
						sc.net.Last().Cut(faultnet.ResetNow)
						time.Sleep(time.Second)
						require.NoError(t, from.CloseWrite())
						sc.net.SetDown(faultnet.NotDown)
					default:
						sc.net.OnDial(func(int, *faultnet.Path) error { return from.CloseWrite() })
						sc.net.Last().Cut(faultnet.ResetNow)
						time.Sleep(time.Second)
						sc.net.OnDial(nil)
					}
					to.read(39_999)
					for range 3 {
						to.write(1000)
						from.read(1000)
						sc.net.Last().Cut(faultnet.Reset)
					}
					require.Equal(t, io.EOF, to.readAll())
					require.EqualValues(t, 40_100, to.got)
					requireEOF(t, to.Conn)
					to.write(1000)
					from.read(1000)
					require.NoError(t, from.WaitAcked(context.Background(), 40_100))
				})
			})
		}
	}
}

// Both sides have closed, and the client's last word has reached the server, but
// not the server's the client: it asks, and is told that all is well, or that
// not everything that it wrote was taken.
func TestNoiseLateResumeOfAClosedSession(t *testing.T) {
	for i := range 4 {
		undelivered, ended := i%2 == 1, i >= 2
		t.Run(fmt.Sprintf("undelivered=%v,server's stream ended=%v", undelivered, ended), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const window = 64 << 10
				r := newRig(t, noiseSuite, withServer(func(c *relink.ListenConfig) { c.ReplayLimit = window }))
				if ended {
					require.NoError(t, r.server.CloseWrite())
					requireEOF(t, r.client)
				}
				data := rigData(1000)
				if undelivered {
					data = rigData(2 * window)
				}
				requireWrite(t, r.client, data)
				if ended && !undelivered {
					// Else the server's Close finds nothing left to wait for.
					_, err := io.ReadFull(r.server, make([]byte, len(data)))
					require.NoError(t, err)
				}
				synctest.Wait()
				r.net.Last().Stall(faultnet.Down) // what the server says is lost
				closed := time.Now()
				require.NoError(t, r.client.Close())
				synctest.Wait()
				require.Equal(t, relink.StateClosing, r.client.State())
				require.NoError(t, r.server.Close())
				<-r.server.Done()
				r.net.Last().Cut(faultnet.ResetNow)
				<-r.client.Done()
				require.Less(t, time.Since(closed), time.Second)
				require.Len(t, r.net.Paths(), 2) // it was told, and did not have to guess
				require.NoError(t, r.serverEvents.all(relink.EventClosed)[0].Err)
				err := r.clientEvents.all(relink.EventClosed)[0].Err
				if undelivered {
					require.ErrorIs(t, err, relink.ErrSessionLost)
				} else {
					require.NoError(t, err)
				}
				r.stop()
			})
		})
	}
}

// A session that was closed and whose CloseTimeout has passed was not aborted:
// the client that comes back is told which.
func TestNoiseLateResumeAfterCloseTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, noiseSuite, withServer(func(c *relink.ListenConfig) { c.CloseTimeout = time.Second }))
		r.exchange(1000)
		require.NoError(t, r.server.WaitAcked(t.Context(), 1000))
		r.suspend(faultnet.Refuse, faultnet.Reset)
		require.NoError(t, r.server.Close())
		<-r.server.Done()
		r.net.SetDown(faultnet.NotDown)
		_, err := r.client.Read(make([]byte, 1))
		require.ErrorIs(t, err, relink.ErrSessionLost)
		var ended *suite.EndedError
		require.ErrorAs(t, err, &ended)
		require.Equal(t, suite.ResetLinger, ended.Code)
		r.stop()
	})
}

// Abort is Abort also after CloseWrite: although the client has all of the
// server's stream, what it has written itself is lost, and it is told so.
func TestNoiseAbortAfterCloseWrite(t *testing.T) {
	for _, connected := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, noiseSuite)
			require.NoError(t, r.server.CloseWrite())
			_, err := r.client.Read(make([]byte, 1))
			require.Equal(t, io.EOF, err)
			requireWrite(t, r.client, rigData(1000))
			synctest.Wait()
			if !connected {
				r.net.SetDown(faultnet.Refuse)
				r.net.Last().Cut(faultnet.Reset)
				time.Sleep(time.Second) // nobody is in Read: ticks look at the transport
			}
			require.NoError(t, r.server.Abort())
			r.net.SetDown(faultnet.NotDown)
			<-r.client.Done()
			_, err = r.client.Write([]byte("x"))
			require.ErrorIs(t, err, relink.ErrSessionLost)
			require.ErrorIs(t, r.clientEvents.all(relink.EventClosed)[0].Err, relink.ErrSessionLost)
			r.stop()
		})
	}
}

// A session that has expired leaves no tombstone: the client is told that it is
// unknown, under the server's key. So is one whose tombstone has gone.
func TestNoiseTombstonesGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout = time.Minute
		r := newRig(t, noiseSuite, withServer(func(c *relink.ListenConfig) { c.ResumeTimeout = timeout }),
			withClient(func(c *relink.Dialer) { c.ResumeTimeout = time.Hour }))
		r.suspend(faultnet.Refuse, faultnet.Reset)
		require.NoError(t, r.server.Abort())
		time.Sleep(timeout + time.Second)
		r.net.SetDown(faultnet.NotDown)
		_, err := r.client.Read(make([]byte, 1))
		require.ErrorIs(t, err, relink.ErrSessionLost)
		require.ErrorContains(t, err, "does not know it")
		r.stop()
	})
}

// Both sides close at the same moment, with data under way and the transport
// cut at any time around it: both end within CloseTimeout.
func TestNoiseClosesMeetAndAreCut(t *testing.T) {
	const delay = 10 * time.Millisecond
	for at := -2 * delay; at <= 4*delay; at += delay / 2 {
		for _, kind := range losses {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, noiseSuite, withPath(faultnet.Options{ResetOnUnread: true, Delay: delay}))
				requireWrite(t, r.client, rigData(1000))
				requireWrite(t, r.server, rigData(1000))
				if at < 0 {
					r.net.Last().Cut(kind)
					time.Sleep(-at)
				} else {
					time.AfterFunc(at, func() { r.net.Paths()[0].Cut(kind) })
				}
				closed := time.Now()
				require.NoError(t, r.client.Close())
				require.NoError(t, r.server.Close())
				<-r.client.Done()
				<-r.server.Done()
				require.NoError(t, r.clientEvents.all(relink.EventClosed)[0].Err, "%v after %v", kind, at)
				// A client that has heard all that it waits for is gone, and a server
				// that has not waits in vain.
				err := r.serverEvents.all(relink.EventClosed)[0].Err
				if took := time.Since(closed); took < defaultCloseTimeout {
					require.LessOrEqual(t, took, time.Second, "%v after %v", kind, at)
					require.NoError(t, err, "%v after %v", kind, at)
				} else {
					require.Equal(t, defaultCloseTimeout, took)
					require.ErrorIs(t, err, relink.ErrExpired)
				}
				_ = r.l.Close()
			})
		}
	}
}
