package relink_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// The sessions of a revoked key end, on both sides at once, and nobody else's:
// also one that is suspended, whose client learns it when it comes back.
func TestRevoke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newGuests()
		r := newRig(t, u.suite())
		other := u.client
		other.Key, other.PresharedKey = relink.GenerateKey(), u.server.PresharedKeys[0]
		d := relink.Dialer{Suite: other, DialTransport: r.net.Dial}
		spared, err := d.DialConn(t.Context(), "tcp", "server")
		require.NoError(t, err)
		sparedThere, err := r.l.AcceptConn()
		require.NoError(t, err)

		suspended, suspendedThere := r.open()
		r.net.SetDown(faultnet.Hang)
		r.net.Last().Cut(faultnet.ResetNow)
		synctest.Wait()

		require.Zero(t, r.l.Revoke(relink.PublicKey{}))
		require.Zero(t, r.l.Revoke(relink.GenerateKey().PublicKey()))
		require.Equal(t, 2, r.l.Revoke(u.client.Key.PublicKey()))
		requireInstant(t, func() {
			for _, c := range []*relink.Conn{r.server, suspendedThere, r.client} {
				_, err := c.Read(make([]byte, 1))
				require.ErrorIs(t, err, relink.ErrDenied)
			}
		})
		r.net.SetDown(faultnet.NotDown)
		_, err = suspended.Read(make([]byte, 1))
		require.ErrorIs(t, err, relink.ErrSessionLost)
		require.ErrorIs(t, err, relink.ErrDenied)
		requireExchange(t, spared, sparedThere, 100)

		require.Zero(t, r.l.RevokePresharedKey(relink.PresharedKey{}))
		require.Zero(t, r.l.RevokePresharedKey(u.client.PresharedKey))
		require.Equal(t, 1, r.l.RevokePresharedKey(other.PresharedKey))
		_, err = spared.Read(make([]byte, 1))
		require.ErrorIs(t, err, relink.ErrDenied)
		r.stop()
	})
}

// A key of the server's that was stolen is taken out of service, and its sessions
// with it.
func TestSetKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newGuests()
		r := newRig(t, u.suite())
		fresh := relink.GenerateKey()
		require.NoError(t, r.l.SetKeys(fresh))
		for range 2 { // the session goes on with its own
			r.net.Last().Cut(faultnet.Reset)
			r.exchange(100)
		}
		_, err := r.dialer.DialConn(t.Context(), "tcp", "server")
		require.ErrorIs(t, err, relink.ErrAuthentication)
		client := u.client
		client.ServerKeys = []relink.PublicKey{u.client.ServerKeys[0], fresh.PublicKey()}
		d := relink.Dialer{Suite: client, DialTransport: r.net.Dial}
		c, err := d.DialConn(t.Context(), "tcp", "server")
		require.NoError(t, err)
		require.Equal(t, fresh.PublicKey(), c.Identity().ServerKey)
		s, err := r.l.AcceptConn()
		require.NoError(t, err)

		require.Equal(t, 1, r.l.Revoke(u.client.ServerKeys[0]))
		_, err = r.client.Read(make([]byte, 1))
		require.ErrorIs(t, err, relink.ErrDenied)
		requireExchange(t, c, s, 100)

		invitation := relink.GeneratePresharedKey()
		require.NoError(t, r.l.SetPresharedKeys(invitation))
		_, err = d.DialConn(t.Context(), "tcp", "server")
		require.ErrorIs(t, err, relink.ErrAuthentication)
		client.PresharedKey = invitation
		d.Suite = client
		c2, err := d.DialConn(t.Context(), "tcp", "server")
		require.NoError(t, err)
		requireExchange(t, c, s, 100)

		// Mistakes change nothing.
		require.ErrorContains(t, r.l.SetKeys(), "NoiseServer.Keys is empty")
		require.ErrorContains(t, r.l.SetKeys(relink.PrivateKey{}), "is zero")
		require.ErrorContains(t, r.l.SetPresharedKeys(), "open to everybody")
		require.ErrorContains(t, r.l.SetPresharedKeys(invitation, invitation), "same")
		c3, err := d.DialConn(t.Context(), "tcp", "server")
		require.NoError(t, err)
		for _, c := range []*relink.Conn{c, c2, c3, s} {
			require.NoError(t, c.Abort())
		}
		r.stop()
	})
}

func TestSetKeysNeedsNoise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, scpSuite)
		require.ErrorContains(t, r.l.SetKeys(relink.GenerateKey()), "does not serve the suite Noise")
		require.ErrorContains(t, r.l.SetPresharedKeys(relink.GeneratePresharedKey()), "does not serve the suite Noise")
		r.stop()
		r = newRig(t, insecureSuite)
		require.ErrorContains(t, r.l.SetKeys(relink.GenerateKey()), "insecure")
		r.stop()
	})
}

// Two listeners of one suite have keys of their own.
func TestSetKeysOfOneListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newRig(t, noiseSuite)
		b := newRig(t, noiseSuite)
		require.NoError(t, a.l.SetKeys(relink.GenerateKey()))
		_, err := a.dialer.DialConn(t.Context(), "tcp", "server")
		require.ErrorIs(t, err, relink.ErrAuthentication)
		_, _ = b.open()
		a.stop()
		b.stop()
	})
}

// A client that is asked about while a key is revoked, and let in, does not slip
// through: it has to come again.
func TestRevokeDuringAuthorize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, answer := make(chan struct{}, 10), make(chan struct{}, 10)
		answer <- struct{}{}
		r := newRig(t, noiseSuite, withServer(func(cfg *relink.ListenConfig) {
			cfg.Authorize = func(context.Context, relink.Attempt) error {
				asked <- struct{}{}
				<-answer
				return nil
			}
		}))
		<-asked
		dialled := background(func() (int, error) {
			_, err := r.dialer.DialConn(t.Context(), "tcp", "server")
			return 0, err
		})
		<-asked
		require.Zero(t, r.l.Revoke(relink.GenerateKey().PublicKey()))
		answer <- struct{}{}
		require.ErrorIs(t, (<-dialled).err, relink.ErrBusy)
		answer <- struct{}{}
		_, _ = r.open()
		time.Sleep(time.Second)
		r.stop()
	})
}
