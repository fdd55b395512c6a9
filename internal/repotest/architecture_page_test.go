package repotest_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A declared is what docs/architecture.md can name: types, functions, methods, fields
// and values, as "name" and as "Type.name". For a function it has the names that its body
// uses.
type declared map[string]map[string]bool

// declarations reads the code of directories, without its tests.
func declarations(t *testing.T, dirs ...string) declared {
	t.Helper()
	all := make(declared)
	note := func(of, name string) map[string]bool {
		uses := make(map[string]bool)
		if all[name] == nil {
			all[name] = uses
		}
		if of != "" {
			all[of+"."+name] = uses
		}
		return uses
	}
	for _, dir := range dirs {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		require.NoError(t, err)
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
			require.NoError(t, err)
			pkg := f.Name.Name
			for _, d := range f.Decls {
				switch d := d.(type) {
				case *ast.FuncDecl:
					of := receiverOf(d)
					uses := note(of, d.Name.Name)
					if of == "" {
						all[pkg+"."+d.Name.Name] = uses
					}
					ast.Inspect(d, func(n ast.Node) bool {
						switch n := n.(type) {
						case *ast.SelectorExpr:
							uses[n.Sel.Name] = true
						case *ast.Ident:
							uses[n.Name] = true
						}
						return true
					})
				case *ast.GenDecl:
					for _, spec := range d.Specs {
						noteSpec(note, all, pkg, spec)
					}
				}
			}
		}
	}
	return all
}

// noteSpec notes a type with its fields or methods, or values.
func noteSpec(note func(of, name string) map[string]bool, all declared, pkg string, spec ast.Spec) {
	switch spec := spec.(type) {
	case *ast.TypeSpec:
		all[pkg+"."+spec.Name.Name] = note("", spec.Name.Name)
		var fields *ast.FieldList
		switch typ := spec.Type.(type) {
		case *ast.StructType:
			fields = typ.Fields
		case *ast.InterfaceType:
			fields = typ.Methods
		default:
			return
		}
		for _, field := range fields.List {
			for _, name := range field.Names {
				note(spec.Name.Name, name.Name)
			}
		}
	case *ast.ValueSpec:
		for _, name := range spec.Names {
			note("", name.Name)
		}
	}
}

// architecturePage returns the page, and what stands in it between backquotes outside of
// its picture.
func architecturePage(t *testing.T) (page string, quoted []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("docs", "architecture.md"))
	require.NoError(t, err)
	page = regexp.MustCompile("(?s)```.*?```").ReplaceAllString(string(text), "")
	for _, m := range regexp.MustCompile("`([^`\n]+)`").FindAllStringSubmatch(page, -1) {
		quoted = append(quoted, m[1])
	}
	return page, quoted
}

// The page of the architecture names what is there: whoever renames or removes it has to
// look at the page.
func TestArchitectureNamesWhatIsThere(t *testing.T) {
	t.Parallel()
	_, quoted := architecturePage(t)
	all := declarations(t, ".", "internal/stream", "internal/suite", "replay")
	elsewhere := []string{"net", "net.Listener", "time", "relink", "relinkdebug", "transport/…"}
	names := 0
	for _, q := range quoted {
		if strings.Contains(q, "/") || regexp.MustCompile(`^[a-z0-9]+$`).MatchString(q) && all[q] == nil {
			if !slices.Contains(elsewhere, q) {
				require.DirExists(t, filepath.FromSlash(q), "docs/architecture.md names %q", q)
			}
			continue
		}
		if slices.Contains(elsewhere, q) {
			continue
		}
		names++
		if all[q] == nil {
			t.Errorf("docs/architecture.md names %s, which the code does not declare", q)
		}
	}
	require.Greater(t, names, 40)
}

// The data path of the page is that of the code: each of its functions is used by another
// one that the page names.
func TestArchitectureDataPath(t *testing.T) {
	t.Parallel()
	page, quoted := architecturePage(t)
	all := declarations(t, ".", "internal/stream", "internal/suite", "replay")
	_, path, ok := strings.Cut(page, "## Data path\n")
	require.True(t, ok)
	path, _, _ = strings.Cut(path, "\n## ")
	steps := 0
	for _, m := range regexp.MustCompile("`((\\w+)\\.(\\w+))`").FindAllStringSubmatch(path, -1) {
		whole, of, name := m[1], m[2], m[3]
		if of == "Conn" && token.IsExported(name) {
			continue // the application calls it
		}
		steps++
		used := false
		for _, other := range quoted {
			used = used || other != whole && strings.Contains(other, ".") && all[other][name]
		}
		if !used {
			t.Errorf("the data path of docs/architecture.md goes through %s, which nothing that the page names uses", whole)
		}
	}
	require.Greater(t, steps, 20)
}

// The table of the page has all files of the library, and no others.
func TestArchitectureHasAllFiles(t *testing.T) {
	t.Parallel()
	page, _ := architecturePage(t)
	_, table, ok := strings.Cut(page, "## What each file is about\n")
	require.True(t, ok)
	table, _, _ = strings.Cut(table, "\n## ")
	listed := make(map[string]bool)
	for _, row := range strings.Split(table, "\n") {
		cells := strings.Split(row, "|")
		if len(cells) < 3 || !strings.Contains(cells[1], ".go") {
			continue
		}
		for _, pattern := range strings.Split(cells[1], ",") {
			pattern = strings.TrimSpace(pattern)
			files, err := filepath.Glob(pattern)
			require.NoError(t, err)
			require.NotEmpty(t, files, "docs/architecture.md lists %s", pattern)
			for _, file := range files {
				listed[file] = true
			}
		}
	}
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, file := range files {
		if !strings.HasSuffix(file, "_test.go") && !listed[file] {
			t.Errorf("docs/architecture.md does not say what %s is about", file)
		}
	}
}
