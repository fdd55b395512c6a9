package proxyproto_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/internal/faultnet"
	"github.com/relink-go/relink/transport/proxyproto"
)

type headerFunc = func(context.Context, net.Conn) (*proxyproto.Header, error)

// dialWith dials a network whose addresses are not those of package net.
func dialWith(n *faultnet.Network, h headerFunc) (net.Conn, error) {
	d := proxyproto.Dialer{DialTransport: n.Dial, Header: h}
	return d.DialContext(context.Background(), "tcp", "server")
}

func TestDialer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := faultnet.New()
		inner := net.Listener(n.Listen())
		defer inner.Close()
		client, err := dialWith(n, func(_ context.Context, c net.Conn) (*proxyproto.Header, error) {
			require.Equal(t, "10.0.0.100:7000", c.RemoteAddr().String())
			return &proxyproto.Header{Version: 1}, nil
		})
		require.NoError(t, err)
		defer client.Close()
		server, err := inner.Accept()
		require.NoError(t, err)
		defer server.Close()
		got := make([]byte, 15)
		_, err = io.ReadFull(server, got)
		require.NoError(t, err)
		require.Equal(t, "PROXY UNKNOWN\r\n", string(got))
	})
}

func TestDialerErrors(t *testing.T) {
	none := errors.New("none today")
	synctest.Test(t, func(t *testing.T) {
		n := faultnet.New()
		inner := net.Listener(n.Listen())
		defer inner.Close()
		for name, c := range map[string]struct {
			header headerFunc
			want   string
		}{
			"no header": {func(context.Context, net.Conn) (*proxyproto.Header, error) { return nil, nil }, "neither a header nor an error"},
			"an error":  {func(context.Context, net.Conn) (*proxyproto.Header, error) { return nil, none }, "none today"},
			"a wrong header": {func(context.Context, net.Conn) (*proxyproto.Header, error) {
				return &proxyproto.Header{Version: 7}, nil
			}, "version 7"},
			"no addresses": {nil, "are not of one kind"},
		} {
			_, err := dialWith(n, c.header)
			require.ErrorContains(t, err, c.want, name)
			require.ErrorContains(t, err, "10.0.0.100:7000", name)
		}
		d := proxyproto.Dialer{DialTransport: func(context.Context, string, string) (net.Conn, error) { return nil, none }}
		_, err := d.DialContext(context.Background(), "tcp", "server")
		require.ErrorIs(t, err, none)
		d.DialTransport = func(context.Context, string, string) (net.Conn, error) { return nil, nil }
		_, err = d.DialContext(context.Background(), "tcp", "server")
		require.ErrorContains(t, err, "neither")
	})
}

// A peer that takes nothing keeps the dialler no longer than its context.
func TestDialerBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := faultnet.New()
		n.SetOptions(faultnet.Options{Buffer: 4})
		inner := net.Listener(n.Listen())
		defer inner.Close()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		d := proxyproto.Dialer{DialTransport: n.Dial, Header: func(context.Context, net.Conn) (*proxyproto.Header, error) {
			return &proxyproto.Header{Local: true}, nil
		}}
		start := time.Now()
		_, err := d.DialContext(ctx, "tcp", "server")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(start))
	})
}
