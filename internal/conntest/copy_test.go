package conntest

import (
	"bytes"
	"errors"
	"io"
	"math"
	"net"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
	"github.com/relink-go/relink/internal/suite"
)

var (
	_ io.WriterTo   = (*relink.Conn)(nil)
	_ io.ReaderFrom = (*relink.Conn)(nil)
)

// What goes through copies arrives exactly, over every kind of transport, also one
// that is cut again and again.
func TestCopy(t *testing.T) {
	for _, k := range TransportKinds {
		t.Run(k.name, func(t *testing.T) {
			ForEachSuite(t, func(t *testing.T, s Suite) {
				client, server, l := Pair(t, s, k, Setup{MinBackoff: time.Millisecond, MaxBackoff: 5 * time.Millisecond})
				defer func() { _, _, _ = client.Abort(), server.Abort(), l.Close() }()
				data := Data(300_000)
				echoed := Background(func() (int, error) {
					n, err := server.WriteTo(server)
					return int(n), err
				})
				sent := Background(func() (int, error) {
					n, err := client.ReadFrom(bytes.NewReader(data))
					return int(n), err
				})
				var got bytes.Buffer
				n, err := io.CopyN(&got, client, int64(len(data)))
				require.NoError(t, err)
				require.EqualValues(t, len(data), n)
				require.True(t, bytes.Equal(data, got.Bytes()))
				o := <-sent
				require.NoError(t, o.Err)
				require.Equal(t, len(data), o.N)

				// A copy that waits ends with the session.
				require.NoError(t, server.Abort())
				o = <-echoed
				require.ErrorIs(t, o.Err, net.ErrClosed)
				require.Equal(t, len(data), o.N)
			})
		})
	}
}

// A copy ends with nil at the end of the stream.
func TestCopyToTheEnd(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s)
		data := Data(100_000)
		RequireWrite(t, r.Server, data)
		require.NoError(t, r.Server.Close())
		var got bytes.Buffer
		n, err := io.Copy(&got, r.Client.Conn)
		require.NoError(t, err)
		require.EqualValues(t, len(data), n)
		require.Equal(t, data, got.Bytes())
		r.Stop()
	})
}

// A deadline interrupts a copy, which may go on.
func TestCopyDeadline(t *testing.T) {
	for _, k := range TransportKinds[:3] {
		t.Run(k.name, func(t *testing.T) {
			ForEachSuite(t, func(t *testing.T, s Suite) {
				client, server, l := Pair(t, s, k, Setup{})
				defer func() { _, _, _ = client.Abort(), server.Abort(), l.Close() }()
				data := Data(1000)
				RequireWrite(t, server, data)
				var got bytes.Buffer
				require.NoError(t, client.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
				n, err := client.WriteTo(&got)
				requireTimeout(t, err)
				require.EqualValues(t, len(data), n)
				require.Equal(t, data, got.Bytes())
				n, err = client.WriteTo(&got) // at once
				requireTimeout(t, err)
				require.Zero(t, n)

				// One that is set meanwhile, too.
				require.NoError(t, client.SetReadDeadline(time.Time{}))
				done := Background(func() (int, error) {
					n, err := client.WriteTo(io.Discard)
					return int(n), err
				})
				RequireWrite(t, server, data)
				require.Eventually(t, func() bool { return client.Stats().BytesRead == 2000 }, time.Minute, time.Millisecond)
				require.NoError(t, client.SetReadDeadline(time.Now().Add(-time.Second)))
				o := <-done
				requireTimeout(t, o.Err)
				require.Equal(t, len(data), o.N)
			})
		})
	}
}

// A stuntWriter takes so much, and then fails.
type stuntWriter struct {
	takes int
	err   error
}

func (w *stuntWriter) Write(p []byte) (int, error) {
	n := min(len(p), w.takes)
	w.takes -= n
	if n == len(p) {
		return n, nil
	}
	return n, w.err
}

// A copy ends with what its other side fails with, and says how far it got.
func TestCopyErrors(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s)
		full := errors.New("full")
		for _, want := range []error{full, nil} {
			RequireWrite(t, r.Server, Data(1000))
			n, err := r.Client.WriteTo(&stuntWriter{300, want})
			if want == nil {
				want = io.ErrShortWrite
			}
			require.ErrorIs(t, err, want)
			require.EqualValues(t, 300, n)
			for r.Client.Stats().BytesRead%1000 != 0 { // what the copy had not come to
				_, err := r.Client.Read(make([]byte, 1000))
				require.NoError(t, err)
			}
		}
		n, err := r.Client.ReadFrom(io.MultiReader(bytes.NewReader(Data(500)), errReader{full}))
		require.ErrorIs(t, err, full)
		require.EqualValues(t, 500, n)
		RequireRead(t, r.Server, Data(500))

		require.NoError(t, r.Client.Close())
		_, err = r.Client.ReadFrom(bytes.NewReader(make([]byte, 10)))
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = r.Client.WriteTo(io.Discard)
		require.ErrorIs(t, err, net.ErrClosed)
		r.Stop()
	})
}

