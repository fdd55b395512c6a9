package debug_test

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
	"github.com/relink-go/relink/debug"
)

// patience is for what takes a second on a machine that has nothing else to do.
const patience = 30 * time.Second

// A browser is a headless Chromium, spoken to over a pipe by its DevTools protocol.
type browser struct {
	t       *testing.T
	to      *os.File
	from    *bufio.Reader
	id      int
	session string
	errors  []string // what the page's console and security policy have complained of
}

// newBrowser starts a Chromium, or skips the test.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("RELINK_BACKENDS") != "" {
			t.Fatal(err)
		}
		t.Skip("no chromium here: apt-get install chromium")
	}
	in, to, err := os.Pipe()
	require.NoError(t, err)
	from, out, err := os.Pipe()
	require.NoError(t, err)
	cmd := exec.Command(path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe",
		"--no-first-run", "--user-data-dir="+t.TempDir(), "about:blank")
	cmd.ExtraFiles = []*os.File{in, out}
	require.NoError(t, cmd.Start())
	_, _ = in.Close(), out.Close()
	stuck := time.AfterFunc(2*patience, func() { _ = cmd.Process.Kill() })
	t.Cleanup(func() {
		stuck.Stop()
		_ = to.Close() // which ends it
		_ = cmd.Wait()
		_ = from.Close()
	})
	b := &browser{t: t, to: to, from: bufio.NewReader(from)}
	var target struct{ TargetID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log"} {
		b.call(domain+".enable", nil, nil)
	}
	return b
}

// call calls a method, and notes what the browser complains of meanwhile.
func (b *browser) call(method string, params map[string]any, result any) {
	b.t.Helper()
	b.id++
	text, err := json.Marshal(map[string]any{"id": b.id, "method": method, "params": params, "sessionId": b.session})
	require.NoError(b.t, err)
	_, err = b.to.Write(append(text, 0))
	require.NoError(b.t, err, method)
	for {
		answer, err := b.from.ReadBytes(0)
		require.NoError(b.t, err, method)
		var a struct {
			ID     int
			Result json.RawMessage
			Error  *struct{ Message string }
			Method string
			Params struct {
				Entry            struct{ Level, Text string }
				ExceptionDetails struct{ Text string }
			}
		}
		require.NoError(b.t, json.Unmarshal(answer[:len(answer)-1], &a))
		switch {
		case a.Method == "Log.entryAdded" && a.Params.Entry.Level == "error":
			b.errors = append(b.errors, a.Params.Entry.Text)
		case a.Method == "Runtime.exceptionThrown":
			b.errors = append(b.errors, a.Params.ExceptionDetails.Text)
		}
		if a.ID != b.id {
			continue
		}
		if a.Error != nil && method == "Runtime.evaluate" {
			return // the page is on its way to another
		}
		require.Nil(b.t, a.Error, "%s: %s", method, answer)
		if result != nil {
			require.NoError(b.t, json.Unmarshal(a.Result, result))
		}
		return
	}
}

// eval returns the value of an expression in the page, as text.
func (b *browser) eval(expression string) string {
	b.t.Helper()
	var v struct{ Result struct{ Value any } }
	b.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true}, &v)
	return fmt.Sprint(v.Result.Value)
}

// until waits until an expression is true.
func (b *browser) until(expression string) {
	b.t.Helper()
	for end := time.Now().Add(patience); b.eval(expression) != "true"; {
		if time.Now().After(end) {
			b.t.Fatalf("never true: %s\n%s", expression, b.eval("document.body.innerText"))
		}
	}
}

func (b *browser) open(url string) {
	b.t.Helper()
	b.call("Page.navigate", map[string]any{"url": url}, nil)
	b.until(fmt.Sprintf(`location.href === %q && document.readyState === "complete"`, url))
}

// look sets the size and the colours, and takes a picture if somebody wants it.
func (b *browser) look(name string, width, height int, scheme string) {
	b.t.Helper()
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}, nil)
	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
	// The table scrolls in itself, and the page never sideways.
	b.until(`document.documentElement.scrollWidth <= innerWidth`)
	if dir := os.Getenv("RELINK_SCREENSHOTS"); dir != "" {
		var shot struct{ Data string }
		b.call("Page.captureScreenshot", map[string]any{"format": "png"}, &shot)
		png, err := base64.StdEncoding.DecodeString(shot.Data)
		require.NoError(b.t, err)
		require.NoError(b.t, os.WriteFile(filepath.Join(dir, name+"-"+scheme+".png"), png, 0o600))
	}
}

