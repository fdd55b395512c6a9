package main

import (
	"fmt"
	"strings"

	"github.com/relink-go/relink/lab/internal/page"
)

// tablePart is where the table stands in a page.
var tablePart = page.Part{Command: "go run ./lab/mutation"}

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

// rows returns the rows of the tables of an earlier run, by the first cell.
func rows(text string) map[string]string {
	found := make(map[string]string)
	for line := range strings.Lines(text) {
		if cells := strings.Split(line, " | "); len(cells) == 4 && strings.HasPrefix(line, "| ") {
			found[strings.TrimPrefix(cells[0], "| ")] = line
		}
	}
	return found
}
