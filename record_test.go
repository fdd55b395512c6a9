package relink_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
	"github.com/relink-go/relink/internal/suite"
)

// What only a suite with acknowledgements can do is tested here, in bubbles, with
// all of them, or with the protocol records where the suite has to misbehave.

// inAckBubble runs a test in a bubble of its own for every suite with
// acknowledgements.
func inAckBubble(t *testing.T, f func(t *testing.T, s relink.Suite)) {
	t.Helper()
	for _, s := range ackSuites {
		t.Run(s.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, s) })
		})
	}
}

// ackSuites are the suites with acknowledgements.
var ackSuites = func() (found []relink.Suite) {
	for _, s := range suites {
		if relink.TraitsOf(s).Acks {
			found = append(found, s)
		}
	}
	return found
}()

// Lengths are those of a suite's handshakes, in bytes.
type lengths struct {
	request, answer             int64 // of a new session
	resumeRequest, resumeAnswer int64 // of a resume without early data
}

// lengthsOf returns the lengths of the handshakes of a suite with
// acknowledgements.
func lengthsOf(s relink.Suite) lengths {
	switch s.String() {
	case recordSuite.String():
		return lengths{recNewLen, recNewAnswerLen, recResumeHead + 4, recResumeAnswerLen}
	case noiseSuite.String():
		return lengths{66, 62, 98, 66}
	default: // without the server's key
		return lengths{50, 62, 98, 66}
	}
}

// inRecordBubble runs a test in a bubble of its own with a protocol of its own.
func inRecordBubble(t *testing.T, f func(t *testing.T, p *records, s relink.Suite)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p, s := newRecords()
		f(t, p, s)
	})
}

// withLimit sets both sides' ReplayLimit.
func withLimit(n int) rigOption {
	return withBoth(func(c *relink.Config) { c.ReplayLimit = n })
}

// finish closes both sides and requires that nothing is left undelivered.
func (r *rig) finish() {
	r.t.Helper()
	require.NoError(r.t, r.client.Close())
	require.NoError(r.t, r.server.Close())
	<-r.client.Done()
	<-r.server.Done()
	_ = r.l.Close()
	for name, l := range map[string]*eventLog{"client": r.clientEvents, "server": r.serverEvents} {
		synctest.Wait()
		for _, e := range l.all(relink.EventClosed) {
			require.NoError(r.t, e.Err, name)
		}
	}
}

func requireRead(t *testing.T, c net.Conn, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	_, err := io.ReadFull(c, got)
	require.NoError(t, err)
	require.True(t, string(got) == string(want), "the stream differs")
}

func requireWrite(t *testing.T, c net.Conn, b []byte) {
	t.Helper()
	n, err := c.Write(b)
	require.NoError(t, err)
	require.Equal(t, len(b), n)
}

// requireEOF requires io.EOF, and again.
func requireEOF(t *testing.T, c net.Conn) {
	t.Helper()
	for range 2 {
		n, err := c.Read(make([]byte, 10))
		require.Zero(t, n)
		require.Equal(t, io.EOF, err)
	}
}

func TestAcknowledgementsFreeTheBuffer(t *testing.T) {
	inAckBubble(t, func(t *testing.T, s relink.Suite) {
		r := newRig(t, s, withLimit(64<<10))
		r.exchange(1 << 20)
		time.Sleep(time.Second)
		require.Zero(t, r.client.Stats().Memory)
		require.Zero(t, r.server.Stats().Memory)
		// One small message is acknowledged too, although nothing comes back.
		requireWrite(t, r.client, []byte("one"))
		requireRead(t, r.server, []byte("one"))
		require.Positive(t, r.client.Stats().Memory)
		time.Sleep(time.Second)
		require.Zero(t, r.client.Stats().Memory)
		r.finish()
	})
}

