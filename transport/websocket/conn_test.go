package websocket_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/nettest"

	"github.com/relink-go/relink/internal/transport/transporttest"
	"github.com/relink-go/relink/transport/websocket"
)

// TestNetConn holds both ends to net.Conn's contract, with one exception: the
// first deadline of all must not be set in mid call. So here it is set before.
// TestFirstDeadlineInMidCall is about the exception.
func TestNetConn(t *testing.T) {
	forEachPlace(t, func(t *testing.T, p place) {
		for _, end := range []string{"client", "server"} {
			t.Run(end, func(t *testing.T) {
				nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
					c, s, err := p.connect()
					if err != nil {
						return nil, nil, nil, err
					}
					for _, conn := range []*websocket.Conn{c, s} {
						_ = conn.SetDeadline(time.Now().Add(time.Hour))
						_ = conn.SetDeadline(time.Time{})
					}
					stop := func() { abort(c, s) }
					if end == "server" {
						return s, c, stop, nil
					}
					return c, s, stop, nil
				})
			})
		}
	})
}

func TestHalfClose(t *testing.T) {
	forEachPlace(t, func(t *testing.T, p place) {
		client, server := p.pair(t)
		transporttest.RequireHalfClose(t, client, server)
	})
}

// What was written before Close arrives, and then io.EOF, although the peer has
// sent what nobody reads.
func TestCloseIsClean(t *testing.T) {
	forEachPlace(t, func(t *testing.T, p place) {
		client, server := p.pair(t)
		data := bytes.Repeat([]byte("x"), 100_000)
		_, err := server.Write([]byte("unread"))
		require.NoError(t, err)
		_, err = client.Write(data)
		require.NoError(t, err)
		require.NoError(t, client.Close())
		require.ErrorIs(t, client.Close(), net.ErrClosed)
		got, err := io.ReadAll(server)
		require.NoError(t, err)
		require.Len(t, got, len(data))
		for name, call := range map[string]func() error{
			"Read":       func() error { _, err := client.Read(make([]byte, 1)); return err },
			"Write":      func() error { _, err := client.Write(make([]byte, 1)); return err },
			"CloseWrite": client.CloseWrite,
			"deadline":   func() error { return client.SetDeadline(time.Now()) },
			"linger":     func() error { return client.SetLinger(0) },
		} {
			require.ErrorIs(t, call(), net.ErrClosed, name)
		}
	})
}

func TestAbortIsNoCleanEnd(t *testing.T) {
	forEachPlace(t, func(t *testing.T, p place) {
		client, server := p.pair(t)
		for _, ends := range [][2]*websocket.Conn{{client, server}} {
			abort(ends[0])
			_, err := ends[1].Read(make([]byte, 1))
			require.Error(t, err)
			require.NotEqual(t, io.EOF, err)
			var op *net.OpError
			require.ErrorAs(t, err, &op)
			require.Equal(t, websocket.Network, op.Net)
		}
	})
}

// Close does not wait for a peer that does not answer, nor for a Write that is
// stuck.
func TestCloseDoesNotHang(t *testing.T) {
	forEachPlace(t, func(t *testing.T, p place) {
		transporttest.RequireNoLeak(t, func() {
			silent, server := p.pair(t) // nobody reads at silent
			start := time.Now()
			require.NoError(t, server.Close())
			require.Less(t, time.Since(start), 4*time.Second, "the peer's answer was waited for")

			client, stuck := p.pair(t)
			written := make(chan error)
			go func() {
				var err error
				for err == nil {
					_, err = stuck.Write(make([]byte, 1<<20))
				}
				written <- err
			}()
			transporttest.Eventually(t, stuck.WriteIsStuck, func() string { return "no Write is stuck" })
			require.NoError(t, stuck.Close())
			require.ErrorIs(t, <-written, net.ErrClosed)
			abort(silent, client)
		})
	})
}

