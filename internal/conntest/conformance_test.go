package conntest

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/nettest"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

func TestNetConn(t *testing.T) {
	for _, k := range TransportKinds {
		t.Run(k.name, func(t *testing.T) {
			ForEachSuite(t, func(t *testing.T, s Suite) {
				t.Parallel() // it mostly waits
				nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
					// Short, because the end of a classic session shows only then. Cuts
					// can hit many resumes in a row: these must fit in, and hurry.
					cfg := Setup{
						ResumeTimeout: 300 * time.Millisecond, MinBackoff: time.Millisecond, MaxBackoff: 5 * time.Millisecond,
					}
					if k.name == "cut" {
						cfg.ResumeTimeout = 6 * time.Second
					}
					c1, c2, l := Pair(t, s, k, cfg)
					return c1, c2, func() {
						_ = c1.Abort()
						_ = c2.Abort()
						_ = l.Close()
					}, nil
				})
			})
		})
	}
}

// withSecond gives the rig's listener a second inner listener on a network of its own.
func withSecond(t *testing.T, r *Rig, label string) (*faultnet.Network, *faultnet.Listener) {
	t.Helper()
	n := faultnet.New()
	inner := n.Listen()
	require.NoError(t, r.Listener.AddListener(inner, label))
	return n, inner
}

// A session moves between the inner listeners of its Listener, and everybody can see
// over which one it came.
func TestSeveralInnerListeners(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s, WithServer(func(lc *relink.ListenConfig) { lc.Label = "front" }))
		n, inner := withSecond(t, r, "side door")
		require.Equal(t, "front", r.Server.Label())
		require.Empty(t, r.Client.Label())
		require.Equal(t, r.inner.Addr(), r.Listener.Addr())

		moving := *r.Dialer
		networks := []*faultnet.Network{n, r.Net, n}
		dial := make(chan *faultnet.Network, 1)
		dial <- r.Net
		moving.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
			return (<-dial).Dial(ctx, network, address)
		}
		client, err := moving.DialConn(t.Context(), "tcp", "server")
		require.NoError(t, err)
		server, err := r.Listener.AcceptConn()
		require.NoError(t, err)
		RequireExchange(t, client, server, 500)
		for i, to := range networks {
			dial <- to
			client.NetworkChanged()
			RequireExchange(t, client, server, 500)
			synctest.Wait()
			require.Equal(t, []string{"side door", "front"}[i%2], server.Label())
			resumed := r.Server.Events.All(relink.EventResumed)
			require.Len(t, resumed, i+1)
			require.Equal(t, server.Label(), resumed[i].Label)
		}
		require.Equal(t, "front", r.Server.Events.All(relink.EventOpened)[1].Label)

		// Sessions open over it too.
		r.Dialer.DialTransport = n.Dial
		other, otherServer := r.Open()
		RequireExchange(t, other, otherServer, 500)
		require.Equal(t, "side door", otherServer.Label())

		// What is refused there is labelled.
		stranger, err := n.Dial(t.Context(), "tcp", "server")
		require.NoError(t, err)
		require.NoError(t, stranger.Close())
		require.Equal(t, "side door", r.Server.Events.All(relink.EventRefused)[0].Label)

		// Close closes all.
		require.NoError(t, r.Listener.Close())
		for _, l := range []*faultnet.Listener{r.inner, inner} {
			_, err = l.Accept()
			require.ErrorIs(t, err, net.ErrClosed)
		}
		require.Empty(t, r.Server.Events.All(relink.EventListenerFailed))
		late := faultnet.New().Listen()
		require.ErrorIs(t, r.Listener.AddListener(late, "late"), net.ErrClosed)
		late.FailNext(errTestListener) // which an Accept would not reach if it were closed
		_, err = late.Accept()
		require.ErrorIs(t, err, errTestListener)
		require.NoError(t, late.Close())
		for _, c := range []*relink.Conn{client, server, other, otherServer} {
			_ = c.Abort()
		}
		r.Stop()
	})
}