// A full buffer blocks a Write and loses nothing, connected or not.
func TestFullBufferBlocks(t *testing.T) {
	const limit = 64 << 10
	for _, suspended := range []bool{false, true} {
		t.Run(fmt.Sprintf("suspended=%v", suspended), func(t *testing.T) {
			inAckBubble(t, func(t *testing.T, s relink.Suite) {
				r := newRig(t, s, withLimit(limit))
				data := rigData(5 * limit)
				if suspended {
					r.suspend(faultnet.Refuse, faultnet.Reset)
				} else {
					r.net.Last().Stall(faultnet.Up) // nothing arrives, so nothing is acknowledged
				}
				require.NoError(t, r.client.SetWriteDeadline(time.Now().Add(time.Second)))
				n, err := r.client.Write(data)
				requireTimeout(t, err)
				require.Equal(t, limit, n)
				n, err = r.client.Write(data[n:])
				requireTimeout(t, err)
				require.Zero(t, n)
				require.NoError(t, r.client.SetWriteDeadline(time.Time{}))
				done := background(func() (int, error) { return r.client.Write(data[limit:]) })
				stillBlocked(t, done)
				r.net.SetDown(faultnet.NotDown)
				r.net.Last().Release(faultnet.Up)
				requireRead(t, r.server, data)
				require.NoError(t, (<-done).err)
				r.finish()
			})
		})
	}
}

// A sender whose buffer is smaller than the receiver's window does not wait for
// the receiver's next tick each time that it is full.
func TestSmallBufferIsFast(t *testing.T) {
	inAckBubble(t, func(t *testing.T, s relink.Suite) {
		r := newRig(t, s, withClient(func(c *relink.Config) { c.ReplayLimit = relink.MinReplayLimit }))
		data := rigData(1 << 20)
		done := background(func() (int, error) { return r.client.Write(data) })
		before := time.Now()
		requireRead(t, r.server, data)
		require.NoError(t, (<-done).err)
		require.Less(t, time.Since(before), time.Second)
		r.finish()
	})
}

// Data stops at the peer's limit; control does not.
func TestWindow(t *testing.T) {
	const window = 64 << 10
	inRecordBubble(t, func(t *testing.T, p *records, s relink.Suite) {
		var sent atomic.Int64
		watch := func(_ string, client bool, data []byte, k suite.Control) ([]byte, suite.Control) {
			if client {
				sent.Add(int64(len(data)))
			}
			return data, k
		}
		p.tamper.Store(&watch)
		r := newRig(t, s, withServer(func(c *relink.Config) { c.ReplayLimit = window }))
		data := rigData(10 * window)
		requireWrite(t, r.client, data)
		time.Sleep(time.Second)
		require.EqualValues(t, window, sent.Load())

		// The client's acknowledgements pass its own blocked data.
		requireWrite(t, r.server, data[:window/2])
		requireRead(t, r.client, data[:window/2])
		require.NoError(t, r.server.WaitAcked(context.Background(), window/2))

		// The limit holds on the next transport too.
		r.net.Last().Cut(faultnet.Reset)
		time.Sleep(time.Second)
		require.EqualValues(t, 1, r.server.Stats().Resumes)
		require.LessOrEqual(t, r.server.Stats().Memory, int64(2*window))
		requireRead(t, r.server, data)
		r.finish()
	})
}

func TestAcked(t *testing.T) {
	inAckBubble(t, func(t *testing.T, s relink.Suite) {
		r := newRig(t, s)
		ctx := context.Background()
		require.NoError(t, r.client.WaitAcked(ctx, 0))
		require.Error(t, r.client.WaitAcked(ctx, -1))
		require.Error(t, r.client.WaitAcked(ctx, 1)) // never written
		requireWrite(t, r.client, rigData(1000))

		// Arrival is not enough: the application must have taken it.
		short, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		require.ErrorIs(t, r.client.WaitAcked(short, 1000), context.DeadlineExceeded)
		require.Zero(t, r.client.Acked())
		require.ErrorIs(t, r.client.WaitAcked(short, 1000), context.DeadlineExceeded)

		requireRead(t, r.server, rigData(1000)[:400])
		require.NoError(t, r.client.WaitAcked(ctx, 400))
		require.EqualValues(t, 400, r.client.Acked())

		// It waits through a cut, and through a Read of its own side.
		done := background(func() (int, error) { return 0, r.client.WaitAcked(ctx, 1000) })
		reading := background(func() (int, error) { return r.client.Read(make([]byte, 1)) })
		stillBlocked(t, done)
		r.net.Last().Cut(faultnet.Reset)
		requireRead(t, r.server, rigData(1000)[400:])
		require.NoError(t, (<-done).err)
		requireWrite(t, r.server, []byte{1})
		require.NoError(t, (<-reading).err)

		// The end of either side ends the wait.
		requireWrite(t, r.client, rigData(10))
		done = background(func() (int, error) { return 0, r.client.WaitAcked(ctx, 1010) })
		stillBlocked(t, done)
		require.NoError(t, r.server.Close())
		require.ErrorIs(t, (<-done).err, relink.ErrPeerClosed)
		require.NoError(t, r.client.Close())
		require.ErrorIs(t, r.client.WaitAcked(ctx, 1010), net.ErrClosed)
		require.NoError(t, r.client.WaitAcked(ctx, 1000))
		r.stop()
	})
}

