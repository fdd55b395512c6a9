package conntest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// What a client's handshake says about the data that comes with it is a number
// from a peer. Data behind a gap must not close the gap.
func TestEarlyDataBehindAGap(t *testing.T) {
	InAckBubble(t, func(t *testing.T, s Suite) {
		s, h, _ := hooked(s)
		r := New(t, s)
		r.Exchange(100)
		data := Data(1000)
		r.Suspend(faultnet.Refuse, faultnet.Reset)
		RequireWrite(t, r.Client, data)
		pending := func(p []byte) (int64, int) { return 100 + 10, copy(p, data[10:]) }
		h.pending.Store(&pending)
		r.Net.SetDown(faultnet.NotDown)
		RequireRead(t, r.Server, data)
		require.EqualValues(t, 1, r.Server.Stats().Resumes)
		r.Exchange(100)
		r.Finish()
	})
}

// Data for which the server has no room is dropped, like any that the peer has
// to send again anyway. The limit is the server's, whatever the client does.
func TestEarlyDataBeyondTheRoom(t *testing.T) {
	const limit = 8 << 10
	InAckBubble(t, func(t *testing.T, s Suite) {
		s, h, _ := hooked(s)
		r := New(t, s, WithLimit(limit))
		data := Data(limit)
		RequireWrite(t, r.Client, data)
		time.Sleep(time.Second) // for the server's tick: its application does not read
		require.Zero(t, r.Client.Stats().BytesPending)
		r.Net.SetDown(faultnet.Refuse)
		r.Net.Last().Cut(faultnet.Reset)
		synctest.Wait()
		pending := func(p []byte) (int64, int) { return limit, copy(p, bytes.Repeat([]byte{0xee}, 1000)) }
		h.pending.Store(&pending)
		r.Net.SetDown(faultnet.NotDown)
		r.Client.NetworkChanged()
		synctest.Wait()
		require.EqualValues(t, 2, LinksOf(r.Server.Conn))
		RequireRead(t, r.Server, data)
		r.Exchange(100)
		require.EqualValues(t, 2, LinksOf(r.Server.Conn))
		for _, e := range r.Server.Events.All(relink.EventRefused) {
			require.False(t, isInternal(e.Err), "%v", e.Err)
		}
		r.Finish()
	})
}

// A stubbornTransport can no longer be written, and takes its time to close.
type stubbornTransport struct {
	net.Conn
	broken atomic.Bool
}

func (s *stubbornTransport) Interruptible() bool { return true }

func (s *stubbornTransport) Write(p []byte) (int, error) {
	if s.broken.Load() {
		return 0, errors.New("broken")
	}
	return s.Conn.Write(p)
}

func (s *stubbornTransport) Close() error {
	if s.broken.Load() {
		time.Sleep(time.Second)
	}
	return s.Conn.Close()
}

// What a lost transport still brings after the server was told the client's
// counts comes again over the next one, and does not contradict the server's
// counts, which are older.
func TestLostTransportBringsMoreThanWasTold(t *testing.T) {
	ForEachSuite(t, func(t *testing.T, s Suite) {
		synctest.Test(t, func(t *testing.T) {
			n := faultnet.New()
			cfg := Setup{}
			l, err := relink.NewListener(n.Listen(), cfg.listener(s))
			require.NoError(t, err)
			var first *stubbornTransport
			d := relink.Dialer{Suite: s, Config: cfg.shared(), DialTransport: func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := n.Dial(ctx, network, address)
				if err != nil || first != nil {
					return c, err
				}
				first = &stubbornTransport{Conn: c}
				return first, nil
			}}
			client, err := d.DialConn(t.Context(), "tcp", "server")
			require.NoError(t, err)
			server, err := l.AcceptConn()
			require.NoError(t, err)

			const size = 40
			got := make(chan []byte, 1)
			go func() { // its Read of the old transport is still under way
				b := make([]byte, size+1)
				k, err := io.ReadAtLeast(client, b, size)
				if err != nil {
					t.Error(err)
				}
				got <- b[:k]
			}()
			synctest.Wait()
			n.SetOptions(faultnet.Options{Delay: 25 * time.Millisecond})
			first.broken.Store(true)
			_, err = client.Write([]byte("up"))
			require.NoError(t, err)
			// The dial takes 50 ms, the request arrives after 75 and the answer after
			// 100: the old transport brings a byte that the answer does not count.
			time.Sleep(80 * time.Millisecond)
			var want []byte
			for i := range size {
				want = append(want, byte(i))
				_, err := server.Write(want[i:])
				require.NoError(t, err)
				time.Sleep(5 * time.Millisecond)
			}
			require.Equal(t, want, <-got)
			up := make([]byte, 2)
			_, err = io.ReadFull(server, up)
			require.NoError(t, err)
			require.Equal(t, "up", string(up))
			_, _, _ = client.Abort(), server.Abort(), l.Close()
			time.Sleep(2 * time.Second) // the old transport closes
		})
	})
}

