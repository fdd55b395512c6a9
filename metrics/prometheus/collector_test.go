package prometheus_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	prom "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/debug"
	"github.com/relink-go/relink/internal/faultnet"
	"github.com/relink-go/relink/metrics/prometheus"
)

func Example() {
	m := prometheus.NewCollector()
	cfg := relink.ListenConfig{Suites: []relink.ServerSuite{relink.InsecureNoiseServer{}}}
	cfg.OnEvent = m.Observe
	l, err := cfg.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	m.SetListener(l)
	registry := prom.NewRegistry()
	registry.MustRegister(m)

	n, err := testutil.GatherAndCount(registry, "relink_sessions")
	fmt.Println(n, "states", err)
	// Output: 3 states <nil>
}

// gather returns what a registry has by name.
func gather(t *testing.T, m *prometheus.Collector) map[string]*dto.MetricFamily {
	t.Helper()
	registry := prom.NewPedanticRegistry()
	require.NoError(t, registry.Register(m))
	all, err := registry.Gather()
	require.NoError(t, err)
	families := make(map[string]*dto.MetricFamily)
	for _, f := range all {
		families[f.GetName()] = f
	}
	return families
}

func labels(m *dto.Metric) string {
	var s []string
	for _, l := range m.GetLabel() {
		s = append(s, l.GetName()+"="+l.GetValue())
	}
	return strings.Join(s, ",")
}

// value returns the value of a counter or gauge with these labels.
func value(t *testing.T, f *dto.MetricFamily, with string) float64 {
	t.Helper()
	for _, m := range f.GetMetric() {
		if labels(m) == with {
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	t.Fatalf("%s has no {%s}", f.GetName(), with)
	return 0
}

// The names are as Prometheus wants them.
func TestLint(t *testing.T) {
	l, err := relink.Listen("tcp", "127.0.0.1:0", relink.InsecureNoiseServer{})
	require.NoError(t, err)
	defer l.Close()
	m := prometheus.NewCollector()
	m.SetListener(l)
	problems, err := testutil.CollectAndLint(m)
	require.NoError(t, err)
	require.Empty(t, problems)
}

// A session's life arrives in each metric that it concerns.
func TestSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := faultnet.New()
		network.SetOptions(faultnet.Options{Delay: 30 * time.Millisecond})
		m := prometheus.NewCollector()
		cfg := relink.ListenConfig{Suites: []relink.ServerSuite{relink.SCPServer{}}}
		cfg.OnEvent = m.Observe
		l, err := relink.NewListener(network.Listen(), cfg)
		require.NoError(t, err)
		m.SetListener(l)
		d := relink.Dialer{Suite: relink.SCPClient{}, DialTransport: network.Dial}
		client, err := d.DialConn(t.Context(), "tcp", "server")
		require.NoError(t, err)
		server, err := l.AcceptConn()
		require.NoError(t, err)
		_, err = client.Write([]byte("there"))
		require.NoError(t, err)
		_, err = io.ReadFull(server, make([]byte, 5))
		require.NoError(t, err)

		network.SetDown(faultnet.Refuse)
		network.Last().Cut(faultnet.BlackHole)
		_, err = server.Write(make([]byte, 1000)) // lost on its way, and sent again
		require.NoError(t, err)
		network.Last().Cut(faultnet.Reset)
		_ = server.SetReadDeadline(time.Now().Add(time.Second)) // it looks at its transport
		_, err = server.Read(make([]byte, 1))
		require.Error(t, err)
		require.EqualValues(t, 1, value(t, gather(t, m)["relink_sessions"], "state=suspended"))
		time.Sleep(20 * time.Second) // of the bubble
		network.SetDown(faultnet.NotDown)
		client.NetworkChanged()
		_, err = io.ReadFull(client, make([]byte, 1000))
		require.NoError(t, err)
		_, _ = client.Abort(), server.Abort()
		synctest.Wait()

		all := gather(t, m)
		require.EqualValues(t, 1, value(t, all["relink_sessions_opened_total"], ""))
		require.EqualValues(t, 1, value(t, all["relink_resumes_total"], ""))
		require.EqualValues(t, 1000, value(t, all["relink_written_bytes_total"], ""))
		require.EqualValues(t, 1000, value(t, all["relink_replayed_bytes_total"], ""))
		require.EqualValues(t, 0, value(t, all["relink_sessions"], "state=suspended"))
		gap := all["relink_session_gap_seconds"].GetMetric()[0].GetHistogram()
		require.EqualValues(t, 1, gap.GetSampleCount())
		require.InDelta(t, 20, gap.GetSampleSum(), 2)
		replayed := all["relink_session_replayed_bytes"].GetMetric()[0].GetHistogram()
		require.InDelta(t, 1000, replayed.GetSampleSum(), 0)
		handshake := all["relink_handshake_duration_seconds"].GetMetric()[0]
		require.Equal(t, "suite=SCP", labels(handshake))
		require.InDelta(t, .06, handshake.GetHistogram().GetSampleSum(), .1)
		require.Positive(t, handshake.GetHistogram().GetSampleSum())
		require.NoError(t, l.Close())
	})
}

