// Package maude holds a symbolic model of the suite Noise, with what is searched
// for in it, and a test that the specification and the searches have the same
// names. The script check runs the searches.
package maude_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// searches are the searches by the section that they belong to.
func searches(t *testing.T) (bySection map[string][]string, mistakes []string) {
	t.Helper()
	text, err := os.ReadFile("searches")
	if err != nil {
		t.Fatal(err)
	}
	bySection = make(map[string][]string)
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		fields := regexp.MustCompile(` +: +`).Split(line, -1)
		if len(fields) != 5 || fields[1] != "found" && fields[1] != "none" {
			t.Fatalf("not a search: %s", line)
		}
		section, name, _ := strings.Cut(fields[0], "-")
		if slices.Contains(bySection[section], name) {
			t.Errorf("%s is there twice", fields[0])
		}
		bySection[section] = append(bySection[section], name)
		if fields[2] != "-" {
			mistakes = append(mistakes, fields[2])
		}
	}
	return bySection, mistakes
}

// Each row of the specification's tables names searches that there are, and each
// search is named.
func TestSearchesAreThoseOfTheSpecification(t *testing.T) {
	doc, err := os.ReadFile("../../docs/spec/noise.md")
	if err != nil {
		t.Fatal(err)
	}
	bySection, _ := searches(t)
	for _, section := range []string{"18.1", "18.4", "18.9"} {
		_, text, ok := strings.Cut(string(doc), "\n### "+section+" ")
		if !ok {
			t.Fatalf("the specification has no section %s", section)
		}
		text, _, _ = strings.Cut(text, "\n##")
		var named []string
		if _, list, ok := strings.Cut(text, "\nSearched (18.4):"); ok {
			list, _, _ = strings.Cut(list, "\n\n")
			named = append(named, quoted(list)...)
		}
		for line := range strings.Lines(text) {
			cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
			if !strings.HasPrefix(line, "| ") || len(cells) < 3 || strings.Contains(line, "is searched") {
				continue
			}
			last := cells[len(cells)-1]
			if len(quoted(last)) == 0 && !strings.Contains(last, "as the stream") {
				t.Errorf("%s: a row names no search: %s", section, cells[0])
			}
			named = append(named, quoted(last)...)
		}
		for _, name := range named {
			if !slices.Contains(bySection[section], name) {
				t.Errorf("%s names the search %s, which is not there", section, name)
			}
		}
		for _, name := range bySection[section] {
			if !slices.Contains(named, name) {
				t.Errorf("%s does not name the search %s", section, name)
			}
		}
	}
}

// quoted returns what stands in backquotes.
func quoted(s string) (names []string) {
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(s, -1) {
		names = append(names, m[1])
	}
	return names
}

// Each mistake that the model can make is planted by a search, and the other way
// round.
func TestMistakes(t *testing.T) {
	model, err := os.ReadFile("noise.maude")
	if err != nil {
		t.Fatal(err)
	}
	_, planted := searches(t)
	var can []string
	for _, m := range regexp.MustCompile(`mutant =?=/?=? '(\w+)`).FindAllStringSubmatch(string(model), -1) {
		can = append(can, m[1])
	}
	slices.Sort(can)
	slices.Sort(planted)
	if can, planted = slices.Compact(can), slices.Compact(planted); !slices.Equal(can, planted) {
		t.Errorf("the model can make %v, and %v are planted", can, planted)
	}
	if len(can) < 7 {
		t.Errorf("only %d mistakes: has the model changed its form?", len(can))
	}
}
