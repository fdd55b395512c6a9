package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What the command offers over HTTP: its settings without secrets, a reload that says what is
// wrong, a drain; and none of it to who has no token, where there is one.
func TestEyes(t *testing.T) {
	key, public := newKey(t)
	dir := t.TempDir()
	name, token := filepath.Join(dir, "c.yaml"), filepath.Join(dir, "token")
	const secret = "0123456789abcdef"
	require.NoError(t, os.WriteFile(token, []byte(secret+"\n"), 0o600))
	valid := fmt.Sprintf(`
listen: ["127.0.0.1:0"]
suites: [noise, scp]
keys: [%s]
idle: 1h
debug: "127.0.0.1:0"
debug-token: token
upstreams: {a: {to: ["127.0.0.1:1"]}, b: {to: ["127.0.0.1:2"], proxy-protocol: 2}}
default: a
routes: [{prefix: x, pattern: y, to: b}]
`, key)
	require.NoError(t, os.WriteFile(name, []byte(valid), 0o600))
	server := start(t, "serve", "-config", name)
	url := "http://" + server.await(`msg=debug address=(\S+)`)[1]
	ask := func(method, path, token string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), method, url+path, nil)
		require.NoError(t, err)
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		answer, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		defer answer.Body.Close()
		b, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		return answer.StatusCode, string(b)
	}
	status, shown := ask(http.MethodGet, "/config", secret)
	require.Equal(t, http.StatusOK, status)
	for _, want := range []string{public, `"127.0.0.1:2"`, `"prefix": "x"`, `"idle": "1h0m0s"`, `"proxy_protocol": 2`} {
		require.Contains(t, shown, want)
	}
	private, err := os.ReadFile(key)
	require.NoError(t, err)
	require.NotContains(t, shown, strings.TrimSpace(string(private)))
	require.NotContains(t, shown, secret)
	status, _ = ask(http.MethodGet, "/config", "wrong")
	require.Equal(t, http.StatusUnauthorized, status)

	status, shown = ask(http.MethodGet, "/debug/pprof/", secret)
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, shown, "goroutine")
	status, _ = ask(http.MethodGet, "/debug/pprof/heap", "wrong")
	require.Equal(t, http.StatusUnauthorized, status)

	require.NoError(t, os.WriteFile(name, []byte(strings.Replace(valid, "default: a", "default: c", 1)), 0o600))
	status, why := ask(http.MethodPost, "/reload", secret)
	require.Equal(t, http.StatusUnprocessableEntity, status)
	require.Contains(t, why, `line 9: there is no upstream "c"`)
	require.NoError(t, os.WriteFile(name, []byte(valid), 0o600))
	status, _ = ask(http.MethodPost, "/reload", secret)
	require.Equal(t, http.StatusOK, status)
	server.await("reloaded, for new sessions")

	status, _ = ask(http.MethodPost, "/drain", secret)
	require.Equal(t, http.StatusOK, status)
	require.Zero(t, server.wait())
	require.Contains(t, server.logged(), `"asked by"="a request"`)

	require.NoError(t, os.WriteFile(token, []byte("short"), 0o600))
	status, _, stderr := run(t, "", "check", name)
	require.Equal(t, 1, status)
	require.Contains(t, stderr, "can be guessed")
}

// The page's "End" is an end in order for the client and for the server behind, "Abort" is a failure
// for both.
func TestEndedByTheOperator(t *testing.T) {
	key, public := newKey(t)
	ends := make(chan error, 1)
	upstream := serverOf(t, "tcp", "127.0.0.1:0", func(c net.Conn) {
		_, err := io.WriteString(c, "hello")
		if err == nil {
			_, err = io.Copy(io.Discard, c)
		}
		ends <- err
	})
	server := start(t, "serve", "-listen", "127.0.0.1:0", "-key", key, "-to", upstream, "-debug", "127.0.0.1:0")
	page := "http://" + server.await(`msg=debug address=(\S+)`)[1]
	client := start(t, "connect", "-listen", "127.0.0.1:0", "-to", server.address(), "-server-key", public)
	for action, orderly := range map[string]bool{"end": true, "abort": false} {
		c := dial(t, "tcp", client.address())
		_, err := io.ReadFull(c, make([]byte, 5))
		require.NoError(t, err)
		answer, err := http.Get(page + "/sessions")
		require.NoError(t, err)
		var listed struct {
			Sessions []struct {
				ID string `json:"id"`
			} `json:"sessions"`
		}
		require.NoError(t, json.NewDecoder(answer.Body).Decode(&listed))
		require.NoError(t, answer.Body.Close())
		require.Len(t, listed.Sessions, 1)
		answer, err = http.Post(page+"/sessions/"+listed.Sessions[0].ID+"/"+action, "", nil)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		require.Equal(t, http.StatusOK, answer.StatusCode)
		behind := <-ends
		_, before := io.ReadAll(c)
		if orderly {
			require.NoError(t, behind)
			require.NoError(t, before)
		} else {
			require.Error(t, behind)
			require.Error(t, before)
		}
	}
}
