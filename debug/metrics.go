package debug

import (
	"fmt"
	"net/http"
	"strings"
)

// metrics writes the listener's counts in Prometheus's text format.
func (h *handler) metrics(w http.ResponseWriter, _ *http.Request) {
	s := h.Listener.Stats()
	r := s.Refused
	var b strings.Builder
	family := func(name, kind, help string) {
		fmt.Fprintf(&b, "# HELP relink_%s %s\n# TYPE relink_%s %s\n", name, help, name, kind)
	}
	single := func(name, kind, help string, v int64) {
		family(name, kind, help)
		fmt.Fprintf(&b, "relink_%s %d\n", name, v)
	}
	family("sessions", "gauge", "Sessions that have not ended.")
	for _, v := range []struct {
		state string
		n     int
	}{{"connected", s.Connected}, {"suspended", s.Suspended}, {"provisional", s.Provisional}} {
		fmt.Fprintf(&b, "relink_sessions{state=%q} %d\n", v.state, v.n)
	}
	single("handshakes", "gauge", "Transports that have not proven anything yet.", int64(s.Handshakes))
	single("backlog", "gauge", "Sessions that wait for Accept.", int64(s.Backlog))
	single("buffer_memory_bytes", "gauge", "Buffer memory of sessions.", s.Memory)
	single("suspended_memory_bytes", "gauge", "Buffer memory of sessions without a transport.", s.SuspendedMemory)
	single("sessions_opened_total", "counter", "Sessions opened.", s.Opened)
	single("resumes_total", "counter", "Sessions that went on over a new transport.", s.Resumes)
	single("sessions_displaced_total", "counter", "Suspended sessions that gave way to new ones.", s.Displaced)
	family("sessions_reclaimed_total", "counter", "Suspended sessions that ended for their memory.")
	fmt.Fprintf(&b, "relink_sessions_reclaimed_total{which=\"unused\"} %d\n", s.ReclaimedUnused)
	fmt.Fprintf(&b, "relink_sessions_reclaimed_total{which=\"longest\"} %d\n", s.ReclaimedLongest)
	single("histories_cut_total", "counter", "Classic sessions that keep less of what they sent than they should.", s.HistoriesCut)
	single("read_bytes_total", "counter", "Bytes taken by the applications on this side.", s.BytesRead)
	single("written_bytes_total", "counter", "Bytes taken from the applications on this side.", s.BytesWritten)
	single("replayed_bytes_total", "counter", "Bytes handed to a transport again.", s.Replayed)
	single("events_dropped_total", "counter", "Events that were dropped because an observer did not keep up.", s.EventsDropped)
	family("refused_total", "counter", "Handshakes that failed.")
	for _, v := range []struct {
		reason string
		n      int64
	}{
		{"timeout", r.Timeout},
		{"full", r.Full},
		{"memory", r.Memory},
		{"rate", r.Rate},
		{"denied", r.Denied},
		{"shutting_down", r.ShuttingDown},
		{"no_suite", r.NoSuite},
		{"authentication", r.Authentication},
		{"protocol", r.Protocol},
		{"unknown_session", r.UnknownSession},
		{"replay_gap", r.ReplayGap},
		{"counters", r.Counters},
		{"superseded", r.Superseded},
		{"ended", r.Ended},
		{"probe", r.Probe},
		{"transport", r.Transport},
		{"other", r.Other},
	} {
		fmt.Fprintf(&b, "relink_refused_total{reason=%q} %d\n", v.reason, v.n)
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = w.Write([]byte(b.String()))
}
