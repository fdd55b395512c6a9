package conntest

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// A session tells how old it is, how long its application has been quiet, and how long a
// round trip takes, on both sides and whatever its transports do.
func TestAgeIdleAndRoundTrip(t *testing.T) {
	const tenth = float64(150 * time.Millisecond)
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s, WithPath(faultnet.Options{Delay: 20 * time.Millisecond}))
		start := time.Now()
		time.Sleep(3 * time.Second)
		r.Exchange(1000)
		quiet := time.Now()
		time.Sleep(10 * time.Second)
		r.Net.Last().Cut(faultnet.Reset)
		r.Client.NetworkChanged()
		time.Sleep(10 * time.Second)
		for name, c := range r.Ends() {
			stats := c.Stats()
			require.InDelta(t, time.Since(start), stats.Age, tenth, name)
			if name == "server" || !IsClassic(s) {
				require.InDelta(t, time.Since(quiet), stats.Idle, 2*tenth, name)
			}
			require.LessOrEqual(t, stats.Idle, stats.Age)
			if name == "client" || !strings.HasPrefix(s.String(), "SCP") {
				require.InDelta(t, 40*time.Millisecond, stats.RoundTrip, float64(25*time.Millisecond), name)
			}
			require.Positive(t, stats.Resumes)
		}
		r.Suspend(faultnet.Refuse, faultnet.Reset)
		require.Zero(t, r.Server.Stats().RoundTrip)
		RequireWrite(t, r.Server, []byte("x"))
		require.Less(t, r.Server.Stats().Idle, 200*time.Millisecond)
		r.Stop()
	})
}

// A value is there before anybody gets the session, and until after its end.
func TestValue(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		type player struct{ name string }
		r := New(t, s, WithServer(func(lc *relink.ListenConfig) {
			lc.OnEvent = func(e relink.Event) {
				if e.Kind == relink.EventOpened {
					e.Conn.SetValue(&player{e.Conn.ID()})
				}
			}
		}))
		require.Equal(t, &player{r.Client.ID()}, r.Server.Value())
		require.Nil(t, r.Client.Value())
		r.Client.SetValue(7)
		r.Client.SetValue(8)
		r.Net.Last().Cut(faultnet.Reset)
		r.Exchange(100)
		require.Equal(t, 8, r.Client.Value())
		require.NoError(t, r.Client.Err())
		r.Stop()
		require.Equal(t, 8, r.Client.Value())
	})
}

// One session may wait longer or shorter than the others of its listener or dialer, from
// the beginning or while it is suspended.
func TestSetResumeTimeout(t *testing.T) {
	const usual = 20 * time.Second
	inDetail := func(t *testing.T, s Suite, server, before bool, d, want time.Duration) {
		r := New(t, s, WithBoth(func(c *relink.Config) { c.ResumeTimeout = usual }))
		other, otherServer := r.Open()
		c, peer := r.Client, other
		if server {
			c, peer = r.Server, otherServer
		}
		if before {
			require.NoError(t, c.SetResumeTimeout(d))
		}
		r.Net.SetDown(faultnet.Refuse)
		start := time.Now()
		for _, p := range r.Net.Paths() {
			p.Cut(faultnet.Reset)
		}
		for _, c := range []*relink.Conn{r.Client.Conn, r.Server.Conn, other, otherServer} {
			go func() { _, _ = c.Read(make([]byte, 1)) }()
		}
		if !before {
			time.Sleep(time.Second)
			require.NoError(t, c.SetResumeTimeout(d))
		}
		<-c.Done()
		require.InDelta(t, want, time.Since(start), float64(4*time.Second)) // a client's last attempt, and the pause before it
		require.ErrorIs(t, c.Err(), relink.ErrExpired)
		<-peer.Done()
		require.InDelta(t, usual, time.Since(start), float64(4*time.Second))
		_, _ = other.Abort(), otherServer.Abort()
		r.Stop()
		synctest.Wait()
	}
	for _, server := range []bool{true, false} {
		for _, before := range []bool{true, false} {
			for d, want := range map[time.Duration]time.Duration{5 * time.Second: 5 * time.Second, 15 * time.Second: 15 * time.Second, 0: usual} {
				InBubble(t, func(t *testing.T, s Suite) { inDetail(t, s, server, before, d, want) })
			}
		}
	}
	synctest.Test(t, func(t *testing.T) {
		r := New(t, Noise)
		require.ErrorContains(t, r.Client.SetResumeTimeout(-1), "ResumeTimeout")
		r.Stop()
	})
}

// A session that has been suspended for longer than the time that it is then given ends
// soon; one that waits longer than others does not keep them.
func TestSetResumeTimeoutLater(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s)
		_, patient := r.Open()
		require.NoError(t, patient.SetResumeTimeout(time.Hour))
		r.Net.SetDown(faultnet.Refuse)
		for _, p := range r.Net.Paths() {
			p.Cut(faultnet.Reset)
		}
		for _, c := range []*relink.Conn{r.Server.Conn, patient} {
			go func() { _, _ = c.Read(make([]byte, 1)) }()
		}
		time.Sleep(time.Minute)
		require.Equal(t, relink.StateSuspended, r.Server.State())
		require.NoError(t, r.Server.SetResumeTimeout(time.Second))
		synctest.Wait()
		require.Equal(t, relink.StateClosed, r.Server.State())
		time.Sleep(58 * time.Minute)
		require.Equal(t, relink.StateSuspended, patient.State())
		<-patient.Done()
		_ = patient.Abort()
		r.Stop()
	})
}

// Each attempt says which one it is, and when the next begins at the latest.
func TestAttemptsAreCounted(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		const limit, attempt = 20 * time.Second, 2 * time.Second
		r := New(t, s, WithClient(func(d *relink.Dialer) { d.ResumeTimeout, d.AttemptTimeout = limit, attempt }))
		r.Net.SetDown(faultnet.Hang)
		r.Net.Last().Cut(faultnet.Reset)
		_, err := r.Client.Read(make([]byte, 1))
		require.ErrorIs(t, err, relink.ErrExpired)
		synctest.Wait()
		attempts := r.Client.Events.All(relink.EventResuming)
		require.Greater(t, len(attempts), 3)
		for i, e := range attempts {
			require.Equal(t, i+1, e.Attempt)
			if i == len(attempts)-1 {
				require.Zero(t, e.NextAttempt)
				break
			}
			require.False(t, e.NextAttempt.Before(attempts[i+1].Time), "%d: %v, %v", i, e.NextAttempt, attempts[i+1].Time)
			require.Less(t, e.NextAttempt.Sub(e.Time), attempt+4*time.Second)
		}
		r.Stop()
	})
}
