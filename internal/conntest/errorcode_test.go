package conntest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
)

func TestErrorCode(t *testing.T) {
	for _, test := range []struct {
		err  error
		code string
	}{
		{relink.ErrAuthentication, "authentication"},
		{relink.ErrBusy, "busy"},
		{relink.ErrDenied, "denied"},
		{relink.ErrExpired, "expired"},
		{relink.ErrSessionLost, "lost"},
		{relink.ErrPeerClosed, "peer-closed"},
		{relink.ErrReplayGap, "replay-gap"},
		{relink.ErrCounters, "protocol"},
		{relink.ErrProtocol, "protocol"},
		{relink.ErrHandshakeTimeout, "timeout"},
		{errors.ErrUnsupported, "unsupported"},
		{net.ErrClosed, "closed"},
		{os.ErrDeadlineExceeded, "timeout"},
		{context.DeadlineExceeded, "timeout"},
		{io.EOF, "end"},
		{&relink.UndeliveredError{Bytes: 3, Err: context.DeadlineExceeded}, "undelivered"},
		{errors.New("connection refused"), "network"},
		// What is more exact comes first.
		{fmt.Errorf("%w: %w", relink.ErrExpired, os.ErrDeadlineExceeded), "expired"},
		{&net.OpError{Op: "read", Err: relink.ErrSessionLost}, "lost"},
	} {
		require.Equal(t, test.code, relink.ErrorCode(test.err), "%v", test.err)
	}
}
