package wan_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/bench/internal/wan"
)

// The tests over real sockets check only what a slow machine cannot break: that
// nothing arrives too early, and that everything arrives exactly.

var fast = wan.Params{RoundTrip: 20 * time.Millisecond, Rate: 80_000_000, Queue: 64 << 10}

func connected(t *testing.T, p wan.Params) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	n := wan.New(p)
	t.Cleanup(func() {
		_ = l.Close()
		n.Close()
	})
	client, err = n.DialTCP(t.Context(), l.Addr().String())
	require.NoError(t, err)
	server, err = l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = client.Close(), server.Close() })
	return client, server
}

func TestStreamIsExactAndNotEarly(t *testing.T) {
	client, server := connected(t, fast)
	for _, ends := range [][2]net.Conn{{client, server}, {server, client}} {
		const size = 512 << 10
		data := make([]byte, size)
		for i := range data {
			data[i] = byte(i ^ i>>8)
		}
		start := time.Now()
		go func() { _, _ = ends[0].Write(data) }()
		got := make([]byte, size)
		_, err := io.ReadFull(ends[1], got)
		require.NoError(t, err)
		require.True(t, bytes.Equal(data, got))
		least := fast.RoundTrip/2 + time.Duration(size*8*int64(time.Second)/int64(fast.Rate))
		require.GreaterOrEqual(t, time.Since(start), least)
	}
}

func TestDialTakesARoundTrip(t *testing.T) {
	start := time.Now()
	connected(t, fast)
	require.GreaterOrEqual(t, time.Since(start), fast.RoundTrip)
}

func TestEndArrives(t *testing.T) {
	client, server := connected(t, fast)
	_, err := client.Write([]byte("last"))
	require.NoError(t, err)
	require.NoError(t, client.(*net.TCPConn).CloseWrite())
	got, err := io.ReadAll(server)
	require.NoError(t, err)
	require.Equal(t, "last", string(got))
	_, err = server.Write([]byte("answer"))
	require.NoError(t, err)
	require.NoError(t, server.Close())
	got, err = io.ReadAll(client)
	require.NoError(t, err)
	require.Equal(t, "answer", string(got))
}

func TestResetArrives(t *testing.T) {
	client, server := connected(t, fast)
	require.NoError(t, client.(*net.TCPConn).SetLinger(0))
	require.NoError(t, client.Close())
	_, err := server.Read(make([]byte, 1))
	require.Error(t, err)
	require.NotErrorIs(t, err, io.EOF)
}

func TestRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := l.Addr().String()
	require.NoError(t, l.Close())
	n := wan.New(fast)
	defer n.Close()
	c, err := n.DialTCP(t.Context(), address)
	if err == nil { // the relay takes the connection before it knows
		_, err = c.Read(make([]byte, 1))
		_ = c.Close()
	}
	require.Error(t, err)
}

func TestDialEnds(t *testing.T) {
	n := wan.New(wan.Params{RoundTrip: time.Hour, Rate: 1_000_000, Queue: 1})
	defer n.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := n.DialTCP(ctx, "127.0.0.1:1")
	require.ErrorIs(t, err, context.Canceled)
}

func TestClosedNetwork(t *testing.T) {
	n := wan.New(fast)
	n.Close()
	_, err := n.DialTCP(t.Context(), "127.0.0.1:1")
	require.ErrorIs(t, err, net.ErrClosed)
}

func TestDatagrams(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = server.Close() }()
	n := wan.New(fast)
	defer n.Close()
	address, err := n.PacketAddress(server.LocalAddr().String())
	require.NoError(t, err)
	again, err := n.PacketAddress(server.LocalAddr().String())
	require.NoError(t, err)
	require.Equal(t, address, again)

	client, err := net.Dial("udp", address)
	require.NoError(t, err)
	defer client.Close()
	start := time.Now()
	_, err = client.Write([]byte("question"))
	require.NoError(t, err)
	buf := make([]byte, 100)
	k, from, err := server.ReadFrom(buf)
	require.NoError(t, err)
	require.Equal(t, "question", string(buf[:k]))
	_, err = server.WriteTo([]byte("answer"), from)
	require.NoError(t, err)
	k, err = client.Read(buf)
	require.NoError(t, err)
	require.Equal(t, "answer", string(buf[:k]))
	require.GreaterOrEqual(t, time.Since(start), fast.RoundTrip)
}
