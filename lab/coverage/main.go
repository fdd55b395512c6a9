// Command coverage measures how many of the library's statements its tests
// run, and holds the result to two things: at least 95 of 100, and a reason in
// docs/coverage.md for each statement that is left.
//
//	go run ./lab/coverage               run the tests and judge
//	go run ./lab/coverage -profile f    judge a profile that is there already
//
// A profile comes from: go test -coverpkg=./... -coverprofile=f ./...
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// least is how many of 100 statements must be covered.
const least = 95

// runs is how often the tests are run at most. Which of two goroutines comes
// first is chance, and a statement that is usually run is missed now and then.
const runs = 3

// list is the file with the reasons, below the root of the library.
const list = "docs/coverage.md"

// apart are packages that are no part of the library, but tools of its tests.
var apart = []string{"internal/conntest", "internal/faultnet", "internal/hang", "internal/suite/suitetest", "internal/transport/transporttest"}

func main() {
	profile := flag.String("profile", "", "judge this `file` instead of running the tests")
	root := flag.String("root", ".", "the `directory` of the library")
	flag.Parse()
	if err := run(*root, *profile); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(root, profile string) error {
	text, err := os.ReadFile(filepath.Join(root, list))
	if err != nil {
		return err
	}
	reasons, err := parseList(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", list, err)
	}
	if profile != "" {
		b, err := os.ReadFile(profile)
		if err != nil {
			return err
		}
		return judgeProfile(root, string(b), reasons)
	}
	profiles := ""
	for i := range runs {
		b, err := measure(root)
		if err != nil {
			return err
		}
		profiles += b
		if err = judgeProfile(root, profiles, reasons); err == nil || i == runs-1 {
			return err
		}
		fmt.Println("once more, in case it was chance:", err)
	}
	return nil
}

// judgeProfile judges what one or more runs have covered together.
func judgeProfile(root, profile string, reasons []reason) error {
	blocks, err := parseProfile(profile)
	if err != nil {
		return err
	}
	if err := locate(root, blocks); err != nil {
		return err
	}
	report(blocks)
	return judge(blocks, reasons)
}

// measure runs the tests of the library's module and returns the profile.
func measure(root string) (string, error) {
	dir, err := os.MkdirTemp("", "coverage")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	profile := filepath.Join(dir, "profile")
	c := exec.Command("go", "test", "-count=1", "-coverpkg=./...", "-coverprofile="+profile, "./...") //nolint:gosec // the profile's name is ours
	c.Dir = root
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	if err := c.Run(); err != nil {
		return "", err
	}
	b, err := os.ReadFile(profile)
	return string(b), err
}

// report prints the share of each package and of the library.
func report(blocks []*block) {
	var names []string
	all, covered := map[string]int{}, map[string]int{}
	for _, b := range blocks {
		p := filepath.Dir(b.file)
		if !slices.Contains(names, p) {
			names = append(names, p)
		}
		all[p] += b.statements
		if b.covered {
			covered[p] += b.statements
		}
	}
	slices.Sort(names)
	for _, p := range names {
		note := ""
		if slices.Contains(apart, p) {
			note = " (a tool of the tests, not counted)"
		}
		fmt.Printf("%6.2f %% of %4d statements in %s%s\n", percent(covered[p], all[p]), all[p], p, note)
	}
}

func percent(part, whole int) float64 { return 100 * float64(part) / float64(max(1, whole)) }
