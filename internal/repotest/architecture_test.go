package repotest_test

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const modulePath = "github.com/relink-go/relink"

// A layer says what the packages of a directory may import, beside the standard
// library, outside their tests. Imports point downward only:
//
//	examples and other nested modules → relink → internal/* → dh64, rc4stream, replay → standard library
//
// The packages under transport/ stand beside relink: neither knows the other.
// proxy stands above both, debug above relink.
type layer struct {
	dir   string   // of the package; a trailing /* takes any name
	own   []string // directories of this module
	other []string // modules of others
	never []string // packages of the standard library
}

// layers are looked through from the top.
var layers = []layer{
	{dir: "dh64"},
	{dir: "rc4stream"},
	{dir: "replay"},
	{dir: "internal/faultnet", other: []string{"golang.org/x/sys"}},
	{dir: "internal/conntest", own: []string{".", "internal/faultnet", "internal/stream", "internal/suite"}, other: []string{"github.com/stretchr/testify"}},
	{dir: "internal/repotest"},
	{dir: "internal/hang"},
	{dir: "internal/asserts"},
	{dir: "internal/clock", never: []string{"net"}},
	{dir: "internal/admission", own: []string{"internal/clock"}},
	{dir: "internal/roster", own: []string{"internal/clock", "internal/suite"}, never: []string{"net"}},
	{dir: "internal/socket", other: []string{"golang.org/x/sys"}},
	{dir: "internal/transport"},
	{dir: "internal/transport/transporttest", own: []string{".", "internal/faultnet"}, other: []string{"golang.org/x/net/nettest"}},
	{dir: "browser", own: []string{".", "transport/browser"}},
	{dir: "transport/*", own: []string{"internal/transport"}},
	{dir: "internal/rc4pair", own: []string{"rc4stream"}, never: []string{"net", "time"}},
	{dir: "internal/suite", never: []string{"net", "time"}},
	{dir: "internal/suite/suitetest", own: []string{"internal/suite"}, never: []string{"net", "time"}},
	{dir: "internal/stream", own: []string{"internal/suite", "replay"}, never: []string{"net", "time", "sync", "context"}},
	{dir: "internal/hedge"},
	{dir: "internal/rtt", never: []string{"net"}},
	{dir: "internal/headway", own: []string{"internal/clock"}, never: []string{"net"}},
	{
		// A protocol knows no other protocol, no transport and no clock.
		dir:   "internal/*",
		own:   []string{"internal/suite", "internal/rc4pair", "dh64", "rc4stream"},
		other: []string{"golang.org/x/crypto", "golang.org/x/sys", "github.com/cloudflare/circl/dh/x25519"},
		never: []string{"net", "time"},
	},
	{dir: "debug", own: []string{"."}},
	{dir: "proxy", own: []string{".", "transport/proxyproto", "transport/tlstransport"}},
	{
		dir:   ".",
		own:   []string{"internal/admission", "internal/asserts", "internal/clock", "internal/headway", "internal/hedge", "internal/roster", "internal/rtt", "internal/socket", "internal/stream", "internal/suite", "internal/snet", "internal/scp", "internal/noise", "replay", "dh64", "rc4stream"},
		other: []string{"golang.org/x/crypto"},
	},
}

// forTests are the modules that only tests may import.
var forTests = []string{"github.com/stretchr/testify", "golang.org/x/net/nettest", "golang.org/x/crypto", "golang.org/x/sys"}

// harness are the packages that tests are made of, in nested modules too.
var harness = []string{"internal/faultnet", "internal/transport/transporttest"}

// bareClients is the one file of a nested module that sees the protocols: the
// benchmarks' crowd of sessions needs clients that take no memory, so it runs
// handshakes without a [relink.Conn].
const bareClients = "bench/internal/subject/enter.go"

// A sourceFile is one Go file of the repository.
type sourceFile struct {
	path    string // slash-separated, from the root
	module  string // directory of its module
	syntax  *ast.File
	fset    *token.FileSet
	imports []string
}

func (f sourceFile) dir() string { return path.Dir(f.path) }

func (f sourceFile) isTest() bool { return strings.HasSuffix(f.path, "_test.go") }

