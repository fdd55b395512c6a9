package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A version is one of the two that are compared.
type version struct {
	name    string   // as the command line has it
	root    string   // of its checkout
	workers []string // executables, one for each code layout
}

// workerPackages are what a worker is made of beside a version's subjects and
// library, by directory below bench. Both versions get those of this program's own
// checkout: what they need not have, or have in an older form, is the instrument.
var workerPackages = []string{"compare/worker", "internal/apart", "internal/measure", "internal/process"}

// find makes a version of a directory or a revision, which is written below scratch.
func find(ctx context.Context, name, scratch string) (version, error) {
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		root, err := filepath.Abs(name)
		if err != nil {
			return version{}, err
		}
		if _, err := os.Stat(filepath.Join(root, "bench", "go.mod")); err != nil {
			return version{}, fmt.Errorf("%s is not the root of a checkout: %w", name, err)
		}
		return version{name: name, root: root}, nil
	}
	if _, err := output(ctx, ".", "git", "rev-parse", "--verify", "--end-of-options", name+"^{commit}"); err != nil {
		return version{}, fmt.Errorf("%q is neither a directory nor a revision of this repository: %w", name, err)
	}
	root, err := os.MkdirTemp(scratch, "checkout")
	if err != nil {
		return version{}, err
	}
	top, err := output(ctx, ".", "git", "rev-parse", "--show-toplevel")
	if err != nil {
		return version{}, err
	}
	archive := root + ".tar"
	if _, err := output(ctx, top, "git", "archive", "--format=tar", "--output="+archive, name); err != nil {
		return version{}, err
	}
	return version{name: name, root: root}, unpack(archive, root)
}

// unpack writes the files of an archive below a directory.
func unpack(archive, dir string) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	root, err := os.OpenRoot(dir) // nothing is written outside of it
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case h.Typeflag == tar.TypeDir:
			err = root.MkdirAll(h.Name, 0o755)
		case h.Typeflag == tar.TypeReg:
			err = unpackFile(root, h.Name, r)
		}
		if err != nil {
			return err
		}
	}
}

func unpackFile(root *os.Root, name string, from io.Reader) error {
	f, err := root.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Close())
}

// build builds the version's worker in so many code layouts, of which the first is the
// linker's own.
func (v *version) build(ctx context.Context, bench, scratch string, layouts int) error {
	overlay, err := v.overlay(bench)
	if err != nil {
		return err
	}
	into, err := os.MkdirTemp(scratch, "worker")
	if err != nil {
		return err
	}
	written := filepath.Join(into, "overlay.json")
	if err := os.WriteFile(written, overlay, 0o600); err != nil {
		return err
	}
	for i := range layouts {
		worker := filepath.Join(into, fmt.Sprintf("worker-%d", i))
		args := []string{"build", "-buildvcs=false", "-trimpath", "-overlay", written, "-o", worker}
		if i > 0 {
			args = append(args, fmt.Sprintf("-ldflags=-randlayout=%d", i))
		}
		if _, err := output(ctx, filepath.Join(v.root, "bench"), "go", append(args, "./compare/worker")...); err != nil {
			return fmt.Errorf("building %s: %w", v.name, err)
		}
		v.workers = append(v.workers, worker)
	}
	return nil
}

// overlay returns what `go build -overlay` reads: the checkout stays as it is, and is
// built as if the packages of the worker in it were those below bench.
func (v *version) overlay(bench string) ([]byte, error) {
	replace := make(map[string]string)
	for _, p := range workerPackages {
		theirs, err := goFiles(filepath.Join(v.root, "bench", p))
		if err != nil {
			return nil, err
		}
		for _, f := range theirs {
			replace[f] = "" // as if it were not there
		}
		ours, err := goFiles(filepath.Join(bench, p))
		if err != nil {
			return nil, err
		}
		if len(ours) == 0 {
			return nil, fmt.Errorf("there is no %s in %s: run compare inside its repository", p, bench)
		}
		for _, f := range ours {
			replace[filepath.Join(v.root, "bench", p, filepath.Base(f))] = f
		}
	}
	return json.Marshal(map[string]any{"Replace": replace})
}

// goFiles returns the Go files of a directory that are no tests, and none if there is
// no such directory.
func goFiles(dir string) ([]string, error) {
	all, err := filepath.Glob(filepath.Join(dir, "*.go"))
	var found []string
	for _, f := range all {
		if !strings.HasSuffix(f, "_test.go") {
			found = append(found, f)
		}
	}
	return found, err
}

// benchDir returns where the module of this program is.
func benchDir(ctx context.Context) (string, error) {
	return output(ctx, ".", "go", "list", "-m", "-f", "{{.Dir}}", "github.com/relink-go/relink/bench")
}

// output runs a command and returns what it writes, without white space around it.
func output(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	var said, complained bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &complained
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, bytes.TrimSpace(complained.Bytes()))
	}
	return strings.TrimSpace(said.String()), nil
}
