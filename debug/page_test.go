package debug_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/debug"
)

func inHTML(r *http.Request) { r.Header.Set("Accept", "text/html") }

// The table is sorted by any column, either way.
func TestSort(t *testing.T) {
	l, all := open(t, 5)
	h := debug.Handler(debug.Config{Listener: l})
	for i, c := range all {
		_, err := c.Write(make([]byte, 1+(i*3)%5))
		require.NoError(t, err)
	}
	for _, by := range []string{"id", "state", "suite", "remote", "read", "written", "pending", "resumes", "replayed", "gap", "memory"} {
		require.Len(t, sessions(t, h, "?sort="+by).Sessions, 5)
		require.Len(t, sessions(t, h, "?sort=-"+by).Sessions, 5)
	}
	up, down := sessions(t, h, "?sort=written").Sessions, sessions(t, h, "?sort=-written").Sessions
	require.Equal(t, all[0].ID(), up[0].ID)
	for i := range up {
		require.Equal(t, up[i].ID, down[len(down)-1-i].ID)
	}
	for _, path := range []string{"/sessions", "/", "/live"} {
		w := ask(h, http.MethodGet, path+"?sort=colour", nil)
		require.Equal(t, http.StatusBadRequest, w.Code)
		require.Contains(t, w.Body.String(), `no column "colour"`)
	}
}

// A session has a page, also for a while after its end if there is a history, and is
// JSON for whoever does not ask for a page.
func TestSessionPage(t *testing.T) {
	l, all := open(t, 1)
	history := debug.NewHistory()
	h := debug.Handler(debug.Config{Listener: l, History: history})
	id := all[0].ID()
	history.Observe(relink.Event{Kind: relink.EventResumed, Conn: all[0], Remote: all[0].RemoteAddr(), Time: time.Now(), Gap: 1200 * time.Millisecond, Replayed: 2500})
	history.Observe(relink.Event{Kind: relink.EventSuspended, Conn: all[0], Time: time.Now(), Err: errors.New("<b>reset</b>")})
	page := ask(h, http.MethodGet, "/sessions/"+id, inHTML).Body.String()
	for _, want := range []string{id, "1.2 s", "2.5 KB", "&lt;b&gt;reset", all[0].LocalAddr().String(), "post-quantum"} {
		require.Contains(t, page, want)
	}
	var one struct {
		ID, Local string
		Events    []struct{ Kind, Error string }
	}
	require.NoError(t, json.Unmarshal(ask(h, http.MethodGet, "/sessions/"+id, nil).Body.Bytes(), &one))
	require.Equal(t, id, one.ID)
	require.Equal(t, "suspended", one.Events[0].Kind)
	require.NoError(t, all[0].Abort())
	<-all[0].Done()
	page = ask(h, http.MethodGet, "/sessions/"+id, inHTML).Body.String()
	require.Contains(t, page, "ended")
	require.NotContains(t, page, "/abort")
	require.Equal(t, http.StatusNotFound, ask(h, http.MethodGet, "/sessions/none", inHTML).Code)
	require.Equal(t, http.StatusNotFound, ask(debug.Handler(debug.Config{Listener: l}), http.MethodGet, "/sessions/"+id, nil).Code)
}

