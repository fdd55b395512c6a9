package relink_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// A handlerFunc is a slog.Handler for all levels.
type handlerFunc func(slog.Record)

func (f handlerFunc) Enabled(context.Context, slog.Level) bool      { return true }
func (f handlerFunc) Handle(_ context.Context, r slog.Record) error { f(r); return nil }
func (f handlerFunc) WithAttrs([]slog.Attr) slog.Handler            { return f }
func (f handlerFunc) WithGroup(string) slog.Handler                 { return f }

// Events tell a session's life in order, with what belongs to each.
func TestEventsInOrder(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s)
		r.exchange(1000)
		r.suspend(faultnet.Refuse, faultnet.ResetNow)
		lost := time.Now()
		synctest.Wait()
		_, err := r.client.Write([]byte("while suspended"))
		require.NoError(t, err)
		time.Sleep(10 * time.Second)
		r.net.SetClientHost("10.0.0.77")
		r.net.SetDown(faultnet.NotDown)
		r.client.NetworkChanged()
		_, err = io.ReadFull(r.server, make([]byte, 15))
		require.NoError(t, err)
		gap := time.Since(lost)
		synctest.Wait()                      // data may come ahead of the proof
		r.net.Last().Cut(faultnet.BlackHole) // so that neither sees the other's Abort as a loss
		require.NoError(t, r.client.Abort())
		require.NoError(t, r.server.Abort())
		synctest.Wait()

		for name, events := range map[string]*eventLog{"client": r.clientEvents, "server": r.serverEvents} {
			c := r.ends()[name]
			all := events.all()
			var at time.Time
			for _, e := range all {
				require.Same(t, c, e.Conn)
				require.False(t, e.Time.Before(at))
				at = e.Time
				require.Zero(t, e.Dropped)
				require.NotNil(t, e.Remote)
			}
			resuming := events.all(relink.EventResuming)
			if name == "client" {
				require.Greater(t, len(resuming), 2)
				require.NoError(t, resuming[0].Err)
				require.ErrorIs(t, resuming[1].Err, syscall.ECONNREFUSED)
			} else {
				require.Empty(t, resuming)
			}
			var kinds []relink.EventKind
			for _, k := range events.kinds() {
				if k != relink.EventResuming {
					kinds = append(kinds, k)
				}
			}
			require.Equal(t, []relink.EventKind{relink.EventOpened, relink.EventSuspended, relink.EventResumed, relink.EventClosed}, kinds)
			suspended := events.all(relink.EventSuspended)[0]
			require.ErrorIs(t, suspended.Err, syscall.ECONNRESET)
			resumed := events.all(relink.EventResumed)[0]
			require.InDelta(t, gap.Seconds(), resumed.Gap.Seconds(), 0.2)
			if name == "server" {
				require.Contains(t, resumed.Remote.String(), "10.0.0.77")
			}
			// Its own Abort is what this side meant; the client's, where it came
			// first, is a loss.
			if err := events.all(relink.EventClosed)[0].Err; name == "client" || err != nil && relink.IsClassic(s) {
				require.NoError(t, err)
			} else if err != nil {
				require.ErrorIs(t, err, relink.ErrSessionLost)
			}
		}
		r.stop()
	})
}

// A replay is told with its length.
func TestReplayedBytes(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		r := newRig(t, s)
		r.exchange(100)
		r.net.Last().Cut(faultnet.BlackHole)
		_, err := r.client.Write(rigData(777))
		require.NoError(t, err)
		synctest.Wait()
		r.client.NetworkChanged()
		_, err = io.ReadFull(r.server, make([]byte, 777))
		require.NoError(t, err)
		synctest.Wait()
		resumed := r.clientEvents.all(relink.EventResumed)
		require.Len(t, resumed, 1)
		if relink.IsClassic(s) { // otherwise it goes along with the handshake
			require.EqualValues(t, 777, resumed[0].Replayed)
			require.EqualValues(t, 777, r.client.Stats().Replayed)
		}
		// The server was never without a transport.
		resumed = r.serverEvents.all(relink.EventResumed)
		require.Len(t, resumed, 1)
		require.Zero(t, resumed[0].Gap)
		r.stop()
	})
}

