// Package debug lets an operator look into a [relink.Listener] with a browser, a
// script or a scraper of metrics. It needs nothing but the standard library.
//
//	history := debug.NewHistory()
//	cfg.OnEvent = history.Observe
//	l, err := relink.NewListener(inner, cfg)
//	http.ListenAndServe("localhost:7001", debug.Handler(debug.Config{Listener: l, History: history}))
//
// Whoever reaches it sees the addresses of clients and can end their sessions: see
// Config.Token.
//
//	GET  /                       a page with the sessions, and what happened in the last hour
//	GET  /sessions               the sessions as JSON
//	GET  /sessions/{id}          a page with one session; as JSON where that is asked for
//	GET  /live                   the page's changing part, as server-sent events
//	GET  /config                 Config.Settings as JSON
//	GET  /metrics                the counts, in Prometheus's text format
//	GET  /healthz                200: the process answers
//	GET  /readyz                 200, or 503 and why not: see Config.Ready
//	POST /sessions/{id}/abort    ends a session at once
//	POST /sessions/{id}/end      ends it as its application would, with what was written
//	POST /sessions/{id}/cut      closes its transport, for trying: see relink.Conn.Cut
//	POST /reload, /restart       Config.Reload, Config.Restart
//	POST /drain                  Config.Drain
//
// The page and /sessions take the parameters q, a part of the ID or the address; state, as
// [relink.State] names it; sort, a column's name, with - before it for the greatest first;
// offset; and limit, 100 by default and 1000 at most. The page works without a script, and
// with one it is live.
package debug

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/relink-go/relink"
)

// A Config says what is shown, and who may look and change something.
type Config struct {
	// Listener is required.
	Listener *relink.Listener

	// History is what the page knows of the past: it has to be told of the listener's events.
	// Nil leaves the plots and the events out.
	History *History

	// Ready returns why the process should get no new clients at the moment: that
	// it drains, for instance. Nil means that it always should.
	Ready func() error

	// Metrics serves /metrics in place of the listener's counts alone: that of
	// package promhttp with a collector of module metrics/prometheus, for instance.
	Metrics http.Handler

	// Settings returns what /config shows, as package json writes it. Secrets do not belong
	// there. Nil means that there is no /config.
	Settings func() any

	// Reload is called by POST /reload and Restart by POST /restart; an error is the answer.
	// Drain is called by POST /drain. Nil means that there is no such path.
	Reload  func() error
	Restart func() error
	Drain   func()

	// End ends a session in order, in place of its Close: where a session is joined to something,
	// Server.End of package proxy for instance. Nil means Close.
	End func(c *relink.Conn)

	// Profiles, if not nil, is served below /debug/pprof/, to those who may see the page: what
	// package net/http/pprof has, which this one does not import because that registers itself.
	Profiles http.Handler

	// Token lets requests come from other addresses than loopback and Unix sockets, with
	// the header "Authorization: Bearer TOKEN", or as the password that a browser asks for.
	// Empty means that none may, but for /metrics, /healthz and /readyz, which are for everybody.
	Token string
}

// Handler returns the handler. It panics without a Listener. Requests that change
// something and that a browser sends for another site are refused, wherever they come from.
func Handler(cfg Config) http.Handler {
	if cfg.Listener == nil {
		panic("debug: no Listener")
	}
	h := &handler{Config: cfg}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", h.ready)
	if cfg.Metrics != nil {
		mux.Handle("GET /metrics", cfg.Metrics)
	} else {
		mux.HandleFunc("GET /metrics", h.metrics)
	}
	guard := func(pattern string, f http.HandlerFunc) { mux.Handle(pattern, h.guarded(f)) }
	guard("GET /{$}", h.page)
	guard("GET /assets/{name}", serveAsset)
	guard("GET /sessions", h.sessions)
	guard("GET /sessions/{id}", h.session)
	guard("GET /live", h.live)
	if cfg.Profiles != nil {
		mux.Handle("/debug/pprof/", h.guarded(cfg.Profiles.ServeHTTP))
	}
	for name, act := range actions {
		if name == "end" && cfg.End != nil {
			act.do = cfg.End
		}
		guard("POST /sessions/{id}/"+name, h.act(name, act))
	}
	if cfg.Settings != nil {
		guard("GET /config", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, cfg.Settings()) })
	}
	for _, try := range []struct {
		name, done string
		call       func() error
	}{{"reload", "reloaded", cfg.Reload}, {"restart", "restarted", cfg.Restart}} {
		if try.call == nil {
			continue
		}
		guard("POST /"+try.name, func(w http.ResponseWriter, r *http.Request) {
			if err := try.call(); err != nil {
				http.Error(w, err.Error(), http.StatusUnprocessableEntity)
				return
			}
			done(w, r, try.done, "./")
		})
	}
	if cfg.Drain != nil {
		guard("POST /drain", func(w http.ResponseWriter, r *http.Request) {
			cfg.Drain()
			done(w, r, "draining", "./")
		})
	}
	return http.NewCrossOriginProtection().Handler(mux)
}

type handler struct {
	Config
	viewers atomic.Int32 // of live pages
}

func (h *handler) ready(w http.ResponseWriter, _ *http.Request) {
	if h.Ready != nil {
		if err := h.Ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
	}
	fmt.Fprintln(w, "ready")
}

// writeJSON answers with a value.
func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v)
}
