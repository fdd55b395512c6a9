package conntest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
	"github.com/relink-go/relink/internal/transport"
)

// Where there is room a Write returns at once, whatever its size and whatever the
// transport does with it: a peer that does not read holds nobody up.
func TestWriteWaitsForNothingButRoom(t *testing.T) {
	sizes := []int{1, 200, 1000, 1500, 20_000, 70_000, 200_000}
	if testing.Short() {
		sizes = []int{1, 1500, 200_000}
	}
	InBubble(t, func(t *testing.T, s Suite) {
		for _, o := range []faultnet.Options{{Buffer: -1}, {Buffer: 1}, {Buffer: 100}, {Buffer: 64 << 10}, {Buffer: 100, ShortWrites: true}, {Opaque: true, Buffer: 100}} {
			for _, size := range sizes {
				what := fmt.Sprintf("%d bytes over %+v", size, o)
				r := New(t, s, func(r *Rig, _ *relink.ListenConfig) { r.Net.SetOptions(o) })
				if o.Buffer < 100 {
					r.Exchange(2)
				} else {
					r.Exchange(1000)
				}
				r.Net.Last().Stall(faultnet.Up)
				data := Data(3 * size)
				sent := 0
				for sent < len(data) && r.Client.Room() >= size {
					RequireInstant(t, func() {
						n, err := r.Client.Write(data[sent : sent+size])
						require.NoError(t, err, what)
						sent += n
					})
					synctest.Wait()
				}
				require.Positive(t, sent, what)
				r.Net.Last().Release(faultnet.Up)
				RequireRead(t, r.Server, data[:sent])
				r.Stop()
				time.Sleep(time.Second) // for what an Abort still says to a transport that holds nothing
			}
		}
	})
}

// A filteringConn changes what is written to it, as crypto/tls does.
type filteringConn struct {
	*net.TCPConn
	written atomic.Int64
}

func (c *filteringConn) Write(p []byte) (int, error) {
	c.written.Add(int64(len(p))) // before the peer can have it
	return c.TCPConn.Write(p)
}

// What a type that embeds a TCP connection does in its Write is done to every byte.
func TestWrapperIsNotBypassed(t *testing.T) {
	t.Parallel()
	ForEachSuite(t, func(t *testing.T, s Suite) {
		l, err := relink.Listen("tcp", "127.0.0.1:0", s)
		require.NoError(t, err)
		defer l.Close()
		var filtering *filteringConn
		// One transport, however slow the machine is: no silence is suspected.
		d := relink.Dialer{Suite: s, Vigilance: relink.VigilanceOff, DialTransport: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			f := &filteringConn{TCPConn: c.(*net.TCPConn)}
			if filtering == nil { // a redial comes when the test is over
				filtering = f
			}
			return f, nil
		}}
		client, err := d.DialConn(t.Context(), "tcp", l.Addr().String())
		require.NoError(t, err)
		defer client.Abort()
		server, err := l.AcceptConn()
		require.NoError(t, err)
		defer server.Abort()
		before := filtering.written.Load()
		for _, n := range []int{1, 1000, 100_000} {
			data := Data(n)
			RequireWrite(t, client, data)
			RequireRead(t, server, data)
		}
		require.GreaterOrEqual(t, filtering.written.Load()-before, int64(101_001))
	})
}

// A plainWrapper counts calls of its Write, which does nothing else.
type plainWrapper struct {
	transport.Conn
	writes atomic.Int64
}

func (c *plainWrapper) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// A wrapper that leaves Write alone, and says so, is written to without waiting as
// what it wraps: a small Write calls nothing of it.
func TestWrapperThatWritesThrough(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		var wrapper *plainWrapper
		r := New(t, s, func(r *Rig, _ *relink.ListenConfig) {
			r.Dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := r.Net.Dial(ctx, network, address)
				if err != nil {
					return nil, err
				}
				wrapper = &plainWrapper{Conn: transport.Conn{Conn: transport.Conn{Conn: c}}}
				return wrapper, nil
			}
		})
		r.Exchange(100)
		synctest.Wait()
		before := wrapper.writes.Load()
		RequireWrite(t, r.Client, Data(100))
		RequireRead(t, r.Server, Data(100))
		require.Equal(t, before, wrapper.writes.Load())
		r.Stop()
	})
}

