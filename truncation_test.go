package relink_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
)

// On a wire without a close message a clean FIN means that all has arrived. A
// server that gives up with bytes in hand must not send one.
func TestGivingUpIsNoCleanEnd(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	cfg := setup{CloseTimeout: 200 * time.Millisecond}
	l, err := relink.NewListener(inner, cfg.listener(dh64rc4Suite))
	require.NoError(t, err)
	defer l.Close()
	client, server := tcpSession(t, l, relink.Dialer{Suite: dh64rc4Suite, Config: cfg.shared(), DialTransport: func(ctx context.Context, network, _ string) (net.Conn, error) {
		t, err := new(net.Dialer).DialContext(ctx, network, inner.Addr().String())
		if err == nil {
			err = t.(*net.TCPConn).SetReadBuffer(64 << 10)
		}
		return t, err
	}})

	written := 0
	for n := -1; n != 0; written += n { // until the kernels take no more
		require.NoError(t, server.SetWriteDeadline(time.Now().Add(200*time.Millisecond)))
		n, err = server.Write(make([]byte, 16<<20))
		requireTimeout(t, err)
	}
	require.NoError(t, server.Close())
	<-server.Done()
	got, err := io.Copy(io.Discard, client)
	require.Less(t, got, int64(written))
	require.ErrorIs(t, err, relink.ErrSessionLost)
}

// Nor does a client that has lost its network end a server's stream: the
// server's application learns that it may lack something.
func TestLostNetworkIsNoCleanEnd(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	cfg := setup{ResumeTimeout: 300 * time.Millisecond}
	l, err := relink.NewListener(inner, cfg.listener(dh64rc4Suite))
	require.NoError(t, err)
	defer l.Close()
	dials := 0
	client, server := tcpSession(t, l, relink.Dialer{Suite: dh64rc4Suite, Config: cfg.shared(), DialTransport: func(ctx context.Context, network, _ string) (net.Conn, error) {
		if dials++; dials > 1 {
			return nil, errors.New("no network")
		}
		return new(net.Dialer).DialContext(ctx, network, inner.Addr().String())
	}})
	client.NetworkChanged()
	_, err = client.Write([]byte("never arrives"))
	require.NoError(t, err)
	got, err := io.ReadAll(server)
	require.Empty(t, got)
	require.ErrorIs(t, err, relink.ErrExpired)
}

// A dialer may leave a deadline on its transport; the session has its own.
func TestDeadlineLeftByDialer(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	cfg := setup{}
	l, err := relink.NewListener(inner, cfg.listener(dh64rc4Suite))
	require.NoError(t, err)
	defer l.Close()
	const left = 200 * time.Millisecond
	client, server := tcpSession(t, l, relink.Dialer{Suite: dh64rc4Suite, Config: cfg.shared(), DialTransport: func(ctx context.Context, network, _ string) (net.Conn, error) {
		t, err := new(net.Dialer).DialContext(ctx, network, inner.Addr().String())
		if err == nil {
			err = t.SetDeadline(time.Now().Add(left))
		}
		return t, err
	}})
	time.AfterFunc(2*left, func() { _, _ = server.Write([]byte("x")) })
	giveUp := time.AfterFunc(10*time.Second, func() { _ = client.Abort() })
	defer giveUp.Stop()
	_, err = io.ReadFull(client, make([]byte, 1))
	require.NoError(t, err)
	requireWrite(t, client, []byte("y")) // nor does it end what is written
	requireRead(t, server, []byte("y"))
	require.Zero(t, client.Stats().Resumes)
}

// tcpSession opens a session and aborts it at the end of the test.
func tcpSession(t *testing.T, l *relink.Listener, d relink.Dialer) (client, server *relink.Conn) {
	client, err := d.DialConn(context.Background(), "tcp", l.Addr().String())
	require.NoError(t, err)
	server, err = l.AcceptConn()
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = client.Abort(), server.Abort() })
	return client, server
}