// sources parses every Go file of the repository.
func sources(t *testing.T) []sourceFile {
	t.Helper()
	var files []sourceFile
	modules := []string{"."}
	fset := token.NewFileSet()
	require.NoError(t, filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if p != "." && (name == "testdata" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")) {
				return filepath.SkipDir
			}
			if _, err := os.Stat(filepath.Join(p, "go.mod")); err == nil && p != "." {
				modules = append(modules, filepath.ToSlash(p))
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		syntax, err := parser.ParseFile(fset, p, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		f := sourceFile{path: filepath.ToSlash(p), module: ".", syntax: syntax, fset: fset}
		for _, m := range modules {
			if m != "." && len(m) > len(f.module) && strings.HasPrefix(f.path, m+"/") {
				f.module = m
			}
		}
		for _, i := range syntax.Imports {
			imported, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			f.imports = append(f.imports, imported)
		}
		files = append(files, f)
		return nil
	}))
	return files
}

// within reports whether the import path is one of the roots or below one.
func within(imported string, roots []string) bool {
	return slices.ContainsFunc(roots, func(root string) bool {
		return imported == root || strings.HasPrefix(imported, root+"/")
	})
}

func isStandard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return !strings.Contains(first, ".")
}

func TestImportsPointDownward(t *testing.T) {
	for _, f := range sources(t) {
		for _, imported := range f.imports {
			if problem := judgeImport(f, imported); problem != "" {
				t.Errorf("%s imports %s: %s", f.path, imported, problem)
			}
		}
	}
}

// judgeImport says what is wrong with an import, if anything.
func judgeImport(f sourceFile, imported string) string {
	rel, own := strings.CutPrefix(imported, modulePath)
	rel = strings.TrimPrefix(rel, "/")
	if rel == "" {
		rel = "."
	}
	if f.module != "." {
		// A nested module is a user of the library: it sees what every user
		// sees, and what tests are made of.
		if own && strings.HasPrefix(rel, "internal/") && !slices.Contains(harness, rel) && f.path != bareClients {
			return "a nested module uses the public packages only"
		}
		return ""
	}
	if f.isTest() {
		switch {
		case isStandard(imported), own, within(imported, forTests):
			return ""
		case within(imported, []string{"github.com/flynn/noise"}):
			return "" // tests compare with it
		default:
			return "no module for tests"
		}
	}
	i := slices.IndexFunc(layers, func(l layer) bool {
		ok, err := path.Match(l.dir, f.dir())
		return err == nil && ok
	})
	if i < 0 {
		return "the package " + f.dir() + " belongs to no layer: give it one in this test"
	}
	l := layers[i]
	switch {
	case slices.Contains(l.never, imported):
		return "not for this layer"
	case isStandard(imported):
		return ""
	case own && slices.Contains(l.own, rel):
		return ""
	case !own && within(imported, l.other):
		return ""
	default:
		return "not among what this layer may import"
	}
}

// Protocols start no goroutine: the core owns those, and has dials made for it.
func TestProtocolsStartNoGoroutine(t *testing.T) {
	for _, f := range sources(t) {
		if f.isTest() || !strings.HasPrefix(f.path, "internal/") || within(f.dir(), []string{"internal/faultnet", "internal/conntest", "internal/suite/suitetest", "internal/transport", "internal/hedge"}) {
			continue
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			if g, ok := n.(*ast.GoStmt); ok {
				t.Errorf("%v: a go statement", f.fset.Position(g.Pos()))
			}
			return true
		})
	}
}

// publicPackages are what users import.
var publicPackages = []string{".", "debug", "dh64", "rc4stream", "replay", "proxy", "transport/proxyproto", "transport/race", "transport/tlstransport"}

// publicDoc returns the documentation of a public package.
func publicDoc(t *testing.T, files []sourceFile, dir string) *doc.Package {
	t.Helper()
	var syntax []*ast.File
	for _, f := range files {
		if f.dir() == dir && !f.isTest() {
			syntax = append(syntax, f.syntax)
		}
	}
	require.NotEmpty(t, syntax, dir)
	p, err := doc.NewFromFiles(files[0].fset, syntax, path.Join(modulePath, dir), doc.PreserveAST)
	require.NoError(t, err)
	return p
}

