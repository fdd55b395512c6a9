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

	// Limit names the figure of what has to be done in any case, measured in the
	// same run; LimitIs says what that is. Empty where nobody knows one.
	Limit, LimitIs string
}

// Verdict says whether a goal is met. A figure that was not measured in this run
// has none.
type Verdict int

// The verdicts.
const (
	NotMeasured Verdict = iota
	Met
	Missed
	OutOfReach // missed, and by both quartiles of the limit too
)

// String is what the table says.
func (v Verdict) String() string {
	switch v {
	case Met:
		return "yes"
	case Missed:
		return "**no**"
	case OutOfReach:
		return "no, nor does the limit"
	default:
		return "not measured"
	}
}

// Judge compares the median with the bound. A limit has its noise too, and puts a
// goal out of reach only if neither of its quartiles holds.
func (g Goal) Judge(all Figures) Verdict {
	f, ok := all[g.Figure]
	if !ok || math.IsNaN(f.Median) {
		return NotMeasured
	}
	if g.holds(f.Median) {
		return Met
	}
	limit, ok := all[g.Limit]
	if !ok || math.IsNaN(limit.Median) || g.holds(limit.Low) || g.holds(limit.High) {
		return Missed
	}
	return OutOfReach
}

func (g Goal) holds(v float64) bool {
	if g.AtLeast {
		return v >= g.Bound
	}
	return v <= g.Bound+g.Slack
}

// GoalTable computes the table of goals from the figures.
func GoalTable(goals []Goal, all Figures) Table {
	t := Table{Columns: []string{"work", "goal", "measured (quartiles)", "holds", "limit (quartiles)", "rivals"}}
	for _, g := range goals {
		sign := "≤"
		if g.AtLeast {
			sign = "≥"
		}
		cell := func(figure string) string {
			if f, ok := all[figure]; ok {
				return Spread(f, g.Format)
			}
			return "–"
		}
		limit := ""
		if g.Limit != "" {
			limit = cell(g.Limit) + ": " + g.LimitIs
		}
		t.Rows = append(t.Rows, []string{g.Work, fmt.Sprintf("%s %s", sign, g.Format(g.Bound)), cell(g.Figure), g.Judge(all).String(), limit, g.Rivals})
	}
	return t
}
