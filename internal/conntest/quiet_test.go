package conntest

import (
	"io"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// halfOpen are the transports on which a half-open link is different.
var halfOpen = []struct {
	name string
	opts faultnet.Options
}{
	{"buffered", faultnet.Options{Buffer: 8 << 10}},
	{"unbuffered", faultnet.Options{Buffer: -1}},
	{"opaque", faultnet.Options{Buffer: 8 << 10, Opaque: true}},
	{"slow", faultnet.Options{Buffer: 8 << 10, Delay: 40 * time.Millisecond}},
}

// TestHalfOpenServer takes a session over while the server still believes in
// the old transport, on which its Read, and in one variant its Write too, is
// blocked.
func TestHalfOpenServer(t *testing.T) {
	t.Parallel()
	for _, kind := range holes {
		for _, o := range halfOpen {
			for _, writing := range []bool{false, true} {
				name := kind.String() + "/" + o.name
				if writing {
					name += "/writing"
				}
				t.Run(name, func(t *testing.T) {
					ForEachSuite(t, func(t *testing.T, s Suite) {
						InRig(t, s, Setup{}, o.opts, func(sc *Rig) { testHalfOpen(sc, kind, writing) })
					})
				})
			}
		}
	}
}

func testHalfOpen(sc *Rig, kind faultnet.Kind, writing bool) {
	t := sc.T
	sc.Echo(100, time.Second)
	const big = 20 << 10 // more than the path holds
	old := sc.Net.Last()
	read := sc.Server.reading(100)
	var wrote <-chan struct{}
	synctest.Wait()
	old.Cut(kind)
	if writing {
		wrote = sc.Server.writing(big)
	}
	synctest.Wait()

	sc.Client.NetworkChanged()
	begin := time.Now()
	sc.Client.Send(100)
	<-read
	if writing {
		sc.Client.Receive(big)
		<-wrote
	}
	sc.Echo(100, time.Second)
	require.Less(t, time.Since(begin), time.Second)
	require.Equal(t, int64(2), LinksOf(sc.Server.Conn))

	// What the old transport says later is nobody's business.
	for _, late := range losses {
		old.Cut(late)
		sc.Echo(100, time.Second)
	}
	sc.NothingMore()
	require.Equal(t, relink.StateConnected, sc.Server.State())
	if kind != faultnet.BlackHoleDown { // which lets the end of the client's old transport through
		require.Empty(t, sc.Server.Events.All(relink.EventSuspended))
	}
	require.Len(t, sc.Server.Events.All(relink.EventResumed), 1)
	require.Len(t, sc.Client.Events.All(relink.EventResumed), 1)
}

// TestHalfOpenServerTCP is TestHalfOpenServer with real sockets.
func TestHalfOpenServerTCP(t *testing.T) {
	ForEachSuite(t, func(t *testing.T, s Suite) {
		t.Parallel()
		sc, relay := relayed(t, s)
		sc.Echo(1000, 10*time.Second)
		read := sc.Server.reading(1000)
		relay.Cut(faultnet.BlackHole)
		sc.Client.NetworkChanged()
		sc.Client.Send(1000)
		<-read
		sc.Echo(1000, 10*time.Second)
		require.Equal(t, int64(2), LinksOf(sc.Server.Conn))
	})
}

// TestOldTransportDelivers lets the old transport deliver what was under way on
// it after the client has sent the same bytes again over the new one.
func TestOldTransportDelivers(t *testing.T) {
	ForEachSuite(t, func(t *testing.T, s Suite) {
		for _, o := range halfOpen {
			if o.opts.Buffer < 0 {
				continue // nothing is ever under way on it
			}
			t.Run(o.name, func(t *testing.T) {
				InRig(t, s, Setup{}, o.opts, func(sc *Rig) {
					sc.Echo(100, time.Second)
					old := sc.Net.Last()
					old.Stall(faultnet.Up)
					old.Stall(faultnet.Down)
					sc.Client.Send(5000)
					sc.Server.Send(5000)
					synctest.Wait()
					sc.Client.NetworkChanged()
					time.Sleep(time.Second)
					require.Equal(t, int64(2), LinksOf(sc.Server.Conn))
					old.Release(faultnet.Up)
					old.Release(faultnet.Down)
					sc.Server.Receive(5000)
					sc.Client.Receive(5000)
					sc.Echo(100, time.Second)
					sc.NothingMore()
					require.Equal(t, int64(2), LinksOf(sc.Server.Conn))
				})
			})
		}
	})
}

// TestOldTransportDeliversDuringResume lets the server read k bytes from the
// old transport after it has told the client what it has, and before the client
// has gone on: those bytes come again and are skipped.
func TestOldTransportDeliversDuringResume(t *testing.T) {
	const total = 40
	ForEachSuite(t, func(t *testing.T, s Suite) {
		for k := 0; k <= total; k += int(strideOf(s)) {
			InRig(t, s, Setup{}, faultnet.Options{}, func(sc *Rig) {
				sc.label("k = %d", k)
				sc.Echo(10, time.Second)
				old := sc.Net.Last()
				old.Stall(faultnet.Up)
				sc.Client.Send(total)
				synctest.Wait()
				sc.Net.OnDial(func(_ int, p *faultnet.Path) error {
					p.Stall(faultnet.Down) // keeps the answer from the client
					return nil
				})
				sc.Client.NetworkChanged()
				synctest.Wait()
				require.NotSame(t, old, sc.Net.Last())
				old.Release(faultnet.Up)
				if k > 0 && LinksOf(sc.Server.Conn) == 1 {
					sc.Server.Receive(k)
				}
				synctest.Wait()
				sc.Net.Last().Release(faultnet.Down)
				sc.Server.Receive(total - int(sc.Server.got-10))
				sc.Echo(10, time.Second)
				sc.NothingMore()
				require.Equal(t, int64(2), LinksOf(sc.Server.Conn))
			})
		}
	})
}

// After a large transfer a session that waits holds no more than a small one:
// neither the replay buffer, where the peer acknowledges, nor what long records
// came through, whether the application waits in Read or is away.
func TestIdleAfterMuch(t *testing.T) {
	const sessions, each = 40, 300_000
	heap := func() int64 {
		runtime.GC()
		runtime.GC() // what pools hold goes with the second
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	for name, waits := range map[string]bool{"in Read": true, "away": false} {
		t.Run(name, func(t *testing.T) {
			before := heap()
			var ends []*relink.Conn
			for range sessions {
				client, server, l := Pair(t, Noise, TransportKinds[0], Setup{})
				defer func() {
					_, _ = client.Abort(), server.Abort()
					_ = l.Close()
				}()
				RequireExchange(t, client, server, each)
				for _, c := range []*relink.Conn{client, server} {
					ends = append(ends, c)
					if waits {
						go func() { _, _ = c.Read(make([]byte, 1)) }()
					}
				}
			}
			var held int64
			require.Eventually(t, func() bool {
				held = (heap() - before) / int64(len(ends))
				return held < 16<<10
			}, 20*time.Second, 50*time.Millisecond, "too much for each end")
			t.Logf("%d bytes for each end", held)
			for _, c := range ends {
				require.Zero(t, c.Stats().Resumes)
			}
		})
	}
}

// A request and its answer, and a message of the size that gathers, allocate
// nothing once the replay buffer is as large as it gets. The count is of the
// whole process, so a few for timers and goroutines are let pass.
func TestReadAndWriteDoNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("under the race detector sync.Pool drops what it is given at random")
	}
	const size = 512
	ForEachSuite(t, func(t *testing.T, s Suite) {
		if s == Records {
			t.Skip("the codec of the tests' own suite is written to be read, and allocates")
		}
		client, server, l := Pair(t, s, TransportKinds[0], Setup{ReplayLimit: 64 << 10})
		defer func() {
			_, _ = client.Abort(), server.Abort()
			_ = l.Close()
		}()
		go func() {
			b := make([]byte, size)
			for {
				if _, err := io.ReadFull(server, b); err != nil {
					return
				}
				if _, err := server.Write(b); err != nil {
					return
				}
			}
		}()
		b := make([]byte, size)
		exchange := func() {
			_, err := client.Write(b)
			require.NoError(t, err)
			_, err = io.ReadFull(client, b)
			require.NoError(t, err)
		}
		for range 1000 {
			exchange()
		}
		require.Less(t, testing.AllocsPerRun(2000, exchange), 0.5)
	})
}

