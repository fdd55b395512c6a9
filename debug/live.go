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
	if _, err := current(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	out := http.NewResponseController(w)
	ticker := time.NewTicker(liveInterval)
	defer ticker.Stop()
	for {
		v, err := current()
		if err != nil {
			return
		}
		var b bytes.Buffer
		if page.ExecuteTemplate(&b, "live.html", v) != nil {
			return
		}
		text := bytes.ReplaceAll(bytes.TrimSpace(b.Bytes()), []byte("\n"), []byte("\ndata: "))
		_ = out.SetWriteDeadline(time.Now().Add(10 * time.Second)) // of a server's connection; a recorder has none
		if _, err := fmt.Fprintf(w, "data: %s\n\n", text); err != nil || out.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-ticker.C:
		}
	}
}
