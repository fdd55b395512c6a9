package relink_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What the lock of a Conn guards can do nothing but change and answer: see
// docs/adr/0017-what-the-lock-guards.md. So a call of it is a step within which nothing
// else happens.
func TestSessionOnlyChangesAndAnswers(t *testing.T) {
	t.Parallel()
	entries, err := os.ReadDir(".")
	require.NoError(t, err)
	methods, fields := 0, 0
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, e.Name(), nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if receiverOf(d) != "session" {
					continue
				}
				methods++
				for _, harm := range harmIn(d) {
					t.Errorf("%s: session.%s %s", fset.Position(d.Pos()), d.Name.Name, harm)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					s, ok := spec.(*ast.TypeSpec)
					if !ok || s.Name.Name != "session" {
						continue
					}
					fields = s.Type.(*ast.StructType).Fields.NumFields()
					for _, harm := range harmIn(s) {
						t.Errorf("%s: session %s", fset.Position(s.Pos()), harm)
					}
				}
			}
		}
	}
	require.Greater(t, methods, 20, "has it another name?")
	require.Greater(t, fields, 20, "has it another name?")
}

// receiverOf returns the name of the type that a method belongs to.
func receiverOf(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	typ := d.Recv.List[0].Type
	if p, ok := typ.(*ast.StarExpr); ok {
		typ = p.X
	}
	if name, ok := typ.(*ast.Ident); ok {
		return name.Name
	}
	return ""
}

// harmIn returns what a piece of code does or knows beyond its own state.
func harmIn(n ast.Node) (harm []string) {
	if d, ok := n.(*ast.FuncDecl); ok && strings.HasSuffix(d.Name.Name, "Locked") {
		harm = append(harm, "has a name that says it may give the lock up")
	}
	ast.Inspect(n, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			harm = append(harm, "starts a goroutine")
		case *ast.SendStmt, *ast.SelectStmt:
			harm = append(harm, "may wait for a channel")
		case *ast.SelectorExpr:
			if slices.Contains([]string{"Lock", "TryLock", "Unlock", "unlock", "wait", "Wait", "Mutex", "AfterFunc", "post"}, n.Sel.Name) || strings.HasSuffix(n.Sel.Name, "Locked") {
				harm = append(harm, "uses "+n.Sel.Name)
			}
		case *ast.Ident:
			if slices.Contains([]string{"Conn", "Listener", "redialer", "notifier", "settings", "handshake"}, n.Name) {
				harm = append(harm, "knows "+n.Name)
			}
		}
		return true
	})
	return harm
}

// The test above sees what it is to see.
func TestHarmIsSeen(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		"go f()":                 "starts a goroutine",
		"c.mu.Lock()":            "uses Lock",
		"s.link.closeLocked()":   "uses closeLocked",
		"var c *Conn; _ = c":     "knows Conn",
		"ch <- 1":                "may wait for a channel",
		"time.AfterFunc(0, f)":   "uses AfterFunc",
		"s.readers.wait(before)": "uses wait",
	} {
		f, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\nfunc (s *session) f() { "+body+" }", parser.SkipObjectResolution)
		require.NoError(t, err)
		d := f.Decls[0].(*ast.FuncDecl)
		require.Equal(t, "session", receiverOf(d))
		require.Contains(t, harmIn(d), want)
	}
	f, err := parser.ParseFile(token.NewFileSet(), "x.go", "package x\nfunc (s *session) fLocked() {}", parser.SkipObjectResolution)
	require.NoError(t, err)
	require.NotEmpty(t, harmIn(f.Decls[0]))
}
