package relink_test

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

func TestSmokeResume(t *testing.T) {
	for _, kind := range []faultnet.Kind{faultnet.Reset, faultnet.ResetNow, faultnet.End} {
		t.Run(kind.String(), func(t *testing.T) {
			forEachSuite(t, func(t *testing.T, s relink.Suite) {
				synctest.Test(t, func(t *testing.T) {
					n := faultnet.New()
					cfg := relink.Config{Suites: []relink.Suite{s}}
					l, err := relink.NewListener(n.Listen(), cfg)
					require.NoError(t, err)
					d := relink.Dialer{Config: cfg, DialTransport: n.Dial}
					n.OnDial(func(i int, p *faultnet.Path) error {
						if i < 60 {
							p.CutAt(faultnet.Dir(i%2), int64(200+rand.IntN(400000)), kind)
						}
						return nil
					})
					c, err := d.Dial(context.Background(), "tcp", "x")
					require.NoError(t, err)
					sc, err := l.AcceptConn()
					require.NoError(t, err)
					go func() {
						for range 20 {
							time.Sleep(time.Second)
							n.Last().Cut(kind)
						}
					}()
					data := make([]byte, 5<<20)
					for i := range data {
						data[i] = byte(rand.Uint32())
					}
					for _, ends := range [][2]*relink.Conn{{c, sc}, {sc, c}} {
						go func() {
							_, err := ends[0].Write(data)
							require.NoError(t, err)
						}()
						got := make([]byte, len(data))
						_, err := io.ReadFull(ends[1], got)
						require.NoError(t, err)
						require.True(t, bytes.Equal(got, data))
					}
					t.Logf("%+v %+v", c.Stats(), sc.Stats())
					require.NoError(t, c.Close())
					b := make([]byte, 1)
					_, err = sc.Read(b)
					require.ErrorIs(t, err, io.EOF)
					require.NoError(t, sc.Close())
					require.NoError(t, l.Close())
					<-c.Done()
					<-sc.Done()
				})
			})
		})
	}
}
