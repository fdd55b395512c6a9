package conntest

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// With NoEarlyData on either side nothing of the client's stream is taken from a request
// for a resume, and everything arrives over the link that it makes.
func TestNoEarlyData(t *testing.T) {
	none := func(c *relink.Config) { c.NoEarlyData = true }
	for name, option := range map[string]Option{
		"client": WithClient(func(d *relink.Dialer) { none(&d.Config) }),
		"server": WithServer(func(lc *relink.ListenConfig) { none(&lc.Config) }),
		"both":   WithBoth(none),
	} {
		t.Run(name, func(t *testing.T) {
			InAckBubble(t, func(t *testing.T, s Suite) {
				r := New(t, s, option)
				time.Sleep(time.Second) // the limits are known
				r.Suspend(faultnet.Refuse, faultnet.ResetNow)
				RequireWrite(t, r.Client, []byte("late"))
				r.Net.OnDial(func(_ int, p *faultnet.Path) error {
					p.Stall(faultnet.Down) // the client never sees the answer
					return nil
				})
				r.Net.SetDown(faultnet.NotDown)
				r.Client.NetworkChanged()
				got := make([]byte, 4)
				reading := Background(func() (int, error) { return io.ReadFull(r.Server, got) })
				time.Sleep(time.Second)
				synctest.Wait()
				require.Empty(t, reading)
				require.Positive(t, r.Net.Last().Delivered(faultnet.Up))
				r.Net.OnDial(nil)
				r.Net.Last().Cut(faultnet.ResetNow)
				o := <-reading
				require.NoError(t, o.Err)
				require.Equal(t, "late", string(got))
				r.Exchange(1000)
				r.Finish()
			})
		})
	}
}
