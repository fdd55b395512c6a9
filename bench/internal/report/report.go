// Package report writes what the experiments found: tables for the terminal,
// Markdown with plots for docs/benchmarks.md, and the table of goals, which is
// computed from the same figures.
package report

import (
	"fmt"
	"maps"
	"math"
	"strings"
	"time"

	"github.com/relink-go/relink/bench/internal/measure"
)

// A Section is what one experiment found.
type Section struct {
	Name    string // what -only matches
	Title   string
	Text    string // what is measured and how
	Failed  error  // why there is nothing else
	Tables  []Table
	Plots   []Plot
	Figures Figures
}

// Figures are found by what they tell, as "echo 128 B p50: relink Noise / TLS 1.3".
type Figures map[string]measure.Summary

// A Table has text in its cells. The first column names the row.
type Table struct {
	Caption string
	Columns []string
	Rows    [][]string
}

// A Run is everything.
type Run struct {
	Machine  Machine
	Began    time.Time
	Took     time.Duration
	Command  string
	Scale    string // "complete", "quick"
	Subjects [][2]string
	TLS      string // what crypto/tls negotiated
	Sections []Section
}

// Figures returns those of all sections.
func (r Run) Figures() Figures {
	all := make(Figures)
	for _, s := range r.Sections {
		maps.Copy(all, s.Figures)
	}
	return all
}

// Text formats a table for a terminal.
func (t Table) Text() string {
	widths := make([]int, len(t.Columns))
	for _, row := range append([][]string{t.Columns}, t.Rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", t.Caption)
	for _, row := range append([][]string{t.Columns}, t.Rows...) {
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-len([]rune(cell)))
			if i == 0 {
				b.WriteString("  " + cell + pad)
			} else {
				b.WriteString("  " + pad + cell)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// Markdown formats a table for a document.
func (t Table) Markdown() string {
	var b strings.Builder
	if t.Caption != "" {
		fmt.Fprintf(&b, "**%s**\n\n", t.Caption)
	}
	line := func(cells []string) {
		escaped := make([]string, len(cells))
		for i, cell := range cells {
			escaped[i] = strings.ReplaceAll(cell, "|", `\|`)
		}
		b.WriteString("| " + strings.Join(escaped, " | ") + " |\n")
	}
	line(t.Columns)
	b.WriteString("|---" + strings.Repeat("|--:", len(t.Columns)-1) + "|\n")
	for _, row := range t.Rows {
		line(row)
	}
	return b.String()
}

// Number formats a value with about three digits.
func Number(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "–"
	case a >= 10_000:
		return fmt.Sprintf("%.0f", math.Round(v/10)*10)
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

// Ratio formats a value with the digits that matter around one.
func Ratio(v float64) string {
	if a := math.Abs(v); a < 2 {
		return fmt.Sprintf("%.3f", v)
	}
	return Number(v)
}

// Spread formats a median with its quartiles.
func Spread(s measure.Summary, format func(float64) string) string {
	if s.N < 2 {
		return format(s.Median)
	}
	return fmt.Sprintf("%s (%s–%s)", format(s.Median), format(s.Low), format(s.High))
}

// Bytes formats a size as 64 B, 16 KiB or 4 MiB.
func Bytes(n int) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	default:
		return fmt.Sprintf("%d B", n)
	}
}

// Count formats a number of sessions as 500, 1 k or 100 k.
func Count(n int) string {
	if n >= 1000 && n%1000 == 0 {
		return fmt.Sprintf("%d k", n/1000)
	}
	return fmt.Sprint(n)
}