// Close ends a Read that is blocked, in mid frame too, and the peer still gets
// everything and a clean end. A session waits for that Read when it has a new link.
func TestCloseEndsRead(t *testing.T) {
	forEachPlace(t, func(t *testing.T, p place) {
		for _, async := range []bool{false, true} {
			transporttest.RequireNoLeak(t, func() {
				client, server, err := p.connect()
				require.NoError(t, err)
				if async {
					_ = server.SetReadDeadline(time.Now().Add(time.Hour))
				}
				data := transporttest.Data(300_000)
				_, err = server.Write(data)
				require.NoError(t, err)
				read := make(chan error, 1)
				go func() {
					_, err := server.Read(make([]byte, 10))
					read <- err
				}()
				transporttest.Eventually(t, func() bool { return server.ReadIsStuck() || async }, func() string { return "no Read is blocked" })
				start := time.Now()
				require.NoError(t, server.Close())
				require.ErrorIs(t, <-read, net.ErrClosed)
				require.Less(t, time.Since(start), 4*time.Second, "the peer's answer was waited for")
				got, err := io.ReadAll(client)
				require.NoError(t, err)
				require.True(t, bytes.Equal(data, got))
				_ = client.Close()
			})
		}
	})
	t.Run("in mid frame", func(t *testing.T) {
		p := openListen(t, websocket.Config{})
		raw, server := p.raw(t)
		_, err := io.WriteString(raw, "\x82\xfe\x40\x00\x00\x00\x00\x00some")
		require.NoError(t, err)
		read := make(chan error, 1)
		go func() {
			_, err := server.Read(make([]byte, 100))
			read <- err
		}()
		transporttest.Eventually(t, server.ReadIsStuck, func() string { return "no Read is blocked" })
		require.NoError(t, server.Close())
		require.ErrorIs(t, <-read, net.ErrClosed)
		closeFrame := make([]byte, 4)
		_, err = io.ReadFull(raw, closeFrame)
		require.NoError(t, err)
		require.Equal(t, "\x88\x02\x03\xe8", string(closeFrame))
	})
}

// The first deadline of all, set while a call is blocked, ends the connection.
func TestFirstDeadlineInMidCall(t *testing.T) {
	forEachPlace(t, func(t *testing.T, p place) {
		client, server := p.pair(t)
		failed := make(chan error)
		go func() {
			_, err := client.Read(make([]byte, 1))
			failed <- err
		}()
		transporttest.Eventually(t, client.ReadIsStuck, func() string { return "no Read is blocked" })
		require.NoError(t, client.SetReadDeadline(time.Now().Add(time.Millisecond)))
		err := <-failed
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		var ne net.Error
		require.ErrorAs(t, err, &ne)
		require.True(t, ne.Timeout())
		_, err = client.Write([]byte("x"))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		_, err = server.Read(make([]byte, 1))
		require.Error(t, err)
		require.NotEqual(t, io.EOF, err)
	})
}

// A Read that has timed out loses nothing.
func TestDeadlineLosesNothing(t *testing.T) {
	forEachPlace(t, func(t *testing.T, p place) {
		client, server := p.pair(t)
		data := transporttest.Data(200_000)
		go func() {
			for rest := data; len(rest) > 0; {
				n, _ := server.Write(rest[:min(len(rest), 7000)])
				rest = rest[n:]
			}
			_ = server.CloseWrite()
		}()
		var got []byte
		buf := make([]byte, 9000)
		for {
			_ = client.SetReadDeadline(time.Now().Add(100 * time.Microsecond))
			n, err := client.Read(buf)
			got = append(got, buf[:n]...)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
			}
		}
		require.True(t, bytes.Equal(data, got))
	})
}

// Messages are as long as MessageSize at most, and Writes do not mix.
func TestMessageSize(t *testing.T) {
	p := openListen(t, websocket.Config{MessageSize: 1000})
	ws, err := p.other(t)
	require.NoError(t, err)
	server, err := p.l.Accept()
	require.NoError(t, err)
	var writers sync.WaitGroup
	for _, b := range []byte("ab") {
		writers.Go(func() {
			if n, err := server.Write(bytes.Repeat([]byte{b}, 2500)); n != 2500 || err != nil {
				t.Error(n, err)
			}
		})
	}
	var got []byte
	var sizes []int
	for len(got) < 5000 {
		kind, message, err := ws.Read(t.Context())
		require.NoError(t, err)
		require.Equal(t, coder.MessageBinary, kind)
		got, sizes = append(got, message...), append(sizes, len(message))
	}
	writers.Wait()
	require.Equal(t, []int{1000, 1000, 500, 1000, 1000, 500}, sizes)
	require.Equal(t, bytes.Repeat(got[:1], 2500), got[:2500])
	n, err := server.Write(nil)
	require.NoError(t, err)
	require.Zero(t, n)
}

