package conntest

import (
	"errors"
	"net"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// An unwelcome transport says why in place of its first byte, as one with a wrong
// certificate does.
type unwelcome struct {
	net.Conn
	why error
}

func (u unwelcome) Read([]byte) (int, error) { return 0, u.why }

// A transport that has a reason for its end is no health check: the reason is told.
func TestTransportWithReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := faultnet.New()
		var refused []relink.Event
		inner := n.Listen()
		why := errors.New("no such certificate")
		cfg := relink.ListenConfig{Suites: []relink.ServerSuite{relink.InsecureNoiseServer{}}}
		cfg.OnEvent = func(e relink.Event) { refused = append(refused, e) }
		l, err := relink.NewListener(wrappingListener{inner, func(c net.Conn) net.Conn { return unwelcome{c, why} }}, cfg)
		require.NoError(t, err)
		c, err := n.Dial(t.Context(), "tcp", "server")
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, relink.RefusalStats{Transport: 1}, l.Stats().Refused)
		require.Len(t, refused, 1)
		require.ErrorIs(t, refused[0].Err, why)
		require.NotErrorIs(t, refused[0].Err, relink.ErrProbe)
		_ = c.Close()
		require.NoError(t, l.Close())
	})
}