// An observer that hangs delays nothing and nobody. What it misses beyond the
// bound is counted, and what it gets is in order.
func TestHangingObserver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var mu sync.Mutex
		var got []relink.Event
		r := newRig(t, dh64rc4Suite, withClient(func(c *relink.Dialer) {
			c.OnEvent = func(e relink.Event) {
				<-release
				mu.Lock()
				defer mu.Unlock()
				got = append(got, e)
			}
		}))
		const changes = relink.MaxQueuedEvents/3 + 100
		requireInstant(t, func() {
			for range changes { // suspended, resuming, resumed each time
				r.client.NetworkChanged()
				synctest.Wait()
				require.Equal(t, relink.StateConnected, r.client.State())
			}
			r.exchange(100)
			require.NoError(t, r.client.Abort())
			<-r.client.Done()
		})
		close(release)
		synctest.Wait()
		mu.Lock()
		require.Equal(t, relink.MaxQueuedEvents+1, len(got)) // one was being delivered
		require.Equal(t, relink.EventOpened, got[0].Kind)
		for i, e := range got[1:] {
			require.Equal(t, relink.EventSuspended+relink.EventKind(i%3), e.Kind)
		}
		mu.Unlock()
		r.stop()
	})
}

// The count of dropped events comes with the next event that is delivered.
func TestDroppedEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var mu sync.Mutex
		var got []relink.Event
		r := newRig(t, scpSuite, withServer(func(c *relink.ListenConfig) {
			c.OnEvent = func(e relink.Event) {
				<-release
				mu.Lock()
				defer mu.Unlock()
				got = append(got, e)
			}
		}))
		const refused = relink.MaxQueuedEvents + 50
		for range refused {
			c, err := r.net.Dial(t.Context(), "tcp", "server")
			require.NoError(t, err)
			require.NoError(t, c.Close())
			synctest.Wait()
		}
		close(release)
		synctest.Wait()
		require.NoError(t, r.server.Abort())
		synctest.Wait()
		mu.Lock()
		last := got[len(got)-1]
		require.Equal(t, relink.EventClosed, last.Kind)
		require.Equal(t, 50, last.Dropped)
		for _, e := range got[:len(got)-1] {
			require.Zero(t, e.Dropped)
		}
		require.Len(t, got, 1+relink.MaxQueuedEvents+1)
		mu.Unlock()
		r.stop()
	})
}

// An observer or a Logger that panics, or ends its goroutine, spoils nothing,
// not even the events after that one.
func TestPanickingObservers(t *testing.T) {
	for name, mistake := range map[string]func(){
		"panic":  func() { panic("the test's panic") },
		"error":  func() { panic(errors.New("the test's error")) },
		"Goexit": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s testSuite) {
				var events, records atomic.Int32
				r := newRig(t, s, withBoth(func(c *relink.Config) {
					c.OnEvent = func(relink.Event) { events.Add(1); mistake() }
					c.Logger = slog.New(handlerFunc(func(slog.Record) { records.Add(1); mistake() }))
				}))
				for range 5 {
					r.client.NetworkChanged()
					r.exchange(100)
				}
				r.stop()
				synctest.Wait()
				// Of the client opened, five times suspended, resuming and resumed,
				// closed; of the server at least opened, resumed and closed.
				require.GreaterOrEqual(t, records.Load(), int32(17+7))
				if name != "Goexit" {
					require.GreaterOrEqual(t, events.Load(), int32(17+7))
				}
			})
		})
	}
}

// The Logger gets what OnEvent gets, in the same order.
func TestLoggerGetsTheEvents(t *testing.T) {
	inBubble(t, func(t *testing.T, s testSuite) {
		var mu sync.Mutex
		var messages []string
		attrs := map[string]bool{}
		r := newRig(t, s, withClient(func(c *relink.Dialer) {
			c.Logger = slog.New(handlerFunc(func(r slog.Record) {
				mu.Lock()
				defer mu.Unlock()
				messages = append(messages, r.Message)
				r.Attrs(func(a slog.Attr) bool { attrs[a.Key] = true; return true })
			}))
		}))
		r.suspend(faultnet.Refuse, faultnet.Reset)
		time.Sleep(time.Second)
		r.net.SetDown(faultnet.NotDown)
		r.exchange(10)
		r.stop()
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		var want []string
		for _, k := range r.clientEvents.kinds() {
			want = append(want, "relink: "+k.String())
		}
		require.Equal(t, want, messages)
		for _, key := range []string{"session", "remote", "replayed", "gap", "error"} {
			require.True(t, attrs[key], key)
		}
	})
}

func TestEventKindString(t *testing.T) {
	for kind, name := range map[relink.EventKind]string{
		relink.EventOpened: "opened", relink.EventSuspended: "suspended", relink.EventResuming: "resuming",
		relink.EventResumed: "resumed", relink.EventRefused: "refused", relink.EventClosed: "closed", 99: "EventKind(99)",
	} {
		require.Equal(t, name, kind.String())
	}
}
