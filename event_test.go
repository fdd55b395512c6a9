package relink_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
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
			if err := events.all(relink.EventClosed)[0].Err; name == "client" || err != nil && isClassic(s) {
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
		if isClassic(s) { // otherwise it goes along with the handshake
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
		var logged int64 // by the same goroutine
		r := newRig(t, dh64rc4Suite, withClient(func(c *relink.Dialer) {
			c.OnEvent = func(e relink.Event) {
				<-release
				mu.Lock()
				defer mu.Unlock()
				got = append(got, e)
			}
			c.Logger = slog.New(handlerFunc(func(r slog.Record) {
				r.Attrs(func(a slog.Attr) bool {
					if a.Key == "dropped" {
						logged += a.Value.Int64()
					}
					return true
				})
			}))
		}))
		const changes = maxQueuedEvents/3 + 100
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
		require.Len(t, got, maxQueuedEvents+2) // one was being delivered
		require.Equal(t, relink.EventOpened, got[0].Kind)
		last := got[len(got)-1]
		require.Equal(t, relink.EventClosed, last.Kind) // never dropped
		require.Equal(t, 3*changes-maxQueuedEvents, last.Dropped)
		require.EqualValues(t, last.Dropped, logged)
		for i, e := range got[1 : len(got)-1] {
			require.Equal(t, relink.EventSuspended+relink.EventKind(i%3), e.Kind)
			require.Zero(t, e.Dropped)
		}
		mu.Unlock()
		r.stop()
	})
}

// Refusals that an observer does not keep up with are summed up in one event, with
// their reasons, and push no other event out.
func TestRefusalsAreSummedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var mu sync.Mutex
		var got []relink.Event
		var logged []slog.Record
		r := newRig(t, scpSuite, withServer(func(c *relink.ListenConfig) {
			c.Logger = slog.New(handlerFunc(func(r slog.Record) {
				mu.Lock()
				defer mu.Unlock()
				logged = append(logged, r)
			}))
			c.OnEvent = func(e relink.Event) {
				if e.Kind == relink.EventRefused {
					<-release
				}
				mu.Lock()
				defer mu.Unlock()
				got = append(got, e)
			}
		}))
		refuse := func(first string) {
			c, err := r.net.Dial(t.Context(), "tcp", "server")
			require.NoError(t, err)
			_, err = c.Write([]byte(first))
			require.NoError(t, err)
			require.NoError(t, c.Close())
			synctest.Wait()
		}
		for range 1 + maxQueuedRefusals + 50 { // one is being delivered
			refuse("")
		}
		for range 20 {
			refuse(strings.Repeat("x", 1000))
		}
		summedSince := time.Now()
		time.Sleep(time.Minute)
		r.client.NetworkChanged()
		synctest.Wait()
		require.NoError(t, r.client.Abort())
		require.NoError(t, r.server.Abort())
		synctest.Wait()
		require.Zero(t, r.l.Stats().EventsDropped)
		close(release)
		synctest.Wait()
		refuse("") // is told by itself again
		mu.Lock()
		defer mu.Unlock()
		require.Len(t, got, 1+1+maxQueuedRefusals+1+2+1)
		require.Equal(t, relink.EventOpened, got[0].Kind)
		for _, e := range got[1 : 2+maxQueuedRefusals] {
			require.Equal(t, relink.EventRefused, e.Kind)
			require.Nil(t, e.Refusals)
			require.ErrorIs(t, e.Err, relink.ErrProbe)
		}
		got = got[2+maxQueuedRefusals:]
		require.Equal(t, relink.EventRefused, got[0].Kind)
		require.Equal(t, &relink.RefusalStats{Probe: 50, Protocol: 20}, got[0].Refusals)
		require.Equal(t, "relink: 70 handshakes failed: 20 against the protocol, 50 ended before the first byte", got[0].Err.Error())
		require.False(t, got[0].Time.After(summedSince))
		require.Equal(t, relink.EventResumed, got[1].Kind)
		require.Equal(t, relink.EventClosed, got[2].Kind)
		require.Equal(t, relink.EventRefused, got[3].Kind)
		require.Nil(t, got[3].Refusals)
		for _, e := range got {
			require.Zero(t, e.Dropped)
		}
		summary := logged[2+maxQueuedRefusals]
		require.Equal(t, slog.LevelWarn, summary.Level)
		summary.Attrs(func(a slog.Attr) bool {
			if a.Key == "handshakes" {
				require.EqualValues(t, 70, a.Value.Int64())
				return false
			}
			return true
		})
		r.stop()
	})
}

// A health check is counted as one, and logged for those who look for it. A client
// that said something and was lost is worth a warning.
func TestHealthChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged []slog.Record // read when nothing is left to deliver
		n := faultnet.New()
		l, err := relink.NewListener(n.Listen(), relink.ListenConfig{
			Suites: []relink.ServerSuite{noiseSuite, scpSuite},
			Config: relink.Config{Logger: slog.New(handlerFunc(func(r slog.Record) { logged = append(logged, r) }))},
		})
		require.NoError(t, err)
		for _, end := range []func(net.Conn){
			func(c net.Conn) { _ = c.Close() },
			func(net.Conn) { n.Last().Cut(faultnet.Reset) },
			func(c net.Conn) { _, _ = c.Write([]byte{1}); synctest.Wait(); _ = c.Close() },
		} {
			c, err := n.Dial(t.Context(), "tcp", "server")
			require.NoError(t, err)
			synctest.Wait()
			end(c)
			synctest.Wait()
			_ = c.Close()
		}
		require.Equal(t, relink.RefusalStats{Probe: 2, Transport: 1}, l.Stats().Refused)
		require.Len(t, logged, 3)
		for i, want := range []slog.Level{slog.LevelDebug, slog.LevelDebug, slog.LevelWarn} {
			require.Equal(t, want, logged[i].Level)
		}
		require.NoError(t, l.Close())
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