// Over real sockets a Write that the kernel does not take returns, all of it arrives
// when the peer reads, and an error of the socket suspends the session.
func TestNonblockingSockets(t *testing.T) {
	t.Parallel()
	listen := map[string]func() (net.Listener, error){
		"tcp":  func() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") },
		"unix": func() (net.Listener, error) { return net.Listen("unix", filepath.Join(t.TempDir(), "s")) },
	}
	if runtime.GOOS == "windows" {
		delete(listen, "unix") // not on every version
	}
	for network, inner := range listen {
		t.Run(network, func(t *testing.T) {
			ForEachSuite(t, func(t *testing.T, s Suite) {
				il, err := inner()
				require.NoError(t, err)
				l, err := relink.NewListener(il, relink.ListenConfig{Suites: []relink.ServerSuite{s}})
				require.NoError(t, err)
				defer l.Close()
				var transport net.Conn
				// One transport, however slow the machine is: no silence is suspected.
				d := relink.Dialer{Suite: s, Vigilance: relink.VigilanceOff, DialTransport: func(ctx context.Context, network, address string) (net.Conn, error) {
					c, err := new(net.Dialer).DialContext(ctx, network, address)
					if transport == nil { // the first: a redial may come while the test looks at it
						transport = c
					}
					return c, err
				}}
				client, err := d.DialConn(t.Context(), network, il.Addr().String())
				require.NoError(t, err)
				defer client.Abort()
				server, err := l.AcceptConn()
				require.NoError(t, err)
				defer server.Abort()
				message, sent := Data(100_000), 0
				for {
					ok, err := client.TryWrite(message)
					require.NoError(t, err)
					if !ok {
						break
					}
					sent++
				}
				got := make([]byte, len(message))
				for range sent {
					_, err := io.ReadFull(server, got)
					require.NoError(t, err)
					require.True(t, bytes.Equal(message, got))
				}
				_ = transport.Close() // a Write finds it closed
				RequireWrite(t, client, message)
				RequireRead(t, server, message)
				require.Positive(t, client.Stats().Resumes)
			})
		})
	}
}

// A meddlingTransport calls meddle once, in the middle of a WriteNonblock, and then takes
// everything.
type meddlingTransport struct {
	net.Conn
	meddle atomic.Pointer[func()]
}

func (*meddlingTransport) Interruptible() bool { return true }

func (m *meddlingTransport) WriteNonblock(p []byte) (int, error) {
	if f := m.meddle.Swap(nil); f != nil {
		(*f)()
	}
	return m.Conn.(relink.NonblockingWriter).WriteNonblock(p)
}

// What is written, closed or asked for while a short Write is in the transport is not
// forgotten when that has taken all of it.
func TestMeddlingWithAShortWrite(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		acks, half := TraitsOf(s).Acks, TraitsOf(s).HalfClose
		for what, f := range map[string]func(r *Rig) (more []byte, ends bool){
			"short Write": func(r *Rig) ([]byte, bool) { RequireWrite(r.T, r.Client, []byte("more")); return []byte("more"), false },
			"Writes": func(r *Rig) ([]byte, bool) {
				for range 5 {
					RequireWrite(r.T, r.Client, []byte("more"))
				}
				return []byte("moremoremoremoremore"), false
			},
			"long Write": func(r *Rig) ([]byte, bool) {
				RequireWrite(r.T, r.Client, Data(30_000))
				return Data(30_000), false
			},
			"TryWrite": func(r *Rig) ([]byte, bool) {
				require.True(r.T, RequireTryWrite(r.T, r.Client.Conn, []byte("more")))
				return []byte("more"), false
			},
			"Close": func(r *Rig) ([]byte, bool) { require.NoError(r.T, r.Client.Close()); return nil, true },
			"CloseWrite": func(r *Rig) ([]byte, bool) {
				if half {
					require.NoError(r.T, r.Client.CloseWrite())
				}
				return nil, half
			},
			"NetworkChanged": func(r *Rig) ([]byte, bool) { r.Client.NetworkChanged(); return nil, false },
			"an acknowledgement is asked for": func(r *Rig) ([]byte, bool) {
				if acks {
					ctx, cancel := context.WithTimeout(context.Background(), time.Nanosecond)
					defer cancel()
					_ = r.Client.Flush(ctx)
				}
				return nil, false
			},
			"a deadline": func(r *Rig) ([]byte, bool) {
				require.NoError(r.T, r.Client.SetWriteDeadline(time.Now().Add(time.Hour)))
				return nil, false
			},
		} {
			var transport *meddlingTransport
			r := New(t, s, func(r *Rig, _ *relink.ListenConfig) {
				r.Dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
					c, err := r.Net.Dial(ctx, network, address)
					if err != nil || transport != nil {
						return c, err
					}
					transport = &meddlingTransport{Conn: c}
					return transport, nil
				}
			})
			for range 3 { // until everything is ordinary
				r.Exchange(10)
				time.Sleep(time.Second)
				r.Exchange(10)
			}
			var more []byte
			var ends bool
			meddle := func() { more, ends = f(r) }
			transport.meddle.Store(&meddle)
			RequireWrite(t, r.Client, []byte("first"))
			require.Nil(t, transport.meddle.Load(), "%s: the Write did not hand its bytes over itself", what)
			require.NoError(t, r.Server.SetReadDeadline(time.Now().Add(time.Minute))) // a byte that is lost is not waited for
			RequireRead(t, r.Server, append([]byte("first"), more...))
			require.NoError(t, r.Server.SetReadDeadline(time.Time{}))
			if ends {
				RequireEOF(t, r.Server)
			} else {
				r.Exchange(1000)
			}
			r.Stop()
			time.Sleep(time.Second)
		}
	})
}