// A tardyTransport takes a second to close, and is deaf when it is told to be: what
// is to end a Read does not.
type tardyTransport struct {
	net.Conn
	deaf *atomic.Bool
}

func (tardyTransport) Interruptible() bool { return true }

func (t tardyTransport) SetReadDeadline(at time.Time) error {
	if t.deaf.Load() {
		return nil
	}
	return t.Conn.SetReadDeadline(at)
}

func (t tardyTransport) Close() error {
	time.Sleep(time.Second)
	return t.Conn.Close()
}

// A tardyListener hands out tardy transports.
type tardyListener struct {
	net.Listener
	deaf *atomic.Bool // all of them
}

func (l tardyListener) Accept() (net.Conn, error) {
	t, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return tardyTransport{t, l.deaf}, nil
}

// A holdingTransport keeps the Write that has sent its bytes until it is let go.
type holdingTransport struct {
	net.Conn
	holds atomic.Bool
	letGo chan struct{}
}

func (*holdingTransport) Interruptible() bool { return true }

func (h *holdingTransport) Write(p []byte) (int, error) {
	n, err := h.Conn.Write(p)
	if h.holds.Load() {
		<-h.letGo
	}
	return n, err
}

// The server's Read is still under way on the old transport when a resume has
// taken the session over, and only then the old one delivers: data, and in the
// same record the end of the stream, where the wire has one. The data is dropped
// because it comes again, and the end must not be taken for an end before it.
func TestLateDataBesideANewLink(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		t.Cleanup(func() { time.Sleep(2 * time.Second) }) // the transports close
		s, h, _ := hooked(s)
		deaf := new(atomic.Bool)
		first := &holdingTransport{letGo: make(chan struct{})}
		r := New(t, s, func(r *Rig, _ *relink.ListenConfig) {
			r.Wrap = func(l net.Listener) net.Listener { return tardyListener{l, deaf} }
			r.Dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := r.Net.Dial(ctx, network, address)
				if first.Conn != nil || err != nil {
					return c, err
				}
				first.Conn = c
				return first, nil
			}
		})
		r.Exchange(100)
		time.Sleep(time.Second) // the limits are known
		ends := TraitsOf(s).HalfClose

		// While a byte is being sent, the rest gathers for one record.
		first.holds.Store(true)
		one := Background(func() (int, error) { return r.Client.Write([]byte{1}) })
		RequireRead(t, r.Server, []byte{1})
		data := Data(1000)
		got := Background(func() (int, error) {
			b := make([]byte, len(data))
			n, err := io.ReadFull(r.Server, b)
			if string(b[:n]) != string(data[:n]) {
				t.Error("the stream differs")
			}
			return n, err
		})
		RequireWrite(t, r.Client, data)
		if ends {
			require.NoError(t, r.Client.CloseWrite())
		}
		old := r.Net.Last()
		old.Stall(faultnet.Up)
		first.holds.Store(false)
		close(first.letGo)
		require.NoError(t, (<-one).Err)
		synctest.Wait()
		deaf.Store(true)

		pending := func([]byte) (int64, int) { return 101, 0 } // it all has to come over the link
		h.pending.Store(&pending)
		r.Client.NetworkChanged()
		StillBlocked(t, got)
		require.EqualValues(t, 2, LinksOf(r.Server.Conn))
		deaf.Store(false)
		old.Release(faultnet.Up)
		o := <-got
		require.NoError(t, o.Err)
		require.Equal(t, len(data), o.N)
		if ends {
			n, err := r.Server.Read(make([]byte, 1))
			require.Equal(t, io.EOF, err)
			require.Zero(t, n)
		}
		RequireWrite(t, r.Server, data)
		RequireRead(t, r.Client, data)
		r.Stop()
	})
}

