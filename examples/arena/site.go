package main

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/relink-go/relink"
)

//go:embed page
var page embed.FS

// site is the page, with relink.js and its WebAssembly beside it, and where WebSockets
// come in.
func site(built string, sockets http.Handler, key relink.PublicKey) (http.Handler, error) {
	files, err := fs.Sub(page, "page")
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServerFS(files))
	mux.Handle("/relink/", http.StripPrefix("/relink/", http.FileServer(http.Dir(built))))
	mux.Handle("/play", sockets)
	// The key comes over the same connection as the page itself: whoever can change one
	// can change the other, so that a page wants https.
	mux.HandleFunc("/config.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]string{"serverKey": key.String()})
	})
	return mux, nil
}

// build puts relink.js, relink.wasm and wasm_exec.js into a directory. It needs the go
// command and the library's source, which whoever runs this with "go run" has.
func build(dir string) error {
	source, err := output("go", "list", "-f", "{{.Dir}}", "github.com/relink-go/relink")
	if err != nil {
		return fmt.Errorf("building the page: %w", err)
	}
	source = filepath.Join(source, "browser")
	script := exec.Command(filepath.Join(source, "build.sh"), dir)
	script.Stderr = os.Stderr
	if err := script.Run(); err != nil {
		return fmt.Errorf("building the page: %s: %w", script, err)
	}
	return nil
}

func output(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", cmd, err)
	}
	return strings.TrimSpace(string(out)), nil
}