// A session that is aborted while a Write is in the transport tells its peer all the same,
// behind what the transport takes.
func TestAbortInTheMiddleOfAWrite(t *testing.T) {
	InAckBubble(t, func(t *testing.T, s Suite) {
		for _, size := range []int{5, 5000} {
			var transport *meddlingTransport
			r := New(t, s, func(r *Rig, _ *relink.ListenConfig) {
				r.Dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
					c, err := r.Net.Dial(ctx, network, address)
					transport = &meddlingTransport{Conn: c}
					return transport, err
				}
			})
			r.Exchange(10)
			synctest.Wait()
			abort := func() { require.NoError(t, r.Client.Abort()) }
			transport.meddle.Store(&abort)
			data := Data(size)
			_, _ = r.Client.Write(data)
			require.Nil(t, transport.meddle.Load())
			RequireRead(t, r.Server, data)
			RequireInstant(t, func() {
				_, err := r.Server.Read(make([]byte, 1))
				require.ErrorIs(t, err, relink.ErrSessionLost)
				<-r.Server.Done()
			})
			r.Stop()
			time.Sleep(time.Second)
		}
	})
}

// Records are sealed without the session's lock, so that anything can happen
// meanwhile: afterwards the transport may be gone, or the session.

// A Write whose records the transport does not take when they are sealed returns, and
// leaves them to the library. Its deadline has nothing to do with it.
func TestTransportFullAfterSealing(t *testing.T) {
	InAckBubble(t, func(t *testing.T, s Suite) {
		s, h, _ := hooked(s)
		r := New(t, s, WithPath(faultnet.Options{Buffer: 1000}))
		r.Net.Last().Stall(faultnet.Up)
		synctest.Wait() // until nobody is sending any more for the handshake
		release := h.holdSeal()
		write := Background(func() (int, error) { return r.Client.Write(Data(10_000)) })
		StillBlocked(t, write)
		require.NoError(t, r.Client.SetWriteDeadline(time.Now().Add(time.Second)))
		time.Sleep(2 * time.Second)
		RequireInstant(t, func() {
			release()
			o := <-write
			require.NoError(t, o.Err)
			require.Equal(t, 10_000, o.N)
		})
		r.Net.Last().Release(faultnet.Up)
		RequireRead(t, r.Server, Data(10_000))
		r.Stop()
	})
}

// A link that is lost while its records are being sealed has taken none of them.
func TestLossWhileSealing(t *testing.T) {
	InAckBubble(t, func(t *testing.T, s Suite) {
		for what, lose := range map[string]func(r *Rig){
			"cut":             func(r *Rig) { r.Net.Last().Cut(faultnet.Reset) },
			"network changed": func(r *Rig) { r.Client.NetworkChanged() },
			"cut twice": func(r *Rig) {
				r.Net.Last().Cut(faultnet.Reset)
				time.Sleep(time.Second)
				r.Net.Last().Cut(faultnet.End)
			},
		} {
			whileSealing(t, s, what, func(r *Rig, data []byte, release func(), write <-chan Outcome) {
				lose(r)
				time.Sleep(time.Second)
				require.Positive(t, r.Client.Stats().Resumes)
				release()
				o := <-write
				require.NoError(t, o.Err)
				require.Equal(t, len(data), o.N)
				RequireRead(t, r.Server, data)
				r.Exchange(1000)
				r.Finish()
			})
		}
	})
}

