package websocket_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/transport/websocket"
)

// A listener that is there is served as one of Listen's own, and closed with it.
func TestServe(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l, err := websocket.Serve(inner, websocket.Config{Path: "/relink"})
	require.NoError(t, err)
	require.Equal(t, "ws://"+inner.Addr().String()+"/relink", l.Addr().String())
	c, err := new(websocket.Dialer).DialTransport(context.Background(), "", l.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	s, err := l.Accept()
	require.NoError(t, err)
	defer s.Close()
	_, err = io.WriteString(c, "hello")
	require.NoError(t, err)
	got := make([]byte, 5)
	_, err = io.ReadFull(s, got)
	require.NoError(t, err)
	require.NoError(t, l.Close())
	_, err = inner.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
}

// What is wrong is said before the listener is touched.
func TestServeWrong(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer inner.Close()
	for want, cfg := range map[string]websocket.Config{
		"no certificate": {TLSConfig: new(tls.Config)},
		"MessageSize":    {MessageSize: -1},
	} {
		_, err := websocket.Serve(inner, cfg)
		require.ErrorContains(t, err, want)
		_, err = websocket.Listen("tcp", "127.0.0.1:0", cfg)
		require.ErrorContains(t, err, want)
	}
	c, err := net.Dial("tcp", inner.Addr().String())
	require.NoError(t, err)
	_ = c.Close()
	a, err := inner.Accept()
	require.NoError(t, err)
	_ = a.Close()
}
