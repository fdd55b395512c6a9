package relink_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// guests are a server and a client with everything that a session can be opened
// with.
type guests struct {
	server relink.NoiseServer
	client relink.NoiseClient
}

func newGuests() guests {
	key, own, invitation := relink.GenerateKey(), relink.GenerateKey(), relink.GeneratePresharedKey()
	return guests{
		relink.NoiseServer{
			Keys:             []relink.PrivateKey{relink.GenerateKey(), key},
			RequireClientKey: true,
			PresharedKeys:    []relink.PresharedKey{relink.GeneratePresharedKey(), invitation},
		},
		relink.NoiseClient{
			ServerKeys: []relink.PublicKey{key.PublicKey()}, Key: own, PresharedKey: invitation, Target: "lobby",
		},
	}
}

func (g guests) suite() testSuite { return sides{g.server, g.client} }

// requireSame requires that two identities are the same.
func requireSame(t *testing.T, a, b relink.Identity) {
	t.Helper()
	require.True(t, a.PresharedKey.Equal(b.PresharedKey))
	a.PresharedKey, b.PresharedKey = relink.PresharedKey{}, relink.PresharedKey{}
	require.Equal(t, a, b)
}

// Both sides know how a session was opened, before and after resumes, and so does
// the authorisation.
func TestIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u, g := newGuests(), new(gate)
		r := newRig(t, u.suite(), withServer(g.at))
		want := relink.Identity{
			Suite: "Noise", ClientKey: u.client.Key.PublicKey(), ServerKey: u.client.ServerKeys[0],
			PresharedKey: u.client.PresharedKey, Target: "lobby", PostQuantum: true,
		}
		binding, ok := r.server.ChannelBinding()
		require.True(t, ok)
		for range 3 {
			for _, c := range r.ends() {
				requireSame(t, want, c.Identity())
				b, ok := c.ChannelBinding()
				require.True(t, ok)
				require.Equal(t, binding, b)
			}
			for _, a := range g.asked() {
				requireSame(t, want, a.Identity)
			}
			r.net.Last().Cut(faultnet.Reset)
			r.exchange(100)
		}
		k, ok := r.server.PeerKey()
		require.True(t, ok)
		require.Equal(t, want.ClientKey, k)
		k, ok = r.client.PeerKey()
		require.True(t, ok)
		require.Equal(t, want.ServerKey, k)

		c, s := r.open()
		other, ok := s.ChannelBinding()
		require.True(t, ok)
		require.NotEqual(t, binding, other)
		require.NoError(t, c.Abort())
		r.stop()
	})
}

// On a port with several suites the application can tell which one a session has,
// and what it lacks.
func TestIdentityOfSuites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := relink.GenerateKey()
		n := faultnet.New()
		l, err := relink.NewListener(n.Listen(), relink.ListenConfig{Suites: []relink.ServerSuite{
			relink.NoiseServer{Keys: []relink.PrivateKey{key}, Classical: true}, relink.DH64RC4Server{}, relink.SCPServer{},
		}})
		require.NoError(t, err)
		pins, own := []relink.PublicKey{key.PublicKey()}, relink.GenerateKey()
		for want, client := range map[*relink.Identity]relink.ClientSuite{
			{Suite: "Noise", ServerKey: pins[0], PostQuantum: true}:                             relink.NoiseClient{ServerKeys: pins},
			{Suite: "Noise", ServerKey: pins[0]}:                                                relink.NoiseClient{ServerKeys: pins, Classical: true},
			{Suite: "Noise", ServerKey: pins[0], ClientKey: own.PublicKey(), PostQuantum: true}: relink.NoiseClient{ServerKeys: pins, Key: own},
			{Suite: "DH64RC4"}:               relink.DH64RC4Client{},
			{Suite: "SCP", Target: "game_1"}: relink.SCPClient{TargetServer: "game_1"},
		} {
			d := relink.Dialer{Suite: client, DialTransport: n.Dial}
			c, err := d.DialConn(t.Context(), "tcp", "server")
			require.NoError(t, err)
			s, err := l.AcceptConn()
			require.NoError(t, err)
			require.Equal(t, *want, s.Identity())
			_, ok := s.PeerKey()
			require.Equal(t, want.ClientKey != relink.PublicKey{}, ok)
			_, ok = s.ChannelBinding()
			require.Equal(t, want.Suite == "Noise", ok)
			require.NoError(t, c.Abort())
			require.NoError(t, s.Abort())
		}
		require.NoError(t, l.Close())
	})
}