// TestQuietClient loses the link under a client whose application has written
// its last and does not come back: what it has written arrives all the same.
func TestQuietClient(t *testing.T) {
	for _, o := range []faultnet.Options{{}, {Opaque: true}} {
		for _, kind := range append(append([]faultnet.Kind(nil), losses...), holes...) {
			t.Run(kind.String(), func(t *testing.T) {
				ForEachSuite(t, func(t *testing.T, s Suite) {
					if kind >= faultnet.BlackHole && !TraitsOf(s).Pings {
						t.Skip("without pings only the kernel finds a silent transport dead, and in memory there is none")
					}
					InRig(t, s, Setup{}, o, func(sc *Rig) {
						sc.label("%+v", o)
						sc.Echo(10, time.Second)
						p := sc.Net.Last()
						p.Stall(faultnet.Up)
						sc.Client.Send(500)
						p.Cut(kind)
						require.NoError(t, sc.Server.SetReadDeadline(time.Now().Add(3*DefaultLivenessTimeout)))
						sc.Server.Receive(500)
						require.NoError(t, sc.Server.SetReadDeadline(time.Time{}))
						sc.Echo(10, time.Second)
						sc.NothingMore()
					})
				})
			})
		}
	}
}

// TestQuietClientNeverRead is TestQuietClient with an application that has
// written once and never read, and whose link is lost much later.
func TestQuietClientNeverRead(t *testing.T) {
	ForEachSuite(t, func(t *testing.T, s Suite) {
		for _, kind := range losses {
			InRig(t, s, Setup{}, faultnet.Options{}, func(sc *Rig) {
				sc.label("%v", kind)
				p := sc.Net.Last()
				p.Stall(faultnet.Up)
				sc.Client.Send(500)
				time.Sleep(10 * time.Second) // less than the liveness time-out
				p.Cut(kind)
				time.Sleep(5 * time.Second)
				require.Len(t, sc.Server.Events.All(relink.EventResumed), 1)
				sc.Server.Receive(500)
				sc.Echo(10, time.Second)
			})
		}
	})
}

