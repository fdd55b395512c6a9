package main

import (
	"io"
	"net"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPing(t *testing.T) {
	key, public := newKey(t)
	server := start(t, "serve", "-listen", "127.0.0.1:0", "-to", echo(t, "tcp", "127.0.0.1:0"), "-key", key, "-suite", "noise", "-suite", "dh64rc4")
	status, out, stderr := run(t, "", "ping", "-to", server.address(), "-server-key", public, "-n", "3")
	require.Zero(t, status, stderr)
	for _, want := range []string{
		`server      ` + regexp.QuoteMeta(server.address()), `suite       Noise`, `key         ` + regexp.QuoteMeta(public), `session     [0-9a-f]+`,
		`connect     [0-9.]+ ms`, `handshake   [0-9.]+ ms`, `cut 1       back after [0-9.]+ ms, 0 bytes sent again`, `cut 3       back after`,
	} {
		require.Regexp(t, "(?m)^"+want, out)
	}
	status, out, stderr = run(t, "", "ping", "-to", server.address(), "-suite", "dh64rc4", "-n", "0")
	require.Zero(t, status, stderr)
	require.Contains(t, out, "suite       DH64RC4")
	require.NotContains(t, out, "cut")
}

// What is not a relink server, or is not there, is an error and no figures.
func TestPingFails(t *testing.T) {
	_, public := newKey(t)
	mute := serverOf(t, "tcp", "127.0.0.1:0", func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	for _, c := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"-to", mute, "-server-key", public, "-handshake-timeout", "100ms"}, 255, "relink ping: dial"},
		{[]string{"-to", "127.0.0.1:1", "-server-key", public}, 255, "refused"},
		{[]string{"-to", "127.0.0.1:1"}, 2, "the server's key is missing"},
		{[]string{"-to", "127.0.0.1:1", "-server-key", public, "-n", "-1"}, 2, "less than zero"},
	} {
		status, out, stderr := run(t, "", append([]string{"ping"}, c.args...)...)
		require.Equal(t, c.status, status, "%q", c.args)
		require.Empty(t, out)
		require.Contains(t, stderr, c.want)
	}
}
