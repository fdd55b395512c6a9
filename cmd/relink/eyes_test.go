package main

import (
	"fmt"
	"io"
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