// An end that comes while records are being sealed comes behind them.
func TestEndWhileSealing(t *testing.T) {
	InAckBubble(t, func(t *testing.T, s Suite) {
		for what, end := range map[string]func(c *relink.Conn) error{
			"close":       (*relink.Conn).Close,
			"close write": (*relink.Conn).CloseWrite,
		} {
			whileSealing(t, s, what, func(r *Rig, data []byte, release func(), write <-chan Outcome) {
				require.NoError(t, end(r.Client.Conn))
				release()
				require.NoError(t, (<-write).Err)
				RequireRead(t, r.Server, data)
				RequireEOF(t, r.Server)
				r.Stop()
			})
		}
	})
}

// After a session has been aborted nothing is left of what was being sealed.
func TestAbortWhileSealing(t *testing.T) {
	InAckBubble(t, func(t *testing.T, s Suite) {
		for what, abort := range map[string]func(r *Rig) error{
			"by this side": func(r *Rig) error { return r.Client.Abort() },
			"by the peer":  func(r *Rig) error { return r.Server.Abort() },
		} {
			whileSealing(t, s, what, func(r *Rig, _ []byte, release func(), write <-chan Outcome) {
				require.NoError(t, abort(r))
				time.Sleep(time.Second)
				require.Equal(t, relink.StateClosed, r.Client.State())
				release()
				require.NoError(t, (<-write).Err) // it was in the buffer before
				synctest.Wait()
				require.Zero(t, r.Client.Stats().Memory)
				r.Stop()
			})
		}
	})
}

// whileSealing runs f while a Write of the client, of each of several lengths,
// seals its records. release lets it go on.
func whileSealing(t *testing.T, s Suite, what string, f func(r *Rig, data []byte, release func(), write <-chan Outcome)) {
	t.Helper()
	for _, n := range []int{1, 1000, 10_000, 100_000} {
		what := fmt.Sprintf("%s, %d bytes", what, n)
		s, h, _ := hooked(s)
		r := New(t, s)
		synctest.Wait() // until nobody is sending any more for the handshake
		release := h.holdSeal()
		data := Data(n)
		write := Background(func() (int, error) { return r.Client.Write(data) })
		synctest.Wait()
		require.EqualValues(t, n, r.Client.Stats().BytesWritten, what)
		t.Log(what)
		f(r, data, release, write)
	}
}

// A request and its answer, in sizes on both sides of every bound of the
// fast path, over transports that take and bring less than they are given.
func TestRequestsAndAnswers(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		for _, o := range []faultnet.Options{{}, {ShortWrites: true}, {Segment: 7}, {Buffer: -1}, {Opaque: true}} {
			r := New(t, s, WithPath(o))
			go func() { _, _ = io.Copy(r.Server.Conn, r.Server.Conn) }()
			data := Data(10 << 10)
			for n := 1; n <= 6<<10; n += 1 + n/5 {
				request, answer := data[n/3:n/3+n], make([]byte, n)
				write := Background(func() (int, error) { return r.Client.Write(request) })
				_, err := io.ReadFull(r.Client, answer)
				require.NoError(t, err)
				require.NoError(t, (<-write).Err)
				require.Equal(t, request, answer)
			}
			r.Stop()
			time.Sleep(time.Second) // for what an Abort still says to a transport that holds nothing
		}
	})
}

// A short Write waits for a long one that is being enciphered, with nobody
// sending meanwhile.
func TestShortWriteBehindLongOne(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		s, h, _ := hooked(s)
		r := New(t, s)
		r.Exchange(10)
		release := h.holdEncrypt()
		data := Data(10_010)
		long := Background(func() (int, error) { return r.Client.Write(data[:10_000]) })
		StillBlocked(t, long)
		_, err := r.Server.Write([]byte("y")) // the Read of it begins a new request
		require.NoError(t, err)
		_, err = r.Client.Read(make([]byte, 1))
		require.NoError(t, err)
		short := Background(func() (int, error) { return r.Client.Write(data[10_000:]) })
		StillBlocked(t, short)
		release()
		require.NoError(t, (<-long).Err)
		require.NoError(t, (<-short).Err)
		got := make([]byte, len(data))
		_, err = io.ReadFull(r.Server, got)
		require.NoError(t, err)
		require.Equal(t, data, got)
		r.Stop()
	})
}