// A Close that takes its time, as that of a TLS connection whose path is dead, does not
// keep a Read from what has come over the new link.
func TestSupersededTransportLetsTheReadGo(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		t.Cleanup(func() { time.Sleep(2 * time.Second) }) // the transports close
		r := New(t, s, func(r *Rig, _ *relink.ListenConfig) {
			r.Wrap = func(l net.Listener) net.Listener { return tardyListener{l, new(atomic.Bool)} }
		})
		r.Exchange(100)
		got := Background(func() (int, error) { return r.Server.Read(make([]byte, 100)) })
		StillBlocked(t, got)
		began := time.Now()
		r.Net.Last().Stall(faultnet.Up) // nor does it hear that the client has left
		r.Client.NetworkChanged()
		RequireWrite(t, r.Client, Data(100))
		require.NoError(t, (<-got).Err)
		require.Less(t, time.Since(began), time.Second)
		r.Stop()
	})
}

// A Read that finds the transport read on behalf of an application that had been away
// takes that over, lest all data be copied twice from then on.
func TestReadTakesTheTransportOver(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		var interrupted *interruptCounter
		r := New(t, s, func(r *Rig, _ *relink.ListenConfig) {
			r.Dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := r.Net.Dial(ctx, network, address)
				interrupted = &interruptCounter{Conn: c}
				return interrupted, err
			}
		})
		r.Exchange(100)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		before := interrupted.n.Load()
		got := Background(func() (int, error) { return r.Client.Read(make([]byte, 100)) })
		StillBlocked(t, got)
		require.Equal(t, before+1, interrupted.n.Load())
		RequireWrite(t, r.Server, Data(100))
		require.NoError(t, (<-got).Err)
		r.Stop()
	})
}

// An interruptCounter counts how often a Read was told to come back at once.
type interruptCounter struct {
	net.Conn
	n atomic.Int64
}

func (*interruptCounter) Interruptible() bool { return true }

func (c *interruptCounter) SetReadDeadline(at time.Time) error {
	if !at.IsZero() && !at.After(time.Now()) {
		c.n.Add(1)
	}
	return c.Conn.SetReadDeadline(at)
}

// TestLostProof cuts the first transport at each byte of each message of the
// handshake of a new session. Either Dial fails, and the listener keeps nothing,
// or the client believes in the session, and then it has one, also where the
// server never got the last message.
func TestLostProof(t *testing.T) {
	ForEachSuite(t, func(t *testing.T, s Suite) {
		var length [2]int64
		for _, d := range directions {
			for off := int64(-1); off <= length[d]; off += strideOf(s) {
				for _, kind := range cutsAt(off) {
					if off < 0 && kind != faultnet.Reset {
						continue // without a cut all are alike
					}
					inIdleRig(t, s, func(sc *Rig) {
						sc.label("%v cut at byte %d of the handshake, direction %v", kind, off, d)
						n := testLostProof(sc, d, off, kind)
						if off < 0 {
							length[d] = n + 2
						}
					})
				}
			}
		}
	})
}

