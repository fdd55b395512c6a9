package conntest

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

func (f handlerFunc) Enabled(context.Context, slog.Level) bool { return true }

func (f handlerFunc) Handle(_ context.Context, r slog.Record) error { f(r); return nil }

func (f handlerFunc) WithAttrs([]slog.Attr) slog.Handler { return f }

func (f handlerFunc) WithGroup(string) slog.Handler { return f }

// Events tell a session's life in order, with what belongs to each.
func TestEventsInOrder(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s)
		r.Exchange(1000)
		r.Suspend(faultnet.Refuse, faultnet.ResetNow)
		lost := time.Now()
		synctest.Wait()
		_, err := r.Client.Write([]byte("while suspended"))
		require.NoError(t, err)
		time.Sleep(10 * time.Second)
		r.Net.SetClientHost("10.0.0.77")
		r.Net.SetDown(faultnet.NotDown)
		r.Client.NetworkChanged()
		_, err = io.ReadFull(r.Server, make([]byte, 15))
		require.NoError(t, err)
		gap := time.Since(lost)
		synctest.Wait()                      // data may come ahead of the proof
		r.Net.Last().Cut(faultnet.BlackHole) // so that neither sees the other's Abort as a loss
		require.NoError(t, r.Client.Abort())
		require.NoError(t, r.Server.Abort())
		synctest.Wait()

		for name, events := range map[string]*EventLog{"client": &r.Client.Events, "server": &r.Server.Events} {
			c := r.Ends()[name]
			all := events.All()
			var at time.Time
			for _, e := range all {
				require.Same(t, c, e.Conn)
				require.False(t, e.Time.Before(at))
				at = e.Time
				require.Zero(t, e.Dropped)
				require.NotNil(t, e.Remote)
			}
			resuming := events.All(relink.EventResuming)
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
			suspended := events.All(relink.EventSuspended)[0]
			require.ErrorIs(t, suspended.Err, syscall.ECONNRESET)
			resumed := events.All(relink.EventResumed)[0]
			require.InDelta(t, gap.Seconds(), resumed.Gap.Seconds(), 0.2)
			if name == "server" {
				require.Contains(t, resumed.Remote.String(), "10.0.0.77")
			}
			// Its own Abort is what this side meant; the client's, where it came
			// first, is a loss.
			if err := events.All(relink.EventClosed)[0].Err; name == "client" || err != nil && IsClassic(s) {
				require.NoError(t, err)
			} else if err != nil {
				require.ErrorIs(t, err, relink.ErrSessionLost)
			}
		}
		r.Stop()
	})
}

