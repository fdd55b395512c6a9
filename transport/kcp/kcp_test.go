package kcp_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/transport/kcp"
)

// timeout is short where a test waits for it.
const timeout = time.Second

func listen(t testing.TB, cfg kcp.Config) *kcp.Listener {
	t.Helper()
	l, err := kcp.Listen("127.0.0.1:0", cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func dial(t testing.TB, address string, cfg kcp.Config) *kcp.Conn {
	t.Helper()
	d := kcp.Dialer{Config: cfg}
	c, err := d.DialContext(context.Background(), "tcp", address) // as relink says it
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = c.(*kcp.Conn).SetLinger(0), c.Close() })
	return c.(*kcp.Conn)
}

// pair returns the ends of a connection, whose first bytes have been read.
func pair(t testing.TB, l *kcp.Listener, address string, cfg kcp.Config) (client, server *kcp.Conn) {
	t.Helper()
	client = dial(t, address, cfg)
	_, err := client.Write([]byte("hello"))
	require.NoError(t, err)
	c, err := l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = c.(*kcp.Conn).SetLinger(0), c.Close() })
	requireRead(t, c, []byte("hello"))
	return client, c.(*kcp.Conn)
}

func requireRead(t testing.TB, c net.Conn, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	_, err := io.ReadFull(c, got)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got), "other bytes arrived than were sent")
}

// data returns n bytes that tell a place from those nearby.
func data(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16*7)
	}
	return b
}

// goroutines returns the stacks of goroutines of this package.
func goroutines() []string {
	b := make([]byte, 1<<20)
	var found []string
	for _, g := range strings.Split(string(b[:runtime.Stack(b, true)]), "\n\n") {
		if strings.Contains(g, "transport/kcp.") && !strings.Contains(g, "kcp_test.goroutines") {
			found = append(found, g)
		}
	}
	return found
}

// requireNothingLeft waits until no goroutine is left in this package.
func requireNothingLeft(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool { return len(goroutines()) == 0 }, time.Minute, 10*time.Millisecond)
}

func TestBothWays(t *testing.T) {
	for name, cfg := range map[string]kcp.Config{
		"goscon's":   {},
		"correction": {DataShards: 10, ParityShards: 3},
		"everything": {
			MTU: 600, Interval: 20 * time.Millisecond, Resend: -1, Patient: true, CongestionControl: true, SendWindow: 64, RecvWindow: 200,
			Messages: true, WriteDelay: true, ReadBuffer: 1 << 16, WriteBuffer: -1, Timeout: time.Minute,
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := listen(t, cfg)
			client, server := pair(t, l, l.Addr().String(), cfg)
			b := data(1 << 20)
			var wg sync.WaitGroup
			for _, ends := range [][2]*kcp.Conn{{client, server}, {server, client}} {
				wg.Go(func() {
					n, err := ends[0].Write(b)
					if n != len(b) || err != nil {
						t.Error(n, err)
					}
				})
				wg.Go(func() {
					got := make([]byte, len(b))
					if _, err := io.ReadFull(ends[1], got); err != nil || !bytes.Equal(got, b) {
						t.Error("other bytes arrived than were sent", err)
					}
				})
			}
			wg.Wait()
			require.Equal(t, client.LocalAddr().String(), server.RemoteAddr().String())
			require.Equal(t, l.Addr().String(), client.RemoteAddr().String())
			require.Equal(t, "udp", client.RemoteAddr().Network())
		})
	}
}

// A network that loses and doubles a fifth of all packets costs time only.
func TestLossyNetwork(t *testing.T) {
	for name, cfg := range map[string]kcp.Config{"plain": {}, "correction": {DataShards: 4, ParityShards: 2}} {
		t.Run(name, func(t *testing.T) {
			cfg.Timeout = time.Minute
			l := listen(t, cfg)
			r := newRelay(t, l.Addr().String())
			r.set(0.2, false)
			client, server := pair(t, l, r.addr(), cfg)
			b := data(200 << 10)
			go func() { _, _ = client.Write(b) }()
			requireRead(t, server, b)
			go func() { _, _ = server.Write(b) }()
			requireRead(t, client, b)
			r.mu.Lock()
			defer r.mu.Unlock()
			require.Positive(t, r.dropped)
		})
	}
}