// testLostProof returns how long the direction of the handshake was.
func testLostProof(sc *Rig, d faultnet.Dir, off int64, kind faultnet.Kind) (length int64) {
	t := sc.T
	sc.Net.OnDial(func(i int, p *faultnet.Path) error {
		if i == 0 && off >= 0 {
			p.CutAt(d, off, kind)
		}
		return nil
	})
	c, err := sc.Dialer.DialConn(context.Background(), "tcp", "server")
	length = sc.Net.Last().Sent(d)
	if err != nil {
		require.True(t, isTyped(err), "%v", err)
		requireForgotten(sc)
		return length
	}
	sc.Client.Conn = c
	if off%2 == 0 {
		sc.Client.Send(50)
	}
	time.Sleep(time.Second)
	if kind >= faultnet.BlackHole {
		c.NetworkChanged()
	}
	sc.Server.Conn, err = sc.Listener.AcceptConn()
	require.NoError(t, err)
	require.Equal(t, c.ID(), sc.Server.ID())
	if off%2 != 0 {
		sc.Client.Send(50)
	}
	sc.Server.Receive(50)
	sc.Echo(10, time.Second)
	sc.NothingMore()
	require.Len(t, sc.Server.Events.All(relink.EventOpened), 1)
	require.LessOrEqual(t, sc.Net.Dials(), 3)
	h := HoldingsOf(sc.Listener)
	require.Equal(t, 1, h.Live)
	sc.Finish()
	return length
}

// requireForgotten requires that nothing is left of a handshake whose client
// has given up. A server that spoke last may have accepted the session; it
// expires like any other.
func requireForgotten(sc *Rig) {
	t := sc.T
	synctest.Wait()
	for range sc.Server.Events.All(relink.EventOpened) {
		c, err := sc.Listener.AcceptConn()
		require.NoError(t, err)
		require.NoError(t, c.SetReadDeadline(time.Now().Add(2*DefaultResumeTimeout)))
		_, err = c.Read(make([]byte, 1))
		require.Error(t, err)
		require.NoError(t, c.Abort())
	}
	time.Sleep(2 * DefaultHandshakeTimeout)
	require.Equal(t, Holdings{}, HoldingsOf(sc.Listener))
	require.NoError(t, sc.Listener.Close())
	requireNothingLeft(t)
}

// TestLostProofTooLate has the client come back after the server's patience: it
// learns promptly and finally that there is no such session.
func TestLostProofTooLate(t *testing.T) {
	ForEachSuite(t, func(t *testing.T, s Suite) {
		var up int64 // the length of the client's part
		InRig(t, s, Setup{}, faultnet.Options{}, func(sc *Rig) { up = sc.Net.Last().Sent(faultnet.Up) })
		inIdleRig(t, s, func(sc *Rig) {
			sc.Net.OnDial(func(i int, p *faultnet.Path) error {
				if i == 0 {
					p.CutAt(faultnet.Up, up-1, faultnet.BlackHole) // so that it hears nothing of the end either
				}
				return nil
			})
			sc.Dialer.Vigilance = relink.VigilanceOff // or it would come in time
			c, err := sc.Dialer.DialConn(context.Background(), "tcp", "server")
			if err != nil {
				return // it does not speak last, and so it knows at once
			}
			sc.Client.Conn = c
			time.Sleep(2 * DefaultHandshakeTimeout)
			c.NetworkChanged()
			begin := time.Now()
			_, err = c.Read(make([]byte, 1))
			require.ErrorIs(t, err, relink.ErrSessionLost)
			require.Less(t, time.Since(begin), time.Second)
			require.Equal(t, relink.StateClosed, c.State())
			requireForgotten(sc)
		})
	})
}

// The application reports a change of network in the moment in which an attempt
// has succeeded and is not yet the session's link: the transport is of the old
// network, and another is dialled.
func TestNetworkChangedInTheLastMoment(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		s, h, _ := hooked(s)
		r := New(t, s)
		r.Exchange(100)
		resumed, encrypted := make(chan struct{}), make(chan struct{})
		afterResume, beforeEncrypt := func() { <-resumed }, func(int) { <-encrypted }
		h.resumed.Store(&afterResume)
		h.encrypting.Store(&beforeEncrypt)
		r.Client.NetworkChanged()
		synctest.Wait()
		RequireSuspended(t, r.Client.Conn)

		// A Write that encrypts a little holds the lock. The report waits for it
		// first, and then the attempt, whose handshake is complete.
		write := Background(func() (int, error) { return r.Client.Write([]byte("x")) })
		StillBlocked(t, write) // else what is awaited below never comes
		reported := Background(func() (int, error) { r.Client.NetworkChanged(); return 0, nil })
		awaitLocked("relink.(*Conn).NetworkChanged(")
		close(resumed)
		awaitLocked("relink.(*redialer).attemptLocked(")
		close(encrypted)
		<-reported
		require.NoError(t, (<-write).Err)

		RequireRead(t, r.Server, []byte("x"))
		r.Exchange(100)
		require.Equal(t, 3, r.Net.Dials())
		require.EqualValues(t, 2, LinksOf(r.Client.Conn))
		r.Stop()
	})
}