// A claimant says of each Write that it has taken so much.
type claimant int

func (c claimant) Write([]byte) (int, error) { return int(c), nil }

// A writer that claims what cannot be has taken nothing.
func TestCopyToALiar(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		for _, claim := range []int{-1, math.MaxInt} {
			r := New(t, s)
			RequireWrite(t, r.Server, Data(1000))
			n, err := r.Client.WriteTo(claimant(claim))
			require.ErrorIs(t, err, io.ErrShortWrite)
			require.Zero(t, n)
			r.Stop()
		}
	})
}

// A copy from a socket ends with what goes wrong at either side of it.
func TestCopyFromASocketThatFails(t *testing.T) {
	t.Parallel()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer inner.Close()
	l, err := relink.Listen("tcp", "127.0.0.1:0", relink.InsecureNoiseServer{})
	require.NoError(t, err)
	defer l.Close()
	for _, closed := range []bool{false, true} {
		to, err := net.Dial("tcp", inner.Addr().String())
		require.NoError(t, err)
		from, err := inner.Accept()
		require.NoError(t, err)
		client, err := relink.Dial("tcp", l.Addr().String(), relink.InsecureNoiseClient{})
		require.NoError(t, err)
		if closed {
			require.NoError(t, client.Close())
			_, err = to.Write([]byte("x"))
			require.NoError(t, err)
			_, err = client.ReadFrom(from)
			require.ErrorIs(t, err, net.ErrClosed)
		} else {
			require.NoError(t, to.(*net.TCPConn).SetLinger(0))
			require.NoError(t, to.Close())
			_, err = client.ReadFrom(from)
			require.ErrorIs(t, err, syscall.ECONNRESET)
		}
		_, _, _ = client.Abort(), to.Close(), from.Close()
	}
}

// What is no stream socket is copied from as any reader is.
func TestCopyFromPackets(t *testing.T) {
	t.Parallel()
	from, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	to, err := net.Dial("udp", from.LocalAddr().String())
	require.NoError(t, err)
	defer to.Close()
	l, err := relink.Listen("tcp", "127.0.0.1:0", relink.InsecureNoiseServer{})
	require.NoError(t, err)
	defer l.Close()
	client, err := relink.Dial("tcp", l.Addr().String(), relink.InsecureNoiseClient{})
	require.NoError(t, err)
	defer client.Abort()
	require.Equal(t, relink.InsecureNoiseClient{}.String(), client.Suite())
	server, err := l.AcceptConn()
	require.NoError(t, err)
	defer server.Abort()
	copied := make(chan error, 1)
	go func() {
		_, err := client.ReadFrom(from)
		copied <- err
	}()
	_, err = to.Write([]byte("datagram"))
	require.NoError(t, err)
	RequireRead(t, server, []byte("datagram"))
	require.NoError(t, from.Close())
	require.ErrorIs(t, <-copied, net.ErrClosed)
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

// A proxy between sockets and sessions: what one side sends comes out at the other,
// and so does the end, in both directions.
func TestProxy(t *testing.T) {
	listen := map[string]func(t *testing.T) net.Listener{
		"tcp": func(t *testing.T) net.Listener {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			return l
		},
		"unix": func(t *testing.T) net.Listener {
			l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
			require.NoError(t, err)
			return l
		},
	}
	if runtime.GOOS == "windows" {
		delete(listen, "unix") // not on every version
	}
	for network, inner := range listen {
		t.Run(network, func(t *testing.T) {
			ForEachSuite(t, func(t *testing.T, s Suite) {
				client, server, l := Pair(t, s, TransportKinds[0], Setup{})
				defer func() { _, _, _ = client.Abort(), server.Abort(), l.Close() }()
				nl := inner(t)
				defer func() { _ = nl.Close() }()
				user, err := net.Dial(network, nl.Addr().String())
				require.NoError(t, err)
				defer func() { _ = user.Close() }()
				socket, err := nl.Accept()
				require.NoError(t, err)
				defer func() { _ = socket.Close() }()

				up := Background(func() (int, error) {
					n, err := io.Copy(client, socket)
					return int(n), err
				})
				down := Background(func() (int, error) {
					n, err := io.Copy(socket, client)
					return int(n), err
				})
				RequireExchange(t, user, server, 100_000)
				RequireExchange(t, user, server, 10)
				require.NoError(t, user.(interface{ CloseWrite() error }).CloseWrite())
				o := <-up
				require.NoError(t, o.Err)
				require.Equal(t, 100_010, o.N)
				require.NoError(t, server.Close())
				o = <-down
				require.NoError(t, o.Err)
				require.Equal(t, 100_010, o.N)
			})
		})
	}
}

// A session passed on to another.
func TestCopyFromSession(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s)
		client, server := r.Open()
		data := Data(100_000)
		RequireWrite(t, r.Client, data)
		done := Background(func() (int, error) {
			n, err := client.ReadFrom(r.Server.Conn)
			return int(n), err
		})
		RequireRead(t, server, data)
		r.Net.Last().Cut(faultnet.Reset)
		RequireWrite(t, r.Client, data)
		RequireRead(t, server, data)
		require.NoError(t, r.Server.Abort())
		o := <-done
		require.ErrorIs(t, o.Err, net.ErrClosed)
		require.Equal(t, 2*len(data), o.N)
		_, _ = client.Abort(), server.Abort()
		r.Stop()
	})
}