// TestQuietServer lets the server's application go quiet: the client brings its
// data in.
func TestQuietServer(t *testing.T) {
	ForEachSuite(t, func(t *testing.T, s Suite) {
		for _, kind := range losses {
			InRig(t, s, Setup{}, faultnet.Options{}, func(sc *Rig) {
				sc.label("%v", kind)
				sc.Echo(10, time.Second)
				p := sc.Net.Last()
				p.Stall(faultnet.Down)
				sc.Server.Send(500)
				p.Cut(kind)
				p.Release(faultnet.Up)
				if kind != faultnet.ResetNow {
					p.Release(faultnet.Down)
				}
				read := sc.Client.reading(500)
				time.Sleep(5 * time.Second)
				<-read
				sc.Echo(10, time.Second)
				sc.NothingMore()
			})
		}
	})
}

// TestPausedReader pauses reading on both sides for longer than every time-out,
// with more under way than there is room for: nobody takes the other for dead,
// and nothing is lost. With the kernel's probes of a closed window
// TestPausedPeerIsNotDead does the same.
func TestPausedReader(t *testing.T) {
	t.Parallel()
	const size = 400 << 10
	for _, o := range []faultnet.Options{{}, {Buffer: -1}, {Opaque: true}} {
		ForEachSuite(t, func(t *testing.T, s Suite) {
			InRig(t, s, Setup{ReplayLimit: 64 << 10}, o, func(sc *Rig) {
				sc.label("%+v", o)
				sc.Echo(10, time.Second)
				up, down := sc.Client.writing(size), sc.Server.writing(size)
				time.Sleep(3*DefaultLivenessTimeout + DefaultResumeTimeout)
				for _, e := range []*Side{sc.Client, sc.Server} {
					require.Equal(t, int64(1), LinksOf(e.Conn))
					require.Equal(t, relink.StateConnected, e.State())
				}
				done := sc.Client.reading(size)
				sc.Server.Receive(size)
				<-done
				<-up
				<-down
				sc.Echo(10, time.Second)
				sc.NothingMore()
				require.Empty(t, sc.Client.Events.All(relink.EventSuspended))
				require.Empty(t, sc.Server.Events.All(relink.EventSuspended))
			})
		})
	}
}

// A Read that waits for a library's goroutine to read for it goes on over the
// next transport.
func TestReadOfOpaqueTransportResumes(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s, WithPath(faultnet.Options{Opaque: true}))
		read := Background(func() (int, error) { return io.ReadFull(r.Client, make([]byte, 3)) })
		StillBlocked(t, read)
		r.Net.Last().Cut(faultnet.Reset)
		time.Sleep(time.Second)
		_, err := r.Server.Write([]byte("abc"))
		require.NoError(t, err)
		require.NoError(t, (<-read).Err)
		r.Stop()
	})
}

// A Read takes the receiver role from the standby; if its deadline passes just
// then, the standby comes back, so that a lost link is noticed.
func TestStandbyReturnsAfterReadTimedOut(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s)
		for range 20 { // the moment is not always met
			time.Sleep(time.Second) // brings the standby
			require.NoError(t, r.Client.SetReadDeadline(time.Now().Add(time.Hour)))
			go func() { _, _ = r.Client.Read(make([]byte, 1)) }()
			go func() { _ = r.Client.SetReadDeadline(time.Now()) }()
			time.Sleep(time.Second)
			dials := r.Net.Dials()
			r.Net.Last().Cut(faultnet.Reset)
			time.Sleep(time.Second)
			require.Greater(t, r.Net.Dials(), dials, "nobody has noticed the loss")
		}
		r.Stop()
	})
}

