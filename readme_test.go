package relink_test

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
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink"
)

// readmeServer and readmeClient are the programs of the README, held together
// with it by TestReadme. The compiler checks them here.
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
		conn, err := l.Accept() // a new session; resumes go on below the old one
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
	if err := conn.CloseContext(context.Background()); err != nil { // waits until all is delivered
		log.Fatal(err)
	}
}

var (
	_ = readmeServer
	_ = readmeClient

	codeBlock = regexp.MustCompile("(?s)```go\n(.*?)```")
)

func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	here, err := parser.ParseFile(token.NewFileSet(), "readme_test.go", nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	programs := []string{"readmeServer", "readmeClient"}
	for _, m := range codeBlock.FindAllStringSubmatch(string(readme), -1) {
		code := m[1]
		if !strings.HasPrefix(code, "package main\n") {
			requireParses(t, code)
			continue
		}
		formatted, err := format.Source([]byte(code))
		require.NoError(t, err)
		require.Equal(t, string(formatted), code, "the README's code is not formatted")
		require.NotEmpty(t, programs, "a program too many in the README")
		file, err := parser.ParseFile(token.NewFileSet(), "README.md", code, parser.SkipObjectResolution)
		require.NoError(t, err)
		require.Equal(t, body(t, here, programs[0]), body(t, file, "main"), "README.md and %s", programs[0])
		requireImportsUsed(t, file)
		require.LessOrEqual(t, strings.Count(code, "\n"), 36, "a program that fits on a screen")
		programs = programs[1:]
	}
	require.Empty(t, programs, "missing in README.md")
}

// body returns the printed body of a function. What a linter wants and a reader
// does not need is left out.
func body(t *testing.T, file *ast.File, name string) string {
	i := slices.IndexFunc(file.Decls, func(d ast.Decl) bool {
		f, ok := d.(*ast.FuncDecl)
		return ok && f.Name.Name == name
	})
	require.GreaterOrEqual(t, i, 0, name)
	var b bytes.Buffer
	require.NoError(t, format.Node(&b, token.NewFileSet(), file.Decls[i].(*ast.FuncDecl).Body))
	return strings.ReplaceAll(b.String(), "_, _ = ", "")
}

// requireParses checks a fragment: statements, or the fields of a literal.
func requireParses(t *testing.T, code string) {
	for _, frame := range []string{"func _() {\n%s\n}", "var _ = T{\n%s\n}"} {
		source := "package p\n" + fmt.Sprintf(frame, strings.ReplaceAll(code, "…", "nil"))
		if _, err := parser.ParseFile(token.NewFileSet(), "README.md", source, parser.SkipObjectResolution); err == nil {
			return
		}
	}
	t.Errorf("this code in README.md does not parse:\n%s", code)
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
		require.True(t, used, "the README imports %s and does not use it", name)
	}
	for _, pkg := range []string{"bufio", "context", "fmt", "io", "log", "os", "time", "relink"} {
		ast.Inspect(file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if id, ok := s.X.(*ast.Ident); ok && id.Name == pkg {
					_, ok := imported[pkg]
					require.True(t, ok, "the README uses %s and does not import it", pkg)
				}
			}
			return true
		})
	}
}