// The last hour is on the page, and what was before is not.
func TestHistory(t *testing.T) {
	l, all := open(t, 1)
	history := debug.NewHistory()
	h := debug.Handler(debug.Config{Listener: l, History: history})
	bars := func() int { return strings.Count(ask(h, http.MethodGet, "/", nil).Body.String(), "<rect") }
	require.Zero(t, bars())
	now := time.Now()
	history.Observe(relink.Event{Kind: relink.EventOpened, Conn: all[0], Time: now.Add(-2 * time.Hour)})
	require.Zero(t, bars())
	history.Observe(relink.Event{Kind: relink.EventOpened, Conn: all[0], Time: now})
	require.Equal(t, 1, bars())
	history.Observe(relink.Event{Kind: relink.EventOpened, Conn: all[0], Time: now.Add(-time.Hour)}) // in the place of now, an hour late
	history.Observe(relink.Event{Kind: relink.EventClosed, Conn: all[0], Time: now})
	history.Observe(relink.Event{Kind: relink.EventResuming, Conn: all[0], Time: now})
	require.Equal(t, 1, bars())
	history.Observe(relink.Event{Kind: relink.EventRefused, Time: now, Refusals: &relink.RefusalStats{Probe: 7, Full: 2}, Err: errors.New("9 of them")})
	page := ask(h, http.MethodGet, "/", nil).Body.String()
	require.Contains(t, page, "refused in the last hour, at most 9")
	// More events than are remembered: the newest are there.
	for i := range 5000 {
		history.Observe(relink.Event{Kind: relink.EventRefused, Time: now, Err: fmt.Errorf("number %d", i)})
	}
	page = ask(h, http.MethodGet, "/", nil).Body.String()
	require.Contains(t, page, "number 4999")
	require.NotContains(t, page, "number 900")
}

// What a program offers is there, and what it does not is not.
func TestOffers(t *testing.T) {
	l, _ := open(t, 0)
	var reloadErr error
	drained := 0
	full := debug.Handler(debug.Config{
		Listener: l, Settings: func() any { return map[string]string{"key": "fingerprint"} },
		Reload: func() error { return reloadErr }, Restart: func() error { return reloadErr }, Drain: func() { drained++ },
	})
	bare := debug.Handler(debug.Config{Listener: l})
	require.JSONEq(t, `{"key":"fingerprint"}`, ask(full, http.MethodGet, "/config", nil).Body.String())
	require.Equal(t, "reloaded\n", ask(full, http.MethodPost, "/reload", nil).Body.String())
	require.Equal(t, "restarted\n", ask(full, http.MethodPost, "/restart", nil).Body.String())
	reloadErr = errors.New("line 6: no")
	require.Equal(t, http.StatusUnprocessableEntity, ask(full, http.MethodPost, "/restart", nil).Code)
	w := ask(full, http.MethodPost, "/reload", nil)
	require.Equal(t, http.StatusUnprocessableEntity, w.Code)
	require.Equal(t, "line 6: no\n", w.Body.String())
	require.Equal(t, "draining\n", ask(full, http.MethodPost, "/drain", nil).Body.String())
	require.Equal(t, 1, drained)
	foreign := func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") }
	for method, paths := range map[string][]string{http.MethodGet: {"/config", "/assets/page.html", "/assets/none"}, http.MethodPost: {"/reload", "/restart", "/drain"}} {
		for _, path := range paths {
			require.GreaterOrEqual(t, ask(bare, method, path, nil).Code, 400, path)
			if method == http.MethodPost {
				require.Equal(t, http.StatusForbidden, ask(full, method, path, foreign).Code)
				require.Equal(t, http.StatusMethodNotAllowed, ask(full, http.MethodGet, path, nil).Code)
			}
		}
	}
	require.Equal(t, 1, drained)
	require.Contains(t, ask(full, http.MethodGet, "/assets/page.js", nil).Body.String(), "EventSource")
}

