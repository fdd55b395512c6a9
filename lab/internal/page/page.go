// Package page keeps what a command writes within a page that people write.
package page

import (
	"fmt"
	"os"
	"strings"
)

// A Part is what stands between the two markers of a command, each on a line of
// its own.
type Part struct {
	Command string // such as "go run ./lab/gaps"
}

func (p Part) begin() string { return "<!-- begin: " + p.Command + " -->\n" }
func (p Part) end() string   { return "<!-- end: " + p.Command + " -->\n" }

// cut splits a page into what stands before the markers, between them and
// behind. ok says whether both are there.
func (p Part) cut(page string) (head, text, tail string, ok bool) {
	head, rest, begins := strings.Cut(page, p.begin())
	text, tail, ends := strings.Cut(rest, p.end())
	return head, text, tail, begins && ends
}

// Read returns what stands between the markers of a file.
func (p Part) Read(file string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	_, text, _, ok := p.cut(string(b))
	if !ok {
		return "", p.missing(file)
	}
	return text, nil
}

// Write replaces what stands between the markers of a file.
func (p Part) Write(file, text string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	head, _, tail, ok := p.cut(string(b))
	if !ok {
		return p.missing(file)
	}
	b = []byte(head + p.begin() + "\n" + text + "\n" + p.end() + tail)
	return os.WriteFile(file, b, 0o644) //nolint:gosec // a page that everybody may read
}

func (p Part) missing(file string) error {
	return fmt.Errorf("%s lacks the line %q or %q", file, strings.TrimSpace(p.begin()), strings.TrimSpace(p.end()))
}