// Close returns at once and goes on until everything has arrived.
func TestCloseDelivers(t *testing.T) {
	defer kcp.SetLingerTime(time.Hour)()
	cfg := kcp.Config{Timeout: time.Hour}
	l := listen(t, cfg)
	r := newRelay(t, l.Addr().String())
	client, server := pair(t, l, r.addr(), cfg)
	r.set(0.3, false)
	b := data(100 << 10)
	_, err := client.Write(b)
	require.NoError(t, err)
	require.NoError(t, client.Close())
	_, err = client.Write(b)
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = client.Read(b)
	require.ErrorIs(t, err, net.ErrClosed)
	require.ErrorIs(t, client.SetDeadline(time.Time{}), net.ErrClosed)
	require.ErrorIs(t, client.Close(), net.ErrClosed)
	requireRead(t, server, b)
	// It hears that all has arrived, and gives its socket back.
	require.Eventually(t, func() bool {
		again, err := net.ListenUDP("udp", client.LocalAddr().(*net.UDPAddr))
		if err == nil {
			_ = again.Close()
		}
		return err == nil
	}, time.Minute, 10*time.Millisecond)
	require.NoError(t, server.Close())
	require.NoError(t, l.Close())
	requireNothingLeft(t)
}

// With SetLinger(0) it ends at once, and frees what is blocked in it.
func TestAbruptClose(t *testing.T) {
	l := listen(t, kcp.Config{SendWindow: 4})
	r := newRelay(t, l.Addr().String())
	client, server := pair(t, l, r.addr(), kcp.Config{SendWindow: 4})
	r.set(0, true)
	errs := make(chan error)
	for _, c := range []*kcp.Conn{client, server} {
		go func() {
			_, err := c.Read(make([]byte, 1))
			errs <- err
		}()
		go func() {
			_, err := c.Write(data(1 << 20))
			errs <- err
		}()
	}
	for _, c := range []*kcp.Conn{client, server} {
		require.NoError(t, c.SetLinger(0))
		require.NoError(t, c.Close())
	}
	for range 4 {
		require.ErrorIs(t, <-errs, net.ErrClosed)
	}
	require.NoError(t, l.Close())
	requireNothingLeft(t)
}

// A lingering Close has an end, although nobody answers.
func TestLingerEnds(t *testing.T) {
	defer kcp.SetLingerTime(50 * time.Millisecond)()
	l := listen(t, kcp.Config{})
	r := newRelay(t, l.Addr().String())
	client, server := pair(t, l, r.addr(), kcp.Config{})
	r.set(0, true)
	_, err := client.Write(data(100))
	require.NoError(t, err)
	require.NoError(t, client.Close())
	_, _ = server.SetLinger(0), server.Close()
	require.NoError(t, l.Close())
	requireNothingLeft(t)
}

// Deadlines do no harm: what was interrupted can be done again.
func TestDeadlines(t *testing.T) {
	l := listen(t, kcp.Config{SendWindow: 4, RecvWindow: 4})
	client, server := pair(t, l, l.Addr().String(), kcp.Config{SendWindow: 4, RecvWindow: 4})
	require.True(t, client.Interruptible())
	isTimeout := func(err error) {
		t.Helper()
		var ne net.Error
		require.ErrorAs(t, err, &ne)
		require.True(t, ne.Timeout())
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	}
	require.NoError(t, client.SetReadDeadline(time.Now().Add(10*time.Millisecond)))
	_, err := client.Read(make([]byte, 1))
	isTimeout(err)
	_, err = client.Read(make([]byte, 1))
	isTimeout(err)
	require.NoError(t, client.SetReadDeadline(time.Time{}))

	b := data(256 << 10)
	require.NoError(t, client.SetWriteDeadline(time.Now().Add(50*time.Millisecond)))
	n, err := client.Write(b)
	isTimeout(err)
	require.Less(t, n, len(b))
	require.NoError(t, client.SetDeadline(time.Time{}))
	go func() { _, _ = client.Write(b[n:]) }()
	requireRead(t, server, b)
	_, err = server.Write([]byte("x"))
	require.NoError(t, err)
	requireRead(t, client, []byte("x"))
	n, err = client.Read(nil)
	require.Zero(t, n)
	require.NoError(t, err)
}

