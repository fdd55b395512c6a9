package debug

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
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
	Label      string        `json:"listener,omitempty"`
	Read       int64         `json:"bytes_read"`
	Written    int64         `json:"bytes_written"`
	Pending    int64         `json:"bytes_pending"`
	Resumes    int64         `json:"resumes"`
	Replayed   int64         `json:"bytes_replayed"`
	LongestGap time.Duration `json:"longest_gap_ns"`
	Memory     int64         `json:"memory_bytes"`
}

func newRow(c *relink.Conn, id string) row {
	s := c.Stats()
	return row{
		ID: id, State: c.State().String(), Suite: c.Suite(), Remote: c.RemoteAddr().String(), Label: c.Label(),
		Read: s.BytesRead, Written: s.BytesWritten, Pending: s.BytesPending,
		Resumes: s.Resumes, Replayed: s.Replayed, LongestGap: s.LongestGap, Memory: s.Memory,
	}
}

// A column is one of the table, by which it can be sorted.
type column struct {
	Name, Title string
	Number      bool
	text        func(*relink.Conn) string
	number      func(*relink.Stats) int64
}

var columns = []column{
	{Name: "id", Title: "session", text: (*relink.Conn).ID},
	{Name: "state", Title: "state", text: func(c *relink.Conn) string { return c.State().String() }},
	{Name: "suite", Title: "suite", text: (*relink.Conn).Suite},
	{Name: "remote", Title: "client", text: func(c *relink.Conn) string { return c.RemoteAddr().String() }},
	{Name: "read", Title: "read", Number: true, number: func(s *relink.Stats) int64 { return s.BytesRead }},
	{Name: "written", Title: "written", Number: true, number: func(s *relink.Stats) int64 { return s.BytesWritten }},
	{Name: "pending", Title: "pending", Number: true, number: func(s *relink.Stats) int64 { return s.BytesPending }},
	{Name: "resumes", Title: "resumes", Number: true, number: func(s *relink.Stats) int64 { return s.Resumes }},
	{Name: "replayed", Title: "sent again", Number: true, number: func(s *relink.Stats) int64 { return s.Replayed }},
	{Name: "gap", Title: "longest gap", Number: true, number: func(s *relink.Stats) int64 { return int64(s.LongestGap) }},
	{Name: "memory", Title: "memory", Number: true, number: func(s *relink.Stats) int64 { return s.Memory }},
}

// A table is a part of the sessions.
type table struct {
	Total    int   `json:"total"` // that match
	Offset   int   `json:"offset"`
	Sessions []row `json:"sessions"`

	Limit int    `json:"-"`
	Query string `json:"-"`
	State string `json:"-"`
	Sort  string `json:"-"` // a column's name, with - before it for the greatest first
}

// A found session is one that matches, with what it is sorted by.
type found struct {
	c      *relink.Conn
	text   string
	number int64
}

// table returns the sessions that the request asks for.
func (h *handler) table(form url.Values) (*table, error) {
	t := &table{Query: form.Get("q"), State: form.Get("state"), Sort: cmp.Or(form.Get("sort"), "id"), Limit: defaultLimit, Sessions: []row{}}
	for name, to := range map[string]*int{"offset": &t.Offset, "limit": &t.Limit} {
		if s := form.Get(name); s != "" {
			n, err := strconv.Atoi(s)
			if err != nil || n < 0 {
				return nil, fmt.Errorf("%s: %q is not a number from 0", name, s)
			}
			*to = n
		}
	}
	t.Limit = min(max(t.Limit, 1), maxLimit)
	by, backwards := strings.CutPrefix(t.Sort, "-")
	i := slices.IndexFunc(columns, func(c column) bool { return c.Name == by })
	if i < 0 {
		return nil, fmt.Errorf("sort: there is no column %q", by)
	}
	all := h.matching(t, &columns[i])
	slices.SortFunc(all, func(a, b found) int {
		order := cmp.Or(cmp.Compare(a.number, b.number), strings.Compare(a.text, b.text))
		if backwards {
			return -order
		}
		return order
	})
	t.Total = len(all)
	t.Offset = min(t.Offset, t.Total)
	for _, f := range all[t.Offset:min(t.Offset+t.Limit, t.Total)] {
		t.Sessions = append(t.Sessions, newRow(f.c, f.c.ID()))
	}
	return t, nil
}

// matching returns the sessions that match, with what they are sorted by. The counts of a
// session are read only for that.
func (h *handler) matching(t *table, by *column) []found {
	var all []found
	for c := range h.Listener.Sessions() {
		if t.State != "" && c.State().String() != t.State {
			continue
		}
		if t.Query != "" && !strings.Contains(c.ID(), t.Query) && !strings.Contains(c.RemoteAddr().String(), t.Query) {
			continue
		}
		f := found{c: c}
		if by.Number {
			s := c.Stats()
			f.number = by.number(&s)
		} else {
			f.text = by.text(c)
		}
		all = append(all, f)
	}
	return all
}

// With returns the address of the table with some parameters changed.
func (t *table) With(changes ...any) string {
	form := url.Values{}
	set := func(name, value, def string) {
		if value != def {
			form.Set(name, value)
		}
	}
	now := map[string]string{"q": t.Query, "state": t.State, "sort": t.Sort, "offset": strconv.Itoa(t.Offset), "limit": strconv.Itoa(t.Limit)}
	for i := 0; i+1 < len(changes); i += 2 {
		now[fmt.Sprint(changes[i])] = fmt.Sprint(changes[i+1])
	}
	set("q", now["q"], "")
	set("state", now["state"], "")
	set("sort", now["sort"], "id")
	set("offset", now["offset"], "0")
	set("limit", now["limit"], strconv.Itoa(defaultLimit))
	return "?" + form.Encode()
}

// SortedBy returns what a click on a column's title asks for: numbers begin with the greatest.
func (t *table) SortedBy(c column) string {
	to := c.Name
	if c.Number {
		to = "-" + c.Name
	}
	if t.Sort == to {
		if to = c.Name; !c.Number {
			to = "-" + c.Name
		}
	}
	return t.With("sort", to, "offset", 0)
}

// Arrow shows by which column the table is sorted.
func (t *table) Arrow(c column) string {
	switch t.Sort {
	case c.Name:
		return "▲"
	case "-" + c.Name:
		return "▼"
	default:
		return ""
	}
}

// Aria is the same for those who do not see it.
func (t *table) Aria(c column) string {
	return map[string]string{"▲": "ascending", "▼": "descending", "": "none"}[t.Arrow(c)]
}

// First, Last and Before are places in the table, and More says whether it goes on.
func (t *table) First() int  { return t.Offset + 1 }
func (t *table) Last() int   { return t.Offset + len(t.Sessions) }
func (t *table) Before() int { return max(t.Offset-t.Limit, 0) }
func (t *table) More() bool  { return t.Last() < t.Total }

func (h *handler) sessions(w http.ResponseWriter, r *http.Request) {
	t, err := h.table(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	writeJSON(w, t)
}
