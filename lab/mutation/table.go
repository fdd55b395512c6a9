package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
)

// table shows all mutants and what has caught each. Of those that have no
// verdict, the old row is kept if there is one, by the mutant's name.
func table(verdicts map[string]verdict, old map[string]string) string {
	var body strings.Builder
	all, caught := 0, 0
	for _, g := range groups() {
		fmt.Fprintf(&body, "\n**%s**\n\n| mutant | what is wrong then | in | caught by |\n| --- | --- | --- | --- |\n", g.subject)
		for _, m := range g.mutants {
			all++
			row := old[m.name]
			if v, ok := verdicts[m.name]; ok {
				row = m.row(v.String())
			} else if row == "" {
				row = m.row(notRun)
			}
			if !strings.Contains(row, survives) && !strings.Contains(row, notRun) {
				caught++
			}
			body.WriteString(row)
		}
	}
	return fmt.Sprintf("%d mutants, %d of them caught.\n", all, caught) + body.String()
}

// What a row says of a mutant that no test has caught.
var (
	survives = verdict{}.String()
	notRun   = "(not run)"
)

// row is the mutant's row of the table.
func (m mutant) row(caughtBy string) string {
	return fmt.Sprintf("| %s | %s | %s | %s |\n", m.name, m.breaks, m.edits[0].file, caughtBy)
}

// rows returns the rows of the tables in a page, by the first cell.
func rows(page string) map[string]string {
	_, page, _ = strings.Cut(page, beginMarker)
	page, _, _ = strings.Cut(page, endMarker)
	found := make(map[string]string)
	for line := range strings.Lines(page) {
		if cells := strings.Split(line, " | "); len(cells) == 4 && strings.HasPrefix(line, "| ") {
			found[strings.TrimPrefix(cells[0], "| ")] = line
		}
	}
	return found
}

// The markers of the file that the table is put into.
const (
	beginMarker = "<!-- begin: go run ./lab/mutation -->\n"
	endMarker   = "<!-- end: go run ./lab/mutation -->\n"
)

// insert replaces what stands between the markers.
func insert(file, text string) error {
	page, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	head, rest, ok := bytes.Cut(page, []byte(beginMarker))
	_, tail, ok2 := bytes.Cut(rest, []byte(endMarker))
	if !ok || !ok2 {
		return fmt.Errorf("%s lacks the line %q or %q", file, strings.TrimSpace(beginMarker), strings.TrimSpace(endMarker))
	}
	var b bytes.Buffer
	b.Write(head)
	b.WriteString(beginMarker + "\n" + text + "\n" + endMarker)
	b.Write(tail)
	return os.WriteFile(file, b.Bytes(), 0o644) //nolint:gosec // a page that everybody may read
}
