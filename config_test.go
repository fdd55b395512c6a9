package relink_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/conntest"
)

// The share of each address is a quarter, but for small tables, where a quarter would
// turn a client away that comes back while its last transport is still refused.
func TestSharePerAddress(t *testing.T) {
	for most, want := range map[int]int{1: 1, 3: 3, 64: 64, 65: 64, 256: 64, 260: 65, 4096: 1024} {
		l, err := relink.ListenConfig{Suites: []relink.ServerSuite{conntest.SCP}, MaxHandshakes: most}.Resolved()
		require.NoError(t, err)
		require.Equal(t, want, l.MaxHandshakesPerAddress, most)
	}
}

func TestConfigDefaults(t *testing.T) {
	shared := relink.Config{
		ReplayLimit:      conntest.DefaultReplayLimit,
		ResumeTimeout:    conntest.DefaultResumeTimeout,
		HandshakeTimeout: conntest.DefaultHandshakeTimeout,
		CloseTimeout:     conntest.DefaultCloseTimeout,
		LivenessTimeout:  conntest.DefaultLivenessTimeout,
	}
	list := []relink.ServerSuite{conntest.SCP}
	l, err := relink.ListenConfig{Suites: list}.Resolved()
	require.NoError(t, err)
	require.Equal(t, relink.ListenConfig{Config: shared, Suites: list, MaxSessions: conntest.DefaultMaxSessions, MaxHandshakes: conntest.DefaultMaxHandshakes, MaxHandshakesPerAddress: conntest.DefaultMaxHandshakes / 4}, l)
	d, err := relink.Dialer{Suite: conntest.SCP}.Resolved()
	require.NoError(t, err)
	require.Equal(t, relink.Dialer{
		Config:         shared,
		Suite:          conntest.SCP,
		AttemptTimeout: conntest.DefaultAttemptTimeout,
		MinBackoff:     conntest.DefaultMinBackoff,
		MaxBackoff:     conntest.DefaultMaxBackoff,
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
	dialer := relink.Dialer{Config: shared, Suite: conntest.SCP, AttemptTimeout: 3, MinBackoff: 4, MaxBackoff: 4}
	d, err = dialer.Resolved()
	require.NoError(t, err)
	require.Equal(t, dialer, d)

	_, err = relink.Dialer{Suite: relink.SCPClient{TargetServer: strings.Repeat("a", 998), Flag: 1<<32 - 1}}.Resolved()
	require.NoError(t, err)

	// A long MinBackoff alone is no contradiction to a default.
	d, err = relink.Dialer{Suite: conntest.SCP, MinBackoff: time.Minute}.Resolved()
	require.NoError(t, err)
	require.Equal(t, time.Minute, d.MaxBackoff)
}
