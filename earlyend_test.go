package relink_test

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
	"github.com/relink-go/relink/internal/suite"
)

// A client ends its stream over a new link at an offset that it has passed over
// the old one. It contradicts itself, and the session ends.
func TestEndBeforeWhatHasArrived(t *testing.T) {
	inRecordBubble(t, func(t *testing.T, p *records, s testSuite) {
		s, h, _ := hooked(s)
		gate := make(chan struct{})
		dials := 0
		r := newRig(t, s, func(r *rig, _ *relink.ListenConfig) {
			r.dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := r.net.Dial(ctx, network, address)
				if dials++; dials != 2 || err != nil {
					return c, err
				}
				return &gatedConn{Conn: c, gate: gate}, nil // holds its proof back
			}
		})
		r.exchange(100)
		time.Sleep(time.Second)
		read := background(func() (int, error) { return r.server.Read(make([]byte, 64)) })
		synctest.Wait()
		old := r.net.Last()
		old.Stall(faultnet.Up)
		requireWrite(t, r.client, rigData(10))
		tamper := func(_ string, client bool, data []byte, k suite.Control) ([]byte, suite.Control) {
			if !client || k.Reset != 0 {
				return data, k
			}
			k.Fin = true
			return nil, k
		}
		p.tamper.Store(&tamper)
		pending := func([]byte) (int64, int) { return 100, 0 }
		h.pending.Store(&pending)
		r.client.NetworkChanged()
		synctest.Wait()
		old.Release(faultnet.Up)
		require.Equal(t, 10, (<-read).n)
		close(gate)
		synctest.Wait()
		_, err := r.server.Read(make([]byte, 1))
		require.ErrorIs(t, err, relink.ErrProtocol)
		r.stop()
	})
}
