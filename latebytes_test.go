package relink_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// A stubbornTransport can no longer be written, and takes its time to close.
type stubbornTransport struct {
	net.Conn
	broken atomic.Bool
}

func (s *stubbornTransport) Interruptible() bool { return true }

func (s *stubbornTransport) Write(p []byte) (int, error) {
	if s.broken.Load() {
		return 0, errors.New("broken")
	}
	return s.Conn.Write(p)
}

func (s *stubbornTransport) Close() error {
	if s.broken.Load() {
		time.Sleep(time.Second)
	}
	return s.Conn.Close()
}

// What a lost transport still brings after the server was told the client's
// counts comes again over the next one, and does not contradict the server's
// counts, which are older.
func TestLostTransportBringsMoreThanWasTold(t *testing.T) {
	forEachSuite(t, func(t *testing.T, s testSuite) {
		synctest.Test(t, func(t *testing.T) {
			n := faultnet.New()
			cfg := setup{}
			l, err := relink.NewListener(n.Listen(), cfg.listener(s))
			require.NoError(t, err)
			var first *stubbornTransport
			d := relink.Dialer{Suite: s, Config: cfg.shared(), DialTransport: func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := n.Dial(ctx, network, address)
				if err != nil || first != nil {
					return c, err
				}
				first = &stubbornTransport{Conn: c}
				return first, nil
			}}
			client, err := d.DialConn(t.Context(), "tcp", "server")
			require.NoError(t, err)
			server, err := l.AcceptConn()
			require.NoError(t, err)

			const size = 40
			got := make(chan []byte, 1)
			go func() { // its Read of the old transport is still under way
				b := make([]byte, size+1)
				k, err := io.ReadAtLeast(client, b, size)
				if err != nil {
					t.Error(err)
				}
				got <- b[:k]
			}()
			synctest.Wait()
			n.SetOptions(faultnet.Options{Delay: 25 * time.Millisecond})
			first.broken.Store(true)
			_, err = client.Write([]byte("up"))
			require.NoError(t, err)
			// The dial takes 50 ms, the request arrives after 75 and the answer after
			// 100: the old transport brings a byte that the answer does not count.
			time.Sleep(80 * time.Millisecond)
			var want []byte
			for i := range size {
				want = append(want, byte(i))
				_, err := server.Write(want[i:])
				require.NoError(t, err)
				time.Sleep(5 * time.Millisecond)
			}
			require.Equal(t, want, <-got)
			up := make([]byte, 2)
			_, err = io.ReadFull(server, up)
			require.NoError(t, err)
			require.Equal(t, "up", string(up))
			_, _, _ = client.Abort(), server.Abort(), l.Close()
			time.Sleep(2 * time.Second) // the old transport closes
		})
	})
}
