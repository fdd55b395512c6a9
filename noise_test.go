package relink_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// What the suite Noise can tell that the classic ones cannot. What all suites
// with records have in common is in the files that record_test.go names.

// A client that was away when the server's session ended learns how it did.
func TestTombstones(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(s *relink.Conn) error
		read error
	}{
		"aborted": {(*relink.Conn).Abort, relink.ErrSessionLost},
		"not delivered in time": {func(s *relink.Conn) error {
			if _, err := s.Write([]byte("never read")); err != nil {
				return err
			}
			return s.Close()
		}, relink.ErrSessionLost},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, noiseSuite)
				r.suspend(faultnet.Refuse, faultnet.Reset)
				require.NoError(t, c.end(r.server))
				time.Sleep(2 * defaultCloseTimeout)
				require.Equal(t, relink.StateClosed, r.server.State())
				r.net.SetDown(faultnet.NotDown)
				_, err := r.client.Read(make([]byte, 1))
				require.ErrorIs(t, err, c.read)
				require.NotErrorIs(t, err, relink.ErrExpired)
				require.ErrorContains(t, err, "reset")
				r.stop()
			})
		})
	}
}

// A client whose last acknowledgement of the end was all that the server waited
// for, and that was cut off then, reads the end although the session is gone.
func TestTombstoneOfAClosedSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, noiseSuite)
		require.NoError(t, r.client.CloseWrite())
		requireEOF(t, r.server)
		requireWrite(t, r.server, []byte("last"))
		require.NoError(t, r.server.Close())
		<-r.server.Done()
		r.net.Last().Cut(faultnet.Reset)
		requireRead(t, r.client, []byte("last"))
		requireEOF(t, r.client)
		_, err := r.client.Write([]byte("x"))
		require.Error(t, err)
		r.stop()
	})
}

// A server that was restarted says with its key that it does not know the
// session, and the client believes it at once.
func TestRestartedServer(t *testing.T) {
	for _, s := range []testSuite{noiseSuite, insecureSuite} {
		t.Run(s.String(), func(t *testing.T) {
			n := newPipeListener()
			l, err := relink.NewListener(n, relink.ListenConfig{Suites: []relink.ServerSuite{s}})
			require.NoError(t, err)
			var at atomic.Pointer[pipeListener]
			at.Store(n)
			d := relink.Dialer{Suite: s}
			d.DialTransport = func(ctx context.Context, network, address string) (net.Conn, error) {
				return at.Load().dial(ctx, network, address)
			}
			c, err := d.DialConn(context.Background(), "tcp", "server")
			require.NoError(t, err)
			sc, err := l.AcceptConn()
			require.NoError(t, err)
			restarted := newPipeListener()
			again, err := relink.NewListener(restarted, relink.ListenConfig{Suites: []relink.ServerSuite{s}})
			require.NoError(t, err)
			at.Store(restarted)
			c.NetworkChanged()
			_, err = c.Read(make([]byte, 1))
			require.ErrorIs(t, err, relink.ErrSessionLost)
			require.NotErrorIs(t, err, relink.ErrExpired)
			require.NoError(t, sc.Abort())
			require.NoError(t, l.Close())
			require.NoError(t, again.Close())
		})
	}
}
