package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// module is the path that a profile's files begin with.
const module = "github.com/relink-go/relink/"

// A block is a piece of code that runs as a whole.
type block struct {
	file       string // below the root of the library
	start, end int    // lines
	statements int
	covered    bool

	function string // as a reader would call it: Conn.Read
	text     string // its lines, and where it judges an error the one before
}

func (b *block) String() string {
	return fmt.Sprintf("%s:%d (%s): %s", b.file, b.start, b.function, strings.Join(strings.Fields(b.text), " "))
}

// parseProfile reads coverage profiles, one behind the other. A block appears
// once for each package whose tests were run.
func parseProfile(profile string) ([]*block, error) {
	type place struct {
		file     string
		from, to [2]int // line and column
	}
	found := map[place]*block{}
	var blocks []*block
	for i, line := range strings.Split(strings.TrimSpace(profile), "\n") {
		if strings.HasPrefix(line, "mode: ") {
			continue
		}
		name, rest, ok := strings.Cut(line, ":")
		var at place
		var statements, count int
		if _, err := fmt.Sscanf(rest, "%d.%d,%d.%d %d %d", &at.from[0], &at.from[1], &at.to[0], &at.to[1], &statements, &count); err != nil || !ok {
			return nil, fmt.Errorf("line %d is not of a coverage profile: %q", i+1, line)
		}
		at.file = strings.TrimPrefix(name, module)
		b := found[at]
		if b == nil {
			b = &block{file: at.file, start: at.from[0], end: at.to[0], statements: statements}
			found[at] = b
			blocks = append(blocks, b)
		}
		b.covered = b.covered || count > 0
	}
	slices.SortFunc(blocks, func(a, b *block) int {
		if a.file != b.file {
			return strings.Compare(a.file, b.file)
		}
		return a.start - b.start
	})
	return blocks, nil
}

// locate finds the functions and the texts of blocks.
func locate(root string, blocks []*block) error {
	type source struct {
		lines     []string
		functions []*ast.FuncDecl
	}
	sources := map[string]source{}
	set := token.NewFileSet()
	for _, b := range blocks {
		s, ok := sources[b.file]
		if !ok {
			path := filepath.Join(root, b.file)
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			f, err := parser.ParseFile(set, path, text, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			s.lines = strings.Split(string(text), "\n")
			for _, d := range f.Decls {
				if f, ok := d.(*ast.FuncDecl); ok {
					s.functions = append(s.functions, f)
				}
			}
			sources[b.file] = s
		}
		if b.end > len(s.lines) {
			return fmt.Errorf("%s has changed since the profile was made", b.file)
		}
		b.text = strings.Join(s.lines[b.start-1:b.end], "\n")
		if b.start > 1 && strings.HasPrefix(strings.TrimSpace(b.text), "if err != nil") {
			b.text = s.lines[b.start-2] + "\n" + b.text // what the error is of
		}
		for _, f := range s.functions {
			if set.Position(f.Pos()).Line <= b.start && b.start <= set.Position(f.End()).Line {
				b.function = nameOf(f)
			}
		}
	}
	return nil
}

// nameOf returns a function's name, with that of the type it is a method of.
func nameOf(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return f.Name.Name
	}
	t := f.Recv.List[0].Type
	if p, ok := t.(*ast.StarExpr); ok {
		t = p.X
	}
	if id, ok := t.(*ast.Ident); ok {
		return id.Name + "." + f.Name.Name
	}
	return f.Name.Name
}