func TestEverythingExportedIsDocumented(t *testing.T) {
	files := sources(t)
	for _, dir := range publicPackages {
		p := publicDoc(t, files, dir)
		check := func(text, name string) {
			if strings.TrimSpace(text) == "" {
				t.Errorf("%s: %s has no documentation", p.Name, name)
			}
		}
		check(p.Doc, "the package")
		values := func(vs []*doc.Value) {
			for _, v := range vs {
				for _, s := range v.Decl.Specs {
					if s, ok := s.(*ast.ValueSpec); ok {
						check(v.Doc+s.Doc.Text()+s.Comment.Text(), strings.Join(v.Names, ", "))
					}
				}
			}
		}
		funcs := func(fs []*doc.Func, prefix string) {
			for _, f := range fs {
				check(f.Doc, prefix+f.Name)
			}
		}
		values(p.Consts)
		values(p.Vars)
		funcs(p.Funcs, "")
		for _, typ := range p.Types {
			check(typ.Doc, typ.Name)
			values(typ.Consts)
			values(typ.Vars)
			funcs(typ.Funcs, "")
			funcs(typ.Methods, typ.Name+".")
		}
	}
}

// What users see mentions no package that they cannot import. The exception are
// the methods that keep suites to this module.
func TestNothingExportedIsInternal(t *testing.T) {
	files := sources(t)
	seam := []string{"ServerProtocol", "ClientProtocol"}
	for _, dir := range publicPackages {
		internal := make(map[string]bool) // the names of such imports
		for _, f := range files {
			if f.dir() != dir || f.isTest() {
				continue
			}
			for _, imported := range f.imports {
				if strings.HasPrefix(imported, modulePath+"/internal/") {
					internal[path.Base(imported)] = true
				}
			}
		}
		check := func(n ast.Node, name string) {
			ast.Inspect(n, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.BlockStmt:
					return false
				case *ast.Field: // of a struct, an interface, parameters
					hidden := len(n.Names) > 0
					for _, id := range n.Names {
						hidden = hidden && !id.IsExported() && id.Name != "_"
						if slices.Contains(seam, id.Name) {
							return false
						}
					}
					_, isFunc := n.Type.(*ast.FuncType)
					return !hidden || isFunc
				case *ast.SelectorExpr:
					if id, ok := n.X.(*ast.Ident); ok && internal[id.Name] {
						t.Errorf("%s: %s mentions %s.%s", dir, name, id.Name, n.Sel.Name)
					}
				}
				return true
			})
		}
		signature := func(f *doc.Func) {
			if slices.Contains(seam, f.Name) {
				return
			}
			for _, list := range []*ast.FieldList{f.Decl.Type.Params, f.Decl.Type.Results} {
				if list == nil {
					continue
				}
				for _, field := range list.List {
					check(field.Type, f.Name)
				}
			}
		}
		p := publicDoc(t, files, dir)
		for _, f := range p.Funcs {
			signature(f)
		}
		for _, v := range p.Consts {
			check(v.Decl, v.Names[0])
		}
		for _, typ := range p.Types {
			check(typ.Decl, typ.Name)
			for _, v := range typ.Consts {
				check(v.Decl, v.Names[0])
			}
			for _, f := range append(slices.Clone(typ.Funcs), typ.Methods...) {
				signature(f)
			}
		}
	}
}

// Every exported function, method and type has an Example or is used in one,
// here or in examples/. What an interface asks for is used where the interface
// is.
func TestEverythingExportedHasAnExample(t *testing.T) {
	files := sources(t)
	implied := []string{
		"String", "Error", "Unwrap", "Is", "Temporary", "Timeout",
		"Format", "GoString", "LogValue", "MarshalText", "UnmarshalText",
		"ServerProtocol", "ClientProtocol",
	}
	for _, dir := range publicPackages {
		used := make(map[string]bool)
		for _, f := range files {
			user := strings.HasPrefix(f.path, "examples/")
			if !user && (f.dir() != dir || !f.isTest()) {
				continue
			}
			for _, d := range f.syntax.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !user && (!ok || !strings.HasPrefix(fn.Name.Name, "Example")) {
					continue
				}
				if ok {
					used[exampleOf(fn.Name.Name)] = true
				}
				ast.Inspect(d, func(n ast.Node) bool {
					if id, ok := n.(*ast.Ident); ok {
						used[id.Name] = true
					}
					return true
				})
			}
		}
		p := publicDoc(t, files, dir)
		check := func(name string) {
			if !used[name] && !slices.Contains(implied, name) {
				t.Errorf("%s: %s is in no Example", p.Name, name)
			}
		}
		for _, f := range p.Funcs {
			check(f.Name)
		}
		for _, typ := range p.Types {
			if len(typ.Funcs)+len(typ.Methods) == 0 { // else those stand for it
				check(typ.Name)
			}
			for _, f := range append(slices.Clone(typ.Funcs), typ.Methods...) {
				check(f.Name)
			}
		}
	}
}

