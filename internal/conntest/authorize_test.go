package conntest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// A gate is a ListenConfig.Authorize that can be told what to say.
type gate struct {
	mu       sync.Mutex // guards the rest
	err      error
	attempts []relink.Attempt
}

func (g *gate) authorize(_ context.Context, a relink.Attempt) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.attempts = append(g.attempts, a)
	return g.err
}

func (g *gate) say(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.err = err
}

// asked returns the attempts since the last call.
func (g *gate) asked() []relink.Attempt {
	g.mu.Lock()
	defer g.mu.Unlock()
	a := g.attempts
	g.attempts = nil
	return a
}

func (g *gate) at(cfg *relink.ListenConfig) { cfg.Authorize = g.authorize }

var errBanned = errors.New("banned")

// Every suite asks about a client before the application has it, and at each
// resume once more, with the new address and the session.
func TestAuthorizeIsAsked(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		g := new(gate)
		r := New(t, s, WithServer(g.at))
		asked := g.asked()
		require.Len(t, asked, 1)
		require.Nil(t, asked[0].Resumes)
		require.Equal(t, s.String(), asked[0].Suite)
		require.Equal(t, r.Net.Last().Client().LocalAddr(), asked[0].Remote)
		for range 2 {
			r.Net.Last().Cut(faultnet.Reset)
			r.Exchange(100)
			asked = g.asked()
			require.Len(t, asked, 1)
			require.Same(t, r.Server.Conn, asked[0].Resumes)
			require.Equal(t, r.Net.Last().Client().LocalAddr(), asked[0].Remote)
			require.Equal(t, s.String(), asked[0].Suite)
		}
		r.Stop()
	})
}

// A client that is not admitted never reaches Accept. On Noise it is told so, and
// on a classic wire it is cut off, and cannot come back.
func TestAuthorizeRefusesNewSessions(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		g := new(gate)
		r := New(t, s, WithServer(g.at))
		g.say(errBanned)
		c, err := r.Dialer.DialConn(t.Context(), "tcp", "server")
		if s.String() == Noise.String() || s.String() == InsecureNoise.String() {
			require.ErrorIs(t, err, relink.ErrDenied)
		} else if err == nil {
			_, err = c.Read(make([]byte, 1))
			require.Error(t, err)
			require.Nil(t, c.Close())
		}
		refused := r.Server.Events.All(relink.EventRefused)
		require.NotEmpty(t, refused)
		require.ErrorIs(t, refused[0].Err, relink.ErrDenied)
		require.ErrorIs(t, refused[0].Err, errBanned)
		require.Len(t, r.Server.Events.All(relink.EventOpened), 1)
		require.EqualValues(t, 1, r.Listener.Stats().Refused.Denied)
		g.say(fmt.Errorf("%w: ask later", relink.ErrBusy))
		if c, err := r.Dialer.DialConn(t.Context(), "tcp", "server"); err == nil {
			_, _ = c.Read(make([]byte, 1))
			_ = c.Abort()
		} else {
			require.ErrorIs(t, err, relink.ErrBusy)
		}
		synctest.Wait()
		require.EqualValues(t, 1, r.Listener.Stats().Refused.Other)
		g.say(nil)
		r.Exchange(100) // the one that was there before
		r.Stop()
	})
}

// A session whose client is refused at its resume ends on both sides, for a
// reason that either can tell.
func TestAuthorizeRefusesResumes(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		g := new(gate)
		r := New(t, s, WithServer(g.at), WithBoth(func(c *relink.Config) { c.ResumeTimeout = 10 * time.Second }))
		r.Exchange(10)
		g.say(errBanned)
		r.Net.Last().Cut(faultnet.Reset)
		_, err := r.Server.Read(make([]byte, 1))
		require.ErrorIs(t, err, relink.ErrDenied)
		require.ErrorIs(t, err, errBanned)
		_, err = r.Client.Read(make([]byte, 1))
		require.Error(t, err)
		if s.String() == Noise.String() || s.String() == InsecureNoise.String() {
			require.ErrorIs(t, err, relink.ErrSessionLost)
			require.ErrorIs(t, err, relink.ErrDenied)
		}
		closed := r.Server.Events.All(relink.EventClosed)
		require.Len(t, closed, 1)
		require.ErrorIs(t, closed[0].Err, relink.ErrDenied)
		r.Stop()
	})
}

