package prometheus

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/relink-go/relink"
)

// A metric is a part of [relink.ListenerStats].
type metric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	of    func(s *relink.ListenerStats) int64
	label []string // the label's value, if there is one
}

func newMetric(name, help string, kind prometheus.ValueType, of func(s *relink.ListenerStats) int64) metric {
	return metric{desc: prometheus.NewDesc("relink_"+name, help, nil, nil), kind: kind, of: of}
}

// metrics are all parts.
var metrics = func() []metric {
	type stats = *relink.ListenerStats
	const gauge, counter = prometheus.GaugeValue, prometheus.CounterValue
	all := []metric{
		newMetric("handshakes", "Transports that have not proven anything yet.", gauge, func(s stats) int64 { return int64(s.Handshakes) }),
		newMetric("backlog", "Sessions that wait for Accept.", gauge, func(s stats) int64 { return int64(s.Backlog) }),
		newMetric("buffer_memory_bytes", "Buffer memory of sessions.", gauge, func(s stats) int64 { return s.Memory }),
		newMetric("suspended_memory_bytes", "Buffer memory of sessions without a transport.", gauge, func(s stats) int64 { return s.SuspendedMemory }),
		newMetric("sessions_opened_total", "Sessions opened.", counter, func(s stats) int64 { return s.Opened }),
		newMetric("resumes_total", "Sessions that went on over a new transport.", counter, func(s stats) int64 { return s.Resumes }),
		newMetric("sessions_displaced_total", "Suspended sessions that gave way to new ones.", counter, func(s stats) int64 { return s.Displaced }),
		newMetric("histories_cut_total", "Classic sessions that keep less of what they sent than they should.", counter, func(s stats) int64 { return s.HistoriesCut }),
		newMetric("read_bytes_total", "Bytes taken by the applications on this side.", counter, func(s stats) int64 { return s.BytesRead }),
		newMetric("written_bytes_total", "Bytes taken from the applications on this side.", counter, func(s stats) int64 { return s.BytesWritten }),
		newMetric("replayed_bytes_total", "Bytes handed to a transport again.", counter, func(s stats) int64 { return s.Replayed }),
		newMetric("events_dropped_total", "Events that were dropped because an observer did not keep up.", counter, func(s stats) int64 { return s.EventsDropped }),
	}
	sessions := prometheus.NewDesc("relink_sessions", "Sessions that have not ended.", []string{"state"}, nil)
	for state, of := range map[string]func(s stats) int64{
		"connected":   func(s stats) int64 { return int64(s.Connected) },
		"suspended":   func(s stats) int64 { return int64(s.Suspended) },
		"provisional": func(s stats) int64 { return int64(s.Provisional) },
	} {
		all = append(all, metric{sessions, gauge, of, []string{state}})
	}
	reclaimed := prometheus.NewDesc("relink_sessions_reclaimed_total", "Suspended sessions that ended for their memory.", []string{"which"}, nil)
	all = append(all,
		metric{reclaimed, counter, func(s stats) int64 { return s.ReclaimedUnused }, []string{"unused"}},
		metric{reclaimed, counter, func(s stats) int64 { return s.ReclaimedLongest }, []string{"longest"}})
	refused := prometheus.NewDesc("relink_refused_total", "Handshakes that failed.", []string{"reason"}, nil)
	for reason, of := range map[string]func(s stats) int64{
		"timeout":         func(s stats) int64 { return s.Refused.Timeout },
		"full":            func(s stats) int64 { return s.Refused.Full },
		"memory":          func(s stats) int64 { return s.Refused.Memory },
		"rate":            func(s stats) int64 { return s.Refused.Rate },
		"denied":          func(s stats) int64 { return s.Refused.Denied },
		"shutting_down":   func(s stats) int64 { return s.Refused.ShuttingDown },
		"no_suite":        func(s stats) int64 { return s.Refused.NoSuite },
		"authentication":  func(s stats) int64 { return s.Refused.Authentication },
		"protocol":        func(s stats) int64 { return s.Refused.Protocol },
		"unknown_session": func(s stats) int64 { return s.Refused.UnknownSession },
		"replay_gap":      func(s stats) int64 { return s.Refused.ReplayGap },
		"counters":        func(s stats) int64 { return s.Refused.Counters },
		"superseded":      func(s stats) int64 { return s.Refused.Superseded },
		"ended":           func(s stats) int64 { return s.Refused.Ended },
		"probe":           func(s stats) int64 { return s.Refused.Probe },
		"transport":       func(s stats) int64 { return s.Refused.Transport },
		"other":           func(s stats) int64 { return s.Refused.Other },
	} {
		all = append(all, metric{refused, counter, of, []string{reason}})
	}
	return all
}()

// Describe is part of [prometheus.Collector].
func (c *Collector) Describe(to chan<- *prometheus.Desc) {
	var last *prometheus.Desc
	for _, m := range metrics {
		if m.desc != last {
			to <- m.desc
			last = m.desc
		}
	}
	for _, o := range []prometheus.Collector{c.handshake, c.gap, c.replayed, c.closed} {
		o.Describe(to)
	}
}

// Collect is part of [prometheus.Collector]. It takes the same short time whatever the
// number of sessions.
func (c *Collector) Collect(to chan<- prometheus.Metric) {
	if l := c.listener.Load(); l != nil {
		s := l.Stats()
		for _, m := range metrics {
			to <- prometheus.MustNewConstMetric(m.desc, m.kind, float64(m.of(&s)), m.label...)
		}
	}
	for _, o := range []prometheus.Collector{c.handshake, c.gap, c.replayed, c.closed} {
		o.Collect(to)
	}
}
