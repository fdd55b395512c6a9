package relink_test

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// exported type-checks this package and returns its scope.
func exported(t *testing.T) *types.Scope {
	t.Helper()
	fset := token.NewFileSet()
	names, err := filepath.Glob("*.go")
	require.NoError(t, err)
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, 0)
		require.NoError(t, err)
		files = append(files, f)
	}
	config := types.Config{Importer: importer.ForCompiler(fset, "gc", compiled(t))}
	pkg, err := config.Check("relink", fset, files, nil)
	require.NoError(t, err)
	return pkg.Scope()
}

// compiled returns what finds the compiled form of what this package imports.
func compiled(t *testing.T) importer.Lookup {
	t.Helper()
	list := exec.Command("go", "list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}", ".")
	list.Env = append(os.Environ(), "GOWORK=off")
	out, err := list.Output()
	require.NoError(t, err)
	files := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		files[path] = file
	}
	return func(path string) (io.ReadCloser, error) { return os.Open(files[path]) }
}

// bindable reports whether gomobile can pass a value of the type in both languages.
func bindable(t types.Type) bool {
	switch t := t.(type) {
	case *types.Basic:
		switch t.Kind() {
		case types.Bool, types.Int32, types.Int64, types.Float64, types.String, types.UntypedInt, types.UntypedString:
			return true
		default:
			return false
		}
	case *types.Slice:
		b, ok := t.Elem().(*types.Basic)
		return ok && b.Kind() == types.Byte
	case *types.Pointer:
		named, ok := t.Elem().(*types.Named)
		return ok && named.Obj().Pkg().Name() == "relink"
	case *types.Named:
		if t.Obj().Pkg() == nil {
			return t.Obj().Name() == "error"
		}
		_, ok := t.Underlying().(*types.Interface)
		return ok && t.Obj().Pkg().Name() == "relink"
	default:
		return false
	}
}

func isError(t types.Type) bool { return types.Identical(t, types.Universe.Lookup("error").Type()) }

func checkSignature(t *testing.T, name string, s *types.Signature) {
	t.Helper()
	for v := range s.Params().Variables() {
		if !bindable(v.Type()) || isError(v.Type()) {
			t.Errorf("%s: the parameter %s cannot be bound", name, v)
		}
	}
	results := s.Results()
	for v := range results.Variables() {
		if !bindable(v.Type()) {
			t.Errorf("%s: the result %s cannot be bound", name, v)
		}
	}
	switch results.Len() {
	case 0, 1:
	case 2:
		if !isError(results.At(1).Type()) {
			t.Errorf("%s: the second of two results must be an error", name)
		}
		// In Objective-C a number beside an error comes back through a pointer.
		if _, number := results.At(0).Type().(*types.Basic); number {
			t.Errorf("%s returns a number beside an error, which Swift has to take through a pointer", name)
		}
	default:
		t.Errorf("%s has %d results", name, results.Len())
	}
	if s.Variadic() || s.TypeParams().Len() > 0 {
		t.Errorf("%s is variadic or generic", name)
	}
}

// TestBindable holds every exported name to what gomobile can pass on. What it cannot
// it leaves out of the app's API with no more than a comment.
func TestBindable(t *testing.T) {
	scope := exported(t)
	var callbacks int
	for _, name := range scope.Names() {
		o := scope.Lookup(name)
		if !o.Exported() {
			continue
		}
		switch o := o.(type) {
		case *types.Func:
			checkSignature(t, name, o.Signature())
		case *types.Const:
			if !bindable(o.Type()) {
				t.Errorf("the constant %s cannot be bound", o)
			}
		case *types.TypeName:
			named := o.Type().(*types.Named)
			for m := range types.NewMethodSet(types.NewPointer(named)).Methods() {
				if m.Obj().Exported() {
					checkSignature(t, name+"."+m.Obj().Name(), m.Obj().(*types.Func).Signature())
				}
			}
			switch u := named.Underlying().(type) {
			case *types.Struct:
				for f := range u.Fields() {
					if f.Exported() && (!bindable(f.Type()) || f.Embedded()) {
						t.Errorf("%s: the field %s cannot be bound", name, f)
					}
				}
			case *types.Interface:
				callbacks++
				// A Kotlin lambda or a Java one is enough for a single method; and only one
				// that returns an error may throw without ending the app.
				require.Equal(t, 1, u.NumMethods(), name)
				s := u.Method(0).Signature()
				checkSignature(t, name, s)
				require.Equal(t, 1, s.Results().Len(), name)
				require.True(t, isError(s.Results().At(0).Type()), name)
			default:
				t.Errorf("%s is neither a struct nor an interface", name)
			}
		default:
			t.Errorf("%s is exported and is no function, constant or type", o)
		}
	}
	require.Equal(t, 2, callbacks)
}

// TestNothingIsSkipped runs gobind, which writes "skipped" where it cannot bind a name,
// and looks for each exported name in what it wrote.
func TestNothingIsSkipped(t *testing.T) {
	dir := t.TempDir()
	build(t, "generate", dir)
	var java, objc strings.Builder
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if i := strings.Index(string(text), "skipped "); i >= 0 {
			line, _, _ := strings.Cut(string(text[i:]), "\n")
			t.Errorf("%s: %s", d.Name(), line)
		}
		switch {
		case strings.HasSuffix(path, ".java"):
			java.Write(text)
		case d.Name() == "Relink.objc.h":
			objc.Write(text)
		}
		return nil
	}))
	scope := exported(t)
	for _, name := range scope.Names() {
		o := scope.Lookup(name)
		if !o.Exported() {
			continue
		}
		words := []string{name}
		if typ, ok := o.(*types.TypeName); ok {
			for m := range types.NewMethodSet(types.NewPointer(typ.Type())).Methods() {
				if m.Obj().Exported() {
					words = append(words, lowerFirst(m.Obj().Name()))
				}
			}
		}
		for _, word := range words {
			if _, ok := o.(*types.Func); ok {
				if name == "NewConfig" { // a constructor
					continue
				}
				require.Contains(t, java.String(), " "+lowerFirst(word)+"(")
				require.Contains(t, objc.String(), "Relink"+word+"(")
				continue
			}
			require.Contains(t, java.String(), word)
			require.Contains(t, objc.String(), word)
		}
	}
}

func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }

// build runs build.sh.
func build(t *testing.T, args ...string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("build.sh is a shell script, and no phone's library is built on Windows")
	}
	out, err := exec.Command("./build.sh", args...).CombinedOutput()
	require.NoError(t, err, "%s", out)
}