// Other machines look only with the token, which a browser can ask for; balancers and
// scrapers need none.
func TestLooking(t *testing.T) {
	l, all := open(t, 1)
	far := func(r *http.Request) { r.RemoteAddr = "192.0.2.1:1" }
	h := debug.Handler(debug.Config{Listener: l, Token: "secret"})
	for _, path := range []string{"/", "/sessions", "/sessions/" + all[0].ID(), "/live", "/assets/page.css"} {
		w := ask(h, http.MethodGet, path, far)
		require.Equal(t, http.StatusUnauthorized, w.Code, path)
		require.Contains(t, w.Header().Get("WWW-Authenticate"), "Basic")
		require.Equal(t, http.StatusForbidden, ask(debug.Handler(debug.Config{Listener: l}), http.MethodGet, path, far).Code, path)
		require.Equal(t, http.StatusForbidden, ask(debug.Handler(debug.Config{Listener: l}), http.MethodGet, path, func(r *http.Request) { r.Host = "evil.example" }).Code, path)
	}
	require.Equal(t, http.StatusOK, ask(h, http.MethodGet, "/", func(r *http.Request) { far(r); r.SetBasicAuth("", "secret") }).Code)
	require.Equal(t, http.StatusUnauthorized, ask(h, http.MethodGet, "/", func(r *http.Request) { far(r); r.SetBasicAuth("secret", "") }).Code)
	for _, path := range []string{"/metrics", "/healthz", "/readyz"} {
		require.Equal(t, http.StatusOK, ask(h, http.MethodGet, path, far).Code, path)
	}
}

// The buttons that do not end a session at once.
func TestCutAndEnd(t *testing.T) {
	l, all := open(t, 1)
	h := debug.Handler(debug.Config{Listener: l})
	w := ask(h, http.MethodPost, "/sessions/"+all[0].ID()+"/cut", nil)
	require.Equal(t, "cut\n", w.Body.String())
	require.Eventually(t, func() bool { return all[0].Stats().Resumes == 1 }, time.Minute, time.Millisecond)
	w = ask(h, http.MethodPost, "/sessions/"+all[0].ID()+"/end", inHTML)
	require.Equal(t, http.StatusSeeOther, w.Code)
	<-all[0].Done()
	require.NoError(t, all[0].Err())
}

// Only so many pages are live at a time.
func TestTooManyViewers(t *testing.T) {
	l, _ := open(t, 0)
	server := httptest.NewServer(debug.Handler(debug.Config{Listener: l}))
	defer server.Close()
	defer server.CloseClientConnections()
	for i := range 17 {
		r, err := http.Get(server.URL + "/live")
		require.NoError(t, err)
		defer r.Body.Close()
		require.Equal(t, i < 16, r.StatusCode == http.StatusOK)
	}
}

// What a client has proven and asked for is on its page; a process that drains says so.
func TestIdentityOnPage(t *testing.T) {
	server, own := relink.GenerateKey(), relink.GenerateKey()
	l, err := relink.Listen("tcp", "127.0.0.1:0", relink.NoiseServer{Keys: []relink.PrivateKey{server}})
	require.NoError(t, err)
	defer l.Close()
	c, err := relink.Dial("tcp", l.Addr().String(), relink.NoiseClient{ServerKeys: []relink.PublicKey{server.PublicKey()}, Key: own, Target: "chess"})
	require.NoError(t, err)
	defer c.Abort()
	s, err := l.AcceptConn()
	require.NoError(t, err)
	defer s.Abort()
	h := debug.Handler(debug.Config{Listener: l, History: debug.NewHistory(), Ready: func() error { return errors.New("draining") }, Drain: func() {}})
	var one struct {
		Target    string
		ClientKey string `json:"client_key"`
	}
	require.NoError(t, json.Unmarshal(ask(h, http.MethodGet, "/sessions/"+s.ID(), nil).Body.Bytes(), &one))
	require.Equal(t, "chess", one.Target)
	require.Equal(t, own.PublicKey().String(), one.ClientKey)
	page := ask(h, http.MethodGet, "/", nil).Body.String()
	require.Contains(t, page, "Not ready: draining")
	require.NotContains(t, page, "do-drain") // it does already
	ready := debug.Handler(debug.Config{Listener: l, Drain: func() {}, Reload: func() error { return nil }})
	page = ask(ready, http.MethodGet, "/", nil).Body.String()
	require.Contains(t, page, "do-drain")
	require.Contains(t, page, "do-reload")
}

