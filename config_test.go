package relink_test

import (
	"context"
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

func TestConfigErrors(t *testing.T) {
	for _, tt := range []struct {
		name  string
		cfg   relink.Config
		hints []string // what the message must name
	}{
		{"negative ReplayLimit", relink.Config{ReplayLimit: -1}, []string{"Config.ReplayLimit", "1024"}},
		{"small ReplayLimit", relink.Config{ReplayLimit: relink.MinReplayLimit - 1}, []string{"Config.ReplayLimit", "1024"}},
		{"large ReplayLimit", relink.Config{ReplayLimit: relink.MaxReplayLimit + 1}, []string{"Config.ReplayLimit", "at most"}},
		{"ResumeTimeout", relink.Config{ResumeTimeout: -1}, []string{"Config.ResumeTimeout", "2m0s"}},
		{"HandshakeTimeout", relink.Config{HandshakeTimeout: -1}, []string{"Config.HandshakeTimeout", "10s"}},
		{"CloseTimeout", relink.Config{CloseTimeout: -1}, []string{"Config.CloseTimeout", "5s"}},
		{"small LivenessTimeout", relink.Config{LivenessTimeout: time.Millisecond}, []string{"Config.LivenessTimeout", "1s", "negative"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			requireListenError(t, relink.ListenConfig{Config: tt.cfg, Suites: []relink.ServerSuite{scpSuite}}, tt.hints...)
			requireDialError(t, relink.Dialer{Config: tt.cfg, Suite: scpSuite}, tt.hints...)
		})
	}
}

func TestListenConfigErrors(t *testing.T) {
	key := relink.GenerateKey()
	noise := func(keys ...relink.PrivateKey) relink.ServerSuite { return relink.NoiseServer{Keys: keys} }
	for _, tt := range []struct {
		name  string
		cfg   relink.ListenConfig
		hints []string
	}{
		{"no suite", relink.ListenConfig{}, []string{"ListenConfig.Suites", "relink.NoiseServer"}},
		{"nil suite", relink.ListenConfig{Suites: []relink.ServerSuite{scpSuite, nil}}, []string{"ListenConfig.Suites[1]"}},
		{"same suite twice", relink.ListenConfig{Suites: []relink.ServerSuite{scpSuite, scpSuite}}, []string{"ListenConfig.Suites", "SCP"}},
		{"two variants of one wire", relink.ListenConfig{Suites: []relink.ServerSuite{dh64rc4Suite, clearSuite}}, []string{"ListenConfig.Suites", "told apart"}},
		{"MaxSessions", relink.ListenConfig{MaxSessions: -1}, []string{"ListenConfig.MaxSessions", "262144"}},
		{"MaxHandshakes", relink.ListenConfig{MaxHandshakes: -1}, []string{"ListenConfig.MaxHandshakes", "4096"}},
		{"MaxHandshakesPerAddress", relink.ListenConfig{MaxHandshakesPerAddress: -1}, []string{"ListenConfig.MaxHandshakesPerAddress", "a quarter"}},
		{"no key", relink.ListenConfig{Suites: []relink.ServerSuite{noise()}}, []string{"NoiseServer.Keys is empty"}},
		{"zero key", relink.ListenConfig{Suites: []relink.ServerSuite{noise(key, relink.PrivateKey{})}}, []string{"NoiseServer.Keys[1]", "GenerateKey"}},
		{"key twice", relink.ListenConfig{Suites: []relink.ServerSuite{noise(key, key)}}, []string{"NoiseServer.Keys[1]"}},
		{"five keys", relink.ListenConfig{Suites: []relink.ServerSuite{noise(make([]relink.PrivateKey, 5)...)}}, []string{"NoiseServer.Keys", "at most 4"}},
		{"node below", relink.ListenConfig{Suites: []relink.ServerSuite{relink.NoiseServer{Keys: []relink.PrivateKey{key}, Node: -1}}}, []string{"NoiseServer.Node"}},
		{"node above", relink.ListenConfig{Suites: []relink.ServerSuite{relink.InsecureNoiseServer{Node: 1 << 32}}}, []string{"InsecureNoiseServer.Node"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.cfg.Suites == nil && tt.name != "no suite" {
				tt.cfg.Suites = []relink.ServerSuite{scpSuite}
			}
			requireListenError(t, tt.cfg, tt.hints...)
		})
	}
}

func TestDialerErrors(t *testing.T) {
	for _, tt := range []struct {
		name  string
		d     relink.Dialer
		hints []string
	}{
		{"no suite", relink.Dialer{}, []string{"Dialer.Suite", "relink.NoiseClient"}},
		{"AttemptTimeout", relink.Dialer{AttemptTimeout: -1}, []string{"Dialer.AttemptTimeout", "5s"}},
		{"MinBackoff", relink.Dialer{MinBackoff: -1}, []string{"Dialer.MinBackoff", "50ms"}},
		{"MaxBackoff", relink.Dialer{MaxBackoff: -1}, []string{"Dialer.MaxBackoff", "3s"}},
		{"MaxBackoff below MinBackoff", relink.Dialer{MinBackoff: 2, MaxBackoff: 1}, []string{"Dialer.MaxBackoff", "MinBackoff"}},
		{"no key", relink.Dialer{Suite: relink.NoiseClient{}}, []string{"NoiseClient.ServerKeys is empty"}},
		{"zero key", relink.Dialer{Suite: relink.NoiseClient{ServerKeys: []relink.PublicKey{{1}, {}}}}, []string{"NoiseClient.ServerKeys[1]", "zero"}},
		{"five keys", relink.Dialer{Suite: relink.NoiseClient{ServerKeys: make([]relink.PublicKey, 5)}}, []string{"NoiseClient.ServerKeys", "at most 4"}},
		{"flag below", relink.Dialer{Suite: relink.SCPClient{Flag: -1}}, []string{"SCPClient.Flag"}},
		{"flag above", relink.Dialer{Suite: relink.SCPClient{Flag: 1 << 32}}, []string{"SCPClient.Flag"}},
		{"target", relink.Dialer{Suite: relink.SCPClient{TargetServer: "a-b"}}, []string{"SCPClient.TargetServer"}},
		{"long target", relink.Dialer{Suite: relink.SCPClient{TargetServer: strings.Repeat("a", 999)}}, []string{"SCPClient.TargetServer"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.d.Suite == nil && tt.name != "no suite" {
				tt.d.Suite = scpSuite
			}
			requireDialError(t, tt.d, tt.hints...)
		})
	}
}

// requireListenError requires an error that names what is wrong, from each
// function that makes a Listener.
func requireListenError(t *testing.T, cfg relink.ListenConfig, hints ...string) {
	t.Helper()
	inner := faultnet.New().Listen()
	_, err := relink.NewListener(inner, cfg)
	_, lerr := cfg.Listen(t.Context(), "tcp", "127.0.0.1:0")
	for _, err := range []error{err, lerr} {
		require.Error(t, err)
		require.True(t, strings.HasPrefix(err.Error(), "relink: "), err)
		for _, h := range hints {
			require.ErrorContains(t, err, h)
		}
	}
	// Whoever made the listener still owns it.
	require.NoError(t, inner.Close())
}

// requireDialError requires an error that names what is wrong, in what a failed
// Dial returns.
func requireDialError(t *testing.T, d relink.Dialer, hints ...string) {
	t.Helper()
	d.DialTransport = func(context.Context, string, string) (net.Conn, error) {
		t.Error("dialled with a wrong configuration")
		return nil, net.ErrClosed
	}
	_, err := d.DialConn(t.Context(), "tcp", "server:1")
	require.Error(t, err)
	op := requireOpError(t, err)
	require.Equal(t, "server:1", op.Addr.String())
	require.Equal(t, "tcp", op.Addr.Network())
	require.False(t, op.Timeout())
	require.True(t, strings.HasPrefix(op.Err.Error(), "relink: "), err)
	for _, h := range hints {
		require.ErrorContains(t, err, h)
	}
}

// requireOpError requires what every error of Dial is.
func requireOpError(t *testing.T, err error) *net.OpError {
	t.Helper()
	op, ok := err.(*net.OpError) //nolint:errorlint // it has to be the outermost
	require.True(t, ok, "%T: %v", err, err)
	require.Equal(t, "dial", op.Op)
	return op
}

func TestListenAndDialErrors(t *testing.T) {
	_, err := relink.Listen("tcp", "127.0.0.1:0")
	require.ErrorContains(t, err, "Suites")
	_, err = relink.Listen("no such network", "", scpSuite)
	require.Error(t, err)
	_, err = relink.NewListener(nil, relink.ListenConfig{Suites: []relink.ServerSuite{scpSuite}})
	require.ErrorContains(t, err, "inner listener")
	_, err = relink.Dial("tcp", "127.0.0.1:1", nil)
	require.ErrorContains(t, err, "Dialer.Suite")
	d := relink.Dialer{Suite: scpSuite}
	c, err := d.Dial("no such network", "127.0.0.1:1")
	_ = requireOpError(t, err)
	require.Nil(t, c) // and not a nil *Conn in it
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c, err = d.DialContext(ctx, "tcp", "127.0.0.1:1")
	require.ErrorIs(t, err, context.Canceled)
	require.Nil(t, c)
}

// The share of each address is a quarter, but for small tables, where a quarter would
// turn a client away that comes back while its last transport is still refused.
func TestSharePerAddress(t *testing.T) {
	for most, want := range map[int]int{1: 1, 3: 3, 64: 64, 65: 64, 256: 64, 260: 65, 4096: 1024} {
		l, err := relink.ListenConfig{Suites: []relink.ServerSuite{scpSuite}, MaxHandshakes: most}.Resolved()
		require.NoError(t, err)
		require.Equal(t, want, l.MaxHandshakesPerAddress, most)
	}
}

func TestConfigDefaults(t *testing.T) {
	shared := relink.Config{
		ReplayLimit:      defaultReplayLimit,
		ResumeTimeout:    defaultResumeTimeout,
		HandshakeTimeout: defaultHandshakeTimeout,
		CloseTimeout:     defaultCloseTimeout,
		LivenessTimeout:  defaultLivenessTimeout,
	}
	list := []relink.ServerSuite{scpSuite}
	l, err := relink.ListenConfig{Suites: list}.Resolved()
	require.NoError(t, err)
	require.Equal(t, relink.ListenConfig{Config: shared, Suites: list, MaxSessions: defaultMaxSessions, MaxHandshakes: defaultMaxHandshakes, MaxHandshakesPerAddress: defaultMaxHandshakes / 4}, l)
	d, err := relink.Dialer{Suite: scpSuite}.Resolved()
	require.NoError(t, err)
	require.Equal(t, relink.Dialer{
		Config:         shared,
		Suite:          scpSuite,
		AttemptTimeout: defaultAttemptTimeout,
		MinBackoff:     defaultMinBackoff,
		MaxBackoff:     defaultMaxBackoff,
	}, d)

	// What is set stays, at both ends of what is allowed.
	shared = relink.Config{
		ReplayLimit: relink.MaxReplayLimit, ResumeTimeout: math.MaxInt64,
		HandshakeTimeout: 1, CloseTimeout: 2, LivenessTimeout: -1,
	}
	set := relink.ListenConfig{Config: shared, Suites: list, MaxSessions: 5, MaxHandshakes: 6, MaxHandshakesPerAddress: 7}
	l, err = set.Resolved()
	require.NoError(t, err)
	require.Equal(t, set, l)
	shared.ReplayLimit = relink.MinReplayLimit
	dialer := relink.Dialer{Config: shared, Suite: scpSuite, AttemptTimeout: 3, MinBackoff: 4, MaxBackoff: 4}
	d, err = dialer.Resolved()
	require.NoError(t, err)
	require.Equal(t, dialer, d)

	_, err = relink.Dialer{Suite: relink.SCPClient{TargetServer: strings.Repeat("a", 998), Flag: 1<<32 - 1}}.Resolved()
	require.NoError(t, err)

	// A long MinBackoff alone is no contradiction to a default.
	d, err = relink.Dialer{Suite: scpSuite, MinBackoff: time.Minute}.Resolved()
	require.NoError(t, err)
	require.Equal(t, time.Minute, d.MaxBackoff)
}

// The caller may go on to use its settings for something else.
func TestConfigIsCopied(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		n := faultnet.New()
		cfg := relink.ListenConfig{Suites: []relink.ServerSuite{s}}
		l, err := relink.NewListener(n.Listen(), cfg)
		require.NoError(t, err)
		d := relink.Dialer{Suite: s, DialTransport: n.Dial}
		cfg.Suites[0] = nil
		c, err := d.DialConn(t.Context(), "tcp", "server")
		require.NoError(t, err)
		d.Suite, d.DialTransport, d.AttemptTimeout = nil, nil, -1
		sc, err := l.AcceptConn()
		require.NoError(t, err)
		n.Last().Cut(faultnet.Reset)
		requireExchange(t, c, sc, 100)
		require.Zero(t, cfg.ReplayLimit)
		_, _, _ = c.Abort(), sc.Abort(), l.Close()
	})
}
