// Package debug lets an operator look into a [relink.Listener] with a browser, a
// script or a scraper of metrics. It needs nothing but the standard library.
//
//	http.ListenAndServe("localhost:7001", debug.Handler(debug.Config{Listener: l}))
//
// Whoever reaches it sees the addresses of clients and can end their sessions, so it
// belongs on loopback or behind what keeps strangers out.
//
//	GET  /                      a page with the sessions, and the listener's counts
//	GET  /sessions              the same as JSON
//	GET  /metrics               the counts, in Prometheus's text format
//	GET  /healthz               200: the process answers
//	GET  /readyz                200, or 503 and why not: see Config.Ready
//	POST /sessions/{id}/abort   ends a session
//
// The page and /sessions take the parameters q, a part of the ID or the address;
// state, as [relink.State] names it; offset; and limit, 100 by default and 1000 at most.
package debug

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/relink-go/relink"
)

// A Config says what is shown, and who may change something.
type Config struct {
	// Listener is required.
	Listener *relink.Listener

	// Ready returns why the process should get no new clients at the moment: that
	// it drains, for instance. Nil means that it always should.
	Ready func() error

	// Metrics serves /metrics in place of the listener's counts alone: that of
	// package promhttp with a collector of module metrics/prometheus, for instance.
	Metrics http.Handler

	// Token lets requests that change something come from other addresses than
	// loopback and Unix sockets, with the header "Authorization: Bearer TOKEN". Empty means that
	// none may.
	Token string
}

// Handler returns the handler. It panics without a Listener. Requests that change
// something and that a browser sends for another site are refused, wherever they come from.
func Handler(cfg Config) http.Handler {
	if cfg.Listener == nil {
		panic("debug: no Listener")
	}
	h := &handler{cfg}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", h.page)
	mux.HandleFunc("GET /sessions", h.sessions)
	if cfg.Metrics != nil {
		mux.Handle("GET /metrics", cfg.Metrics)
	} else {
		mux.HandleFunc("GET /metrics", h.metrics)
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", h.ready)
	mux.Handle("POST /sessions/{id}/abort", h.guarded(h.abort))
	return http.NewCrossOriginProtection().Handler(mux)
}

type handler struct{ Config }

func (h *handler) ready(w http.ResponseWriter, _ *http.Request) {
	if h.Ready != nil {
		if err := h.Ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
	}
	fmt.Fprintln(w, "ready")
}

// abort ends the session with the ID of the path.
func (h *handler) abort(w http.ResponseWriter, r *http.Request) {
	for c := range h.Listener.Sessions() {
		if c.ID() == r.PathValue("id") {
			_ = c.Abort()
			if strings.Contains(r.Header.Get("Accept"), "text/html") { // the page's button
				http.Redirect(w, r, "../..", http.StatusSeeOther)
				return
			}
			fmt.Fprintln(w, "aborted")
			return
		}
	}
	http.Error(w, "there is no such session", http.StatusNotFound)
}

// guarded lets through who may change something.
func (h *handler) guarded(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); {
		case ok && h.Token != "" && sameToken(given, h.Token), !ok && isLocal(r):
			next(w, r)
		case h.Token == "":
			http.Error(w, "this is for requests from the machine itself: no token is set for others", http.StatusForbidden)
		default:
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "this wants the token", http.StatusUnauthorized)
		}
	})
}

// sameToken compares in a time that tells nothing.
func sameToken(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// isLocal reports whether a request comes from this machine, and not from a page whose
// site has made its name point here.
func isLocal(r *http.Request) bool {
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && local.Network() == "unix" {
		return true
	}
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !from.Addr().Unmap().IsLoopback() {
		return false
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.Unmap().IsLoopback()
}
