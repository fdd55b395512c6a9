// Package prometheus exports what a [relink.Listener] does as metrics of Prometheus.
//
//	m := prometheus.NewCollector()
//	cfg := relink.ListenConfig{Suites: suites}
//	cfg.OnEvent = m.Observe
//	l, err := relink.NewListener(inner, cfg)
//	m.SetListener(l)
//	registry.MustRegister(m)
//
// The counts are those of [relink.Listener.Stats], which costs the same whatever the number
// of sessions, and have the names that package debug gives them. What takes an
// event to know are histograms: how long handshakes took (relink_handshake_duration_seconds), how
// long sessions were without a transport (relink_session_gap_seconds), how much was
// sent again (relink_session_replayed_bytes), and a count of how sessions ended
// (relink_sessions_closed_total).
//
// No label depends on a peer. A program with several listeners tells them apart by
// [github.com/prometheus/client_golang/prometheus.WrapRegistererWith]. alerts.yaml, beside
// this package's source, has alert rules.
package prometheus

import (
	"errors"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/relink-go/relink"
)

// A Collector is a [prometheus.Collector] for one listener. All methods may be called
// from any goroutine.
type Collector struct {
	listener  atomic.Pointer[relink.Listener]
	handshake *prometheus.HistogramVec
	gap       prometheus.Histogram
	replayed  prometheus.Histogram
	closed    *prometheus.CounterVec
}

var _ prometheus.Collector = (*Collector)(nil)

// NewCollector returns a collector that exports nothing but empty histograms until it
// is given a listener and its events.
func NewCollector() *Collector {
	c := &Collector{
		handshake: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "relink_handshake_duration_seconds",
			Help:    "How long the handshakes of new sessions took.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"suite"}),
		gap: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "relink_session_gap_seconds",
			Help:    "How long sessions were without a transport before they went on.",
			Buckets: []float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300},
		}),
		replayed: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "relink_session_replayed_bytes",
			Help:    "How much a resume had to send again.",
			Buckets: append([]float64{0}, prometheus.ExponentialBuckets(256, 4, 9)...), // to 16 MiB
		}),
		closed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "relink_sessions_closed_total",
			Help: "Sessions that have ended.",
		}, []string{"reason"}),
	}
	for _, r := range closings { // those that have not happened yet are zero, and not absent
		c.closed.WithLabelValues(r.name)
	}
	c.closed.WithLabelValues(closedMeant)
	c.closed.WithLabelValues(closedLost)
	return c
}

// SetListener says whose counts are exported.
func (c *Collector) SetListener(l *relink.Listener) { c.listener.Store(l) }

// Observe is for [relink.Config].OnEvent, or is called from there. It does not block.
func (c *Collector) Observe(e relink.Event) {
	switch e.Kind {
	case relink.EventOpened:
		c.handshake.WithLabelValues(e.Conn.Suite()).Observe(e.Handshake.Seconds())
	case relink.EventResumed:
		c.gap.Observe(e.Gap.Seconds())
		c.replayed.Observe(float64(e.Replayed))
	case relink.EventClosed:
		c.closed.WithLabelValues(closing(e.Err)).Inc()
	case relink.EventSuspended, relink.EventSuspected, relink.EventResuming, relink.EventRefused, relink.EventHistoryCut, relink.EventListenerFailed:
	}
}

// The reasons of relink_sessions_closed_total that have no error of their own.
const (
	closedMeant = "meant"
	closedLost  = "lost" // the peer was restarted or has aborted, for instance
)

// closings are the others.
var closings = []struct {
	err  error
	name string
}{
	{relink.ErrExpired, "expired"},
	{relink.ErrDisplaced, "displaced"},
	{relink.ErrReclaimedUnused, "reclaimed_unused"},
	{relink.ErrReclaimedLongest, "reclaimed_longest"},
	{relink.ErrUnacknowledged, "unacknowledged"},
	{relink.ErrDenied, "denied"},
	{relink.ErrReplayGap, "replay_gap"},
	{relink.ErrCounters, "counters"},
	{relink.ErrAuthentication, "authentication"},
	{relink.ErrProtocol, "protocol"},
}

// closing names the reason why a session has ended.
func closing(err error) string {
	if err == nil {
		return closedMeant
	}
	for _, r := range closings {
		if errors.Is(err, r.err) {
			return r.name
		}
	}
	return closedLost
}
