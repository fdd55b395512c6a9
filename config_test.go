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
	dh, scp := relink.DH64RC4(), relink.SCP()
	for _, tt := range []struct {
		name  string
		cfg   relink.Config
		hints []string // what the message must name
	}{
		{"no suite", relink.Config{}, []string{"Suites", "relink.Noise"}},
		{"nil suite", relink.Config{Suites: []relink.Suite{nil}}, []string{"Suites[0]"}},
		{"same suite twice", relink.Config{Suites: []relink.Suite{scp, scp}}, []string{"Suites", "SCP"}},
		{"two variants of one wire", relink.Config{Suites: []relink.Suite{dh, relink.DH64RC4(relink.WithClearStream())}}, []string{"Suites", "told apart"}},
		{"negative ReplayLimit", relink.Config{ReplayLimit: -1}, []string{"ReplayLimit", "1024"}},
		{"small ReplayLimit", relink.Config{ReplayLimit: relink.MinReplayLimit - 1}, []string{"ReplayLimit", "1024"}},
		{"large ReplayLimit", relink.Config{ReplayLimit: relink.MaxReplayLimit + 1}, []string{"ReplayLimit", "at most"}},
		{"ResumeTimeout", relink.Config{ResumeTimeout: -1}, []string{"ResumeTimeout", "2m0s"}},
		{"HandshakeTimeout", relink.Config{HandshakeTimeout: -1}, []string{"HandshakeTimeout", "10s"}},
		{"CloseTimeout", relink.Config{CloseTimeout: -1}, []string{"CloseTimeout", "5s"}},
		{"AttemptTimeout", relink.Config{AttemptTimeout: -1}, []string{"AttemptTimeout", "5s"}},
		{"MinBackoff", relink.Config{MinBackoff: -1}, []string{"MinBackoff", "50ms"}},
		{"MaxBackoff", relink.Config{MaxBackoff: -1}, []string{"MaxBackoff", "3s"}},
		{"MaxBackoff below MinBackoff", relink.Config{MinBackoff: 2, MaxBackoff: 1}, []string{"MaxBackoff", "MinBackoff"}},
		{"small LivenessTimeout", relink.Config{LivenessTimeout: time.Millisecond}, []string{"LivenessTimeout", "1s", "negative"}},
		{"MaxSessions", relink.Config{MaxSessions: -1}, []string{"MaxSessions"}},
		{"MaxHandshakes", relink.Config{MaxHandshakes: -1}, []string{"MaxHandshakes", "4096"}},
		{"SCP flag below", relink.Config{Suites: []relink.Suite{relink.SCP(relink.WithSCPFlag(-1))}}, []string{"flag"}},
		{"SCP flag above", relink.Config{Suites: []relink.Suite{relink.SCP(relink.WithSCPFlag(1 << 32))}}, []string{"flag"}},
		{"SCP target", relink.Config{Suites: []relink.Suite{relink.SCP(relink.WithTargetServer("a-b"))}}, []string{"target"}},
		{"long SCP target", relink.Config{Suites: []relink.Suite{relink.SCP(relink.WithTargetServer(strings.Repeat("a", 1024)))}}, []string{"target"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.cfg.Suites == nil && tt.name != "no suite" {
				tt.cfg.Suites = []relink.Suite{dh}
			}
			inner := faultnet.New().Listen()
			_, lerr := relink.NewListener(inner, tt.cfg)
			d := relink.Dialer{Config: tt.cfg, DialTransport: func(context.Context, string, string) (net.Conn, error) {
				t.Error("dialled with a wrong configuration")
				return nil, net.ErrClosed
			}}
			_, derr := d.Dial(context.Background(), "tcp", "server")
			for _, err := range []error{lerr, derr} {
				require.Error(t, err)
				require.True(t, strings.HasPrefix(err.Error(), "relink: "), err)
				for _, h := range tt.hints {
					require.ErrorContains(t, err, h)
				}
			}
			// Whoever made the listener still owns it.
			require.NoError(t, inner.Close())
		})
	}
}

func TestListenAndDialErrors(t *testing.T) {
	_, err := relink.Listen("tcp", "127.0.0.1:0")
	require.ErrorContains(t, err, "Suites")
	_, err = relink.Listen("no such network", "", relink.SCP())
	require.Error(t, err)
	_, err = relink.NewListener(nil, relink.Config{Suites: []relink.Suite{relink.SCP()}})
	require.ErrorContains(t, err, "inner listener")
	_, err = relink.Dial("tcp", "127.0.0.1:1", nil)
	require.ErrorContains(t, err, "Suites[0]")
	d := relink.Dialer{Config: relink.Config{Suites: []relink.Suite{relink.SCP(), relink.DH64RC4()}}}
	_, err = d.Dial(context.Background(), "tcp", "127.0.0.1:1")
	require.ErrorContains(t, err, "exactly one suite")
	require.Contains(t, relink.SCP(relink.WithSCPFlag(-1)).String(), "invalid suite")
}

func TestConfigDefaults(t *testing.T) {
	cfg := relink.Config{Suites: []relink.Suite{relink.SCP()}}
	got, err := cfg.Resolved()
	require.NoError(t, err)
	require.Equal(t, relink.Config{
		Suites:           cfg.Suites,
		ReplayLimit:      4 << 20,
		ResumeTimeout:    2 * time.Minute,
		HandshakeTimeout: 10 * time.Second,
		CloseTimeout:     5 * time.Second,
		LivenessTimeout:  15 * time.Second,
		AttemptTimeout:   5 * time.Second,
		MinBackoff:       50 * time.Millisecond,
		MaxBackoff:       3 * time.Second,
		MaxHandshakes:    4096,
	}, got)

	// What is set stays, at both ends of what is allowed.
	set := relink.Config{
		Suites: cfg.Suites, ReplayLimit: relink.MaxReplayLimit, ResumeTimeout: math.MaxInt64,
		HandshakeTimeout: 1, CloseTimeout: 2, LivenessTimeout: -1, AttemptTimeout: 3,
		MinBackoff: 4, MaxBackoff: 4, MaxSessions: 5, MaxHandshakes: 6,
	}
	got, err = set.Resolved()
	require.NoError(t, err)
	require.Equal(t, set, got)

	// A long MinBackoff alone is no contradiction to a default.
	got, err = relink.Config{Suites: cfg.Suites, MinBackoff: time.Minute}.Resolved()
	require.NoError(t, err)
	require.Equal(t, time.Minute, got.MaxBackoff)
}

// The caller may go on to use its Config for something else.
func TestConfigIsCopied(t *testing.T) {
	inBubble(t, func(t *testing.T, s relink.Suite) {
		n := faultnet.New()
		cfg := relink.Config{Suites: []relink.Suite{s}}
		l, err := relink.NewListener(n.Listen(), cfg)
		require.NoError(t, err)
		d := relink.Dialer{Config: relink.Config{Suites: []relink.Suite{s}}, DialTransport: n.Dial}
		cfg.Suites[0] = nil
		c, err := d.Dial(context.Background(), "tcp", "server")
		require.NoError(t, err)
		d.Suites[0], d.DialTransport, d.AttemptTimeout = nil, nil, -1
		sc, err := l.AcceptConn()
		require.NoError(t, err)
		n.Last().Cut(faultnet.Reset)
		requireExchange(t, c, sc, 100)
		require.Nil(t, cfg.Suites[0])
		require.Zero(t, cfg.ReplayLimit)
		_, _, _ = c.Abort(), sc.Abort(), l.Close()
	})
}
