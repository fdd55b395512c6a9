package debug

import (
	"bytes"
	"fmt"
	"net/http"
	"time"
)

const (
	liveInterval = 2 * time.Second
	maxViewers   = 16 // each makes the sessions be looked at every liveInterval
)

// live sends the changing part of a page again and again, as server-sent events.
func (h *handler) live(w http.ResponseWriter, r *http.Request) {
	if h.viewers.Add(1) > maxViewers {
		h.viewers.Add(-1)
		http.Error(w, fmt.Sprintf("%d pages are looked at already", maxViewers), http.StatusServiceUnavailable)
		return
	}
	defer h.viewers.Add(-1)
	form := r.URL.Query()
	current := func() (*view, error) {
		if id := form.Get("session"); id != "" {
			return h.one(h.find(id), id), nil
		}
		return h.overview(form)
	}
	out := http.NewResponseController(w)
	ticker := time.NewTicker(liveInterval)
	defer ticker.Stop()
	for {
		v, err := current()
		if err != nil { // the first time or never
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		var b bytes.Buffer
		_ = page.ExecuteTemplate(&b, "live.html", v) // into memory, and tests execute all of it
		text := bytes.ReplaceAll(bytes.TrimSpace(b.Bytes()), []byte("\n"), []byte("\ndata: "))
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Cache-Control", "no-store")
		_ = out.SetWriteDeadline(time.Now().Add(10 * time.Second)) // after that the server ends the request's context
		_, _ = fmt.Fprintf(w, "data: %s\n\n", text)
		_ = out.Flush()
		select {
		case <-r.Context().Done():
			return
		case <-ticker.C:
		}
	}
}