// The page in a browser: it is live, sorts, filters and pages, its buttons work, it fits narrow
// and wide windows, and its security policy has nothing to complain of.
func TestInBrowser(t *testing.T) {
	b := newBrowser(t)
	history := debug.NewHistory()
	cfg := relink.ListenConfig{Suites: []relink.ServerSuite{relink.InsecureNoiseServer{}}, MaxSessions: 100}
	cfg.OnEvent = history.Observe
	l, err := cfg.Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	clients, servers := make([]*relink.Conn, 40), make([]*relink.Conn, 40)
	for i := range clients {
		clients[i], err = relink.Dial("tcp", l.Addr().String(), relink.InsecureNoiseClient{Target: fmt.Sprint("game ", i)})
		require.NoError(t, err)
		servers[i], err = l.AcceptConn()
		require.NoError(t, err)
		defer clients[i].Abort()
		defer servers[i].Abort()
		_, err = clients[i].Write(make([]byte, 1000*(i+1)))
		require.NoError(t, err)
		_, err = io.ReadFull(servers[i], make([]byte, 1000*(i+1)))
		require.NoError(t, err)
	}
	for i := range 70 { // refused
		_, err := relink.Dial("tcp", l.Addr().String(), relink.DH64RC4Client{})
		require.Error(t, err, i)
	}
	// An hour that was not quiet.
	now := time.Now()
	for i := range 118 {
		for n := range (i*i*7 + i*13) % 9 {
			e := relink.Event{Kind: relink.EventSuspended, Conn: servers[n], Remote: servers[n].RemoteAddr(), Time: now.Add(-time.Duration(118-i) * 30 * time.Second), Err: errors.New("read: connection reset by peer")}
			history.Observe(e)
			e.Kind, e.Err, e.Gap, e.Replayed = relink.EventResumed, nil, time.Duration(i%5+n+1)*300*time.Millisecond, int64(i*n*100)
			history.Observe(e)
		}
	}
	settings := map[string]string{"listen": ":7000"}
	reloaded := make(chan bool, 1)
	h := debug.Handler(debug.Config{
		Listener: l, History: history, Settings: func() any { return settings },
		Reload: func() error { reloaded <- true; return nil }, Drain: func() {},
	})
	server := httptest.NewServer(h)
	defer server.Close()
	defer server.CloseClientConnections() // a live page is one

	b.open(server.URL + "/")
	b.until(`document.getElementById("pulse").textContent === "live" && !document.getElementById("pulse").hidden`)
	require.Equal(t, "40", b.eval(`document.querySelectorAll("#sessions tbody tr").length`))
	require.Equal(t, "6", b.eval(`document.querySelectorAll("figure svg").length`))
	require.Equal(t, "true", b.eval(`document.querySelectorAll("figure rect").length > 100`))
	require.Equal(t, "true", b.eval(`document.querySelector(".reasons").innerText.includes("70")`))
	for _, scheme := range []string{"light", "dark"} {
		b.look("wide", 1440, 1000, scheme)
		b.look("narrow", 390, 844, scheme)
	}
	b.look("wide", 1440, 1000, "light")

	// Sorted by what was read, the greatest first, then the least.
	b.eval(`document.getElementById("sort-read").click()`)
	b.until(`document.querySelector("#sessions tbody tr td:nth-child(5)")?.textContent === "40 KB"`)
	b.eval(`document.getElementById("sort-read").click()`)
	b.until(`document.querySelector("#sessions tbody tr td:nth-child(5)")?.textContent === "1.0 KB"`)
	// Pages.
	b.open(server.URL + "/?limit=15")
	b.eval(`document.getElementById("next").click()`)
	b.until(`document.querySelector(".pages")?.textContent.includes("16–30 of 40")`)
	// Filters, also while it is live.
	b.open(server.URL + "/?q=" + servers[7].ID())
	b.until(`document.querySelectorAll("#sessions tbody tr").length === 1 && document.getElementById("pulse").textContent === "live"`)

	// A cut from the page of one session: it comes back by itself, and the page shows it.
	b.eval(fmt.Sprintf(`document.getElementById("s-%s").click()`, servers[7].ID()))
	b.until(`document.querySelector(".facts")?.innerText.includes("game 7")`)
	b.eval(`document.getElementById("cut").click()`)
	b.until(`[...document.querySelectorAll(".state")].some(e => e.textContent === "resumed") && document.querySelector(".tiles").innerText.includes("1")`)
	for _, scheme := range []string{"light", "dark"} {
		b.look("session-wide", 1440, 700, scheme)
		b.look("session-narrow", 390, 844, scheme)
	}
	require.NoError(t, servers[7].Err())
	require.EqualValues(t, 1, servers[7].Stats().Resumes)
	b.eval(`document.getElementById("abort").click()`)
	<-servers[7].Done()
	b.until(`location.pathname === "/" && document.readyState === "complete"`)
	require.Equal(t, "39", b.eval(`document.querySelectorAll("#sessions tbody tr").length`))
	// Its events are there when it is not.
	b.open(server.URL + "/sessions/" + servers[7].ID())
	b.until(`document.body.innerText.includes("ended") && document.body.innerText.includes("closed")`)

	b.open(server.URL + "/")
	b.eval(`document.getElementById("do-reload").click()`)
	<-reloaded
	b.until(`document.readyState === "complete"`)
	// The page says when it is not live any more.
	b.until(`document.getElementById("pulse").textContent === "live"`)
	require.Empty(t, b.errors)
	server.CloseClientConnections()
	server.Listener.Close()
	b.until(`document.getElementById("pulse").textContent === "not live"`)
}

// The page of a handler that is asked for by nobody holds no session back.
func TestLiveEndsWithItsViewer(t *testing.T) {
	l, _ := open(t, 1)
	server := httptest.NewServer(debug.Handler(debug.Config{Listener: l}))
	defer server.Close()
	for range 40 { // more than may look at once
		r, err := http.Get(server.URL + "/live")
		require.NoError(t, err)
		if r.StatusCode == http.StatusOK {
			line, err := bufio.NewReader(r.Body).ReadString('\n')
			require.NoError(t, err)
			require.Contains(t, line, "data: ")
		}
		require.NoError(t, r.Body.Close())
	}
}
