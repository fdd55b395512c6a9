package debug

import (
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/relink-go/relink"
)

// How many sessions one answer has.
const (
	defaultLimit = 100
	maxLimit     = 1000
)

// A row is a session.
type row struct {
	ID         string        `json:"id"`
	State      string        `json:"state"`
	Suite      string        `json:"suite"`
	Remote     string        `json:"remote"`
	Read       int64         `json:"bytes_read"`
	Written    int64         `json:"bytes_written"`
	Pending    int64         `json:"bytes_pending"`
	Resumes    int64         `json:"resumes"`
	Replayed   int64         `json:"bytes_replayed"`
	LongestGap time.Duration `json:"longest_gap_ns"`
	Memory     int64         `json:"memory_bytes"`
}

// A table is a part of the sessions.
type table struct {
	Total    int   `json:"total"` // that match
	Offset   int   `json:"offset"`
	Sessions []row `json:"sessions"`

	next, before int
	query, state string
}

// table returns the sessions that the request asks for, by ID.
func (h *handler) table(r *http.Request) (*table, error) {
	form := r.URL.Query()
	t := &table{query: form.Get("q"), state: form.Get("state"), Sessions: []row{}}
	limit := defaultLimit
	for name, to := range map[string]*int{"offset": &t.Offset, "limit": &limit} {
		if s := form.Get(name); s != "" {
			n, err := strconv.Atoi(s)
			if err != nil || n < 0 {
				return nil, fmt.Errorf("%s: %q is not a number from 0", name, s)
			}
			*to = n
		}
	}
	limit = min(max(limit, 1), maxLimit)
	type found struct {
		id string
		c  *relink.Conn
	}
	var all []found
	for c := range h.Listener.Sessions() {
		id := c.ID()
		if t.state != "" && c.State().String() != t.state {
			continue
		}
		if t.query != "" && !strings.Contains(id, t.query) && !strings.Contains(c.RemoteAddr().String(), t.query) {
			continue
		}
		all = append(all, found{id, c})
	}
	slices.SortFunc(all, func(a, b found) int { return strings.Compare(a.id, b.id) })
	t.Total = len(all)
	t.Offset = min(t.Offset, t.Total)
	t.before, t.next = max(t.Offset-limit, 0), min(t.Offset+limit, t.Total)
	for _, f := range all[t.Offset:t.next] {
		s := f.c.Stats()
		t.Sessions = append(t.Sessions, row{
			ID: f.id, State: f.c.State().String(), Suite: f.c.Suite(), Remote: f.c.RemoteAddr().String(),
			Read: s.BytesRead, Written: s.BytesWritten, Pending: s.BytesPending,
			Resumes: s.Resumes, Replayed: s.Replayed, LongestGap: s.LongestGap, Memory: s.Memory,
		})
	}
	return t, nil
}

func (h *handler) sessions(w http.ResponseWriter, r *http.Request) {
	t, err := h.table(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(t)
}

func (h *handler) page(w http.ResponseWriter, r *http.Request) {
	t, err := h.table(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	_ = page.Execute(w, map[string]any{
		"Address": h.Listener.Addr(), "Stats": h.Listener.Stats(), "Table": t,
		"Query": t.query, "State": t.state, "Next": t.next, "Before": t.before,
		"States": []relink.State{relink.StateConnected, relink.StateSuspended, relink.StateClosing},
	})
}

var page = template.Must(template.New("page").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>relink {{.Address}}</title>
<style>
:root { color-scheme: light dark; font: 14px system-ui, sans-serif }
body { margin: 1.5em }
div { overflow-x: auto }
table { border-collapse: collapse }
th, td { padding: .25em .7em; text-align: left; border-bottom: 1px solid #8884; white-space: nowrap }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
.connected { color: #188038 } .suspended { color: #c5221f } .closing { color: #b06000 }
@media (prefers-color-scheme: dark) { .connected { color: #81c995 } .suspended { color: #f28b82 } .closing { color: #fdd663 } }
</style></head><body>
<h1>relink {{.Address}}</h1>
{{with .Stats}}<p>{{.Connected}} connected, {{.Suspended}} suspended, {{.Handshakes}} handshakes, {{.Memory}} bytes of buffers.
{{.Opened}} opened, {{.Resumes}} resumes, {{.Refused.Total}} refused.</p>{{end}}
<form><input name="q" value="{{.Query}}" placeholder="ID or address" aria-label="ID or address">
<select name="state" aria-label="state"><option value="">every state</option>
{{range .States}}<option{{if eq .String $.State}} selected{{end}}>{{.}}</option>{{end}}</select>
<button>Show</button></form>
<div><table><tr><th>session<th>state<th>suite<th>client<th class="n">read<th class="n">written<th class="n">pending<th class="n">resumes<th class="n">sent again<th class="n">longest gap<th class="n">memory<th></tr>
{{range .Table.Sessions}}<tr><td>{{.ID}}<td class="{{.State}}">{{.State}}<td>{{.Suite}}<td>{{.Remote}}<td class="n">{{.Read}}<td class="n">{{.Written}}<td class="n">{{.Pending}}<td class="n">{{.Resumes}}<td class="n">{{.Replayed}}<td class="n">{{.LongestGap}}<td class="n">{{.Memory}}
<td><form method="post" action="sessions/{{.ID}}/abort"><button>Abort</button></form></tr>
{{end}}</table></div>
<p>{{len .Table.Sessions}} of {{.Table.Total}}, from {{.Table.Offset}}.
{{if .Table.Offset}}<a href="?q={{.Query}}&amp;state={{.State}}&amp;offset={{.Before}}">before</a>{{end}}
{{if lt .Next .Table.Total}}<a href="?q={{.Query}}&amp;state={{.State}}&amp;offset={{.Next}}">next</a>{{end}}</p>
</body></html>
`))