// Whoever falls silent is noticed at the other side: with something under way, and
// idle; by the client and by the server.
func TestSilence(t *testing.T) {
	for _, busy := range []bool{false, true} {
		cfg := kcp.Config{Timeout: timeout}
		l := listen(t, cfg)
		r := newRelay(t, l.Addr().String())
		client, server := pair(t, l, r.addr(), cfg)
		r.set(0, true)
		for _, c := range []*kcp.Conn{client, server} {
			if busy {
				_, err := c.Write([]byte("into the void"))
				require.NoError(t, err)
			}
			_, err := c.Read(make([]byte, 1))
			require.ErrorIs(t, err, kcp.ErrSilent)
			_, err = c.Write([]byte("x"))
			require.ErrorIs(t, err, kcp.ErrSilent)
			require.ErrorContains(t, err, c.RemoteAddr().String())
			require.NoError(t, c.Close())
		}
		require.NoError(t, l.Close())
		requireNothingLeft(t)
	}
}

// An idle connection whose peer answers stays, for many times Timeout.
func TestIdleStays(t *testing.T) {
	t.Parallel()
	cfg := kcp.Config{Timeout: timeout}
	l := listen(t, cfg)
	client, server := pair(t, l, l.Addr().String(), cfg)
	for _, c := range []*kcp.Conn{client, server} {
		require.NoError(t, c.SetReadDeadline(time.Now().Add(3*timeout)))
	}
	for _, c := range []*kcp.Conn{client, server} {
		_, err := c.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.NoError(t, c.SetReadDeadline(time.Time{}))
	}
	_, err := server.Write([]byte("still here"))
	require.NoError(t, err)
	requireRead(t, client, []byte("still here"))
}

// A peer that cannot be asked, because of older ones, expires at the listener.
func TestIdleWithCorrectionExpires(t *testing.T) {
	t.Parallel()
	cfg := kcp.Config{Timeout: timeout, DataShards: 2, ParityShards: 1}
	l := listen(t, cfg)
	_, server := pair(t, l, l.Addr().String(), cfg)
	_, err := server.Read(make([]byte, 1))
	require.ErrorIs(t, err, kcp.ErrSilent)
}

// A connection that the server does not know any more is not answered, and does
// not come to life as another one.
func TestForgottenConnection(t *testing.T) {
	t.Parallel()
	for _, busy := range []bool{false, true} {
		cfg := kcp.Config{Timeout: timeout}
		l := listen(t, cfg)
		client, server := pair(t, l, l.Addr().String(), cfg)
		_, err := server.Write([]byte("x"))
		require.NoError(t, err)
		requireRead(t, client, []byte("x"))
		_, _ = server.SetLinger(0), server.Close()
		if busy {
			_, err = client.Write([]byte("anybody?"))
			require.NoError(t, err)
		}
		_, err = client.Read(make([]byte, 1))
		require.ErrorIs(t, err, kcp.ErrSilent)
		// The next to be accepted is a new one.
		again, _ := pair(t, l, l.Addr().String(), cfg)
		require.NotEqual(t, client.LocalAddr(), again.LocalAddr())
	}
}

// Where nobody listens, the system says so.
func TestNobodyThere(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("other systems may keep what the network says to themselves")
	}
	l := listen(t, kcp.Config{})
	address := l.Addr().String()
	require.NoError(t, l.Close())
	client := dial(t, address, kcp.Config{})
	_, err := client.Write([]byte("hello"))
	require.NoError(t, err)
	_, err = client.Read(make([]byte, 1))
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
}

// push is a datagram with data.
func push(conv, sn uint32, data string) []byte {
	b := binary.LittleEndian.AppendUint32(nil, conv)
	b = append(b, 81, 0, 0, 1)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint32(b, sn)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
	return append(b, data...)
}