// exampleOf returns the last name in that of an Example function: of
// ExampleConn_Close and of ExampleConn_Close_lingering it is Close.
func exampleOf(name string) string {
	last := ""
	for part := range strings.SplitSeq(strings.TrimPrefix(name, "Example"), "_") {
		if part != "" && token.IsExported(part) {
			last = part
		}
	}
	return last
}

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

// What a type may grow to: see docs/adr/0019-how-large-a-type-may-be.md.
const (
	maxMethods = 60
	maxFields  = 35
)

// A size is that of a type: its methods, with those of what it embeds, and its fields.
type size struct{ methods, fields int }

// sizes returns those of the types of a package, which its files declare.
func sizes(files []*ast.File) map[string]size {
	all := make(map[string]size)
	embeds := make(map[string][]string)
	for _, f := range files {
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if of := receiverOf(d); of != "" {
					s := all[of]
					s.methods++
					all[of] = s
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					typ, ok := spec.(*ast.TypeSpec)
					if !ok {
						continue
					}
					structure, ok := typ.Type.(*ast.StructType)
					if !ok {
						continue
					}
					s := all[typ.Name.Name]
					s.fields = structure.Fields.NumFields()
					all[typ.Name.Name] = s
					for _, field := range structure.Fields.List {
						if len(field.Names) == 0 {
							embeds[typ.Name.Name] = append(embeds[typ.Name.Name], typeName(field.Type))
						}
					}
				}
			}
		}
	}
	whole := make(map[string]size)
	for name, s := range all {
		for _, embedded := range embeds[name] {
			s.methods += all[embedded].methods
		}
		whole[name] = s
	}
	return whole
}

// No type of the library is so large that nobody can know it.
func TestTypesStaySmall(t *testing.T) {
	packages := make(map[string][]*ast.File)
	for _, f := range sources(t) {
		if f.module == "." && !f.isTest() {
			packages[f.dir()] = append(packages[f.dir()], f.syntax)
		}
	}
	for dir, files := range packages {
		for name, s := range sizes(files) {
			if s.methods > maxMethods || s.fields > maxFields {
				t.Errorf("%s: %s has %d methods and %d fields, and may have %d and %d", dir, name, s.methods, s.fields, maxMethods, maxFields)
			}
		}
	}
	require.Greater(t, sizes(packages["."])["Conn"].methods, 30, "has it another name?")
	require.Greater(t, sizes(packages["."])["session"].fields, 20, "has it another name?")
}

// The test above counts what it is to count.
func TestSizesAreCounted(t *testing.T) {
	t.Parallel()
	var files []*ast.File
	for _, text := range []string{
		"package x\ntype a struct { *b; c, d int }\nfunc (a) f() {}\nfunc (*a) g() {}\ntype g[T any] struct { a T }",
		"package x\ntype b struct {}\nfunc (b *b) f() {}\nfunc (x g[T]) f() {}\nfunc f() {}",
	} {
		f, err := parser.ParseFile(token.NewFileSet(), "x.go", text, parser.SkipObjectResolution)
		require.NoError(t, err)
		files = append(files, f)
	}
	require.Equal(t, map[string]size{"a": {3, 3}, "b": {1, 0}, "g": {1, 1}}, sizes(files))
}

// receiverOf returns the name of the type that a method belongs to.
func receiverOf(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	return typeName(d.Recv.List[0].Type)
}

// typeName returns the name of a type, of a pointer to one, or of one with type arguments, if it
// is of the package.
func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return typeName(e.X)
	case *ast.IndexExpr:
		return typeName(e.X)
	case *ast.IndexListExpr:
		return typeName(e.X)
	case *ast.Ident:
		return e.Name
	default:
		return ""
	}
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