// A message may be longer than any buffer, and be read in pieces of any size.
func TestLongMessage(t *testing.T) {
	p := openListen(t, websocket.Config{})
	ws, err := p.other(t)
	require.NoError(t, err)
	server, err := p.l.Accept()
	require.NoError(t, err)
	data := transporttest.Data(3 << 20)
	go func() {
		_ = ws.Write(context.Background(), coder.MessageBinary, data)
		_ = ws.Close(coder.StatusNormalClosure, "")
	}()
	var got []byte
	for i := 0; ; i++ {
		buf := make([]byte, 1+i*i%70_000)
		n, err := server.Read(buf)
		got = append(got, buf[:n]...)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
	}
	require.True(t, bytes.Equal(data, got))
}

func TestTextIsRefused(t *testing.T) {
	p := openListen(t, websocket.Config{})
	ws, err := p.other(t)
	require.NoError(t, err)
	server, err := p.l.Accept()
	require.NoError(t, err)
	require.NoError(t, ws.Write(t.Context(), coder.MessageText, []byte("hello")))
	_, err = server.Read(make([]byte, 10))
	require.ErrorIs(t, err, websocket.ErrText)
	_, err = server.Read(make([]byte, 10))
	require.ErrorIs(t, err, websocket.ErrText)
	_, _, err = ws.Read(t.Context())
	require.Equal(t, coder.StatusUnsupportedData, coder.CloseStatus(err))
	_ = server.Close()
}

// Only status 1000 is the end of the stream.
func TestCloseStatus(t *testing.T) {
	for _, status := range []coder.StatusCode{coder.StatusGoingAway, coder.StatusNoStatusRcvd, coder.StatusInternalError, 4000} {
		p := openListen(t, websocket.Config{})
		ws, err := p.other(t)
		require.NoError(t, err)
		server, err := p.l.Accept()
		require.NoError(t, err)
		go func() { _ = ws.Close(status, "because") }()
		_, err = server.Read(make([]byte, 10))
		var end *websocket.CloseError
		require.ErrorAs(t, err, &end)
		require.Equal(t, int(status), end.Code)
		require.NotErrorIs(t, err, io.EOF)
		if status != coder.StatusNoStatusRcvd {
			require.ErrorContains(t, err, `"because"`)
		}
	}
	p := openListen(t, websocket.Config{})
	ws, err := p.other(t)
	require.NoError(t, err)
	server, err := p.l.Accept()
	require.NoError(t, err)
	_ = ws.CloseNow()
	_, err = server.Read(make([]byte, 10))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.ErrorContains(t, err, "without a close frame")
}

// Pings are answered, except while a Write is stuck, when the answer would end
// the connection.
func TestPings(t *testing.T) {
	p := openListen(t, websocket.Config{})
	ws, err := p.other(t)
	require.NoError(t, err)
	accepted, err := p.l.Accept()
	require.NoError(t, err)
	server := accepted.(*websocket.Conn)
	read := make(chan error, 1)
	go func() {
		_, err := server.Read(make([]byte, 1))
		read <- err
	}()
	pinging := ws.CloseRead(t.Context()) // reads the pong
	require.NoError(t, ws.Ping(t.Context()))
	require.NoError(t, pinging.Err())
	require.NoError(t, ws.Write(t.Context(), coder.MessageBinary, []byte("x")))
	require.NoError(t, <-read)
}

func TestPingBesideStuckWrite(t *testing.T) {
	p := openListen(t, websocket.Config{})
	client, accepted := p.pair(t)
	go func() { _, _ = accepted.Write(make([]byte, 64<<20)) }()
	transporttest.Eventually(t, accepted.WriteIsStuck, func() string { return "no Write is stuck" })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { _ = client.Ping(ctx) }()
	_, err := client.Write([]byte("x"))
	require.NoError(t, err)
	// The ping is before x on the wire, or behind it and before y.
	got := make([]byte, 1)
	_, err = io.ReadFull(accepted, got)
	require.NoError(t, err)
	_, err = client.Write([]byte("y"))
	require.NoError(t, err)
	_, err = io.ReadFull(accepted, got)
	require.NoError(t, err)
	require.Equal(t, "y", string(got))
}

func TestAddresses(t *testing.T) {
	forEachPlace(t, func(t *testing.T, p place) {
		client, server := p.pair(t)
		require.Equal(t, client.LocalAddr().String(), server.RemoteAddr().String())
		require.Equal(t, client.RemoteAddr().String(), server.LocalAddr().String())
		require.Equal(t, websocket.Network, p.l.Addr().Network())
		require.Regexp(t, `^wss?://[^/]+/`, p.l.Addr().String())
	})
}