// What is wrong with the callback costs the attempt, and no session: the client
// tries again.
func TestAuthorizeMisbehaves(t *testing.T) {
	for name, f := range map[string]func(ctx context.Context) error{
		"busy":   func(context.Context) error { return fmt.Errorf("the database is down: %w", relink.ErrBusy) },
		"panics": func(context.Context) error { panic("a mistake") },
		"exits":  func(context.Context) error { runtime.Goexit(); return nil },
		"waits":  func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"hangs":  func(context.Context) error { time.Sleep(time.Hour); return nil },
	} {
		for _, s := range []Suite{Noise, DH64RC4, SCP} {
			t.Run(name+"/"+s.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var mu sync.Mutex
					misbehave := false
					r := New(t, s, WithServer(func(cfg *relink.ListenConfig) {
						cfg.Authorize = func(ctx context.Context, _ relink.Attempt) error {
							mu.Lock()
							bad := misbehave
							mu.Unlock()
							if bad {
								return f(ctx)
							}
							return nil
						}
					}))
					set := func(bad bool) {
						mu.Lock()
						misbehave = bad
						mu.Unlock()
					}
					set(true)
					start := time.Now()
					c, err := r.Dialer.DialConn(t.Context(), "tcp", "server")
					if err == nil { // a classic wire: it was told before it was asked about
						_, _ = c.Read(make([]byte, 1))
						_ = c.Abort()
					} else {
						require.NotErrorIs(t, err, relink.ErrDenied)
					}
					require.LessOrEqual(t, time.Since(start), 3*time.Minute)
					r.Net.Last().Cut(faultnet.Reset)
					r.Net.Paths()[0].Cut(faultnet.Reset)
					time.Sleep(20 * time.Second)
					require.NotErrorIs(t, r.Server.Events.All(relink.EventRefused)[0].Err, relink.ErrDenied)
					set(false)
					r.Exchange(100)
					r.Stop()
					time.Sleep(time.Hour) // until those that hang have returned
				})
			})
		}
	}
}

// No more callbacks are under way at a time than MaxHandshakes, and those beyond
// do no harm.
func TestAuthorizeIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 3
		var now, peak atomic.Int32
		block := make(chan struct{})
		n := faultnet.New()
		events := new(EventLog)
		l, err := relink.NewListener(n.Listen(), relink.ListenConfig{
			Suites: []relink.ServerSuite{Noise}, MaxHandshakes: most,
			Config: relink.Config{OnEvent: events.add, HandshakeTimeout: 3 * time.Second},
			Authorize: func(context.Context, relink.Attempt) error {
				peak.Store(now.Add(1)) // dials come one after the other
				<-block
				now.Add(-1)
				return nil
			},
		})
		require.NoError(t, err)
		d := relink.Dialer{Suite: Noise, DialTransport: n.Dial}
		busy := 0
		for range 4 * most {
			_, err := d.DialConn(t.Context(), "tcp", "server")
			require.Error(t, err)
			if errors.Is(err, relink.ErrBusy) {
				busy++
			}
		}
		require.EqualValues(t, most, peak.Load())
		require.GreaterOrEqual(t, busy, 3*most) // the others may hear it too, when their time is up
		close(block)
		synctest.Wait()
		require.Zero(t, now.Load())
		c, err := d.DialConn(t.Context(), "tcp", "server")
		require.NoError(t, err)
		require.NoError(t, c.Abort())
		require.NoError(t, l.Close())
	})
}

// A callback does not outlive the listener, if it heeds its ctx.
func TestAuthorizeEndsWithTheListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := faultnet.New()
		asked, ended := make(chan struct{}), make(chan struct{})
		l, err := relink.NewListener(n.Listen(), relink.ListenConfig{
			Suites: []relink.ServerSuite{Noise},
			Authorize: func(ctx context.Context, _ relink.Attempt) error {
				close(asked)
				<-ctx.Done()
				close(ended)
				return ctx.Err()
			},
		})
		require.NoError(t, err)
		d := relink.Dialer{Suite: Noise, DialTransport: n.Dial}
		dialled := Background(func() (int, error) { _, err := d.DialConn(t.Context(), "tcp", "server"); return 0, err })
		<-asked
		RequireInstant(t, func() {
			require.NoError(t, l.Close())
			<-ended
			require.Error(t, (<-dialled).Err)
		})
	})
}

// A session ends when it has reached MaxAge, in use or suspended, and not before.
func TestMaxAge(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s, WithServer(func(cfg *relink.ListenConfig) { cfg.MaxAge = time.Hour }))
		for range 5 {
			time.Sleep(11 * time.Minute)
			r.Exchange(10)
			r.Net.Last().Cut(faultnet.Reset)
			r.Exchange(10)
		}
		before := time.Now()
		_, err := r.Server.Read(make([]byte, 1))
		require.ErrorIs(t, err, relink.ErrDenied)
		require.ErrorContains(t, err, "MaxAge")
		require.LessOrEqual(t, time.Since(before), 5*time.Minute)
		_, err = r.Client.Read(make([]byte, 1))
		require.Error(t, err)
		if r.Client.Identity().PostQuantum {
			require.ErrorIs(t, err, relink.ErrDenied)
		}
		_, s2 := r.Open() // whose end takes its timer along
		require.NoError(t, s2.Abort())
		r.Stop()
	})
}