// awaitLocked waits until a goroutine of this bubble that is in the function
// waits for a mutex. Nothing else tells, because such a wait is not durable.
func awaitLocked(function string) {
	buf := make([]byte, 1<<20)
	for {
		all := strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")
		own := bubbleName.FindStringSubmatch(all[0])
		for _, g := range all[1:] {
			m := bubbleName.FindStringSubmatch(g)
			if m != nil && m[1] == own[1] && strings.Contains(m[0], "[sync.Mutex.Lock") && strings.Contains(g, function) {
				return
			}
		}
		runtime.Gosched()
	}
}

// An answer that is lost, and a confirmation that is lost, any number of times
// in a row and in any mixture, leave both sides able to go on.
func TestLostAnswersAndConfirmations(t *testing.T) {
	for pattern := range 1 << 6 {
		t.Run(fmt.Sprintf("%06b", pattern), func(t *testing.T) {
			InAckBubble(t, func(t *testing.T, s Suite) {
				r := New(t, s)
				r.Exchange(100)
				time.Sleep(time.Second)
				first := len(r.Net.Paths())
				r.Net.OnDial(func(i int, p *faultnet.Path) error {
					switch k := i - first; {
					case k >= 6:
					case pattern>>k&1 == 0:
						p.CutAt(faultnet.Down, lengthsOf(s).resumeAnswer-1, faultnet.Reset)
					default:
						p.CutAt(faultnet.Up, lengthsOf(s).resumeRequest+10, faultnet.Reset)
					}
					return nil
				})
				r.Net.Last().Cut(faultnet.Reset)
				r.Exchange(100)
				require.Len(t, r.Net.Paths(), first+7)
				r.Finish()
			})
		})
	}
}

// Data that rides in the client's first message is taken before anything is
// confirmed, and only once.
func TestEarlyData(t *testing.T) {
	InAckBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s)
		data := Data(3000)
		time.Sleep(time.Second)           // the limits are known
		r.Net.Last().Stall(faultnet.Down) // and no acknowledgement comes
		RequireWrite(t, r.Client, data[:1000])
		RequireRead(t, r.Server, data[:1000])
		r.Suspend(faultnet.Refuse, faultnet.ResetNow)
		RequireWrite(t, r.Client, data[1000:2000])
		r.Net.OnDial(func(_ int, p *faultnet.Path) error {
			p.Stall(faultnet.Down) // the client never sees the answer
			return nil
		})
		r.Net.SetDown(faultnet.NotDown)

		RequireRead(t, r.Server, data[1000:2000])
		require.Equal(t, relink.StateSuspended, r.Server.State())
		RequireWrite(t, r.Client, data[2000:])
		r.Net.OnDial(nil)
		r.Net.Last().Cut(faultnet.ResetNow)
		RequireRead(t, r.Server, data[2000:])
		time.Sleep(10 * time.Second) // the client gives up the attempt without an answer
		r.Exchange(100)
		require.EqualValues(t, 1, r.Server.Stats().Resumes)
		r.Finish()
	})
}

