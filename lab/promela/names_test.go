// Package promela holds formal models of the resumes and of the end, and a test that keeps
// their names those of the code. The script check runs the models.
package promela_test

import (
	"bufio"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// root is the repository's.
const root = "../.."

// A nameRow is a line of a model's table "Names from the code".
type nameRow struct{ model, code, file string }

// TestNamesFromCode holds the names that the models say to have from the code,
// and the code, together: whoever renames one has to look at the model.
func TestNamesFromCode(t *testing.T) {
	for _, model := range []string{"snet.pml", "noise.pml", "end.pml"} {
		t.Run(model, func(t *testing.T) {
			rows, body := readModel(t, model)
			if len(rows) < 15 {
				t.Fatalf("only %d names: has the table changed its form?", len(rows))
			}
			for _, row := range rows {
				if !regexp.MustCompile(`\b` + regexp.QuoteMeta(row.model) + `\b`).MatchString(body) {
					t.Errorf("the model does not use %s", row.model)
				}
				if !declared(t, filepath.Join(root, row.file))[row.code] {
					t.Errorf("%s does not declare %s, which the model calls %s", row.file, row.code, row.model)
				}
			}
		})
	}
}

// readModel returns the table of names and what follows the comment that it is
// part of.
func readModel(t *testing.T, name string) (rows []nameRow, body string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	header, body, ok := strings.Cut(string(text), "*/")
	if !ok {
		t.Fatal("the model does not begin with a comment")
	}
	_, table, ok := strings.Cut(header, "Names from the code\n")
	if !ok {
		t.Fatal("the model has no table of names")
	}
	for lines := bufio.NewScanner(strings.NewReader(table)); lines.Scan(); {
		fields := strings.Fields(strings.TrimPrefix(lines.Text(), " *"))
		switch len(fields) {
		case 0:
		case 3:
			rows = append(rows, nameRow{fields[0], fields[1], fields[2]})
		default:
			t.Fatalf("not a line of the table: %q", lines.Text())
		}
	}
	return rows, body
}

// declared returns what a file declares: functions, types, constants, variables,
// and as Type.name the methods and fields.
func declared(t *testing.T, path string) map[string]bool {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			names[receiver(d)+d.Name.Name] = true
		case *ast.GenDecl:
			for _, s := range d.Specs {
				declare(names, s)
			}
		}
	}
	return names
}

// receiver returns the type of a method's receiver and a dot, or nothing.
func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return ""
	}
	e := d.Recv.List[0].Type
	if star, ok := e.(*ast.StarExpr); ok {
		e = star.X
	}
	if id, ok := e.(*ast.Ident); ok {
		return id.Name + "."
	}
	return ""
}

// declare adds what one specification of a declaration names.
func declare(names map[string]bool, s ast.Spec) {
	switch s := s.(type) {
	case *ast.ValueSpec:
		for _, n := range s.Names {
			names[n.Name] = true
		}
	case *ast.TypeSpec:
		names[s.Name.Name] = true
		if st, ok := s.Type.(*ast.StructType); ok {
			for _, f := range st.Fields.List {
				for _, n := range f.Names {
					names[s.Name.Name+"."+n.Name] = true
				}
			}
		}
	}
}
