package relink_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// A client with the wrong key, or with a key where the server has none, or
// without one where it has, is told what to do.
func TestNoiseMismatch(t *testing.T) {
	key := relink.GenerateKey()
	server := relink.NoiseServer{Keys: []relink.PrivateKey{key}}
	pinned := relink.NoiseClient{ServerKeys: []relink.PublicKey{relink.GenerateKey().PublicKey(), relink.GenerateKey().PublicKey()}}
	for name, tt := range map[string]struct {
		server relink.ServerSuite
		client relink.ClientSuite
		is     error
		says   []string
	}{
		"wrong key":                    {server, pinned, relink.ErrAuthentication, []string{"key", "NoiseClient"}},
		"no key for a server with one": {server, insecureSuite, relink.ErrProtocol, []string{"NoiseClient", "InsecureNoise"}},
		"key for a server without":     {insecureSuite, pinned, relink.ErrProtocol, []string{"NoiseClient", "InsecureNoise"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := faultnet.New()
				events := new(eventLog)
				l, err := relink.NewListener(n.Listen(), relink.ListenConfig{Suites: []relink.ServerSuite{tt.server}, Config: relink.Config{OnEvent: events.add}})
				require.NoError(t, err)
				t.Cleanup(func() { _ = l.Close() })
				d := relink.Dialer{Suite: tt.client, DialTransport: n.Dial}
				before := time.Now()
				_, err = d.DialConn(t.Context(), "tcp", "server")
				require.Less(t, time.Since(before), time.Second)
				require.ErrorIs(t, err, tt.is)
				for _, word := range tt.says {
					require.ErrorContains(t, err, word)
				}
				time.Sleep(time.Minute)
				require.Len(t, n.Paths(), 1) // all keys were tried on one transport
				refused := events.all(relink.EventRefused)
				require.Len(t, refused, 1)
				require.ErrorIs(t, refused[0].Err, tt.is)
			})
		})
	}
}

// A server's key is replaced without anybody noticing: clients pin the new one
// beside the old one, the server answers with both, then the old one goes. A
// session stays with the key that it began with.
func TestNoiseKeyRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var keys []relink.PrivateKey
		var pins []relink.PublicKey
		for range 4 {
			keys = append(keys, relink.GenerateKey())
			pins = append(pins, keys[len(keys)-1].PublicKey())
		}
		client := func(pins ...relink.PublicKey) relink.Dialer {
			return relink.Dialer{Suite: relink.NoiseClient{ServerKeys: pins}}
		}
		n := faultnet.New()
		serve := func(keys ...relink.PrivateKey) *relink.Listener {
			l, err := relink.NewListener(n.Listen(), relink.ListenConfig{Suites: []relink.ServerSuite{relink.NoiseServer{Keys: keys}}})
			require.NoError(t, err)
			return l
		}
		talk := func(l *relink.Listener, d relink.Dialer) (c, s *relink.Conn) {
			d.DialTransport = n.Dial
			dials := n.Dials()
			c, err := d.DialConn(t.Context(), "tcp", "server")
			require.NoError(t, err)
			require.Equal(t, dials+1, n.Dials())
			s, err = l.AcceptConn()
			require.NoError(t, err)
			requireExchange(t, c, s, 100)
			return c, s
		}
		l := serve(keys[0], keys[1])
		for _, d := range []relink.Dialer{client(pins[0]), client(pins[1]), client(pins[1], pins[0]), client(pins[3], pins[2], pins[1])} {
			c, s := talk(l, d)
			for range 2 {
				n.Last().Cut(faultnet.Reset)
				requireExchange(t, c, s, 100)
			}
			_, _ = c.Abort(), s.Abort()
		}
		require.NoError(t, l.Close())
		l = serve(keys[3])
		c, s := talk(l, client(pins...)) // the last of four
		_, _ = c.Abort(), s.Abort()

		// A session of a key that has gone goes with it, in time, and not at a
		// stranger's word.
		old := client(pins[3], pins[0])
		old.ResumeTimeout = time.Minute
		c, s = talk(l, old)
		require.NoError(t, l.Close())
		l = serve(keys[0])
		n.Last().Cut(faultnet.ResetNow)
		before := time.Now()
		_, err := c.Read(make([]byte, 1))
		require.ErrorIs(t, err, relink.ErrExpired)
		require.ErrorIs(t, err, relink.ErrAuthentication)
		require.GreaterOrEqual(t, time.Since(before), time.Minute)
		_, _ = c.Abort(), s.Abort()
		require.NoError(t, l.Close())
	})
}