// Each reason for which a session ends is counted under a name of its own, and nothing
// of what a peer says is a name.
func TestClosings(t *testing.T) {
	m := prometheus.NewCollector()
	for err, want := range map[error]string{
		nil:                        "meant",
		relink.ErrExpired:          "expired",
		relink.ErrDisplaced:        "displaced",
		relink.ErrReclaimedUnused:  "reclaimed_unused",
		relink.ErrReclaimedLongest: "reclaimed_longest",
		relink.ErrUnacknowledged:   "unacknowledged",
		relink.ErrDenied:           "denied",
		relink.ErrReplayGap:        "replay_gap",
		relink.ErrCounters:         "counters",
		relink.ErrProtocol:         "protocol",
		relink.ErrSessionLost:      "lost",
		relink.ErrAuthentication:   "authentication",
	} {
		before := value(t, gather(t, m)["relink_sessions_closed_total"], "reason="+want)
		if err != nil {
			err = fmt.Errorf("from 192.0.2.7: %w", err)
		}
		m.Observe(relink.Event{Kind: relink.EventClosed, Err: err})
		require.InDelta(t, before+1, value(t, gather(t, m)["relink_sessions_closed_total"], "reason="+want), 0)
	}
	for _, k := range []relink.EventKind{relink.EventSuspended, relink.EventResuming, relink.EventRefused, relink.EventListenerFailed} {
		before := gather(t, m)
		m.Observe(relink.Event{Kind: k, Err: io.EOF})
		require.Equal(t, fmt.Sprint(before), fmt.Sprint(gather(t, m)))
	}
}

// Without a listener there are its histograms, and no counts that would be wrong.
func TestNoListener(t *testing.T) {
	all := gather(t, prometheus.NewCollector())
	require.NotContains(t, all, "relink_sessions")
	require.Contains(t, all, "relink_session_gap_seconds")
}

// What package debug exports is here under the same name, with the same labels, type and
// text, so that rules fit both; and all reasons of a refusal are there.
func TestSameAsDebug(t *testing.T) {
	l, err := relink.Listen("tcp", "127.0.0.1:0", relink.InsecureNoiseServer{})
	require.NoError(t, err)
	defer l.Close()
	w := httptest.NewRecorder()
	debug.Handler(debug.Config{Listener: l}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://localhost/metrics", nil))
	parser := expfmt.NewTextParser(model.LegacyValidation)
	theirs, err := parser.TextToMetricFamilies(bytes.NewReader(w.Body.Bytes()))
	require.NoError(t, err)
	m := prometheus.NewCollector()
	m.SetListener(l)
	ours := gather(t, m)
	sets := func(f *dto.MetricFamily) []string {
		var s []string
		for _, m := range f.GetMetric() {
			s = append(s, labels(m))
		}
		slices.Sort(s)
		return s
	}
	require.NotEmpty(t, theirs)
	for name, f := range theirs {
		require.Contains(t, ours, name)
		require.Equal(t, f.GetType(), ours[name].GetType(), name)
		require.Equal(t, f.GetHelp(), ours[name].GetHelp(), name)
		require.Equal(t, sets(f), sets(ours[name]), name)
	}
	require.Len(t, ours["relink_refused_total"].GetMetric(), reflect.TypeFor[relink.RefusalStats]().NumField())
}
