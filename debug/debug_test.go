package debug_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/debug"
)

func Example() {
	history := debug.NewHistory()
	cfg := relink.ListenConfig{Suites: []relink.ServerSuite{relink.InsecureNoiseServer{}}}
	cfg.OnEvent = func(e relink.Event) {
		history.Observe(e) // and whoever else wants to know
	}
	l, err := cfg.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	h := debug.Handler(debug.Config{Listener: l, History: history})
	go func() {
		log.Print(http.ListenAndServe("localhost:0", h)) // no other machine gets there
	}()

	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	fmt.Print(w.Body)
	// Output: ready
}

// open opens n sessions, and returns the servers' ends.
func open(t *testing.T, n int) (*relink.Listener, []*relink.Conn) {
	t.Helper()
	l, err := relink.Listen("tcp", "127.0.0.1:0", relink.InsecureNoiseServer{})
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	var all []*relink.Conn
	for range n {
		client, err := relink.Dial("tcp", l.Addr().String(), relink.InsecureNoiseClient{})
		require.NoError(t, err)
		server, err := l.AcceptConn()
		require.NoError(t, err)
		t.Cleanup(func() { _, _ = client.Abort(), server.Abort() })
		all = append(all, server)
	}
	return l, all
}

// ask sends a request, from loopback unless it is changed.
func ask(h http.Handler, method, path string, change func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://localhost:7001"+path, nil)
	r.RemoteAddr = "127.0.0.1:1234"
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

type answer struct {
	Total    int
	Sessions []struct{ ID, State, Suite, Remote string }
}

func sessions(t *testing.T, h http.Handler, query string) (a answer) {
	t.Helper()
	w := ask(h, http.MethodGet, "/sessions"+query, nil)
	require.Equal(t, http.StatusOK, w.Code)
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &a))
	return a
}

func TestSessions(t *testing.T) {
	l, all := open(t, 5)
	h := debug.Handler(debug.Config{Listener: l})
	whole := sessions(t, h, "")
	require.Equal(t, 5, whole.Total)
	require.Len(t, whole.Sessions, 5)
	// Pages have each once.
	var ids []string
	for offset := range 3 {
		a := sessions(t, h, fmt.Sprintf("?limit=2&offset=%d", 2*offset))
		require.Equal(t, 5, a.Total)
		for _, s := range a.Sessions {
			ids = append(ids, s.ID)
		}
	}
	for i, s := range whole.Sessions {
		require.Equal(t, s.ID, ids[i])
	}
	one := sessions(t, h, "?q="+all[3].ID())
	require.Len(t, one.Sessions, 1)
	require.Equal(t, all[3].RemoteAddr().String(), one.Sessions[0].Remote)
	require.Equal(t, all[3].Suite(), one.Sessions[0].Suite)
	require.Equal(t, 5, sessions(t, h, "?state=connected").Total)
	require.Zero(t, sessions(t, h, "?state=suspended").Total)
	require.Empty(t, sessions(t, h, "?offset=9223372036854775807").Sessions)
	for _, bad := range []string{"?offset=-1", "?limit=x", "?limit=99999999999999999999"} {
		require.Equal(t, http.StatusBadRequest, ask(h, http.MethodGet, "/sessions"+bad, nil).Code, bad)
		require.Equal(t, http.StatusBadRequest, ask(h, http.MethodGet, "/"+bad, nil).Code, bad)
	}
}

// What comes in the address is shown as text.
func TestPage(t *testing.T) {
	l, all := open(t, 1)
	h := debug.Handler(debug.Config{Listener: l})
	w := ask(h, http.MethodGet, "/", nil)
	require.Equal(t, http.StatusOK, w.Code)
	require.Contains(t, w.Body.String(), all[0].ID())
	require.Contains(t, w.Body.String(), `<dd class="connected">1</dd>`)
	w = ask(h, http.MethodGet, "/?q=%22%3E%3Cscript%3E", nil)
	require.NotContains(t, w.Body.String(), "<script>")
	require.Equal(t, http.StatusNotFound, ask(h, http.MethodGet, "/else", nil).Code)
}

func TestReady(t *testing.T) {
	l, _ := open(t, 0)
	var why error
	h := debug.Handler(debug.Config{Listener: l, Ready: func() error { return why }})
	require.Equal(t, http.StatusOK, ask(h, http.MethodGet, "/readyz", nil).Code)
	why = errors.New("draining")
	w := ask(h, http.MethodGet, "/readyz", nil)
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.Equal(t, "draining\n", w.Body.String())
	require.Equal(t, http.StatusOK, ask(h, http.MethodGet, "/healthz", nil).Code)
}