func TestMaxAgeMustNotBeNegative(t *testing.T) {
	t.Parallel()
	_, err := relink.NewListener(faultnet.New().Listen(), relink.ListenConfig{Suites: []relink.ServerSuite{Noise}, MaxAge: -1})
	require.ErrorContains(t, err, "ListenConfig.MaxAge")
}

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

func (g guests) suite() Suite { return sides{g.server, g.client} }

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
		r := New(t, u.suite(), WithServer(g.at))
		want := relink.Identity{
			Suite: "Noise", ClientKey: u.client.Key.PublicKey(), ServerKey: u.client.ServerKeys[0],
			PresharedKey: u.client.PresharedKey, Target: "lobby", PostQuantum: true,
		}
		binding, ok := r.Server.ChannelBinding()
		require.True(t, ok)
		for range 3 {
			for _, c := range r.Ends() {
				requireSame(t, want, c.Identity())
				b, ok := c.ChannelBinding()
				require.True(t, ok)
				require.Equal(t, binding, b)
			}
			for _, a := range g.asked() {
				requireSame(t, want, a.Identity)
			}
			r.Net.Last().Cut(faultnet.Reset)
			r.Exchange(100)
		}
		k, ok := r.Server.PeerKey()
		require.True(t, ok)
		require.Equal(t, want.ClientKey, k)
		k, ok = r.Client.PeerKey()
		require.True(t, ok)
		require.Equal(t, want.ServerKey, k)

		c, s := r.Open()
		other, ok := s.ChannelBinding()
		require.True(t, ok)
		require.NotEqual(t, binding, other)
		require.NoError(t, c.Abort())
		r.Stop()
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
		"relink: NoiseServer.PresharedKeys[1] is zero":             relink.NoiseServer{Keys: keys, PresharedKeys: []relink.PresharedKey{psk, {}}},
		"relink: InsecureNoiseServer.PresharedKeys[1] is the same": relink.InsecureNoiseServer{PresharedKeys: []relink.PresharedKey{psk, psk}},
		"relink: NoiseServer.PresharedKeys has 17":                 relink.NoiseServer{Keys: keys, PresharedKeys: make([]relink.PresharedKey, 17)},
	} {
		_, err := relink.Listen("tcp", "127.0.0.1:0", s)
		require.ErrorContains(t, err, says)
	}
	for says, s := range map[string]relink.ClientSuite{
		"relink: NoiseClient.Target: the name of a target is UTF-8 of at most 80": relink.NoiseClient{ServerKeys: []relink.PublicKey{key.PublicKey()}, Target: strings.Repeat("x", 81)},
		"relink: InsecureNoiseClient.Target: the name of a target is":             relink.InsecureNoiseClient{Target: "a\n"},
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

// The sessions of a revoked key end, on both sides at once, and nobody else's:
// also one that is suspended, whose client learns it when it comes back.
func TestRevoke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newGuests()
		r := New(t, u.suite())
		other := u.client
		other.Key, other.PresharedKey = relink.GenerateKey(), u.server.PresharedKeys[0]
		d := relink.Dialer{Suite: other, DialTransport: r.Net.Dial}
		spared, err := d.DialConn(t.Context(), "tcp", "server")
		require.NoError(t, err)
		sparedThere, err := r.Listener.AcceptConn()
		require.NoError(t, err)

		suspended, suspendedThere := r.Open()
		r.Net.SetDown(faultnet.Hang)
		r.Net.Last().Cut(faultnet.ResetNow)
		synctest.Wait()

		require.Zero(t, r.Listener.Revoke(relink.PublicKey{}))
		require.Zero(t, r.Listener.Revoke(relink.GenerateKey().PublicKey()))
		require.Equal(t, 2, r.Listener.Revoke(u.client.Key.PublicKey()))
		RequireInstant(t, func() {
			for _, c := range []*relink.Conn{r.Server.Conn, suspendedThere, r.Client.Conn} {
				_, err := c.Read(make([]byte, 1))
				require.ErrorIs(t, err, relink.ErrDenied)
			}
		})
		r.Net.SetDown(faultnet.NotDown)
		_, err = suspended.Read(make([]byte, 1))
		require.ErrorIs(t, err, relink.ErrSessionLost)
		require.ErrorIs(t, err, relink.ErrDenied)
		RequireExchange(t, spared, sparedThere, 100)

		require.Zero(t, r.Listener.RevokePresharedKey(relink.PresharedKey{}))
		require.Zero(t, r.Listener.RevokePresharedKey(u.client.PresharedKey))
		require.Equal(t, 1, r.Listener.RevokePresharedKey(other.PresharedKey))
		_, err = spared.Read(make([]byte, 1))
		require.ErrorIs(t, err, relink.ErrDenied)
		r.Stop()
	})
}

