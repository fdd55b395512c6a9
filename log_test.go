package relink_test

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/internal/faultnet"
)

// A slowHandler is a slog.Handler that waits for the gate, and keeps what it
// gets.
type slowHandler struct {
	gate <-chan struct{}

	mu      sync.Mutex // guards records
	records []slog.Record
}

func (h *slowHandler) Enabled(context.Context, slog.Level) bool { return true }
func (h *slowHandler) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h *slowHandler) WithGroup(string) slog.Handler            { return h }
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
		r := newRig(t, dh64rc4Suite, withServer(func(c *relink.ListenConfig) {
			c.OnEvent, c.Logger = nil, slog.New(h)
		}))
		const summed = 7
		for range maxQueuedRefusals + summed {
			speak(t, r.net, []byte("another protocol"), true)
			synctest.Wait()
		}
		close(gate)
		synctest.Wait()
		require.NoError(t, r.server.Abort())
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
		require.Len(t, h.records, 1+maxQueuedRefusals+1+1)
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
		require.Equal(t, r.server.ID(), attrs(closed)["session"])
		r.stop()
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
			Suites: []relink.ServerSuite{noiseSuite}, Label: "front",
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