// Every line is one of the format, and every reason of a refusal is there.
func TestMetrics(t *testing.T) {
	l, _ := open(t, 2)
	h := debug.Handler(debug.Config{Listener: l})
	w := ask(h, http.MethodGet, "/metrics", nil)
	line := regexp.MustCompile(`^(# (HELP|TYPE) relink_[a-z_]+ .+|relink_[a-z_]+(\{[a-z]+="[a-z_]+"\})? \d+)$`)
	for text := range strings.SplitSeq(strings.TrimSuffix(w.Body.String(), "\n"), "\n") {
		require.Regexp(t, line, text)
	}
	require.Contains(t, w.Body.String(), "relink_sessions{state=\"connected\"} 2\n")
	require.Contains(t, w.Body.String(), "relink_sessions_opened_total 2\n")
	require.Equal(t, reflect.TypeFor[relink.RefusalStats]().NumField(), strings.Count(w.Body.String(), "relink_refused_total{"))
}

// Who may end a session.
func TestAbort(t *testing.T) {
	l, all := open(t, 1)
	path := "/sessions/" + all[0].ID() + "/abort"
	with := debug.Handler(debug.Config{Listener: l, Token: "secret"})
	without := debug.Handler(debug.Config{Listener: l})
	far := func(r *http.Request) { r.RemoteAddr = "192.0.2.1:1" }
	for name, c := range map[string]struct {
		h      http.Handler
		method string
		change func(*http.Request)
		want   int
	}{
		"GET":             {without, http.MethodGet, nil, http.StatusMethodNotAllowed},
		"from afar":       {without, http.MethodPost, far, http.StatusForbidden},
		"without a token": {with, http.MethodPost, far, http.StatusUnauthorized},
		"a wrong token": {with, http.MethodPost, func(r *http.Request) {
			far(r)
			r.Header.Set("Authorization", "Bearer secre")
		}, http.StatusUnauthorized},
		"an empty token": {without, http.MethodPost, func(r *http.Request) {
			far(r)
			r.Header.Set("Authorization", "Bearer ")
		}, http.StatusForbidden},
		"another origin": {without, http.MethodPost, func(r *http.Request) { r.Header.Set("Origin", "http://evil.example") }, http.StatusForbidden},
		"another site":   {without, http.MethodPost, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, http.StatusForbidden},
		"a rebound name": {without, http.MethodPost, func(r *http.Request) { r.Host = "evil.example:7001" }, http.StatusForbidden},
	} {
		require.Equal(t, c.want, ask(c.h, c.method, path, c.change).Code, name)
	}
	require.Equal(t, relink.StateConnected, all[0].State())
	require.Equal(t, http.StatusNotFound, ask(without, http.MethodPost, "/sessions/none/abort", nil).Code)

	w := ask(with, http.MethodPost, path, func(r *http.Request) {
		far(r)
		r.Header.Set("Authorization", "Bearer secret")
	})
	require.Equal(t, http.StatusOK, w.Code)
	<-all[0].Done()

	l, all = open(t, 1)
	w = ask(debug.Handler(debug.Config{Listener: l}), http.MethodPost, "/sessions/"+all[0].ID()+"/abort", func(r *http.Request) {
		r.Header.Set("Accept", "text/html")
		r.Header.Set("Origin", "http://localhost:7001")
	})
	require.Equal(t, http.StatusSeeOther, w.Code)
	<-all[0].Done()
}

// Whoever may open the Unix socket may end sessions.
func TestAbortOverUnixSocket(t *testing.T) {
	l, all := open(t, 1)
	path := t.TempDir() + "/s"
	inner, err := net.Listen("unix", path)
	require.NoError(t, err)
	server := &http.Server{Handler: debug.Handler(debug.Config{Listener: l})}
	defer func() { _ = server.Close() }()
	go func() { _ = server.Serve(inner) }()
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", path) }}
	defer transport.CloseIdleConnections()
	r, err := (&http.Client{Transport: transport}).Post("http://any/sessions/"+all[0].ID()+"/abort", "", nil)
	require.NoError(t, err)
	b, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	require.NoError(t, r.Body.Close())
	require.Equal(t, "aborted\n", string(b))
	<-all[0].Done()
}

func TestNoListener(t *testing.T) {
	require.Panics(t, func() { debug.Handler(debug.Config{}) })
}

// A program that has a better account of its metrics serves that.
func TestMetricsOfOnesOwn(t *testing.T) {
	l, _ := open(t, 0)
	own := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "my_own 1") })
	w := ask(debug.Handler(debug.Config{Listener: l, Metrics: own}), http.MethodGet, "/metrics", nil)
	require.Equal(t, "my_own 1", w.Body.String())
}
