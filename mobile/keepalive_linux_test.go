package relink_test

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	relink "github.com/relink-go/relink/mobile"
)

// TestKeepAlive: what docs/mobile.md says about the kernel's probes, which wake the radio
// of an idle phone.
func TestKeepAlive(t *testing.T) {
	cert, root := certificate(t)
	for _, transport := range []string{relink.TransportTCP, relink.TransportTLS} {
		for millis, want := range map[int64]struct{ on, idle int }{
			0:       {1, 8}, // the default, 15 seconds
			600_000: {1, 300},
			-1:      {0, 0},
		} {
			t.Run(transport, func(t *testing.T) {
				s := serve(t, listen(t, transport, cert))
				c := s.configOver(t, transport, root)
				if millis != 0 {
					require.NoError(t, c.SetLivenessTimeout(millis))
				}
				b := &binder{}
				require.NoError(t, c.SetSocketBinder(b))
				dial(t, c)
				fd := int(b.fds[0])
				on, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_KEEPALIVE)
				require.NoError(t, err)
				require.Equal(t, want.on, on)
				if want.on == 1 {
					idle, err := syscall.GetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE)
					require.NoError(t, err)
					require.Equal(t, want.idle, idle)
				}
			})
		}
	}
}
