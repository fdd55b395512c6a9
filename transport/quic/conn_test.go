package quic_test

import (
	"io"
	"net"
	"os"
	"testing"
	"time"

	quicgo "github.com/quic-go/quic-go"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/nettest"

	"github.com/relink-go/relink/internal/transport/transporttest"
	"github.com/relink-go/relink/transport/quic"
)

// TestNetConn holds both ends to net.Conn's contract, without exception.
func TestNetConn(t *testing.T) {
	p := open(t, quic.Config{}, nil)
	for _, end := range []string{"client", "server"} {
		t.Run(end, func(t *testing.T) {
			nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
				c, s, err := p.connect()
				if err != nil {
					return nil, nil, nil, err
				}
				stop := func() { abort(c, s) }
				if end == "server" {
					return s, c, stop, nil
				}
				return c, s, stop, nil
			})
		})
	}
}

// A server may speak first.
func TestServerSpeaksFirst(t *testing.T) {
	client, server := open(t, quic.Config{}, nil).pair(t)
	transporttest.RequireEcho(t, server, client)
}

func TestHalfClose(t *testing.T) {
	client, server := open(t, quic.Config{}, nil).pair(t)
	transporttest.RequireHalfClose(t, client, server)
}

// What was written before Close arrives, and then io.EOF, although the peer has
// sent what nobody reads.
func TestCloseIsClean(t *testing.T) {
	for _, keep := range []time.Duration{0, -1, time.Minute} {
		client, server := open(t, quic.Config{}, &quic.Dialer{KeepConnection: keep}).pair(t)
		_, err := server.Write([]byte("unread"))
		require.NoError(t, err)
		data := transporttest.Data(300_000)
		_, err = client.Write(data)
		require.NoError(t, err)
		require.NoError(t, client.Close())
		require.ErrorIs(t, client.Close(), net.ErrClosed)
		got, err := io.ReadAll(server)
		require.NoError(t, err)
		require.Equal(t, data, got)
		for name, call := range map[string]func() error{
			"Read":           func() error { _, err := client.Read(make([]byte, 1)); return err },
			"Write":          func() error { _, err := client.Write(make([]byte, 1)); return err },
			"CloseWrite":     client.CloseWrite,
			"deadlines":      func() error { return client.SetDeadline(time.Now()) },
			"read deadline":  func() error { return client.SetReadDeadline(time.Now()) },
			"write deadline": func() error { return client.SetWriteDeadline(time.Now()) },
			"linger":         func() error { return client.SetLinger(0) },
		} {
			require.ErrorIs(t, call(), net.ErrClosed, name)
		}
		// What the peer still writes fails.
		for err == nil {
			_, err = server.Write(data)
		}
		var reset *quicgo.StreamError
		require.ErrorAs(t, err, &reset)
		require.NoError(t, server.Close())
	}
}

func TestAbortIsNoCleanEnd(t *testing.T) {
	client, server := open(t, quic.Config{}, nil).pair(t)
	_, err := client.Write(transporttest.Data(1000))
	require.NoError(t, err)
	require.NoError(t, client.SetLinger(-1))
	require.NoError(t, client.SetLinger(0))
	require.NoError(t, client.Close())
	_, err = io.ReadAll(server)
	require.Error(t, err)
	require.NotEqual(t, io.EOF, err)
	var op *net.OpError
	require.ErrorAs(t, err, &op)
	require.Equal(t, quic.Network, op.Net)
}

// Close does not wait for a Write that is stuck.
func TestCloseEndsWrite(t *testing.T) {
	client, server := open(t, quic.Config{}, nil).pair(t)
	written := make(chan error)
	go func() {
		_, err := client.Write(make([]byte, 64<<20))
		written <- err
	}()
	_, err := server.Read(make([]byte, 1))
	require.NoError(t, err)
	require.NoError(t, client.Close())
	require.ErrorIs(t, <-written, net.ErrClosed)
}

func TestDeadlineIsHarmless(t *testing.T) {
	client, server := open(t, quic.Config{}, nil).pair(t)
	require.True(t, client.Interruptible())
	_ = client.SetDeadline(time.Now().Add(time.Millisecond))
	_, err := client.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	var ne net.Error
	require.ErrorAs(t, err, &ne)
	require.True(t, ne.Timeout())
	_, err = client.Write([]byte("x"))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	_ = client.SetDeadline(time.Time{})
	transporttest.RequireEcho(t, client, server)
}

func TestAddresses(t *testing.T) {
	p := open(t, quic.Config{}, nil)
	client, server := p.pair(t)
	require.Equal(t, p.at, client.RemoteAddr().String())
	require.Equal(t, p.at, server.LocalAddr().String())
	require.Equal(t, client.LocalAddr().(*net.UDPAddr).Port, server.RemoteAddr().(*net.UDPAddr).Port)
}