var errTestListener = errors.New("the test's error")

// The failure of one inner listener is told, and costs neither the others nor the
// sessions that came over it. Accept fails with the last one, and works again when
// another is added.
func TestInnerListenerFails(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s, WithServer(func(lc *relink.ListenConfig) { lc.Label = "first" }))
		n, second := withSecond(t, r, "second")
		accepting := Background(func() (int, error) { _, err := r.Listener.Accept(); return 0, err })
		StillBlocked(t, accepting)

		r.inner.FailNext(errTestListener)
		failed := r.Server.Events.All(relink.EventListenerFailed)
		require.Len(t, failed, 1)
		require.Equal(t, "first", failed[0].Label)
		require.ErrorIs(t, failed[0].Err, errTestListener)
		require.Nil(t, failed[0].Conn)
		_, err := r.inner.Accept()
		require.ErrorIs(t, err, net.ErrClosed) // the library has closed it
		StillBlocked(t, accepting)
		r.Exchange(500)
		require.Zero(t, r.Client.Stats().Resumes)

		// Its owner takes the other away.
		require.NoError(t, second.Close())
		require.ErrorIs(t, (<-accepting).Err, net.ErrClosed)
		failed = r.Server.Events.All(relink.EventListenerFailed)
		require.Len(t, failed, 2)
		require.Equal(t, "second", failed[1].Label)
		_, err = r.Listener.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
		r.Exchange(500)

		// A third takes their place, and the session moves there.
		third := n.Listen()
		require.NoError(t, r.Listener.AddListener(third, "third"))
		d := *r.Dialer
		d.DialTransport = n.Dial
		client, err := d.DialConn(t.Context(), "tcp", "server")
		require.NoError(t, err)
		server, err := r.Listener.AcceptConn()
		require.NoError(t, err)
		RequireExchange(t, client, server, 500)
		require.Equal(t, "third", server.Label())
		_, _ = client.Abort(), server.Abort()
		require.NoError(t, r.Listener.Close())
		r.Stop()
		time.Sleep(time.Minute) // through what lingers
	})
}

// A closer is an inner listener whose Close does what the test wants.
type closer struct {
	*faultnet.Listener
	close func() error
}

func (c *closer) Close() error {
	_ = c.Listener.Close()
	return c.close()
}

// Close of a Listener returns what went wrong with any of the inner listeners, closes
// all of them in any case, and survives one that panics.
func TestCloseOfInnerListenersFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errOther := errors.New("the test's other error")
		first := &closer{faultnet.New().Listen(), func() error { return errTestListener }}
		l, err := relink.NewListener(first, relink.ListenConfig{Suites: []relink.ServerSuite{SCP}})
		require.NoError(t, err)
		require.NoError(t, l.AddListener(&closer{faultnet.New().Listen(), func() error { panic("the test's panic") }}, ""))
		require.NoError(t, l.AddListener(&closer{faultnet.New().Listen(), func() error { return errOther }}, ""))
		last := faultnet.New().Listen()
		require.NoError(t, l.AddListener(last, ""))
		err = l.Close()
		require.ErrorIs(t, err, errTestListener)
		require.ErrorIs(t, err, errOther)
		require.ErrorContains(t, err, "the test's panic")
		_, err = last.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
	})
}

// No inner listener is an error, and nothing happens.
func TestAddNoListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := relink.NewListener(faultnet.New().Listen(), relink.ListenConfig{Suites: []relink.ServerSuite{SCP}})
		require.NoError(t, err)
		require.ErrorContains(t, l.AddListener(nil, "none"), "AddListener needs an inner listener")
		require.ErrorContains(t, l.AddListener((*net.TCPListener)(nil), "none"), "AddListener needs an inner listener")
		require.NoError(t, l.Close())
	})
}
