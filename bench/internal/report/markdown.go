package report

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Write writes benchmarks.md and the plots, in a directory benchmarks beside it,
// into dir. Plots of experiments that are not in this run are removed.
func (r Run) Write(dir string, goals []Goal) error {
	plots := filepath.Join(dir, "benchmarks")
	old, err := filepath.Glob(filepath.Join(plots, "*.svg"))
	if err != nil {
		return err
	}
	for _, f := range old {
		if err := os.Remove(f); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(plots, 0o755); err != nil {
		return err
	}
	look := make(styles)
	for _, s := range r.Subjects {
		look.of(s[0])
	}
	for _, s := range r.Sections {
		for _, p := range s.Plots {
			if err := p.write(plots, look); err != nil {
				return err
			}
		}
	}
	return os.WriteFile(filepath.Join(dir, "benchmarks.md"), []byte(r.Markdown(goals)), 0o644)
}

// Markdown returns the document.
func (r Run) Markdown(goals []Goal) string {
	var b strings.Builder
	paragraph := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n\n", args...) }

	paragraph("# Benchmarks")
	paragraph("Written by `%s` on %s; it took %v (%s). Nothing here is typed in: run it again and this page is written again. "+
		"All subjects take turns within one run, in an order drawn anew each time, so that what else the machine does falls on all alike. Ratios say something; absolute "+
		"times and speeds hold for this machine and this hour. A figure is the median of the rounds, with the quartiles behind it.",
		r.Command, r.Began.Format("2 January 2006"), r.Took.Round(1e9), r.Scale)

	paragraph("## Goals")
	b.WriteString(GoalTable(goals, r.Figures()).Markdown() + "\n")
	paragraph("Whether a goal holds is judged by the median. A limit is what has to be done in any case, measured in the same run: see the subjects. It has its noise too, and counts as missed only where both its quartiles miss. " +
		"The last column has what is known of other libraries.")

	paragraph("## Machine")
	fmt.Fprintf(&b, "- %s, %d cores, %s of memory\n- %s, %s\n", r.Machine.Processor, r.Machine.Cores, r.Machine.Memory, r.Machine.System, r.Machine.Go)
	for _, m := range r.Machine.Modules {
		fmt.Fprintf(&b, "- %s\n", m)
	}
	b.WriteByte('\n')

	paragraph("## Subjects")
	for _, s := range r.Subjects {
		fmt.Fprintf(&b, "- **%s.** %s\n", s[0], s[1])
	}
	b.WriteByte('\n')
	paragraph("crypto/tls negotiated %s. Go does not let a program choose a cipher suite of TLS 1.3. Where it takes AES-128, that has 10 rounds, and "+
		"the AES-256 of Noise has 14.", r.TLS)

	for _, s := range r.Sections {
		paragraph("## %s", s.Title)
		paragraph("%s", s.Text)
		if s.Failed != nil {
			paragraph("**This experiment failed in this run: %v.**", s.Failed)
			continue
		}
		for _, t := range s.Tables {
			b.WriteString(t.Markdown() + "\n")
		}
		for _, p := range s.Plots {
			paragraph("![%s](benchmarks/%s.svg)", p.Title, p.File)
		}
		paragraph("`go run ./bench -only '^%s$'`", s.Name)
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}
