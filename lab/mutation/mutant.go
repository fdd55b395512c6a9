package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// A mutant is one way to break the library.
type mutant struct {
	name   string
	breaks string // what is wrong then, in one sentence
	edits  []edit // all of them at once
	pkg    string // of the tests, as the go command names it from the root
	tests  string // the names of the tests that ought to fail, with spaces between
}

// An edit replaces a piece of a file. The old text occurs in it exactly once,
// so that an edit which no longer fits is noticed.
type edit struct {
	file     string // below the root, with slashes
	old, new string
}

// A group is the mutants of one subject.
type group struct {
	subject string
	mutants []mutant
}

// groups are all mutants, in the order of the table.
func groups() []group {
	return []group{
		{"The replay buffer and the ciphers", bufferMutants},
		{"The budget, and who makes room", budgetMutants},
		{"Data path, receiving", readMutants},
		{"Data path, sending", writeMutants},
		{"Acknowledgements and limits", ackMutants},
		{"Resuming, on both sides", resumeMutants},
		{"The client's redial", redialMutants},
		{"The listener and its handshakes", listenerMutants},
		{"Ends", endMutants},
		{"Liveness and what is done without being asked for", livenessMutants},
		{"The wire of DH64RC4", snetMutants},
		{"The wire of SCP", scpMutants},
		{"The wire of Noise", noiseMutants},
		{"In the gaps between steps", gapMutants},
	}
}

// matching returns the mutants whose group and name match, as in "Ends: no
// tombstones".
func matching(only *regexp.Regexp) []mutant {
	var found []mutant
	for _, g := range groups() {
		for _, m := range g.mutants {
			if only.MatchString(g.subject + ": " + m.name) {
				found = append(found, m)
			}
		}
	}
	return found
}

// mutate returns the files that the mutant changes, as they are then.
func (m mutant) mutate(root string) (map[string]string, error) {
	files := make(map[string]string)
	for _, e := range m.edits {
		text, ok := files[e.file]
		if !ok {
			b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(e.file)))
			if err != nil {
				return nil, err
			}
			text = string(b)
		}
		if n := strings.Count(text, e.old); n != 1 {
			return nil, fmt.Errorf("%s has the text to replace %d times and not once: %q", e.file, n, e.old)
		}
		files[e.file] = strings.Replace(text, e.old, e.new, 1)
	}
	return files, nil
}
