package relink_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
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
	inBubble(t, func(t *testing.T, s testSuite) {
		for _, o := range []faultnet.Options{{Buffer: -1}, {Buffer: 1}, {Buffer: 100}, {Buffer: 64 << 10}, {Buffer: 100, ShortWrites: true}, {Opaque: true, Buffer: 100}} {
			for _, size := range []int{1, 200, 1000, 1500, 20_000, 70_000, 200_000} {
				what := fmt.Sprintf("%d bytes over %+v", size, o)
				r := newRig(t, s, func(r *rig, _ *relink.ListenConfig) { r.net.SetOptions(o) })
				if o.Buffer < 100 {
					r.exchange(2)
				} else {
					r.exchange(1000)
				}
				r.net.Last().Stall(faultnet.Up)
				data := rigData(3 * size)
				sent := 0
				for sent < len(data) && r.client.Room() >= size {
					requireInstant(t, func() {
						n, err := r.client.Write(data[sent : sent+size])
						require.NoError(t, err, what)
						sent += n
					})
					synctest.Wait()
				}
				require.Positive(t, sent, what)
				r.net.Last().Release(faultnet.Up)
				requireRead(t, r.server, data[:sent])
				r.stop()
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
	forEachSuite(t, func(t *testing.T, s testSuite) {
		l, err := relink.Listen("tcp", "127.0.0.1:0", s)
		require.NoError(t, err)
		defer l.Close()
		var filtering *filteringConn
		d := relink.Dialer{Suite: s, DialTransport: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			filtering = &filteringConn{TCPConn: c.(*net.TCPConn)}
			return filtering, nil
		}}
		client, err := d.DialConn(t.Context(), "tcp", l.Addr().String())
		require.NoError(t, err)
		defer client.Abort()
		server, err := l.AcceptConn()
		require.NoError(t, err)
		defer server.Abort()
		before := filtering.written.Load()
		for _, n := range []int{1, 1000, 100_000} {
			data := rigData(n)
			requireWrite(t, client, data)
			requireRead(t, server, data)
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
	inBubble(t, func(t *testing.T, s testSuite) {
		var wrapper *plainWrapper
		r := newRig(t, s, func(r *rig, _ *relink.ListenConfig) {
			r.dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := r.net.Dial(ctx, network, address)
				if err != nil {
					return nil, err
				}
				wrapper = &plainWrapper{Conn: transport.Conn{Conn: transport.Conn{Conn: c}}}
				return wrapper, nil
			}
		})
		r.exchange(100)
		synctest.Wait()
		before := wrapper.writes.Load()
		requireWrite(t, r.client, rigData(100))
		requireRead(t, r.server, rigData(100))
		require.Equal(t, before, wrapper.writes.Load())
		r.stop()
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
			forEachSuite(t, func(t *testing.T, s testSuite) {
				il, err := inner()
				require.NoError(t, err)
				l, err := relink.NewListener(il, relink.ListenConfig{Suites: []relink.ServerSuite{s}})
				require.NoError(t, err)
				defer l.Close()
				var transport net.Conn
				d := relink.Dialer{Suite: s, DialTransport: func(ctx context.Context, network, address string) (c net.Conn, err error) {
					transport, err = new(net.Dialer).DialContext(ctx, network, address)
					return transport, err
				}}
				client, err := d.DialConn(t.Context(), network, il.Addr().String())
				require.NoError(t, err)
				defer client.Abort()
				server, err := l.AcceptConn()
				require.NoError(t, err)
				defer server.Abort()
				message, sent := rigData(100_000), 0
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
				requireWrite(t, client, message)
				requireRead(t, server, message)
				require.Positive(t, client.Stats().Resumes)
			})
		})
	}
}

// A Read that has called for an acknowledgement lets it out before it returns, also
// where nobody else has a processor to send it with.
func TestReadLetsItsAcknowledgementOut(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const reads, every = 12, 256 << 10 // well within the window
	inAckBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s, withPath(faultnet.Options{Buffer: 2 * reads * every}))
		requireWrite(t, r.client, rigData(reads*every))
		synctest.Wait()
		late := 0
		for range reads {
			_, err := io.ReadFull(r.server, make([]byte, every))
			require.NoError(t, err)
			if relink.AckWaits(r.server) {
				late++
			}
		}
		// The scheduler takes some other goroutine now and then, one time in 61.
		require.Less(t, late, reads/2)
		r.finish()
	})
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
	inBubble(t, func(t *testing.T, s testSuite) {
		acks, half := traitsOf(s).Acks, traitsOf(s).HalfClose
		for what, f := range map[string]func(r *rig) (more []byte, ends bool){
			"short Write": func(r *rig) ([]byte, bool) { requireWrite(r.t, r.client, []byte("more")); return []byte("more"), false },
			"Writes": func(r *rig) ([]byte, bool) {
				for range 5 {
					requireWrite(r.t, r.client, []byte("more"))
				}
				return []byte("moremoremoremoremore"), false
			},
			"long Write": func(r *rig) ([]byte, bool) {
				requireWrite(r.t, r.client, rigData(30_000))
				return rigData(30_000), false
			},
			"TryWrite": func(r *rig) ([]byte, bool) {
				require.True(r.t, requireTryWrite(r.t, r.client, []byte("more")))
				return []byte("more"), false
			},
			"Close": func(r *rig) ([]byte, bool) { require.NoError(r.t, r.client.Close()); return nil, true },
			"CloseWrite": func(r *rig) ([]byte, bool) {
				if half {
					require.NoError(r.t, r.client.CloseWrite())
				}
				return nil, half
			},
			"NetworkChanged": func(r *rig) ([]byte, bool) { r.client.NetworkChanged(); return nil, false },
			"an acknowledgement is asked for": func(r *rig) ([]byte, bool) {
				if acks {
					ctx, cancel := context.WithTimeout(context.Background(), time.Nanosecond)
					defer cancel()
					_ = r.client.Flush(ctx)
				}
				return nil, false
			},
			"a deadline": func(r *rig) ([]byte, bool) {
				require.NoError(r.t, r.client.SetWriteDeadline(time.Now().Add(time.Hour)))
				return nil, false
			},
		} {
			var transport *meddlingTransport
			r := newRig(t, s, func(r *rig, _ *relink.ListenConfig) {
				r.dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
					c, err := r.net.Dial(ctx, network, address)
					if err != nil || transport != nil {
						return c, err
					}
					transport = &meddlingTransport{Conn: c}
					return transport, nil
				}
			})
			for range 3 { // until everything is ordinary
				r.exchange(10)
				time.Sleep(time.Second)
				r.exchange(10)
			}
			var more []byte
			var ends bool
			meddle := func() { more, ends = f(r) }
			transport.meddle.Store(&meddle)
			requireWrite(t, r.client, []byte("first"))
			require.Nil(t, transport.meddle.Load(), "%s: the Write did not hand its bytes over itself", what)
			require.NoError(t, r.server.SetReadDeadline(time.Now().Add(time.Minute))) // a byte that is lost is not waited for
			requireRead(t, r.server, append([]byte("first"), more...))
			require.NoError(t, r.server.SetReadDeadline(time.Time{}))
			if ends {
				requireEOF(t, r.server)
			} else {
				r.exchange(1000)
			}
			r.stop()
			time.Sleep(time.Second)
		}
	})
}

