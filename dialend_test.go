package relink_test

import (
	"context"
	"net"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// DialContext returns no typed nil with its error.
func TestDialContextFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := faultnet.New() // without a listener
		d := relink.Dialer{Suite: dh64rc4Suite, DialTransport: n.Dial}
		c, err := d.DialContext(t.Context(), "tcp", "server")
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		require.True(t, c == nil) // require.Nil takes a typed nil for nil
	})
}

// A conn that calls a function after its second Write, which is the last of a
// handshake of DH64RC4.
type afterSecondWrite struct {
	net.Conn
	writes int
	call   func()
}

func (c *afterSecondWrite) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if c.writes++; c.writes == 2 {
		c.call()
	}
	return n, err
}

// The context of a dial ends in the moment in which the session is there: the
// dial fails, and the session it has made is not left behind.
func TestDialEndsInTheLastMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sc := newScene(t, dh64rc4Suite, setup{}, faultnet.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		dial := sc.dialer.DialTransport
		sc.dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dial(ctx, network, address)
			return &afterSecondWrite{Conn: c, call: cancel}, err
		}
		c, err := sc.dialer.DialConn(ctx, "tcp", "server")
		require.Nil(t, c)
		require.ErrorIs(t, err, context.Canceled)
		require.NotErrorIs(t, err, relink.ErrHandshakeTimeout)
		server, err := sc.listener.AcceptConn() // which cannot know
		require.NoError(t, err)
		_, err = server.Read(make([]byte, 1))
		require.Error(t, err)
		require.NoError(t, sc.listener.Close())
		requireNothingLeft(t)
	})
}

// A transport that wraps itself leads to no TCP connection, and does no harm.
type selfWrapped struct{ net.Conn }

func (c selfWrapped) NetConn() net.Conn   { return c }
func (c selfWrapped) Interruptible() bool { return true }

func TestTransportThatWrapsItself(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s, func(r *rig, _ *relink.ListenConfig) {
			r.dialer.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
				c, err := r.net.Dial(ctx, network, address)
				return selfWrapped{c}, err
			}
		})
		r.exchange(1000)
		r.net.Last().Cut(faultnet.Reset)
		r.exchange(1000)
		r.stop()
	})
}