// Who lacks what the server asks for is refused, and told what it might be.
func TestUninvited(t *testing.T) {
	u := newGuests()
	for name, tt := range map[string]struct {
		change func(c *relink.NoiseClient)
		is     error
		says   string
	}{
		"no client key":        {func(c *relink.NoiseClient) { c.Key = relink.PrivateKey{} }, relink.ErrProtocol, "client key"},
		"no pre-shared key":    {func(c *relink.NoiseClient) { c.PresharedKey = relink.PresharedKey{} }, relink.ErrProtocol, "pre-shared key"},
		"wrong pre-shared key": {func(c *relink.NoiseClient) { c.PresharedKey = relink.GeneratePresharedKey() }, relink.ErrAuthentication, "pre-shared key"},
		"classical":            {func(c *relink.NoiseClient) { c.Classical = true }, relink.ErrProtocol, "classical"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := faultnet.New()
				l, err := relink.NewListener(n.Listen(), relink.ListenConfig{Suites: []relink.ServerSuite{u.server}})
				require.NoError(t, err)
				client := u.client
				tt.change(&client)
				d := relink.Dialer{Suite: client, DialTransport: n.Dial}
				_, err = d.DialConn(t.Context(), "tcp", "server")
				require.ErrorIs(t, err, tt.is)
				require.ErrorContains(t, err, tt.says)
				require.NoError(t, l.Close())
			})
		})
	}
}

// What is wrong with these settings is an error that names them.
func TestNoiseSettings(t *testing.T) {
	t.Parallel()
	key, psk := relink.GenerateKey(), relink.GeneratePresharedKey()
	keys := []relink.PrivateKey{key}
	for says, s := range map[string]relink.ServerSuite{
		"PresharedKeys[1] is zero":    relink.NoiseServer{Keys: keys, PresharedKeys: []relink.PresharedKey{psk, {}}},
		"PresharedKeys[1] is the sam": relink.InsecureNoiseServer{PresharedKeys: []relink.PresharedKey{psk, psk}},
		"PresharedKeys has 17":        relink.NoiseServer{Keys: keys, PresharedKeys: make([]relink.PresharedKey, 17)},
	} {
		_, err := relink.Listen("tcp", "127.0.0.1:0", s)
		require.ErrorContains(t, err, says)
	}
	for says, s := range map[string]relink.ClientSuite{
		"80 bytes": relink.NoiseClient{ServerKeys: []relink.PublicKey{key.PublicKey()}, Target: strings.Repeat("x", 81)},
		"control":  relink.InsecureNoiseClient{Target: "a\n"},
	} {
		_, err := relink.Dial("tcp", "127.0.0.1:1", s)
		require.ErrorContains(t, err, says)
	}
}

// A pre-shared key does not show either.
func TestPresharedKeyIsNotShown(t *testing.T) {
	t.Parallel()
	k := relink.GeneratePresharedKey()
	require.Regexp(t, `^pre-shared key [0-9a-f]{12}$`, k.String())
	again, err := relink.ParsePresharedKey(k.EncodeSecret() + "\n")
	require.NoError(t, err)
	require.True(t, again.Equal(k))
	require.Equal(t, k.String(), again.String())
	require.False(t, k.Equal(relink.GeneratePresharedKey()))
	require.False(t, k.Equal(relink.PresharedKey{}))

	var log strings.Builder
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	u := newGuests()
	u.client.PresharedKey = k
	logger.Info("", "key", k, "client", u.client)
	b, err := json.Marshal(u.client)
	require.NoError(t, err)
	text := log.String() + string(b) + k.GoString()
	for _, v := range []any{k, &k, u.client, struct{ k relink.PresharedKey }{k}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			text += fmt.Sprintf(verb, v)
		}
	}
	require.NotContains(t, text, k.EncodeSecret())
	require.Contains(t, text, k.String())

	var read struct{ K relink.PresharedKey }
	require.NoError(t, json.Unmarshal([]byte(`{"K":"`+k.EncodeSecret()+`"}`), &read))
	require.True(t, read.K.Equal(k))
	require.Error(t, json.Unmarshal([]byte(`{"K":"`+k.String()+`"}`), &read))

	var zero relink.PresharedKey
	require.True(t, zero.IsZero())
	require.Empty(t, zero.EncodeSecret())
	require.Equal(t, "no pre-shared key", zero.String())
}
