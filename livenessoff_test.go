package relink_test

import (
	"context"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
)

// With a negative LivenessTimeout the transports that the library dials are as
// package net makes them, and a session works like any other.
func TestLivenessOff(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s testSuite) {
		inner, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		cfg := setup{LivenessTimeout: -1}
		l, err := relink.NewListener(inner, cfg.listener(s))
		require.NoError(t, err)
		d := relink.Dialer{Suite: s, Config: cfg.shared()}
		client, err := d.DialConn(context.Background(), "tcp", l.Addr().String())
		require.NoError(t, err)
		server, err := l.AcceptConn()
		require.NoError(t, err)
		requireExchange(t, client, server, 10_000)
		client.NetworkChanged()
		requireExchange(t, client, server, 10_000)
		_, _, _ = client.Abort(), server.Abort(), l.Close()
	})
}