// A request that somebody has recorded changes nothing: not the stream, not the
// link, not what a genuine resume needs afterwards.
func TestReplayedRequest(t *testing.T) {
	InAckBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s)
		r.Net.OnDial(func(_ int, p *faultnet.Path) error { p.Record(); return nil })
		for range 3 {
			r.Net.Last().Cut(faultnet.Reset)
			r.Exchange(1000)
			synctest.Wait() // handshakes carry data, and may not be confirmed yet
		}
		r.Net.OnDial(nil)
		for _, p := range r.Net.Paths()[1:] {
			seen := p.Bytes(faultnet.Up)
			for n := 0; n < len(seen); n += 7 {
				c, err := r.Net.Dial(context.Background(), "tcp", "server")
				require.NoError(t, err)
				_, _ = c.Write(seen[:n])
				synctest.Wait()
				require.NoError(t, c.Close())
			}
		}
		r.Exchange(1000)
		require.EqualValues(t, 3, r.Server.Stats().Resumes)
		// Cut the one that the session uses.
		r.Net.Paths()[3].Cut(faultnet.Reset)
		r.Exchange(1000)
		synctest.Wait()
		require.EqualValues(t, 4, r.Server.Stats().Resumes)
		r.Finish()
	})
}

// A request that is authentic and fresh, but not followed by a valid record,
// takes nothing over: the link that the server has stays, and so do the keys.
func TestUnprovenResumeChangesNothing(t *testing.T) {
	InAckBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s)
		r.Exchange(1000)
		// The server does not notice that its link is gone, and the request of
		// the client's first attempt falls into other hands.
		r.Net.Last().Cut(faultnet.BlackHole)
		r.Net.OnDial(func(_ int, p *faultnet.Path) error {
			p.Record()
			p.Stall(faultnet.Up)
			return nil
		})
		r.Client.NetworkChanged()
		synctest.Wait()
		r.Net.OnDial(nil)
		stolen := r.Net.Last()
		thief, err := r.Net.Dial(context.Background(), "tcp", "server")
		require.NoError(t, err)
		_, err = thief.Write(stolen.Bytes(faultnet.Up))
		require.NoError(t, err)
		_, err = io.ReadFull(thief, make([]byte, lengthsOf(s).resumeAnswer)) // more than a refusal
		require.NoError(t, err)
		_, err = thief.Write(make([]byte, 100))
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, relink.StateConnected, r.Server.State())
		require.EqualValues(t, 1, LinksOf(r.Server.Conn))

		// The client's own request comes too late now; its next attempt works.
		stolen.Release(faultnet.Up)
		r.Exchange(1000)
		require.EqualValues(t, 2, LinksOf(r.Server.Conn))
		_ = thief.Close()
		r.Finish()
	})
}

// The old transport still delivers while the client resumes: the server then
// acknowledges more than it had told the client, and more than the client has
// sent over the new one.
func TestOldTransportDeliversToRecords(t *testing.T) {
	const delay = 50 * time.Millisecond
	InAckBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s, WithPath(faultnet.Options{Delay: delay, Buffer: 1 << 20}))
		time.Sleep(time.Second) // the limits are known
		data := Data(60_000)    // all of it within what a server takes at first
		got := make(chan []byte, 1)
		go func() {
			b := make([]byte, len(data))
			_, _ = io.ReadFull(r.Server, b)
			got <- b
		}()
		old := r.Net.Last()
		old.Stall(faultnet.Up)
		RequireWrite(t, r.Client, data)
		synctest.Wait()
		r.Net.SetOptions(faultnet.Options{Delay: delay, Buffer: 1 << 10})
		r.Client.NetworkChanged()
		// The new path carries 1 KiB a delay. Once the server has answered, the
		// client's first record is on its way for a while.
		for r.Client.State() != relink.StateConnected {
			time.Sleep(delay)
		}
		require.EqualValues(t, 1, LinksOf(r.Server.Conn))
		old.Release(faultnet.Up)
		require.True(t, string(<-got) == string(data), "the stream differs")
		r.Exchange(1000)
		require.EqualValues(t, 1, r.Server.Stats().Resumes)
		r.Finish()
	})
}

