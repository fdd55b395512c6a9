package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// A reason is a row of the list: why some code is not covered.
type reason struct {
	line           int
	file, function string
	fragment       string // of the block's text, from its first line on
	sometimes      bool   // some runs cover it: it depends on the machine or on timing
}

// parseList reads the rows of the tables whose header names a file, a function
// and a statement.
func parseList(text string) ([]reason, error) {
	var reasons []reason
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		// A fragment may have a bar in it, which the table needs escaped.
		cells := strings.Split(strings.ReplaceAll(strings.Trim(line, "|"), `\|`, "\x00"), "|")
		if len(cells) != 5 {
			return nil, fmt.Errorf("line %d has %d columns and not 5: file, function, statement, when, why", i+1, len(cells))
		}
		for j, c := range cells {
			cells[j] = strings.ReplaceAll(strings.Trim(strings.TrimSpace(c), "`"), "\x00", "|")
		}
		r := reason{line: i + 1, file: cells[0], function: cells[1], fragment: cells[2]}
		switch cells[3] {
		case "never":
		case "sometimes":
			r.sometimes = true
		default:
			return nil, fmt.Errorf("line %d: %q is neither never nor sometimes", i+1, cells[3])
		}
		if r.fragment == "" || cells[4] == "" {
			return nil, fmt.Errorf("line %d lacks a statement or a reason", i+1)
		}
		reasons = append(reasons, r)
	}
	return reasons, nil
}

func (r *reason) matches(b *block) bool {
	return r.file == b.file && r.function == b.function && strings.Contains(b.text, r.fragment)
}

// judge returns what is wrong with the coverage and with the list.
func judge(blocks []*block, reasons []reason) error {
	var wrong []error
	all, covered := 0, 0
	there, open := make([]bool, len(reasons)), make([]bool, len(reasons))
	for _, b := range blocks {
		if slices.Contains(apart, filepath.Dir(b.file)) {
			continue
		}
		all += b.statements
		if b.covered {
			covered += b.statements
		}
		explained := false
		for i, r := range reasons {
			if r.matches(b) {
				there[i], open[i] = true, open[i] || !b.covered
				explained = true
			}
		}
		if !b.covered && !explained && b.statements > 0 {
			wrong = append(wrong, fmt.Errorf("not covered, and not in %s: %v", list, b))
		}
	}
	for i, r := range reasons {
		switch {
		case !there[i]:
			wrong = append(wrong, fmt.Errorf("%s:%d: there is no such statement: %s, %s, %s", list, r.line, r.file, r.function, r.fragment))
		case !open[i] && !r.sometimes:
			wrong = append(wrong, fmt.Errorf("%s:%d: it is covered: %s, %s, %s", list, r.line, r.file, r.function, r.fragment))
		}
	}
	share := percent(covered, all)
	fmt.Printf("%6.2f %% of %4d statements of the library; %d are left, with %d reasons\n", share, all, all-covered, len(reasons))
	if share < least {
		wrong = append(wrong, fmt.Errorf("%.2f %% of the statements are covered, and %d are wanted", share, least))
	}
	return errors.Join(wrong...)
}
