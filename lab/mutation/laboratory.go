package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A laboratory is where mutants are tried.
type laboratory struct {
	copy    string        // of the repository
	scratch string        // a directory for overlays
	timeout time.Duration // of the tests that should catch a mutant
}

// wideTimeout is how long all tests may take together.
const wideTimeout = 3 * time.Minute

// newLaboratory copies the repository at root to a directory below dir.
func newLaboratory(ctx context.Context, root, dir string, timeout time.Duration) (*laboratory, error) {
	// The compiler knows files by their absolute paths without links.
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	lab := &laboratory{copy: filepath.Join(dir, "relink"), scratch: filepath.Join(dir, "scratch"), timeout: timeout}
	if err := os.Mkdir(lab.scratch, 0o700); err != nil {
		return nil, err
	}
	if err := copyRepository(ctx, root, lab.copy); err != nil {
		return nil, fmt.Errorf("copying the repository: %w", err)
	}
	return lab, nil
}

// copyRepository copies the files that are tracked and those that are new and
// not ignored.
func copyRepository(ctx context.Context, root, to string) error {
	// A clone may belong to another user.
	c := exec.CommandContext(ctx, "git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	c.Dir = root
	var diagnosis bytes.Buffer
	c.Stderr = &diagnosis
	list, err := c.Output()
	if err != nil {
		return fmt.Errorf("git lists no file in %s: %w: %s", root, err, bytes.TrimSpace(diagnosis.Bytes()))
	}
	if len(list) == 0 {
		return fmt.Errorf("git lists no file in %s", root)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		if err := copyFile(filepath.Join(root, filepath.FromSlash(name)), filepath.Join(to, filepath.FromSlash(name))); err != nil {
			return err
		}
	}
	return nil
}

// copyFile copies a file, with its directories. One that is tracked and deleted
// is left out, and what is no file has no part in the tests.
func copyFile(from, to string) error {
	info, err := os.Lstat(from)
	if os.IsNotExist(err) || err == nil && !info.Mode().IsRegular() {
		return nil
	}
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode()&fs.ModePerm|0o600)
	if err != nil {
		return err
	}
	if _, err = io.Copy(out, in); err != nil {
		_ = out.Close()
		return err
	}
	return out.Close()
}

// verify requires that the tests which should catch the mutants pass where
// there is none.
func (lab *laboratory) verify(ctx context.Context, selected []mutant) error {
	var packages []string
	tests := make(map[string][]string)
	for _, m := range selected {
		if !slices.Contains(packages, m.pkg) {
			packages = append(packages, m.pkg)
		}
		tests[m.pkg] = append(tests[m.pkg], strings.Fields(m.tests)...)
	}
	for _, pkg := range packages {
		slices.Sort(tests[pkg])
		v, err := lab.test(ctx, "", wideTimeout, pkg, pattern(slices.Compact(tests[pkg])...))
		if err != nil {
			return err
		}
		if v.caught() {
			return fmt.Errorf("without any mutant the tests fail: %v in %s\n%s", v, pkg, v.output)
		}
	}
	return nil
}

// try finds out which test catches the mutant.
func (lab *laboratory) try(ctx context.Context, m mutant) (verdict, error) {
	overlay, err := lab.overlay(m)
	if err != nil {
		return verdict{}, err
	}
	v, err := lab.test(ctx, overlay, lab.timeout, m.pkg, pattern(strings.Fields(m.tests)...))
	if err != nil || v.caught() {
		return v, err
	}
	var doubtful []string
	for _, pkg := range []string{"./...", "./lab/simulation"} {
		v, err := lab.test(ctx, overlay, wideTimeout, pkg, "")
		if err != nil {
			return verdict{}, err
		}
		if !v.caught() {
			continue
		}
		// Among so many tests one may have failed by chance, or fails always.
		again, err := lab.test(ctx, overlay, lab.timeout, v.pkg, pattern(v.test), "-count=3")
		if err != nil {
			return verdict{}, err
		}
		without, err := lab.test(ctx, "", lab.timeout, v.pkg, pattern(v.test), "-count=3")
		if err != nil {
			return verdict{}, err
		}
		if again.caught() && !without.caught() {
			again.wide = true
			return again, nil
		}
		doubtful = append(doubtful, v.String())
	}
	return verdict{doubtful: doubtful}, nil
}

// pattern is the go command's pattern for tests of these names.
func pattern(tests ...string) string { return "^(" + strings.Join(tests, "|") + ")$" }

// overlay writes the files that the mutant changes, and what tells the go
// command to read them instead of those of the copy.
func (lab *laboratory) overlay(m mutant) (string, error) {
	files, err := m.mutate(lab.copy)
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(lab.scratch, "")
	if err != nil {
		return "", err
	}
	var list struct{ Replace map[string]string }
	list.Replace = make(map[string]string)
	for name, text := range files {
		to := filepath.Join(dir, strings.ReplaceAll(name, "/", "_"))
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			return "", err
		}
		list.Replace[filepath.Join(lab.copy, filepath.FromSlash(name))] = to
	}
	b, err := json.Marshal(list)
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "overlay.json")
	return file, os.WriteFile(file, b, 0o600)
}

// test runs the tests of a package, or of several, that match the pattern, all
// if it is empty, until one fails. Paths are trimmed so that what was compiled
// before is of use although the copy lies elsewhere each time.
func (lab *laboratory) test(ctx context.Context, overlay string, timeout time.Duration, pkg, pattern string, more ...string) (verdict, error) {
	args := []string{"test", "-json", "-trimpath", "-vet=off", "-failfast", "-count=1", "-timeout=" + timeout.String()}
	if overlay != "" {
		args = append(args, "-overlay="+overlay)
	}
	if pattern != "" {
		args = append(args, "-run="+pattern)
	}
	c := exec.CommandContext(ctx, "go", append(append(args, more...), pkg)...) //nolint:gosec // the arguments are ours
	c.Dir = lab.copy
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) } // it ends its tests then
	c.WaitDelay = 10 * time.Second
	var diagnosis bytes.Buffer
	c.Stderr = &diagnosis
	b, failure := c.Output()
	if err := ctx.Err(); err != nil {
		return verdict{}, err
	}
	v, err := judge(b)
	if err != nil {
		return verdict{}, err
	}
	if failure != nil && !v.caught() {
		return verdict{}, fmt.Errorf("go %s: %w\n%s%s", strings.Join(args, " "), failure, v.output, diagnosis.Bytes())
	}
	return v, nil
}
