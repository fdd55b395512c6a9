package repotest_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io"
	"log"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
)

// What follows stands in the README and in docs/getting-started.md, held together with
// them by TestReadme. The compiler checks it here.

func serve(key relink.PrivateKey) error {
	l, err := relink.Listen("tcp", ":7000", relink.NoiseServer{Keys: []relink.PrivateKey{key}})
	if err != nil {
		return err
	}
	for {
		conn, err := l.Accept() // a net.Conn that outlives its TCP connections
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			_, _ = io.Copy(os.Stdout, conn)
		}()
	}
}

func send(ctx context.Context, server relink.PublicKey, message string) error {
	conn, err := relink.Dial("tcp", "localhost:7000", relink.NoiseClient{ServerKeys: []relink.PublicKey{server}})
	if err != nil {
		return err
	}
	if _, err := io.WriteString(conn, message); err != nil {
		return err
	}
	return conn.CloseContext(ctx) // returns when the server has received everything
}

func readmeServer() {
	secret, err := os.ReadFile("server.key")
	if err != nil {
		log.Fatal(err)
	}
	key, err := relink.ParsePrivateKey(string(secret))
	if err != nil {
		log.Fatal(err)
	}
	l, err := relink.Listen("tcp", ":7000", relink.NoiseServer{Keys: []relink.PrivateKey{key}})
	if err != nil {
		log.Fatal(err)
	}
	for {
		conn, err := l.Accept() // a new session; a resume continues an old one and is not seen here
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			defer conn.Close()
			_, _ = io.Copy(conn, conn)
		}()
	}
}

func readmeClient() {
	server, err := relink.ParsePublicKey("the public key that keygen printed")
	if err != nil {
		log.Fatal(err)
	}
	conn, err := relink.Dial("tcp", "localhost:7000", relink.NoiseClient{ServerKeys: []relink.PublicKey{server}})
	if err != nil {
		log.Fatal(err)
	}
	echoes := bufio.NewScanner(conn)
	for i := range 100 { // unplug the cable, and plug it in again
		_, _ = fmt.Fprintln(conn, "message", i)
		if !echoes.Scan() {
			log.Fatal(echoes.Err())
		}
		fmt.Println(echoes.Text())
		time.Sleep(time.Second)
	}
	if err := conn.CloseContext(context.Background()); err != nil { // waits until everything is delivered
		log.Fatal(err)
	}
}

var (
	_, _, _, _ = serve, send, readmeServer, readmeClient

	codeBlock = regexp.MustCompile("(?s)```go\n(.*?)```")
)

// TestReadme checks the code in the pages for users: programs and functions are those above,
// fragments parse.
func TestReadme(t *testing.T) {
	pages, err := filepath.Glob("docs/*.md")
	require.NoError(t, err)
	here, err := parser.ParseFile(token.NewFileSet(), "internal/repotest/readme_test.go", nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	programs := []string{"readmeServer", "readmeClient"}
	functions := map[string]bool{"serve": true, "send": true}
	for _, page := range append([]string{"README.md"}, pages...) {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, m := range codeBlock.FindAllStringSubmatch(string(text), -1) {
			code := m[1]
			switch {
			case strings.HasPrefix(code, "package main\n"):
				require.NotEmpty(t, programs, "a program too many in %s", page)
				requireFormatted(t, page, code)
				file, err := parser.ParseFile(token.NewFileSet(), page, code, parser.SkipObjectResolution)
				require.NoError(t, err)
				require.Equal(t, function(t, here, programs[0]).body, function(t, file, "main").body, "%s and %s", page, programs[0])
				requireImportsUsed(t, file)
				require.LessOrEqual(t, strings.Count(code, "\n"), 36, "a program that fits on a screen")
				programs = programs[1:]
			case strings.HasPrefix(code, "func "):
				requireFormatted(t, page, code)
				file, err := parser.ParseFile(token.NewFileSet(), page, "package p\n\n"+code, parser.SkipObjectResolution)
				require.NoError(t, err)
				for _, d := range file.Decls {
					name := d.(*ast.FuncDecl).Name.Name
					require.Equal(t, function(t, here, name), function(t, file, name), "%s and %s", page, name)
					delete(functions, name)
				}
			default:
				requireParses(t, page, code)
			}
		}
	}
	require.Empty(t, programs, "missing in the pages")
	require.Empty(t, functions, "missing in the pages")
}

func requireFormatted(t *testing.T, page, code string) {
	formatted, err := format.Source([]byte(code))
	require.NoError(t, err)
	require.Equal(t, string(formatted), code, "code in %s is not formatted", page)
}

// A printed is the text of a function.
type printed struct{ signature, body string }

// function returns the text of a function. What a linter wants and a reader does not
// need is left out.
func function(t *testing.T, file *ast.File, name string) printed {
	i := slices.IndexFunc(file.Decls, func(d ast.Decl) bool {
		f, ok := d.(*ast.FuncDecl)
		return ok && f.Name.Name == name
	})
	require.GreaterOrEqual(t, i, 0, name)
	f := file.Decls[i].(*ast.FuncDecl)
	text := func(n ast.Node) string {
		var b bytes.Buffer
		require.NoError(t, format.Node(&b, token.NewFileSet(), n))
		return strings.ReplaceAll(b.String(), "_, _ = ", "")
	}
	return printed{text(f.Type), text(f.Body)}
}

// requireParses checks a fragment: statements, or the fields of a literal.
func requireParses(t *testing.T, page, code string) {
	for _, frame := range []string{"func _() {\n%s\n}", "var _ = T{\n%s\n}"} {
		source := "package p\n" + fmt.Sprintf(frame, strings.ReplaceAll(code, "…", "nil"))
		if _, err := parser.ParseFile(token.NewFileSet(), page, source, parser.SkipObjectResolution); err == nil {
			return
		}
	}
	t.Errorf("this code in %s does not parse:\n%s", page, code)
}

// requireImportsUsed checks what the compiler would.
func requireImportsUsed(t *testing.T, file *ast.File) {
	imported := make(map[string]bool)
	for _, i := range file.Imports {
		p, err := strconv.Unquote(i.Path.Value)
		require.NoError(t, err)
		imported[p[strings.LastIndex(p, "/")+1:]] = false
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if id, ok := s.X.(*ast.Ident); ok {
				if _, ok := imported[id.Name]; ok {
					imported[id.Name] = true
				}
			}
		}
		return true
	})
	for name, used := range imported {
		require.True(t, used, "a page imports %s and does not use it", name)
	}
	for _, pkg := range []string{"bufio", "context", "fmt", "io", "log", "os", "time", "relink"} {
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if id, ok := s.X.(*ast.Ident); ok && id.Name == pkg {
					_, ok := imported[pkg]
					require.True(t, ok, "a page uses %s and does not import it", pkg)
				}
			}
			return true
		})
	}
}