// Refusals are shown by reason, the most frequent first, and long times as such.
func TestRefusalsOnPage(t *testing.T) {
	cfg := relink.ListenConfig{Suites: []relink.ServerSuite{relink.InsecureNoiseServer{}, relink.SCPServer{}}}
	l, err := cfg.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	for range 3 {
		_, err := relink.Dial("tcp", l.Addr().String(), relink.DH64RC4Client{})
		require.Error(t, err)
	}
	c, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	require.NoError(t, c.Close())
	require.Eventually(t, func() bool { return l.Stats().Refused.Total() == 4 }, time.Minute, time.Millisecond)
	history := debug.NewHistory()
	for _, gap := range []time.Duration{100 * time.Second, 250 * time.Millisecond} {
		history.Observe(relink.Event{Kind: relink.EventResumed, Time: time.Now(), Gap: gap})
	}
	page := ask(debug.Handler(debug.Config{Listener: l, History: history}), http.MethodGet, "/", nil).Body.String()
	require.Contains(t, page, "1m40s")
	require.Contains(t, page, "250 ms")
	require.Contains(t, page, "<span>no suite</span>")
	require.Contains(t, page, "Refused, by reason")
	require.Contains(t, page, "<span>probe</span>")
}

// Titles lead to the table sorted by their column, the other way if it is so already.
func TestTitles(t *testing.T) {
	l, all := open(t, 2)
	_, err := all[0].Write(make([]byte, 30_000))
	require.NoError(t, err)
	h := debug.Handler(debug.Config{Listener: l})
	for query, want := range map[string][]string{
		"":               {`href="?sort=-id">session&nbsp;▲`, `href="?sort=-written">written<`},
		"?sort=-id":      {`href="?">session&nbsp;▼`, "30 KB"},
		"?sort=-written": {`href="?sort=written">written&nbsp;▼`, `aria-sort="descending"`},
		"?offset=1":      {`id="before" href="?"`},
		"?sort=written&limit=1&q=127&state=connected": {`href="?limit=1&amp;q=127&amp;sort=-written&amp;state=connected">written&nbsp;▲`, `offset=1`},
	} {
		page := ask(h, http.MethodGet, "/"+query, nil).Body.String()
		for _, w := range want {
			require.Contains(t, page, w, query)
		}
	}
}

// The live part of a session's page is about that session.
func TestLiveSession(t *testing.T) {
	l, all := open(t, 2)
	server := httptest.NewServer(debug.Handler(debug.Config{Listener: l}))
	defer server.Close()
	defer server.CloseClientConnections()
	r, err := http.Get(server.URL + "/live?session=" + all[0].ID())
	require.NoError(t, err)
	defer r.Body.Close()
	require.Equal(t, "text/event-stream", r.Header.Get("Content-Type"))
	got := make([]byte, 2000)
	n, err := io.ReadFull(r.Body, got)
	require.NoError(t, err)
	require.Contains(t, string(got[:n]), all[0].RemoteAddr().String())
	require.NotContains(t, string(got[:n]), all[1].RemoteAddr().String())
}

// A program has its own way to end a session, and shows its profiles.
func TestEndAndProfiles(t *testing.T) {
	l, err := relink.Listen("tcp", "127.0.0.1:0", relink.InsecureNoiseServer{})
	require.NoError(t, err)
	defer l.Close()
	c, err := relink.Dial("tcp", l.Addr().String(), relink.InsecureNoiseClient{})
	require.NoError(t, err)
	defer c.Abort()
	server, err := l.AcceptConn()
	require.NoError(t, err)
	defer server.Abort()
	var ended []*relink.Conn
	h := debug.Handler(debug.Config{
		Listener: l, End: func(c *relink.Conn) { ended = append(ended, c) },
		Profiles: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "profiles") }),
	})
	require.Equal(t, http.StatusOK, ask(h, http.MethodPost, "/sessions/"+server.ID()+"/end", nil).Code)
	require.Equal(t, []*relink.Conn{server}, ended)
	require.Equal(t, "profiles", ask(h, http.MethodGet, "/debug/pprof/heap", nil).Body.String())
}
