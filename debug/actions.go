package debug

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/relink-go/relink"
)

// An action is what a button does to a session, and what it says then.
type action struct {
	do   func(c *relink.Conn)
	says string
}

var actions = map[string]action{
	"abort": {func(c *relink.Conn) { _ = c.Abort() }, "aborted"},
	"end":   {func(c *relink.Conn) { _ = c.Close() }, "ending"},
	"cut":   {func(c *relink.Conn) { c.Cut() }, "cut"},
}

// find returns the session with an ID, or nil.
func (h *handler) find(id string) *relink.Conn {
	for c := range h.Listener.Sessions() {
		if c.ID() == id {
			return c
		}
	}
	return nil
}

// act does something to the session with the ID of the path.
func (h *handler) act(name string, a action) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c := h.find(r.PathValue("id"))
		if c == nil {
			http.Error(w, "there is no such session", http.StatusNotFound)
			return
		}
		a.do(c)
		back := "../../" // to the table, and where a session goes on, to its page
		if name == "cut" {
			back = "../" + c.ID()
		}
		done(w, r, a.says, back)
	}
}

// done answers a request that has changed something: a browser goes back to a page.
func done(w http.ResponseWriter, r *http.Request, says, back string) {
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		http.Redirect(w, r, back, http.StatusSeeOther)
		return
	}
	fmt.Fprintln(w, says)
}