func TestAckedUnsupported(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s relink.Suite) {
		if relink.TraitsOf(s).Acks {
			t.Skip("the suite acknowledges")
		}
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, s)
			requireWrite(t, r.client, []byte("x"))
			requireRead(t, r.server, []byte("x"))
			require.ErrorIs(t, r.client.WaitAcked(context.Background(), 1), errors.ErrUnsupported)
			require.Zero(t, r.client.Acked())
			require.ErrorIs(t, r.client.CloseWrite(), errors.ErrUnsupported)
			r.exchange(100)
			r.stop()
		})
	})
}

// The end of one direction arrives once, at its offset, whatever happens to the
// transport; the other direction goes on over the next ones.
func TestCloseWrite(t *testing.T) {
	for _, kind := range []faultnet.Kind{faultnet.Reset, faultnet.ResetNow, faultnet.End} {
		for _, fromClient := range []bool{true, false} {
			t.Run(fmt.Sprintf("%v/client=%v", kind, fromClient), func(t *testing.T) {
				inAckBubble(t, func(t *testing.T, s relink.Suite) {
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
			inRecordBubble(t, func(t *testing.T, p *records, s relink.Suite) {
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
					inAckBubble(t, func(t *testing.T, s relink.Suite) {
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
			inAckBubble(t, func(t *testing.T, s relink.Suite) {
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
				require.LessOrEqual(t, time.Since(before), relink.DefaultCloseTimeout)
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
			inAckBubble(t, func(t *testing.T, s relink.Suite) {
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
				inAckBubble(t, func(t *testing.T, s relink.Suite) {
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
	inRecordBubble(t, func(t *testing.T, p *records, s relink.Suite) {
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

// A silent loss shows within LivenessTimeout on any transport, whoever waits,
// and the session goes on over the next one.
func TestBlackHole(t *testing.T) {
	const timeout = 4 * time.Second
	for _, kind := range []faultnet.Kind{faultnet.BlackHole, faultnet.BlackHoleUp, faultnet.BlackHoleDown} {
		for _, opaque := range []bool{false, true} {
			for _, busy := range []string{"idle", "reading", "writing"} {
				t.Run(fmt.Sprintf("%v/opaque=%v/%s", kind, opaque, busy), func(t *testing.T) {
					inAckBubble(t, func(t *testing.T, s relink.Suite) {
						r := newRig(t, s, withPath(faultnet.Options{Opaque: opaque}),
							withBoth(func(c *relink.Config) { c.LivenessTimeout = timeout }))
						r.exchange(1000)
						time.Sleep(time.Minute) // an idle session stays
						require.Zero(t, r.client.Stats().Resumes)
						var reading <-chan outcome
						data := rigData(200_000)
						switch busy {
						case "reading":
							reading = background(func() (int, error) { return r.client.Read(make([]byte, 1)) })
						case "writing":
							requireWrite(t, r.client, data)
						}
						synctest.Wait()
						r.net.Last().Cut(kind)
						time.Sleep(2*timeout + time.Second)
						require.EqualValues(t, 1, r.client.Stats().Resumes)
						require.EqualValues(t, 1, r.server.Stats().Resumes)
						if busy == "writing" {
							requireRead(t, r.server, data)
						}
						if reading != nil {
							requireWrite(t, r.server, []byte{1})
							require.NoError(t, (<-reading).err)
						}
						r.exchange(1000)
						require.EqualValues(t, 1, r.client.Stats().Resumes)
						r.finish()
					})
				})
			}
		}
	}
}

// An application that pauses reading is not dead, however long it pauses and
// however much is sent to it.
func TestPauseIsNotDeath(t *testing.T) {
	for _, opaque := range []bool{false, true} {
		for _, clientPauses := range []bool{true, false} {
			t.Run(fmt.Sprintf("opaque=%v/client=%v", opaque, clientPauses), func(t *testing.T) {
				inAckBubble(t, func(t *testing.T, s relink.Suite) {
					r := newRig(t, s, withLimit(64<<10), withPath(faultnet.Options{Opaque: opaque}))
					from, to := r.client, r.server
					if clientPauses {
						from, to = to, from
					}
					data := rigData(1 << 20)
					done := background(func() (int, error) { return from.Write(data) })
					time.Sleep(3*relink.DefaultLivenessTimeout + relink.DefaultResumeTimeout)
					stillBlocked(t, done)
					requireRead(t, to, data)
					require.NoError(t, (<-done).err)
					require.Zero(t, r.client.Stats().Resumes)
					r.finish()
				})
			})
		}
	}
}

// What the protocol forbids ends the session of the two, with a typed error on
// both sides, and nobody else's.
func TestViolations(t *testing.T) {
	const window = 8 << 10
	for name, misdeed := range map[string]func(data []byte, k suite.Control) ([]byte, suite.Control){
		"acknowledges too much": func(data []byte, k suite.Control) ([]byte, suite.Control) {
			k.Ack, k.Received = true, 1<<40
			return data, k
		},
		"acknowledges a negative count": func(data []byte, k suite.Control) ([]byte, suite.Control) {
			k.Ack, k.Received = true, -1
			return data, k
		},
		"consumes more than it received": func(data []byte, k suite.Control) ([]byte, suite.Control) {
			k.Ack, k.Received, k.Consumed = true, 0, 1
			return data, k
		},
		"acknowledges an end that was not sent": func(data []byte, k suite.Control) ([]byte, suite.Control) {
			k.Ack, k.FinReceived = true, true
			return data, k
		},
		"passes the limit": func(_ []byte, k suite.Control) ([]byte, suite.Control) {
			return make([]byte, window+1), k
		},
		"ends and goes on": func(_ []byte, k suite.Control) ([]byte, suite.Control) {
			k.Fin = true
			return []byte("more"), k
		},
	} {
		for _, byClient := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/client=%v", name, byClient), func(t *testing.T) {
				inRecordBubble(t, func(t *testing.T, p *records, s relink.Suite) {
					// Two records leave before the first is answered.
					r := newRig(t, s, withLimit(window), withPath(faultnet.Options{Delay: 10 * time.Millisecond}))
					other, otherServer := r.open()
					from, to := r.client, r.server
					if !byClient {
						from, to = to, from
					}
					r.exchange(100)
					time.Sleep(time.Second)
					tamper := func(id string, client bool, data []byte, k suite.Control) ([]byte, suite.Control) {
						if id == r.client.ID() && client == byClient && k.Reset == 0 {
							return misdeed(data, k)
						}
						return data, k
					}
					p.tamper.Store(&tamper)
					go func() {
						for range 3 {
							_, _ = from.Write([]byte("x"))
							_, _ = from.Write([]byte("y"))
							time.Sleep(time.Second)
						}
					}()
					if _, err := io.Copy(io.Discard, to); err != nil { // nil at the end that comes too early
						require.ErrorIs(t, err, relink.ErrProtocol)
					}
					time.Sleep(10 * time.Second)
					_, err := to.Write([]byte("x"))
					require.ErrorIs(t, err, relink.ErrProtocol)
					_, err = io.Copy(io.Discard, from)
					if !errors.Is(err, relink.ErrProtocol) { // it may object to the answer to what it never said
						require.ErrorIs(t, err, relink.ErrSessionLost)
					}
					requireExchange(t, other, otherServer, 100)
					_, _ = other.Abort(), otherServer.Abort()
					r.stop()
				})
			})
		}
	}
}

// A flipConn damages one byte of what it reads.
type flipConn struct {
	net.Conn
	at  int64
	pos int64
}

func (c *flipConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if i := c.at - c.pos; i >= 0 && i < int64(n) {
		p[i] ^= 0x10
	}
	c.pos += int64(n)
	return n, err
}

// Damage of any byte ends the link at most, and never the session.
func TestDamageEndsTheLinkOnly(t *testing.T) {
	for step := int64(0); step < 3000; step += 17 {
		inAckBubble(t, func(t *testing.T, s relink.Suite) {
			at := lengthsOf(s).answer + step*strideOf(s)
			if at >= 3000 {
				return
			}
			damaged := false
			r := newRig(t, s, func(r *rig, _ *relink.Config) {
				r.dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
					c, err := r.net.Dial(ctx, network, address)
					if damaged || err != nil {
						return c, err
					}
					damaged = true
					return &flipConn{Conn: c, at: at}, nil
				}
			})
			requireWrite(t, r.server, rigData(5000))
			requireRead(t, r.client, rigData(5000))
			require.EqualValues(t, 1, r.client.Stats().Resumes, "damage at byte %d", at)
			r.exchange(1000)
			r.finish()
		})
	}
}

// A record that is intact and says what is forbidden ends the session.
func TestMalformedRecordEndsTheSession(t *testing.T) {
	inRecordBubble(t, func(t *testing.T, p *records, s relink.Suite) {
		r := newRig(t, s)
		p.malform.Store(true)
		_, _ = r.client.Write([]byte("x"))
		_, err := r.server.Read(make([]byte, 1))
		require.ErrorIs(t, err, relink.ErrProtocol)
		r.stop()
	})
}

// An answer that is lost, and a confirmation that is lost, any number of times
// in a row and in any mixture, leave both sides able to go on.
func TestLostAnswersAndConfirmations(t *testing.T) {
	for pattern := range 1 << 6 {
		t.Run(fmt.Sprintf("%06b", pattern), func(t *testing.T) {
			inAckBubble(t, func(t *testing.T, s relink.Suite) {
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
	inAckBubble(t, func(t *testing.T, s relink.Suite) {
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
	inAckBubble(t, func(t *testing.T, s relink.Suite) {
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
	inAckBubble(t, func(t *testing.T, s relink.Suite) {
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
		require.EqualValues(t, 1, relink.EpochOf(r.server))

		// The client's own request comes too late now; its next attempt works.
		stolen.Release(faultnet.Up)
		r.exchange(1000)
		require.EqualValues(t, 2, relink.EpochOf(r.server))
		_ = thief.Close()
		r.finish()
	})
}

// The old transport still delivers while the client resumes: the server then
// acknowledges more than it had told the client, and more than the client has
// sent over the new one.
func TestOldTransportDeliversToRecords(t *testing.T) {
	const delay = 50 * time.Millisecond
	inAckBubble(t, func(t *testing.T, s relink.Suite) {
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
		require.EqualValues(t, 1, relink.EpochOf(r.server))
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
	inAckBubble(t, func(t *testing.T, s relink.Suite) {
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

// libraryGoroutines returns the stacks of the library's own goroutines that
// belong to sessions.
func libraryGoroutines() []string {
	b := make([]byte, 1<<20)
	var found []string
	for _, g := range strings.Split(string(b[:runtime.Stack(b, true)]), "\n\n") {
		_, by, ok := strings.Cut(g, "created by github.com/relink-go/relink.")
		if ok && !strings.HasPrefix(by, "newListener") {
			found = append(found, g)
		}
	}
	return found
}

// conversation is what the tests of every cut have: data both ways, the end of
// one direction, the end of all. It ends with every byte delivered once.
func conversation(r *rig) {
	up, down := rigData(120), rigData(150)
	var wg sync.WaitGroup
	wg.Go(func() {
		requireWrite(r.t, r.client, up[:50])
		requireRead(r.t, r.client, down[:70])
		requireWrite(r.t, r.client, up[50:])
		require.NoError(r.t, r.client.CloseWrite())
		requireRead(r.t, r.client, down[70:])
		requireEOF(r.t, r.client)
		require.NoError(r.t, r.client.Close())
	})
	wg.Go(func() {
		requireRead(r.t, r.server, up[:50])
		requireWrite(r.t, r.server, down[:70])
		requireRead(r.t, r.server, up[50:])
		requireEOF(r.t, r.server)
		requireWrite(r.t, r.server, down[70:])
		require.NoError(r.t, r.server.Close())
	})
	wg.Wait()
	<-r.client.Done()
	<-r.server.Done()
	_ = r.l.Close()
}

// cutConversation runs the conversation on paths that are cut as f says.
func cutConversation(t *testing.T, s relink.Suite, f func(i int, p *faultnet.Path)) (sent [2]int64) {
	synctest.Test(t, func(t *testing.T) {
		n := faultnet.New()
		n.OnDial(func(i int, p *faultnet.Path) error { f(i, p); return nil })
		inner := n.Listen()
		// A close, and the time that a client has to confirm its session, last
		// longer than it takes to notice a silent loss.
		cfg := relink.Config{Suites: []relink.Suite{s}, CloseTimeout: time.Minute, HandshakeTimeout: time.Minute}
		l, err := relink.NewListener(inner, cfg)
		require.NoError(t, err)
		d := &relink.Dialer{Config: cfg, DialTransport: n.Dial}
		client, err := d.Dial(context.Background(), "tcp", "server")
		require.NoError(t, err)
		server, err := l.AcceptConn()
		require.NoError(t, err)
		conversation(&rig{t: t, net: n, inner: inner, l: l, dialer: d, client: client, server: server})
		sent[faultnet.Up] = n.Paths()[0].Sent(faultnet.Up)
		sent[faultnet.Down] = n.Paths()[0].Sent(faultnet.Down)
	})
	return sent
}

// firstCut is the first byte of a direction at which a cut leaves Dial what it
// needs, because it is tried once.
func firstCut(s relink.Suite, d faultnet.Dir) int64 {
	if d == faultnet.Down {
		return lengthsOf(s).answer + 1
	}
	return lengthsOf(s).request + 1
}

// TestEveryCut cuts the conversation at every byte of either direction, behind
// what Dial needs.
func TestEveryCut(t *testing.T) {
	for _, s := range ackSuites {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			testEveryCut(t, s)
		})
	}
}

func testEveryCut(t *testing.T, s relink.Suite) {
	whole := cutConversation(t, s, func(int, *faultnet.Path) {})
	for _, kind := range []faultnet.Kind{faultnet.Reset, faultnet.ResetNow, faultnet.End, faultnet.BlackHole} {
		for _, dir := range []faultnet.Dir{faultnet.Up, faultnet.Down} {
			t.Run(fmt.Sprintf("%v/%v", kind, dir), func(t *testing.T) {
				for at := firstCut(s, dir); at <= whole[dir]; at += strideOf(s) {
					cutConversation(t, s, func(i int, p *faultnet.Path) {
						if i == 0 {
							p.CutAt(dir, at, kind)
						}
					})
					if t.Failed() {
						t.Fatalf("cut at byte %d", at)
					}
				}
			})
		}
	}
}

// TestCutTwice cuts the first transport somewhere and the second at every byte
// of its handshake and replay.
func TestCutTwice(t *testing.T) {
	for _, s := range ackSuites {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			testCutTwice(t, s)
		})
	}
}

func testCutTwice(t *testing.T, s relink.Suite) {
	whole := cutConversation(t, s, func(int, *faultnet.Path) {})
	kinds := []faultnet.Kind{faultnet.Reset, faultnet.End, faultnet.BlackHole}
	for _, first := range []faultnet.Dir{faultnet.Up, faultnet.Down} {
		for _, second := range []faultnet.Dir{faultnet.Up, faultnet.Down} {
			t.Run(fmt.Sprintf("%v/%v", first, second), func(t *testing.T) {
				for n := int64(0); n < 400; n += strideOf(s) {
					from := firstCut(s, first)
					firstAt := from + n*37%(whole[first]-from)
					cutConversation(t, s, func(i int, p *faultnet.Path) {
						switch i {
						case 0:
							p.CutAt(first, firstAt, kinds[n%3])
						case 1:
							p.CutAt(second, n, kinds[n/3%3])
						}
					})
					if t.Failed() {
						t.Fatalf("cut at %d and then at %d", firstAt, n)
					}
				}
			})
		}
	}
}
