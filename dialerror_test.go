package relink_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// A time limit of Dial is a time-out as package net has it, whoever's it is, and
// a cancelled Dial is not.
func TestDialTimeout(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		n := faultnet.New()
		inner := n.Listen() // nobody answers
		defer func() { _ = inner.Close() }()
		d := relink.Dialer{Suite: s, DialTransport: n.Dial, Config: relink.Config{HandshakeTimeout: 7 * time.Second}}

		start := time.Now()
		_, err := d.Dial("tcp", "server")
		require.Equal(t, 7*time.Second, time.Since(start))
		require.True(t, requireOpError(t, err).Timeout())
		require.True(t, requireOpError(t, err).Temporary()) // as crypto/tls has it
		require.ErrorIs(t, err, relink.ErrHandshakeTimeout)
		require.ErrorIs(t, err, context.DeadlineExceeded)

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = d.DialContext(ctx, "tcp", "server")
		require.Equal(t, 8*time.Second, time.Since(start))
		require.True(t, requireOpError(t, err).Timeout())
		require.ErrorIs(t, err, context.DeadlineExceeded)

		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err = d.DialConn(ctx, "tcp", "server")
		require.Equal(t, 9*time.Second, time.Since(start))
		require.False(t, requireOpError(t, err).Timeout())
		require.ErrorIs(t, err, context.Canceled)
		require.NotErrorIs(t, err, relink.ErrHandshakeTimeout)
	})
}

// What a transport's dialer fails with is the error of Dial, wrapped once.
func TestDialTransportErrors(t *testing.T) {
	plain := errors.New("no route")
	own := &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	for _, tt := range []struct {
		name      string
		err       error
		cancelled bool
		timeout   bool
		same      bool // it is returned as it is
	}{
		{"plain", plain, false, false, false},
		{"net.OpError", own, false, false, true},
		{"net.OpError, timed out", &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}, false, true, true},
		{"wrapped net.OpError", fmt.Errorf("proxy: %w", own), false, false, false},
		{"deadline of a ctx, wrapped", fmt.Errorf("proxy: %w", context.DeadlineExceeded), false, true, false},
		{"deadline, wrapped", fmt.Errorf("proxy: %w", os.ErrDeadlineExceeded), false, true, false},
		{"cancelled", context.Canceled, true, false, false},
		{"cancelled by a deadline", &net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}, true, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				d := relink.Dialer{Suite: scpSuite, DialTransport: func(context.Context, string, string) (net.Conn, error) {
					if tt.cancelled {
						cancel()
					}
					return nil, tt.err
				}}
				_, err := d.DialConn(ctx, "tcp", "server:7")
				op := requireOpError(t, err)
				require.Equal(t, tt.timeout, op.Timeout())
				if tt.cancelled {
					require.ErrorIs(t, err, context.Canceled)
					return
				}
				require.ErrorIs(t, err, tt.err)
				require.Equal(t, tt.same, err == tt.err) //nolint:errorlint // the very same
				if !tt.same {
					require.Equal(t, "server:7", op.Addr.String())
					require.ErrorContains(t, err, "dial relink server:7: ")
				}
			})
		})
	}
}