// A key of the server's that was stolen is taken out of service, and its sessions
// with it.
func TestSetKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newGuests()
		r := New(t, u.suite())
		fresh := relink.GenerateKey()
		require.NoError(t, r.Listener.SetKeys(fresh))
		for range 2 { // the session goes on with its own
			r.Net.Last().Cut(faultnet.Reset)
			r.Exchange(100)
		}
		_, err := r.Dialer.DialConn(t.Context(), "tcp", "server")
		require.ErrorIs(t, err, relink.ErrAuthentication)
		client := u.client
		client.ServerKeys = []relink.PublicKey{u.client.ServerKeys[0], fresh.PublicKey()}
		d := relink.Dialer{Suite: client, DialTransport: r.Net.Dial}
		c, err := d.DialConn(t.Context(), "tcp", "server")
		require.NoError(t, err)
		require.Equal(t, fresh.PublicKey(), c.Identity().ServerKey)
		s, err := r.Listener.AcceptConn()
		require.NoError(t, err)

		require.Equal(t, 1, r.Listener.Revoke(u.client.ServerKeys[0]))
		_, err = r.Client.Read(make([]byte, 1))
		require.ErrorIs(t, err, relink.ErrDenied)
		RequireExchange(t, c, s, 100)

		invitation := relink.GeneratePresharedKey()
		require.NoError(t, r.Listener.SetPresharedKeys(invitation))
		_, err = d.DialConn(t.Context(), "tcp", "server")
		require.ErrorIs(t, err, relink.ErrAuthentication)
		client.PresharedKey = invitation
		d.Suite = client
		c2, err := d.DialConn(t.Context(), "tcp", "server")
		require.NoError(t, err)
		RequireExchange(t, c, s, 100)

		// Mistakes change nothing.
		require.ErrorContains(t, r.Listener.SetKeys(), "NoiseServer.Keys is empty")
		require.ErrorContains(t, r.Listener.SetKeys(relink.PrivateKey{}), "is zero")
		require.ErrorContains(t, r.Listener.SetPresharedKeys(), "open to everybody")
		require.ErrorContains(t, r.Listener.SetPresharedKeys(invitation, invitation), "same")
		c3, err := d.DialConn(t.Context(), "tcp", "server")
		require.NoError(t, err)
		for _, c := range []*relink.Conn{c, c2, c3, s} {
			require.NoError(t, c.Abort())
		}
		r.Stop()
	})
}

func TestSetKeysNeedsNoise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(t, SCP)
		require.ErrorContains(t, r.Listener.SetKeys(relink.GenerateKey()), "does not serve the suite Noise")
		require.ErrorContains(t, r.Listener.SetPresharedKeys(relink.GeneratePresharedKey()), "does not serve the suite Noise")
		r.Stop()
		r = New(t, InsecureNoise)
		require.ErrorContains(t, r.Listener.SetKeys(relink.GenerateKey()), "insecure")
		r.Stop()
	})
}

// Two listeners of one suite have keys of their own.
func TestSetKeysOfOneListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := New(t, Noise)
		b := New(t, Noise)
		require.NoError(t, a.Listener.SetKeys(relink.GenerateKey()))
		_, err := a.Dialer.DialConn(t.Context(), "tcp", "server")
		require.ErrorIs(t, err, relink.ErrAuthentication)
		_, _ = b.Open()
		a.Stop()
		b.Stop()
	})
}

// A client that is asked about while a key is revoked, and let in, does not slip
// through: it has to come again.
func TestRevokeDuringAuthorize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, answer := make(chan struct{}, 10), make(chan struct{}, 10)
		answer <- struct{}{}
		r := New(t, Noise, WithServer(func(cfg *relink.ListenConfig) {
			cfg.Authorize = func(context.Context, relink.Attempt) error {
				asked <- struct{}{}
				<-answer
				return nil
			}
		}))
		<-asked
		dialled := Background(func() (int, error) {
			_, err := r.Dialer.DialConn(t.Context(), "tcp", "server")
			return 0, err
		})
		<-asked
		require.Zero(t, r.Listener.Revoke(relink.GenerateKey().PublicKey()))
		answer <- struct{}{}
		require.ErrorIs(t, (<-dialled).Err, relink.ErrBusy)
		answer <- struct{}{}
		_, _ = r.Open()
		time.Sleep(time.Second)
		r.Stop()
	})
}
