package conntest

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// A refusing transport dies of a Write that is longer than it may be, and takes none of it.
type refusing struct {
	net.Conn
	most int
}

func (c refusing) Write(p []byte) (int, error) {
	if len(p) > c.most {
		_ = c.Close()
		return 0, errors.New("message too big")
	}
	return c.Conn.Write(p)
}

type refusingListener struct {
	net.Listener
	most int
}

func (l refusingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return refusing{c, l.most}, nil
}

// A transport that refuses long Writes gets on in the end, in either direction, because
// pieces shrink after links that carry nothing; and whoever observes is told.
func TestTransportsThatRefuseLongWrites(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		const size = 4 << 20
		for _, most := range []int{32 << 10, 4 << 10} {
			n := faultnet.New()
			n.SetOptions(faultnet.Options{Delay: time.Millisecond})
			r := newIdleOn(t, s, refusingListener{n.Listen(), most}, func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := n.Dial(ctx, network, address)
				if err != nil {
					return nil, err
				}
				return refusing{c, most}, nil
			})
			r.Connect()
			for _, e := range [][2]*Side{{r.Client, r.Server}, {r.Server, r.Client}} {
				start := time.Now()
				write := Background(func() (int, error) { return e[0].Write(Data(size)) })
				RequireRead(t, e[1], Data(size))
				require.NoError(t, (<-write).Err)
				require.Less(t, time.Since(start), 20*time.Second)
			}
			if IsClassic(s) {
				require.Less(t, LinksOf(r.Client.Conn), int64(20))
			}
			r.Stop()
		}
	})
}

// Links that die at once and bring nothing forward: the pauses grow, both sides' observers
// are told how many there were in a row, and one that carries something ends the row.
func TestFruitlessLinksAreTold(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		var log bytes.Buffer
		r := New(t, s, WithPath(faultnet.Options{Delay: time.Millisecond}), WithClient(func(d *relink.Dialer) {
			d.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
		}))
		dies := func(_ int, p *faultnet.Path) error {
			time.AfterFunc(100*time.Millisecond, func() { p.Cut(faultnet.Reset) })
			return nil
		}
		r.Net.OnDial(dies)
		r.Client.NetworkChanged()
		require.NoError(t, r.Server.SetReadDeadline(time.Now().Add(time.Minute)))
		_, err := r.Server.Read(make([]byte, 1)) // a server without pings looks only when somebody reads
		requireTimeout(t, err)
		for _, e := range []*Side{r.Client, r.Server} {
			lost := e.Events.All(relink.EventSuspended)
			require.Greater(t, len(lost), 10, e.name)
			require.Zero(t, lost[0].Fruitless)
			require.Equal(t, len(lost)-1, lost[len(lost)-1].Fruitless, e.name)
			third := lost[len(lost)*2/3].Time.Sub(lost[len(lost)/3].Time)
			require.Greater(t, third, lost[3].Time.Sub(lost[1].Time), "the pauses do not grow")
		}
		r.Net.OnDial(nil)
		require.NoError(t, r.Server.SetReadDeadline(time.Time{}))
		time.Sleep(10 * time.Second)
		r.Exchange(100)
		r.Net.OnDial(dies)
		time.Sleep(time.Second)
		before := len(r.Client.Events.All(relink.EventSuspended))
		require.True(t, r.Client.Cut())
		time.Sleep(2 * time.Second)
		lost := r.Client.Events.All(relink.EventSuspended)
		require.Greater(t, len(lost), before)
		require.Zero(t, lost[before].Fruitless, "the link before carried something")
		r.Stop()
		require.NotContains(t, log.String(), "fruitless=2 ")
		require.Contains(t, log.String(), "fruitless=3 ")
	})
}