// A short Write waits for a long one that is being enciphered, beside a third
// that is being sent.
func TestShortWriteBehindLongOneBesideSender(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		s, h, _ := hooked(s)
		r := New(t, s, WithPath(faultnet.Options{Buffer: 100}))
		r.Net.Last().Stall(faultnet.Up)
		synctest.Wait() // until nobody is sending any more for the handshake
		data := Data(10_500)
		RequireWrite(t, r.Client, data[:400])
		synctest.Wait() // the library's goroutine is in the transport
		release := h.holdEncrypt()
		long := Background(func() (int, error) { return r.Client.Write(data[400:10_400]) })
		StillBlocked(t, long)
		short := Background(func() (int, error) { return r.Client.Write(data[10_400:]) })
		StillBlocked(t, short)
		release()
		require.NoError(t, (<-long).Err)
		require.NoError(t, (<-short).Err)
		r.Net.Last().Release(faultnet.Up)
		got := make([]byte, len(data))
		_, err := io.ReadFull(r.Server, got)
		require.NoError(t, err)
		require.Equal(t, data, got)
		r.Stop()
	})
}

// Short Writes beside one that is being sent go on until there is no room, and
// then wait for it, their deadline or the end.
func TestShortWritesBesideSenderUntilFull(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s, Unsuspecting, WithPath(faultnet.Options{Buffer: 100}), WithBoth(func(c *relink.Config) { c.ReplayLimit = 64 << 10 }))
		r.Net.Last().Stall(faultnet.Up)
		synctest.Wait() // until nobody is sending any more for the handshake
		data := Data(100 << 10)
		RequireWrite(t, r.Client, data[:400])
		synctest.Wait() // the library's goroutine is in the transport
		next := 400
		var last <-chan Outcome
		for size := 1; last == nil; size = (size+37)%1000 + 1 { // all of them short
			p := data[next : next+size]
			w := Background(func() (int, error) { return r.Client.Write(p) })
			synctest.Wait()
			select {
			case o := <-w:
				require.NoError(t, o.Err)
				require.Equal(t, size, o.N)
				next += size
			default:
				last = w
			}
		}
		until := time.Now().Add(time.Second)
		require.NoError(t, r.Client.SetWriteDeadline(until))
		o := <-last
		require.ErrorIs(t, o.Err, os.ErrDeadlineExceeded)
		require.Equal(t, until, o.At)
		next += o.N // a part of it
		_, err := r.Client.Write(data[next : next+1])
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.NoError(t, r.Client.SetWriteDeadline(time.Time{}))
		r.Net.Last().Release(faultnet.Up)

		got := make([]byte, next)
		_, err = io.ReadFull(r.Server, got)
		require.NoError(t, err)
		require.Equal(t, data[:next], got)
		r.Stop()
	})
}

// No Write is taken once Close was called, while what went before it is still
// being delivered, and once CloseWrite was.
func TestShortWriteAfterClose(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s)
		r.Exchange(10) // the ordinary case until now
		if err := r.Client.CloseWrite(); err == nil {
			_, err = r.Client.Write([]byte("x"))
			require.ErrorIs(t, err, net.ErrClosed)
		}
		for _, c := range r.Ends() {
			require.NoError(t, c.Close())
			for range 2 {
				_, err := c.Write([]byte("x"))
				require.ErrorIs(t, err, net.ErrClosed)
				_, err = c.Read(make([]byte, 1))
				require.ErrorIs(t, err, net.ErrClosed)
				synctest.Wait() // nobody is sending any more, and a classic link is still there
			}
		}
		r.Stop()
	})
}