// A replay is told with its length.
func TestReplayedBytes(t *testing.T) {
	InBubble(t, func(t *testing.T, s Suite) {
		r := New(t, s)
		r.Exchange(100)
		r.Net.Last().Cut(faultnet.BlackHole)
		_, err := r.Client.Write(Data(777))
		require.NoError(t, err)
		synctest.Wait()
		r.Client.NetworkChanged()
		_, err = io.ReadFull(r.Server, make([]byte, 777))
		require.NoError(t, err)
		synctest.Wait()
		resumed := r.Client.Events.All(relink.EventResumed)
		require.Len(t, resumed, 1)
		if IsClassic(s) { // otherwise it goes along with the handshake
			require.EqualValues(t, 777, resumed[0].Replayed)
			require.EqualValues(t, 777, r.Client.Stats().Replayed)
		}
		// The server was never without a transport.
		resumed = r.Server.Events.All(relink.EventResumed)
		require.Len(t, resumed, 1)
		require.Zero(t, resumed[0].Gap)
		r.Stop()
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
		r := New(t, DH64RC4, WithClient(func(c *relink.Dialer) {
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
		const changes = MaxQueuedEvents/3 + 100
		RequireInstant(t, func() {
			for range changes { // suspended, resuming, resumed each time
				r.Client.NetworkChanged()
				synctest.Wait()
				require.Equal(t, relink.StateConnected, r.Client.State())
			}
			r.Exchange(100)
			require.NoError(t, r.Client.Abort())
			<-r.Client.Done()
		})
		close(release)
		synctest.Wait()
		mu.Lock()
		require.Len(t, got, MaxQueuedEvents+2) // one was being delivered
		require.Equal(t, relink.EventOpened, got[0].Kind)
		last := got[len(got)-1]
		require.Equal(t, relink.EventClosed, last.Kind) // never dropped
		require.Equal(t, 3*changes-MaxQueuedEvents, last.Dropped)
		require.EqualValues(t, last.Dropped, logged)
		for i, e := range got[1 : len(got)-1] {
			require.Equal(t, relink.EventSuspended+relink.EventKind(i%3), e.Kind)
			require.Zero(t, e.Dropped)
		}
		mu.Unlock()
		r.Stop()
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
		r := New(t, SCP, WithServer(func(c *relink.ListenConfig) {
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
				if e.Kind != relink.EventSuspended { // the server may see the old transport end before the new one comes
					got = append(got, e)
				}
			}
		}))
		refuse := func(first string) {
			c, err := r.Net.Dial(t.Context(), "tcp", "server")
			require.NoError(t, err)
			_, err = c.Write([]byte(first))
			require.NoError(t, err)
			require.NoError(t, c.Close())
			synctest.Wait()
		}
		for range 1 + MaxQueuedRefusals + 50 { // one is being delivered
			refuse("")
		}
		for range 20 {
			refuse(strings.Repeat("x", 1000))
		}
		summedSince := time.Now()
		time.Sleep(time.Minute)
		r.Client.NetworkChanged()
		synctest.Wait()
		require.NoError(t, r.Client.Abort())
		require.NoError(t, r.Server.Abort())
		synctest.Wait()
		require.Zero(t, r.Listener.Stats().EventsDropped)
		close(release)
		synctest.Wait()
		refuse("") // is told by itself again
		mu.Lock()
		defer mu.Unlock()
		require.Len(t, got, 1+1+MaxQueuedRefusals+1+2+1)
		require.Equal(t, relink.EventOpened, got[0].Kind)
		for _, e := range got[1 : 2+MaxQueuedRefusals] {
			require.Equal(t, relink.EventRefused, e.Kind)
			require.Nil(t, e.Refusals)
			require.ErrorIs(t, e.Err, relink.ErrProbe)
		}
		got = got[2+MaxQueuedRefusals:]
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
		summary := logged[2+MaxQueuedRefusals]
		require.Equal(t, slog.LevelWarn, summary.Level)
		summary.Attrs(func(a slog.Attr) bool {
			if a.Key == "handshakes" {
				require.EqualValues(t, 70, a.Value.Int64())
				return false
			}
			return true
		})
		r.Stop()
	})
}

// A health check is counted as one, and logged for those who look for it. A client
// that said something and was lost is worth a warning.
func TestHealthChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged []slog.Record // read when nothing is left to deliver
		n := faultnet.New()
		l, err := relink.NewListener(n.Listen(), relink.ListenConfig{
			Suites: []relink.ServerSuite{Noise, SCP},
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
			InBubble(t, func(t *testing.T, s Suite) {
				var events, records atomic.Int32
				r := New(t, s, WithBoth(func(c *relink.Config) {
					c.OnEvent = func(relink.Event) { events.Add(1); mistake() }
					c.Logger = slog.New(handlerFunc(func(slog.Record) { records.Add(1); mistake() }))
				}))
				for range 5 {
					r.Client.NetworkChanged()
					r.Exchange(100)
				}
				r.Stop()
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
	InBubble(t, func(t *testing.T, s Suite) {
		var mu sync.Mutex
		var messages []string
		attrs := map[string]bool{}
		r := New(t, s, WithClient(func(c *relink.Dialer) {
			c.Logger = slog.New(handlerFunc(func(r slog.Record) {
				mu.Lock()
				defer mu.Unlock()
				messages = append(messages, r.Message)
				r.Attrs(func(a slog.Attr) bool { attrs[a.Key] = true; return true })
			}))
		}))
		r.Suspend(faultnet.Refuse, faultnet.Reset)
		time.Sleep(time.Second)
		r.Net.SetDown(faultnet.NotDown)
		r.Exchange(10)
		r.Stop()
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		var want []string
		for _, k := range r.Client.Events.kinds() {
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
		relink.EventSuspected: "suspected", relink.EventHistoryCut: "history cut", relink.EventListenerFailed: "listener failed",
	} {
		require.Equal(t, name, kind.String())
	}
}

// A slowHandler is a slog.Handler that waits for the gate, and keeps what it
// gets.
type slowHandler struct {
	gate <-chan struct{}

	mu      sync.Mutex // guards records
	records []slog.Record
}

func (h *slowHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h *slowHandler) WithAttrs([]slog.Attr) slog.Handler { return h }

func (h *slowHandler) WithGroup(string) slog.Handler { return h }

func (h *slowHandler) Handle(_ context.Context, r slog.Record) error {
	<-h.gate
	h.mu.Lock()
	defer h.mu.Unlock()
	h.records = append(h.records, r)
	return nil
}

// The log gets what OnEvent gets: a refusal as a warning, with its reason, and
// with the next event how many were dropped because the handler was slow.
func TestLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		h := &slowHandler{gate: gate}
		r := New(t, DH64RC4, WithServer(func(c *relink.ListenConfig) {
			c.OnEvent, c.Logger = nil, slog.New(h)
		}))
		const summed = 7
		for range MaxQueuedRefusals + summed {
			speak(t, r.Net, []byte("another protocol"), true)
			synctest.Wait()
		}
		close(gate)
		synctest.Wait()
		require.NoError(t, r.Server.Abort())
		synctest.Wait()
		h.mu.Lock()
		defer h.mu.Unlock()
		attrs := func(r slog.Record) map[string]string {
			m := make(map[string]string)
			r.Attrs(func(a slog.Attr) bool {
				m[a.Key] = a.Value.String()
				return true
			})
			return m
		}
		require.Len(t, h.records, 1+MaxQueuedRefusals+1+1)
		require.Equal(t, slog.LevelInfo, h.records[0].Level)
		refused := h.records[1]
		require.Equal(t, slog.LevelWarn, refused.Level)
		require.Contains(t, refused.Message, "refused")
		require.NotEmpty(t, attrs(refused)["error"])
		require.NotEmpty(t, attrs(refused)["remote"])
		require.NotContains(t, attrs(refused), "handshakes")
		summary := h.records[len(h.records)-2]
		require.Equal(t, slog.LevelWarn, summary.Level)
		require.Equal(t, "7", attrs(summary)["handshakes"])
		require.NotEmpty(t, attrs(summary)["error"])
		closed := h.records[len(h.records)-1]
		require.NotContains(t, attrs(closed), "dropped")
		require.Equal(t, r.Server.ID(), attrs(closed)["session"])
		r.Stop()
	})
}

// An inner listener that fails is logged as an error, with its label. One whose Close
// fails says so.
func TestLogOfWhatFailsBelow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		close(gate)
		h := &slowHandler{gate: gate}
		stubborn := func() *stubbornListener {
			return &stubbornListener{Listener: faultnet.New().Listen(), fail: make(chan error), quit: make(chan struct{})}
		}
		inner := stubborn()
		l, err := relink.NewListener(inner, relink.ListenConfig{
			Suites: []relink.ServerSuite{Noise}, Label: "front",
			Config: relink.Config{Logger: slog.New(h)},
		})
		require.NoError(t, err)
		inner.fail <- errBadTransport
		_, err = l.Accept()
		require.ErrorIs(t, err, errBadTransport)
		require.Equal(t, "listener failed", relink.EventListenerFailed.String())
		require.NoError(t, l.AddListener(stubborn(), "again"))
		require.ErrorIs(t, l.Close(), errBadTransport)
		synctest.Wait()
		h.mu.Lock()
		defer h.mu.Unlock()
		require.NotEmpty(t, h.records)
		require.Equal(t, slog.LevelError, h.records[0].Level)
		labels := 0
		h.records[0].Attrs(func(a slog.Attr) bool {
			if a.Value.String() == "front" {
				labels++
			}
			return true
		})
		require.Equal(t, 1, labels)
	})
}

// A stubbornListener accepts nothing, and cannot be closed without an error.
type stubbornListener struct {
	net.Listener
	fail chan error
	quit chan struct{}
	once sync.Once
}

func (l *stubbornListener) Accept() (net.Conn, error) {
	select {
	case err := <-l.fail:
		return nil, err
	case <-l.quit:
		return nil, net.ErrClosed
	}
}

func (l *stubbornListener) Close() error {
	l.once.Do(func() { close(l.quit) })
	return errBadTransport
}