// Two full buffers are sent again at once over a transport without a buffer.
func TestFullBuffersMeetUnbuffered(t *testing.T) {
	const limit = 256 << 10
	InAckBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s, WithLimit(limit), WithPath(faultnet.Options{Buffer: -1}))
		r.Suspend(faultnet.Refuse, faultnet.Reset)
		data := Data(limit)
		RequireWrite(t, r.Client, data)
		RequireWrite(t, r.Server, data)
		r.Net.SetDown(faultnet.NotDown)
		time.Sleep(10 * time.Second)
		// Both have arrived although nobody reads, as far as a server takes it then.
		require.EqualValues(t, limit-64<<10, r.Client.Stats().BytesPending)
		require.Zero(t, r.Server.Stats().BytesPending)
		RequireRead(t, r.Client, data)
		RequireRead(t, r.Server, data)
		require.EqualValues(t, 1, r.Client.Stats().Resumes)
		r.Finish()
	})
}

// All that a client has said in a resume, its proof included, is said again,
// before a byte has been exchanged that would make its counts stale. It is worth
// nothing, because the server has asked for something else this time.
func TestReplayedProof(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s)
		r.Exchange(100)
		r.Net.OnDial(func(_ int, p *faultnet.Path) error {
			p.Record()
			return nil
		})
		r.Client.NetworkChanged()
		time.Sleep(time.Second)
		require.EqualValues(t, 2, LinksOf(r.Server.Conn))
		said := r.Net.Last().Bytes(faultnet.Up)
		require.NotEmpty(t, said)

		c, err := r.Net.Dial(context.Background(), "tcp", "server")
		require.NoError(t, err)
		_, err = c.Write(said)
		require.NoError(t, err)
		synctest.Wait()
		require.EqualValues(t, 2, LinksOf(r.Server.Conn), "the session has gone to whoever has recorded it")
		require.Len(t, r.Server.Events.All(relink.EventRefused), 1)
		require.NoError(t, c.Close())
		r.Exchange(100)
		require.EqualValues(t, 2, LinksOf(r.Server.Conn))
		r.Stop()
	})
}

// randomBytes returns n bytes that are the same in every run.
func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{'r', 'e', 'l', 'i', 'n', 'k'}).Read(b) // it never fails
	return b
}

// TestStreamThroughCuts sends several times the buffer in each direction, and
// then in both at once, while transport after transport is cut: at some byte of
// either direction, and the newest one every second.
func TestStreamThroughCuts(t *testing.T) {
	for _, kind := range []faultnet.Kind{faultnet.Reset, faultnet.ResetNow, faultnet.End} {
		t.Run(kind.String(), func(t *testing.T) {
			ForEachSuite(t, func(t *testing.T, s Suite) {
				synctest.Test(t, func(t *testing.T) { testStreamThroughCuts(t, s, kind) })
			})
		})
	}
}

func testStreamThroughCuts(t *testing.T, s Suite, kind faultnet.Kind) {
	const cuts = 60
	n := faultnet.New()
	n.SetOptions(faultnet.Options{Buffer: 16 << 10})
	at := rand.New(rand.NewPCG(1, uint64(kind)))
	n.OnDial(func(i int, p *faultnet.Path) error {
		if i < cuts {
			p.CutAt(faultnet.Up, int64(1500+at.IntN(50_000)), kind)
			p.CutAt(faultnet.Down, int64(1500+at.IntN(50_000)), kind)
		}
		return nil
	})
	// The classic wires need a history of more than what is under way.
	cfg := Setup{ReplayLimit: 128 << 10}
	l, err := relink.NewListener(n.Listen(), cfg.listener(s))
	require.NoError(t, err)
	d := relink.Dialer{Suite: s, Config: cfg.shared(), DialTransport: n.Dial}
	client, err := d.DialConn(context.Background(), "tcp", "server")
	require.NoError(t, err)
	server, err := l.AcceptConn()
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-time.After(time.Second):
				n.Last().Cut(kind)
			case <-done:
				return
			}
		}
	}()

	data := randomBytes(512 << 10)
	transfer := func(from, to *relink.Conn) <-chan error {
		arrived := make(chan error, 1)
		go func() {
			_, err := from.Write(data)
			if err != nil {
				t.Error(err)
			}
		}()
		go func() {
			got := make([]byte, len(data))
			_, err := io.ReadFull(to, got)
			if err == nil && string(got) != string(data) {
				err = errors.New("the stream differs")
			}
			arrived <- err
		}()
		return arrived
	}
	require.NoError(t, <-transfer(client, server))
	require.NoError(t, <-transfer(server, client))
	up, down := transfer(client, server), transfer(server, client)
	require.NoError(t, <-up)
	require.NoError(t, <-down)
	close(done)
	for _, c := range []*relink.Conn{client, server} {
		stats := c.Stats()
		require.Equal(t, int64(2*len(data)), stats.BytesRead)
		require.Equal(t, int64(2*len(data)), stats.BytesWritten)
		require.GreaterOrEqual(t, stats.Resumes, int64(3)) // every path is cut within 50 KB
	}

	require.NoError(t, client.Close())
	_, err = server.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	require.NoError(t, server.Close())
	require.NoError(t, l.Close())
	<-client.Done()
	<-server.Done()
}

