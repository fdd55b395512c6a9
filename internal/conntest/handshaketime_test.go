package conntest

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// The opened event says what the handshake took: its round trips, without the dial.
func TestHandshakeTime(t *testing.T) {
	const delay = 50 * time.Millisecond
	for _, c := range []struct {
		server           relink.ServerSuite
		client           relink.ClientSuite
		atServer, atHome time.Duration // between the transport and the end of the handshake
	}{
		{relink.InsecureNoiseServer{}, relink.InsecureNoiseClient{}, delay, 2 * delay},
		{relink.SCPServer{}, relink.SCPClient{}, delay, 2 * delay},
	} {
		synctest.Test(t, func(t *testing.T) {
			network := faultnet.New()
			network.SetOptions(faultnet.Options{Delay: delay})
			server, client := make(chan relink.Event, 9), make(chan relink.Event, 9)
			cfg := relink.ListenConfig{Suites: []relink.ServerSuite{c.server}}
			cfg.OnEvent = func(e relink.Event) { server <- e }
			l, err := relink.NewListener(network.Listen(), cfg)
			require.NoError(t, err)
			d := relink.Dialer{Suite: c.client, DialTransport: network.Dial}
			d.OnEvent = func(e relink.Event) { client <- e }
			a, err := d.DialConn(context.Background(), "tcp", "server")
			require.NoError(t, err)
			b, err := l.AcceptConn()
			require.NoError(t, err)
			for side, want := range map[<-chan relink.Event]time.Duration{server: c.atServer, client: c.atHome} {
				e := <-side
				require.Equal(t, relink.EventOpened, e.Kind)
				require.GreaterOrEqual(t, e.Handshake, want)
				require.Less(t, e.Handshake, want+4*delay)
			}
			_, _ = a.Abort(), b.Abort()
			require.NoError(t, l.Close())
		})
	}
}
