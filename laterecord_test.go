package relink_test

import (
	"context"
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

// A tardyTransport takes a second to close, and reads on meanwhile.
type tardyTransport struct{ net.Conn }

func (tardyTransport) Interruptible() bool { return true }

func (t tardyTransport) Close() error {
	time.Sleep(time.Second)
	return t.Conn.Close()
}

// A tardyListener hands out tardy transports.
type tardyListener struct{ net.Listener }

func (l tardyListener) Accept() (net.Conn, error) {
	t, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return tardyTransport{t}, nil
}

// A holdingTransport keeps the Write that has sent its bytes until it is let go.
type holdingTransport struct {
	net.Conn
	holds atomic.Bool
	letGo chan struct{}
}

func (*holdingTransport) Interruptible() bool { return true }

func (h *holdingTransport) Write(p []byte) (int, error) {
	n, err := h.Conn.Write(p)
	if h.holds.Load() {
		<-h.letGo
	}
	return n, err
}

// The server's Read is still under way on the old transport when a resume has
// taken the session over, and only then the old one delivers: data, and in the
// same record the end of the stream, where the wire has one. The data is dropped
// because it comes again, and the end must not be taken for an end before it.
func TestLateDataBesideANewLink(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		t.Cleanup(func() { time.Sleep(2 * time.Second) }) // the transports close
		first := &holdingTransport{letGo: make(chan struct{})}
		r := newRig(t, s, func(r *rig, _ *relink.ListenConfig) {
			r.wrap = func(l net.Listener) net.Listener { return tardyListener{l} }
			r.dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := r.net.Dial(ctx, network, address)
				if first.Conn != nil || err != nil {
					return c, err
				}
				first.Conn = c
				return first, nil
			}
		})
		r.exchange(100)
		time.Sleep(time.Second) // the limits are known
		ends := relink.TraitsOf(s).HalfClose

		// While a byte is being sent, the rest gathers for one record.
		first.holds.Store(true)
		one := background(func() (int, error) { return r.client.Write([]byte{1}) })
		requireRead(t, r.server, []byte{1})
		data := rigData(1000)
		got := background(func() (int, error) {
			b := make([]byte, len(data))
			n, err := io.ReadFull(r.server, b)
			if string(b[:n]) != string(data[:n]) {
				t.Error("the stream differs")
			}
			return n, err
		})
		requireWrite(t, r.client, data)
		if ends {
			require.NoError(t, r.client.CloseWrite())
		}
		old := r.net.Last()
		old.Stall(faultnet.Up)
		first.holds.Store(false)
		close(first.letGo)
		require.NoError(t, (<-one).err)
		synctest.Wait()

		r.client.HookSession(relink.SessionHook{Pending: func([]byte) (int64, int) { return 101, 0 }}) // it all has to come over the link
		r.client.NetworkChanged()
		stillBlocked(t, got)
		require.EqualValues(t, 2, linksOf(r.server))
		old.Release(faultnet.Up)
		o := <-got
		require.NoError(t, o.err)
		require.Equal(t, len(data), o.n)
		if ends {
			n, err := r.server.Read(make([]byte, 1))
			require.Equal(t, io.EOF, err)
			require.Zero(t, n)
		}
		requireWrite(t, r.server, data)
		requireRead(t, r.client, data)
		r.stop()
	})
}