// A Write that waits for acknowledgements has them read when the application's
// only Read leaves.
func TestWriteGoesOnAfterReadLeft(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		const size = 1 << 20
		r := New(t, s, WithBoth(func(c *relink.Config) { c.ReplayLimit = 64 << 10 }))
		read := Background(func() (int, error) { return r.Client.Read(make([]byte, 1)) })
		StillBlocked(t, read)
		write := Background(func() (int, error) { return r.Client.Write(make([]byte, size)) })
		StillBlocked(t, write)
		_, err := r.Server.Write([]byte("x"))
		require.NoError(t, err)
		require.NoError(t, (<-read).Err)
		start := time.Now()
		_, err = io.ReadFull(r.Server, make([]byte, size))
		require.NoError(t, err)
		require.NoError(t, (<-write).Err)
		require.Less(t, time.Since(start), time.Second)
		r.Stop()
	})
}

// A client whose links die as soon as they live, and bring nothing forward,
// pauses between them as it does between failed attempts.
func TestUselessLinksAreNotRedialledInALoop(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s, WithPath(faultnet.Options{Delay: time.Millisecond}))
		r.Net.OnDial(func(_ int, p *faultnet.Path) error {
			time.AfterFunc(10*time.Millisecond, func() { p.Cut(faultnet.Reset) })
			return nil
		})
		before := r.Net.Dials()
		r.Client.NetworkChanged()
		require.NoError(t, r.Client.SetReadDeadline(time.Now().Add(30*time.Second)))
		_, err := r.Client.Read(make([]byte, 1))
		requireTimeout(t, err)
		require.Less(t, r.Net.Dials()-before, 200)
		require.Positive(t, r.Client.Stats().Resumes)
		r.Net.OnDial(nil)
		require.NoError(t, r.Client.SetReadDeadline(time.Time{}))
		time.Sleep(10 * time.Second)
		r.Exchange(100)
		r.Stop()
	})
}

// The last Read ends after Close, while it decrypts: somebody must go on reading
// for as long as the session lingers, or the transport is closed over what the
// peer still sends, which destroys what is under way to it.
func TestCloseWhileReadDecrypts(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		if !IsClassic(s) {
			return // its records are opened elsewhere
		}
		s, _, h := hooked(s)
		r := New(t, s, WithPath(faultnet.Options{Buffer: 16 << 10}))
		r.Exchange(100)
		RequireWrite(t, r.Client, Data(4<<10))
		synctest.Wait() // it goes out in two pieces, and one Read is to have them
		release := h.holdDecrypt()
		read := Background(func() (int, error) { return r.Server.Read(make([]byte, 8<<10)) })
		StillBlocked(t, read)
		r.Net.Last().Stall(faultnet.Down) // so that the client does not hear of the end
		require.NoError(t, r.Server.Close())
		synctest.Wait()
		release()
		require.Positive(t, (<-read).N)
		start := time.Now()
		RequireWrite(t, r.Client, Data(500<<10))
		require.Less(t, time.Since(start), time.Second)
		r.Stop()
	})
}

// A Read ends with data of a link that was replaced meanwhile by one whose Reads
// cannot be interrupted: a standby reads that.
func TestOpaqueLinkWhileReadDecrypts(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		if !IsClassic(s) {
			return
		}
		s, h, _ := hooked(s)
		r := New(t, s)
		r.Exchange(100)
		r.Net.SetOptions(faultnet.Options{Opaque: true})
		RequireWrite(t, r.Client, []byte("x"))
		_, err := io.ReadFull(r.Server, make([]byte, 1))
		require.NoError(t, err)
		data := Data(4<<10 + 100)
		release := h.holdDecrypt()
		RequireWrite(t, r.Server, data[:4<<10])
		synctest.Wait()
		got := make([]byte, len(data))
		read := Background(func() (int, error) { return r.Client.Read(got) })
		StillBlocked(t, read)
		r.Client.NetworkChanged()
		synctest.Wait()
		require.Equal(t, relink.StateConnected, r.Client.State())
		release()
		o := <-read
		require.NoError(t, o.Err)
		RequireWrite(t, r.Server, data[4<<10:])
		rest := Background(func() (int, error) { return io.ReadFull(r.Client, got[o.N:]) })
		synctest.Wait()
		select {
		case o := <-rest:
			require.NoError(t, o.Err)
		default:
			require.Fail(t, "nobody reads the new transport")
		}
		require.Equal(t, data, got)
		r.Stop()
	})
}
