package relink_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
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
	inBubble(t, func(t *testing.T, s testSuite) {
		g := new(gate)
		r := newRig(t, s, withServer(g.at))
		asked := g.asked()
		require.Len(t, asked, 1)
		require.Nil(t, asked[0].Resumes)
		require.Equal(t, s.String(), asked[0].Suite)
		require.Equal(t, r.net.Last().Client().LocalAddr(), asked[0].Remote)
		for range 2 {
			r.net.Last().Cut(faultnet.Reset)
			r.exchange(100)
			asked = g.asked()
			require.Len(t, asked, 1)
			require.Same(t, r.server, asked[0].Resumes)
			require.Equal(t, r.net.Last().Client().LocalAddr(), asked[0].Remote)
			require.Equal(t, s.String(), asked[0].Suite)
		}
		r.stop()
	})
}

// A client that is not admitted never reaches Accept. On Noise it is told so, and
// on a classic wire it is cut off, and cannot come back.
func TestAuthorizeRefusesNewSessions(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		g := new(gate)
		r := newRig(t, s, withServer(g.at))
		g.say(errBanned)
		c, err := r.dialer.DialConn(t.Context(), "tcp", "server")
		if s.String() == noiseSuite.String() || s.String() == insecureSuite.String() {
			require.ErrorIs(t, err, relink.ErrDenied)
		} else if err == nil {
			_, err = c.Read(make([]byte, 1))
			require.Error(t, err)
			require.Nil(t, c.Close())
		}
		refused := r.serverEvents.all(relink.EventRefused)
		require.NotEmpty(t, refused)
		require.ErrorIs(t, refused[0].Err, relink.ErrDenied)
		require.ErrorIs(t, refused[0].Err, errBanned)
		require.Len(t, r.serverEvents.all(relink.EventOpened), 1)
		require.EqualValues(t, 1, r.l.Stats().Refused.Denied)
		g.say(fmt.Errorf("%w: ask later", relink.ErrBusy))
		if c, err := r.dialer.DialConn(t.Context(), "tcp", "server"); err == nil {
			_, _ = c.Read(make([]byte, 1))
			_ = c.Abort()
		} else {
			require.ErrorIs(t, err, relink.ErrBusy)
		}
		synctest.Wait()
		require.EqualValues(t, 1, r.l.Stats().Refused.Other)
		g.say(nil)
		r.exchange(100) // the one that was there before
		r.stop()
	})
}

// A session whose client is refused at its resume ends on both sides, for a
// reason that either can tell.
func TestAuthorizeRefusesResumes(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		g := new(gate)
		r := newRig(t, s, withServer(g.at), withBoth(func(c *relink.Config) { c.ResumeTimeout = 10 * time.Second }))
		r.exchange(10)
		g.say(errBanned)
		r.net.Last().Cut(faultnet.Reset)
		_, err := r.server.Read(make([]byte, 1))
		require.ErrorIs(t, err, relink.ErrDenied)
		require.ErrorIs(t, err, errBanned)
		_, err = r.client.Read(make([]byte, 1))
		require.Error(t, err)
		if s.String() == noiseSuite.String() || s.String() == insecureSuite.String() {
			require.ErrorIs(t, err, relink.ErrSessionLost)
			require.ErrorIs(t, err, relink.ErrDenied)
		}
		closed := r.serverEvents.all(relink.EventClosed)
		require.Len(t, closed, 1)
		require.ErrorIs(t, closed[0].Err, relink.ErrDenied)
		r.stop()
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
		for _, s := range []testSuite{noiseSuite, dh64rc4Suite, scpSuite} {
			t.Run(name+"/"+s.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var mu sync.Mutex
					misbehave := false
					r := newRig(t, s, withServer(func(cfg *relink.ListenConfig) {
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
					c, err := r.dialer.DialConn(t.Context(), "tcp", "server")
					if err == nil { // a classic wire: it was told before it was asked about
						_, _ = c.Read(make([]byte, 1))
						_ = c.Abort()
					} else {
						require.NotErrorIs(t, err, relink.ErrDenied)
					}
					require.LessOrEqual(t, time.Since(start), 3*time.Minute)
					r.net.Last().Cut(faultnet.Reset)
					r.net.Paths()[0].Cut(faultnet.Reset)
					time.Sleep(20 * time.Second)
					require.NotErrorIs(t, r.serverEvents.all(relink.EventRefused)[0].Err, relink.ErrDenied)
					set(false)
					r.exchange(100)
					r.stop()
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
		events := new(eventLog)
		l, err := relink.NewListener(n.Listen(), relink.ListenConfig{
			Suites: []relink.ServerSuite{noiseSuite}, MaxHandshakes: most,
			Config: relink.Config{OnEvent: events.add, HandshakeTimeout: 3 * time.Second},
			Authorize: func(context.Context, relink.Attempt) error {
				peak.Store(now.Add(1)) // dials come one after the other
				<-block
				now.Add(-1)
				return nil
			},
		})
		require.NoError(t, err)
		d := relink.Dialer{Suite: noiseSuite, DialTransport: n.Dial}
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
			Suites: []relink.ServerSuite{noiseSuite},
			Authorize: func(ctx context.Context, _ relink.Attempt) error {
				close(asked)
				<-ctx.Done()
				close(ended)
				return ctx.Err()
			},
		})
		require.NoError(t, err)
		d := relink.Dialer{Suite: noiseSuite, DialTransport: n.Dial}
		dialled := background(func() (int, error) { _, err := d.DialConn(t.Context(), "tcp", "server"); return 0, err })
		<-asked
		requireInstant(t, func() {
			require.NoError(t, l.Close())
			<-ended
			require.Error(t, (<-dialled).err)
		})
	})
}

// A session ends when it has reached MaxAge, in use or suspended, and not before.
func TestMaxAge(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s, withServer(func(cfg *relink.ListenConfig) { cfg.MaxAge = time.Hour }))
		for range 5 {
			time.Sleep(11 * time.Minute)
			r.exchange(10)
			r.net.Last().Cut(faultnet.Reset)
			r.exchange(10)
		}
		before := time.Now()
		_, err := r.server.Read(make([]byte, 1))
		require.ErrorIs(t, err, relink.ErrDenied)
		require.ErrorContains(t, err, "MaxAge")
		require.LessOrEqual(t, time.Since(before), 5*time.Minute)
		_, err = r.client.Read(make([]byte, 1))
		require.Error(t, err)
		if r.client.Identity().PostQuantum {
			require.ErrorIs(t, err, relink.ErrDenied)
		}
		_, s2 := r.open() // whose end takes its timer along
		require.NoError(t, s2.Abort())
		r.stop()
	})
}

func TestMaxAgeMustNotBeNegative(t *testing.T) {
	t.Parallel()
	_, err := relink.NewListener(faultnet.New().Listen(), relink.ListenConfig{Suites: []relink.ServerSuite{noiseSuite}, MaxAge: -1})
	require.ErrorContains(t, err, "ListenConfig.MaxAge")
}