// A long Write on a wire without records hands all of its bytes over itself, as long as
// the transport takes them, and where it does not the rest is sent by the library.
func TestLongWriteSendsItself(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		if traitsOf(s).Acks {
			return // it has a goroutine seal while it goes on
		}
		for _, size := range []int{2000, 20_000, 64 << 10, 100_000, 1 << 20} {
			r := newRig(t, s, withPath(faultnet.Options{Buffer: 2 << 20}))
			r.exchange(10)
			synctest.Wait()
			release := relink.HoldFlusher(r.client)
			data := rigData(size)
			requireWrite(t, r.client, data)
			require.EqualValues(t, 10+size, relink.TakenAlong(r.client), "of %d bytes", size)
			requireRead(t, r.server, data)

			r.net.Last().Stall(faultnet.Up)
			sent := 0
			for r.client.Room() >= size { // until the transport is full, and a flusher called for
				requireWrite(t, r.client, data)
				sent++
			}
			release()
			r.net.Last().Release(faultnet.Up)
			requireRead(t, r.server, bytes.Repeat(data, sent))
			r.exchange(100)
			r.stop()
		}
	})
}

// A session that is aborted while a Write is in the transport tells its peer all the same,
// behind what the transport takes.
func TestAbortInTheMiddleOfAWrite(t *testing.T) {
	inAckBubble(t, func(t *testing.T, s testSuite) {
		for _, size := range []int{5, 5000} {
			var transport *meddlingTransport
			r := newRig(t, s, func(r *rig, _ *relink.ListenConfig) {
				r.dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
					c, err := r.net.Dial(ctx, network, address)
					transport = &meddlingTransport{Conn: c}
					return transport, err
				}
			})
			r.exchange(10)
			synctest.Wait()
			abort := func() { require.NoError(t, r.client.Abort()) }
			transport.meddle.Store(&abort)
			data := rigData(size)
			_, _ = r.client.Write(data)
			require.Nil(t, transport.meddle.Load())
			requireRead(t, r.server, data)
			requireInstant(t, func() {
				_, err := r.server.Read(make([]byte, 1))
				require.ErrorIs(t, err, relink.ErrSessionLost)
				<-r.server.Done()
			})
			r.stop()
			time.Sleep(time.Second)
		}
	})
}