// Sessions that wait in a copy hold no buffer for it.
func TestIdleCopyHoldsNoBuffer(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there a copy on a classic suite holds a buffer, as its documentation says")
	}
	if raceEnabled {
		t.Skip("the race detector takes memory of its own")
	}
	for _, s := range []Suite{Noise, DH64RC4} {
		t.Run(s.String(), func(t *testing.T) {
			const many, most = 100, 8 << 10 // bytes for a session, of 32 KiB for a buffer
			heap := func() int64 {
				runtime.GC()
				runtime.GC() // what is in pools is free after the second
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				return int64(m.HeapAlloc)
			}
			var servers, clients []*relink.Conn
			for range many {
				c, sc, l := Pair(t, s, TransportKinds[0], Setup{})
				defer func() { _, _, _ = c.Abort(), sc.Abort(), l.Close() }()
				RequireExchange(t, c, sc, 100)
				go func() { _, _ = c.Read(make([]byte, 1)) }() // else a standby reads there, and begins when it likes
				clients, servers = append(clients, c), append(servers, sc)
			}
			before := heap()
			for _, sc := range servers {
				go func() { _, _ = io.Copy(io.Discard, sc) }()
			}
			for _, c := range clients {
				RequireWrite(t, c, Data(100))
			}
			for _, sc := range servers {
				require.Eventually(t, func() bool { return sc.Stats().BytesRead == 200 }, time.Minute, time.Millisecond)
			}
			require.Eventually(t, func() bool { return heap()-before < many*most }, time.Minute, 10*time.Millisecond)
		})
	}
}

// A copy that has the beginning of a record holds what has arrived of it, counted, and no
// buffer for what may come.
func TestCopyOfAPartialRecordHoldsNoBuffer(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector takes memory of its own")
	}
	const many, most, size, begun = 100, 12 << 10, 20_000, 1100 // the beginning takes 4 KiB
	heap := func() int64 {
		runtime.GC()
		runtime.GC() // what is in pools is free after the second
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l, err := relink.NewListener(inner, relink.ListenConfig{Suites: []relink.ServerSuite{Noise}})
	require.NoError(t, err)
	defer l.Close()
	var servers []*relink.Conn
	var clients []net.Conn
	var records [][]byte
	for range many {
		c, err := net.Dial("tcp", inner.Addr().String())
		require.NoError(t, err)
		defer c.Close()
		r, err := openRaw(Noise, c, DefaultReplayLimit)
		require.NoError(t, err)
		_, err = c.Write(r.link.Codec.Seal(nil, nil, suite.Control{Ack: true, Limit: DefaultReplayLimit}))
		require.NoError(t, err)
		server, err := l.AcceptConn()
		require.NoError(t, err)
		go func() { _, _ = io.Copy(io.Discard, server) }()
		clients, servers = append(clients, c), append(servers, server)
		records = append(records, r.link.Codec.Seal(nil, Data(size), suite.Control{}))
	}
	before := heap()
	for i, c := range clients {
		_, err := c.Write(records[i][:begun])
		require.NoError(t, err)
	}
	for _, server := range servers {
		require.Eventually(t, func() bool { return server.Stats().Memory > 0 }, time.Minute, time.Millisecond)
		require.LessOrEqual(t, server.Stats().Memory, int64(4<<10))
	}
	require.Eventually(t, func() bool { return heap()-before < many*most }, time.Minute, 10*time.Millisecond)
	for i, c := range clients {
		_, err := c.Write(records[i][begun:])
		require.NoError(t, err)
	}
	for _, server := range servers {
		require.Eventually(t, func() bool { return server.Stats().BytesRead == size }, time.Minute, time.Millisecond)
		_ = server.Abort()
	}
}