// What is not the beginning of a conversation makes no connection, and a stranger
// with the address of one does not end it.
func TestStrangeDatagrams(t *testing.T) {
	l := listen(t, kcp.Config{})
	raw, err := net.Dial("udp", l.Addr().String())
	require.NoError(t, err)
	defer raw.Close()
	long := push(7, 0, "x")
	binary.LittleEndian.PutUint32(long[20:], 1<<31)
	wrong := push(7, 0, "x")
	wrong[4] = 99
	for _, b := range [][]byte{
		{},
		[]byte("GET / HTTP/1.1\r\n\r\nand so on, for a while"), make([]byte, 1400), bytes.Repeat([]byte{0xff}, 1400),
		push(7, 0, "x")[:23], push(7, 1, "the second"), long, wrong, append(binary.LittleEndian.AppendUint32(nil, 7), 0xf1, 0, 0, 0),
	} {
		_, err := raw.Write(b)
		require.NoError(t, err)
	}
	client, server := pair(t, l, l.Addr().String(), kcp.Config{}) // the first that was accepted
	require.Equal(t, client.LocalAddr().String(), server.RemoteAddr().String())

	// The beginning of another conversation from an address that has one.
	_, err = raw.Write(push(7, 0, "first"))
	require.NoError(t, err)
	first, err := l.Accept()
	require.NoError(t, err)
	defer first.Close()
	requireRead(t, first, []byte("first"))
	for _, b := range [][]byte{push(8, 0, "other"), push(7, 1, "second")} {
		_, err = raw.Write(b)
		require.NoError(t, err)
	}
	requireRead(t, first, []byte("second"))
}

// What nobody accepts is bounded, and dropped with the listener.
func TestBacklog(t *testing.T) {
	l := listen(t, kcp.Config{})
	var clients []*kcp.Conn
	for range 150 {
		c := dial(t, l.Addr().String(), kcp.Config{})
		_, err := c.Write([]byte("hello"))
		require.NoError(t, err)
		clients = append(clients, c)
	}
	// All are accepted in the end, for those that are turned away come again.
	for range 120 {
		c, err := l.Accept()
		require.NoError(t, err)
		requireRead(t, c, []byte("hello"))
		_, _ = c.(*kcp.Conn).SetLinger(0), c.Close()
	}
	require.NoError(t, l.Close())
	require.ErrorIs(t, l.Close(), net.ErrClosed)
	_, err := l.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
	for _, c := range clients {
		_, _ = c.SetLinger(0), c.Close()
	}
	requireNothingLeft(t)
}

// Connections outlive their listener, and the last one closes the socket.
func TestConnectionsOutliveListener(t *testing.T) {
	l := listen(t, kcp.Config{})
	client, server := pair(t, l, l.Addr().String(), kcp.Config{})
	accepting := make(chan error)
	go func() {
		_, err := l.Accept()
		accepting <- err
	}()
	require.NoError(t, l.Close())
	require.ErrorIs(t, <-accepting, net.ErrClosed)
	_, err := client.Write([]byte("ping"))
	require.NoError(t, err)
	requireRead(t, server, []byte("ping"))
	_, err = server.Write([]byte("pong"))
	require.NoError(t, err)
	requireRead(t, client, []byte("pong"))
	_, _ = server.SetLinger(0), server.Close()
	_, _ = client.SetLinger(0), client.Close()
	requireNothingLeft(t)
	again, err := kcp.Listen(l.Addr().String(), kcp.Config{})
	require.NoError(t, err)
	require.NoError(t, again.Close())
}

func TestBadConfig(t *testing.T) {
	for want, cfg := range map[string]kcp.Config{
		"Config.MTU is 100":        {MTU: 100},
		"Config.MTU is 1500":       {MTU: 1500},
		"Config.SendWindow is -1":  {SendWindow: -1},
		"Config.RecvWindow is 999": {RecvWindow: 99999999},
		"Config.Interval is 1ms":   {Interval: time.Millisecond},
		"Config.Timeout is 1ms":    {Timeout: time.Millisecond},
		"are both positive":        {DataShards: 3},
		"together at most 256":     {DataShards: 200, ParityShards: 57},
	} {
		_, err := kcp.Listen("127.0.0.1:0", cfg)
		require.ErrorContains(t, err, want)
		_, err = (&kcp.Dialer{Config: cfg}).DialContext(t.Context(), "udp", "127.0.0.1:1")
		require.ErrorContains(t, err, want)
	}
	_, err := kcp.NewListener(nil, kcp.Config{})
	require.ErrorContains(t, err, "needs a socket")
	_, err = kcp.Listen("nowhere", kcp.Config{})
	require.Error(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = new(kcp.Dialer).DialContext(ctx, "udp4", "localhost:1")
	require.Error(t, err)
}
