package main

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

// root is that of the library.
const root = "../.."

// The table fits the code that it is about: each text to replace is there, once,
// and the tests that ought to catch a mutant are.
func TestTheTableFits(t *testing.T) {
	declared := make(map[string][]string)
	names := make(map[string]bool)
	for _, m := range matching(regexp.MustCompile("")) {
		require.False(t, names[m.name], "two mutants are called %q", m.name)
		names[m.name] = true
		require.NotContains(t, m.name+m.breaks, "|", "%s: a bar ends a cell of the table", m.name)
		require.True(t, strings.HasSuffix(m.breaks, "."), "%s: %q is no sentence", m.name, m.breaks)

		files, err := m.mutate(root)
		require.NoError(t, err, m.name)
		require.NotEmpty(t, files, m.name)
		for name, text := range files {
			old, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
			require.NoError(t, err, m.name)
			require.NotEqual(t, string(old), text, "%s changes nothing in %s", m.name, name)
			_, err = parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
			require.NoError(t, err, m.name)
		}

		if declared[m.pkg] == nil {
			declared[m.pkg] = testsOf(t, filepath.Join(root, filepath.FromSlash(m.pkg)))
		}
		require.NotEmpty(t, strings.Fields(m.tests), m.name)
		for _, test := range strings.Fields(m.tests) {
			require.Contains(t, declared[m.pkg], test, "%s: there is no such test in %s", m.name, m.pkg)
		}
	}
	require.Greater(t, len(names), 100)
}

// testsOf returns the names of a directory's tests and fuzz targets.
func testsOf(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	require.NoError(t, err)
	var found []string
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, d := range f.Decls {
			if d, ok := d.(*ast.FuncDecl); ok && d.Recv == nil && (strings.HasPrefix(d.Name.Name, "Test") || strings.HasPrefix(d.Name.Name, "Fuzz")) {
				found = append(found, d.Name.Name)
			}
		}
	}
	return found
}

// An edit is refused that fits nowhere or in two places.
func TestEditsFitOnce(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "f"), []byte("a b b c"), 0o600))
	mutate := func(edits ...edit) (string, error) {
		files, err := mutant{edits: edits}.mutate(dir)
		return files["f"], err
	}
	text, err := mutate(edit{"f", "a", "x"}, edit{"f", "c", "y"})
	require.NoError(t, err)
	require.Equal(t, "x b b y", text)
	for _, e := range []edit{{"f", "b", "x"}, {"f", "d", "x"}, {"g", "a", "x"}} {
		_, err := mutate(e)
		require.Error(t, err, e)
	}
}

// lines makes what the go command prints of its lines.
func lines(events ...string) []byte { return []byte(strings.Join(events, "\n") + "\n") }

func TestJudge(t *testing.T) {
	const (
		runA  = `{"Action":"run","Package":"p","Test":"TestA"}`
		runB  = `{"Action":"run","Package":"p","Test":"TestB"}`
		runB1 = `{"Action":"run","Package":"p","Test":"TestB/one"}`
		passA = `{"Action":"pass","Package":"p","Test":"TestA"}`
		ended = `{"Action":"fail","Package":"p"}`
	)
	output := func(test, text string) string {
		return `{"Action":"output","Package":"p","Test":"` + test + `","Output":"` + text + `\n"}`
	}
	for _, c := range []struct {
		name   string
		events []byte
		want   string
	}{
		{"all pass", lines(runA, passA, `{"Action":"pass","Package":"p"}`), survives},
		{"a subtest fails first", lines(runA, passA, runB, runB1, `{"Action":"fail","Package":"p","Test":"TestB/one"}`, ended), "TestB"},
		{"a panic", lines(runA, runB, output("TestA", "panic: so it goes"), ended), "TestA (panic)"},
		{"a panic of nobody's", lines(runA, passA, runB, output("", "panic: so it goes"), ended), "TestB (panic)"},
		{"a bubble", lines(runA, output("TestA", "panic: deadlock: main bubble goroutine has exited but"), ended), "TestA (a goroutine is left)"},
		{"a race", lines(runA, output("TestA", "WARNING: DATA RACE"), `{"Action":"fail","Package":"p","Test":"TestA"}`, ended), "TestA (data race)"},
		{
			"the time is up",
			lines(runA, runB, output("TestA", "panic: test timed out after 1s"), output("TestA", `\trunning tests:`), output("TestA", `\t\tTestB/one (1s)`), ended),
			"TestB (time-out)",
		},
		{"it exits", lines(runA, ended), "TestA (the process ended)"},
		{"it exits before a test", lines(ended), "TestMain (the process ended)"},
	} {
		v, err := judge(c.events)
		require.NoError(t, err, c.name)
		require.Equal(t, c.want, v.String(), c.name)
		if v.caught() {
			require.Equal(t, "p", v.pkg, c.name)
		}
	}
	for _, events := range [][]byte{
		lines(`{"Action":"build-output","ImportPath":"p","Output":"x.go:1: wrong\n"}`, `{"Action":"fail","Package":"p","FailedBuild":"p"}`),
		lines("no JSON"),
	} {
		_, err := judge(events)
		require.Error(t, err)
	}
}

// A table keeps the rows of the mutants that were not run.
func TestTableInParts(t *testing.T) {
	all := matching(regexp.MustCompile(""))
	text := ""
	part := func(m mutant, v verdict) { text = table(map[string]verdict{m.name: v}, rows(text)) }
	part(all[0], verdict{test: "TestFirst"})
	part(all[1], verdict{})
	part(all[len(all)-1], verdict{test: "TestLast", how: "panic"})
	require.Contains(t, text, all[0].row("TestFirst"))
	require.Contains(t, text, all[1].row(survives))
	require.Contains(t, text, all[len(all)-1].row("TestLast (panic)"))
	require.Contains(t, text, " mutants, 2 of them caught.")
	require.Equal(t, len(all)-3, strings.Count(text, notRun))
	for _, g := range groups() {
		require.Contains(t, text, "\n**"+g.subject+"**\n")
	}
}

// The copy has what git would commit, and what is new.
func TestCopyRepository(t *testing.T) {
	if _, err := os.Stat(filepath.Join(root, ".git")); err != nil {
		t.Skip("this is no clone of the repository, so that git does not know its files")
	}
	to := filepath.Join(t.TempDir(), "copy")
	require.NoError(t, copyRepository(t.Context(), root, to))
	for _, name := range []string{"go.mod", "read.go", "internal/noise/codec.go", "lab/go.mod"} {
		want, err := os.ReadFile(filepath.Join(root, name))
		require.NoError(t, err)
		got, err := os.ReadFile(filepath.Join(to, name))
		require.NoError(t, err)
		require.Equal(t, string(want), string(got))
	}
	_, err := os.Stat(filepath.Join(to, ".git"))
	require.ErrorIs(t, err, os.ErrNotExist)
	require.Error(t, copyRepository(t.Context(), t.TempDir(), to), "no repository")
}

// The groups' mutants can be picked by the group and by the name.
func TestMatching(t *testing.T) {
	names := func(pattern string) (found []string) {
		for _, m := range matching(regexp.MustCompile(pattern)) {
			found = append(found, m.name)
		}
		return found
	}
	require.Equal(t, []string{endMutants[0].name}, names("^Ends: "+endMutants[0].name+"$"))
	require.Len(t, names("^Ends: "), len(endMutants))
	require.True(t, slices.Contains(names("epoch"), "the epoch is not compared"))
	require.Empty(t, names("no mutant has such a name"))
}