// TryWrite takes messages as long as there is room for all of one, at once, connected
// to a peer that does not read and suspended, and what it took arrives. Where it takes
// one and where it does not is what Room says.
func TestTryWriteUntilFull(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		for _, size := range []int{1, 100, 1000, 5000, 40_000} {
			for _, suspended := range []bool{false, true} {
				limit := 256 << 10
				if size == 1 { // which takes long to fill much
					limit = relink.MinReplayLimit
				}
				r := New(t, s, WithPath(faultnet.Options{Buffer: 1000}), WithLimit(limit))
				if suspended {
					r.Suspend(faultnet.Refuse, faultnet.Reset)
				} else {
					r.Net.Last().Stall(faultnet.Up)
				}
				message := Data(size)
				taken, refused := 0, 0
				for refused < 3 {
					room := r.Client.Room()
					ok := RequireTryWrite(t, r.Client.Conn, message)
					require.Equal(t, room >= size, ok)
					if ok {
						taken++
					} else {
						refused++
					}
					synctest.Wait()
				}
				require.Positive(t, taken)
				require.EqualValues(t, taken*size, r.Client.Stats().BytesWritten)
				if suspended {
					r.Net.SetDown(faultnet.NotDown)
				} else {
					r.Net.Last().Release(faultnet.Up)
				}
				RequireRead(t, r.Server, bytes.Repeat(message, taken))
				time.Sleep(time.Second)
				require.True(t, RequireTryWrite(t, r.Client.Conn, message)) // there is room again
				RequireRead(t, r.Server, message)
				r.Exchange(1000)
				r.Stop()
			}
		}
	})
}

// What TryWrite says does not depend on how the transport takes it.
func TestTryWriteOverTransports(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		for _, o := range []faultnet.Options{{}, {ShortWrites: true}, {Segment: 7}, {Buffer: -1}, {Opaque: true}} {
			r := New(t, s, WithPath(o))
			for n := 1; n < 10_000; n = n*3 + 1 {
				require.True(t, RequireTryWrite(t, r.Client.Conn, Data(n)))
				RequireRead(t, r.Server, Data(n))
			}
			r.Stop()
			time.Sleep(time.Second) // for what an Abort still says to a transport that holds nothing
		}
	})
}

func TestTryWriteErrors(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s)
		ok, err := r.Client.TryWrite(nil)
		require.NoError(t, err)
		require.True(t, ok)

		ok, err = r.Client.TryWrite(make([]byte, DefaultReplayLimit+1))
		require.ErrorContains(t, err, "ReplayLimit")
		require.False(t, ok)

		require.NoError(t, r.Client.SetWriteDeadline(time.Now()))
		ok, err = r.Client.TryWrite([]byte("x"))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.False(t, ok)
		require.Zero(t, r.Client.Room())
		require.NoError(t, r.Client.SetWriteDeadline(time.Time{}))
		require.Positive(t, r.Client.Room())
		r.Exchange(100)

		require.NoError(t, r.Client.Close())
		ok, err = r.Client.TryWrite([]byte("x"))
		require.ErrorIs(t, err, net.ErrClosed)
		require.False(t, ok)
		require.Zero(t, r.Client.Room())
		r.Stop()
	})
}

// While TryWrite encrypts, anything can happen: what it then says is true.
func TestTryWriteWhileEncrypting(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		for what, f := range map[string]func(r *Rig) (arrives bool){
			"close": func(r *Rig) bool { require.NoError(r.T, r.Client.Close()); return true },
			"abort": func(r *Rig) bool { require.NoError(r.T, r.Client.Abort()); return false },
			"cut":   func(r *Rig) bool { r.Net.Last().Cut(faultnet.Reset); time.Sleep(time.Second); return true },
			"full": func(r *Rig) bool { // a new link has nothing of what was handed to the old one
				r.Net.SetDown(faultnet.Refuse)
				r.Net.Last().Cut(faultnet.Reset)
				time.Sleep(time.Second)
				r.Net.SetDown(faultnet.NotDown)
				time.Sleep(10 * time.Second)
				return true
			},
		} {
			s, h, _ := hooked(s)
			r := New(t, s)
			data := Data(20_000)
			release := h.holdEncrypt()
			type answer struct {
				ok  bool
				err error
			}
			answers := make(chan answer)
			go func() {
				ok, err := r.Client.TryWrite(data)
				answers <- answer{ok, err}
			}()
			synctest.Wait()
			arrives := f(r)
			release()
			a := <-answers
			require.Equal(t, arrives, a.ok, what)
			require.Equal(t, arrives, a.err == nil, what)
			if arrives {
				RequireRead(t, r.Server, data)
			}
			r.Stop()
		}
	})
}