// TestResumeAgainUnread resumes again and again while nobody reads what the
// resumes before have brought.
func TestResumeAgainUnread(t *testing.T) {
	t.Parallel()
	const rounds, size = 6, 3000
	for _, kind := range losses {
		for _, o := range []faultnet.Options{{}, {Opaque: true}, {Segment: 700}} {
			t.Run(fmt.Sprintf("%v/%+v", kind, o), func(t *testing.T) {
				ForEachSuite(t, func(t *testing.T, s Suite) {
					InRig(t, s, Setup{}, o, func(sc *Rig) {
						sc.Echo(10, time.Second)
						for i := range rounds {
							sc.ReplayBoth(size, kind)
							if kind != faultnet.ResetNow {
								sc.Net.Last().Release(faultnet.Down) // the news of the cut waits behind the stall
								sc.Net.Last().Release(faultnet.Up)
							}
							if i%2 == 1 {
								sc.Client.NetworkChanged()
							}
							time.Sleep(time.Second)
							require.GreaterOrEqual(sc.T, LinksOf(sc.Server.Conn), int64(i+2))
						}
						sc.Client.Receive(rounds * size)
						sc.Server.Receive(rounds * size)
						sc.Echo(100, time.Second)
						sc.NothingMore()
					})
				})
			})
		}
	}
}

// TestResumeCutEverywhere cuts the transport of a resume at each byte that it
// carries, the request, the answer, the proof and the replay: the next attempt
// works. Every byte is cut with one kind of cut, and with all of them where
// everything is asked for.
func TestResumeCutEverywhere(t *testing.T) {
	t.Parallel()
	const size = 20
	ForEachSuite(t, func(t *testing.T, s Suite) {
		var length [2]int64
		for _, d := range directions {
			for off := int64(-1); off <= length[d]; off += strideOf(s) {
				for _, kind := range cutsAt(off) {
					InRig(t, s, Setup{}, faultnet.Options{}, func(sc *Rig) {
						sc.label("%v cut at byte %d of the resume, direction %v", kind, off, d)
						sc.Echo(10, time.Second)
						sc.Net.OnDial(func(i int, p *faultnet.Path) error {
							if i == 1 && off >= 0 {
								p.CutAt(d, off, kind)
							}
							return nil
						})
						sc.ReplayBoth(size, faultnet.ResetNow)
						time.Sleep(6 * time.Second) // an attempt into a black hole has its time limit
						resumed := sc.Net.Paths()[1]
						if off < 0 {
							length[d] = max(length[d], resumed.Sent(d)+2)
						}
						sc.Client.NetworkChanged()
						sc.Client.Receive(size)
						sc.Server.Receive(size)
						sc.Echo(10, time.Second)
						sc.NothingMore()
						// The first, the resume that is cut, the next, and the one after the
						// change of network. And one more where the server had the proof of
						// the resume that was cut, and takes the session over with it only
						// after it has answered the next, which thereby loses.
						require.LessOrEqual(t, sc.Net.Dials(), 5)
					})
				}
			}
		}
	})
}
