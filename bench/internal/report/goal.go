package report

import (
	"fmt"
	"math"
)

// A Goal is a bound for one figure of a run.
type Goal struct {
	Work    string
	Figure  string // its name among the figures
	AtLeast bool   // else at most
	Bound   float64
	Slack   float64 // what may be measured although there is nothing, for a bound of zero
	Rivals  string  // the best known figure of others
	Format  func(float64) string
}

// Verdict says whether a goal is met. A figure that was not measured in this run
// has none.
type Verdict int

// The verdicts.
const (
	NotMeasured Verdict = iota
	Met
	Missed
)

// String is what the table says.
func (v Verdict) String() string {
	switch v {
	case Met:
		return "yes"
	case Missed:
		return "**no**"
	default:
		return "not measured"
	}
}

// Judge compares the median with the bound.
func (g Goal) Judge(all Figures) Verdict {
	f, ok := all[g.Figure]
	switch {
	case !ok || math.IsNaN(f.Median):
		return NotMeasured
	case g.AtLeast && f.Median >= g.Bound, !g.AtLeast && f.Median <= g.Bound+g.Slack:
		return Met
	default:
		return Missed
	}
}

// GoalTable computes the table of goals from the figures.
func GoalTable(goals []Goal, all Figures) Table {
	t := Table{Columns: []string{"work", "goal", "measured (quartiles)", "holds", "rivals"}}
	for _, g := range goals {
		sign := "≤"
		if g.AtLeast {
			sign = "≥"
		}
		measured := "–"
		if f, ok := all[g.Figure]; ok {
			measured = Spread(f, g.Format)
		}
		t.Rows = append(t.Rows, []string{g.Work, fmt.Sprintf("%s %s", sign, g.Format(g.Bound)), measured, g.Judge(all).String(), g.Rivals})
	}
	return t
}
