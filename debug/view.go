package debug

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/relink-go/relink"
)

//go:embed assets
var assets embed.FS

// serveAsset serves what the page consists of beside its text.
func serveAsset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	if strings.HasSuffix(name, ".html") { // a template
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "no-cache") // another version may come to the same address
	http.ServeFileFS(w, r, assets, path.Join("assets", name))
}

var page = template.Must(template.New("page.html").Funcs(template.FuncMap{
	"bytes": inBytes, "time": inTime, "clock": func(t time.Time) string { return t.Format("15:04:05.000") },
}).ParseFS(assets, "assets/*.html"))

// inBytes writes a number of bytes for people.
func inBytes(n int64) string {
	f, units := float64(n), []string{"B", "KB", "MB", "GB", "TB"}
	for f >= 999.5 && len(units) > 1 {
		f, units = f/1000, units[1:]
	}
	if f < 9.95 && units[0] != "B" {
		return fmt.Sprintf("%.1f %s", f, units[0])
	}
	return fmt.Sprintf("%.0f %s", f, units[0])
}

// inTime writes a time for people.
func inTime(d time.Duration) string {
	switch {
	case d == 0:
		return "–"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	default:
		return d.Round(time.Second).String()
	}
}

// A view is what the page shows: all sessions, or one.
type view struct {
	Title    string
	Root     string // the way to the handler's first path
	Live     string // the address of the changing part
	Address  string
	Stats    relink.ListenerStats
	Draining string
	Actions  []string // of the process

	Table   *table
	Columns []column
	States  []relink.State
	Plots   []plot
	Refused []reason

	One *oneSession

	Events []event
}

// A oneSession is what there is to say about a session.
type oneSession struct {
	row

	Local       string `json:"local"`
	Target      string `json:"target,omitempty"`
	ClientKey   string `json:"client_key,omitempty"`
	PostQuantum bool   `json:"post_quantum"`
	Acked       int64  `json:"bytes_acknowledged"`
	Room        int    `json:"room_bytes"`

	Events []event `json:"events"`
}

// A reason is one for which handshakes failed, with the share of the most frequent.
type reason struct {
	Name  string
	Count int64
	Share int // of 100
}

func refusals(r relink.RefusalStats) []reason {
	var all []reason
	v := reflect.ValueOf(r)
	most := int64(1)
	for i := range v.NumField() {
		if n := v.Field(i).Int(); n > 0 {
			all = append(all, reason{Name: words(v.Type().Field(i).Name), Count: n})
			most = max(most, n)
		}
	}
	slices.SortStableFunc(all, func(a, b reason) int { return int(b.Count - a.Count) })
	for i := range all {
		all[i].Share = int(max(1, all[i].Count*100/most))
	}
	return all
}

// words writes a field's name as words.
func words(name string) string {
	var b strings.Builder
	for i, r := range name {
		if i > 0 && r >= 'A' && r <= 'Z' {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return strings.ToLower(b.String())
}

// overview returns what the page with all sessions shows.
func (h *handler) overview(form url.Values) (*view, error) {
	t, err := h.table(form)
	if err != nil {
		return nil, err
	}
	v := h.newView("")
	v.Table, v.Columns, v.Refused = t, columns, refusals(v.Stats.Refused)
	v.States = []relink.State{relink.StateConnected, relink.StateSuspended, relink.StateClosing}
	v.Live = "live" + t.With()
	if h.History != nil {
		v.Plots = plots(h.History.hour(time.Now()))
		v.Events = h.History.latest(12, func(*event) bool { return true })
	}
	if h.Reload != nil {
		v.Actions = append(v.Actions, "reload")
	}
	if h.Drain != nil && v.Draining == "" {
		v.Actions = append(v.Actions, "drain")
	}
	return v, nil
}

func (h *handler) newView(root string) *view {
	v := &view{Title: "relink " + h.Listener.Addr().String(), Root: root, Address: h.Listener.Addr().String(), Stats: h.Listener.Stats()}
	if h.Ready != nil {
		if err := h.Ready(); err != nil {
			v.Draining = err.Error()
		}
	}
	return v
}

// one returns what there is to say about a session. c is nil if it has ended.
func (h *handler) one(c *relink.Conn, id string) *view {
	v := h.newView("../")
	v.Title = "session " + id
	v.Live = "../live?session=" + url.QueryEscape(id)
	v.One = &oneSession{row: row{ID: id, State: "ended"}, Events: []event{}}
	if h.History != nil {
		v.Events = h.History.latest(200, func(e *event) bool { return e.ID == id })
		v.One.Events = append(v.One.Events, v.Events...)
	}
	if c == nil {
		return v
	}
	who := c.Identity()
	o := v.One
	o.row, o.Local, o.Target, o.PostQuantum = newRow(c, id), c.LocalAddr().String(), who.Target, who.PostQuantum
	o.Acked, o.Room = c.Acked(), c.Room()
	if who.ClientKey != (relink.PublicKey{}) {
		o.ClientKey = who.ClientKey.String()
	}
	return v
}

// show writes a view as a page.
func (*handler) show(w http.ResponseWriter, v *view) {
	var b bytes.Buffer
	_ = page.ExecuteTemplate(&b, "page.html", v) // into memory, and tests execute all of it
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	_, _ = w.Write(b.Bytes())
}

func (h *handler) page(w http.ResponseWriter, r *http.Request) {
	v, err := h.overview(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	h.show(w, v)
}

// session shows one session. A browser gets a page, also for one that has ended and is
// remembered; others get JSON.
func (h *handler) session(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	c := h.find(id)
	v := h.one(c, id)
	switch {
	case c == nil && len(v.Events) == 0:
		http.Error(w, "there is no such session", http.StatusNotFound)
	case strings.Contains(r.Header.Get("Accept"), "text/html"):
		h.show(w, v)
	default:
		writeJSON(w, v.One)
	}
}
