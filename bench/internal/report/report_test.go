package report_test

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/bench/internal/measure"
	"github.com/relink-go/relink/bench/internal/report"
)

func TestJudge(t *testing.T) {
	figures := report.Figures{
		"good": {Median: 2, Low: 1, High: 3, N: 3}, "none": {Median: math.NaN()}, "little": {Median: 0.005, N: 1},
	}
	for _, c := range []struct {
		goal report.Goal
		want report.Verdict
	}{
		{report.Goal{Figure: "good", AtLeast: true, Bound: 2}, report.Met},
		{report.Goal{Figure: "good", AtLeast: true, Bound: 2.001}, report.Missed},
		{report.Goal{Figure: "good", Bound: 2}, report.Met},
		{report.Goal{Figure: "good", Bound: 1.999}, report.Missed},
		{report.Goal{Figure: "little"}, report.Missed},
		{report.Goal{Figure: "little", Slack: 0.01}, report.Met},
		{report.Goal{Figure: "good", Bound: 1.999, Limit: "little"}, report.Missed},
		{report.Goal{Figure: "good", Bound: 1.999, Limit: "good"}, report.Missed}, // whose lower quartile holds
		{report.Goal{Figure: "good", Bound: 0.999, Limit: "good"}, report.OutOfReach},
		{report.Goal{Figure: "good", AtLeast: true, Bound: 3, Limit: "good"}, report.Missed}, // the upper one
		{report.Goal{Figure: "good", AtLeast: true, Bound: 3.001, Limit: "good"}, report.OutOfReach},
		{report.Goal{Figure: "good", AtLeast: true, Bound: 3.001, Limit: "none"}, report.Missed},
		{report.Goal{Figure: "good", Bound: 2, Limit: "little"}, report.Met},
		{report.Goal{Figure: "none", Bound: 1, Limit: "good"}, report.NotMeasured},
		{report.Goal{Figure: "none", Bound: 1}, report.NotMeasured},
		{report.Goal{Figure: "unknown", Bound: 1}, report.NotMeasured},
	} {
		require.Equal(t, c.want, c.goal.Judge(figures), "%+v", c.goal)
	}
}

func TestFormats(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0.00", 1.234: "1.23", 12.34: "12.3", 123.4: "123", 1234: "1234", 123_456: "123460", -12.34: "-12.3",
	} {
		require.Equal(t, want, report.Number(v))
	}
	require.Equal(t, "–", report.Number(math.NaN()))
	require.Equal(t, "1.053", report.Ratio(1.0532))
	require.Equal(t, "35.1", report.Ratio(35.06))
	require.Equal(t, "64 KiB", report.Bytes(64<<10))
	require.Equal(t, "100 B", report.Bytes(100))
	require.Equal(t, "2 MiB", report.Bytes(2<<20))
	require.Equal(t, "100 k", report.Count(100_000))
	require.Equal(t, "500", report.Count(500))
	require.Equal(t, "2.00", report.Spread(measure.Summarize([]float64{2}), report.Number))
	require.Equal(t, "2.00 (1.50–2.50)", report.Spread(measure.Summarize([]float64{1, 2, 3}), report.Number))
}

func TestTable(t *testing.T) {
	table := report.Table{Caption: "Speeds", Columns: []string{"subject", "a|b"}, Rows: [][]string{{"é", "1.00"}, {"long name", "20"}}}
	require.Equal(t, "Speeds\n  subject     a|b\n  é          1.00\n  long name    20\n", table.Text())
	require.Equal(t, "**Speeds**\n\n| subject | a\\|b |\n|---|--:|\n| é | 1.00 |\n| long name | 20 |\n", table.Markdown())
}

// Plots with awkward values are drawn all the same: none, zero on a logarithmic
// axis, a single point.
func TestWrite(t *testing.T) {
	lines := func(log bool, points ...report.Point) report.Plot {
		return report.Plot{
			Title: "Lines", X: report.Axis{Label: "x", Log: log}, Y: report.Axis{Label: "y", Log: log},
			Series: []report.Series{{Name: "one", Points: points}, {Name: "two", Points: points}},
		}
	}
	dots := func(log bool, points ...report.Point) report.Plot {
		p := lines(log, points...)
		p.Categories = []string{"first", "second"}
		return p
	}
	good := []report.Point{{X: 1, Y: 1, Low: 0.5, High: 2}, {X: 10, Y: 0, Low: 9, High: 11}}
	plots := map[string]report.Plot{
		"lines": lines(false, good...), "log-lines": lines(true, good...),
		"dots": dots(false, good...), "log-dots": dots(true, good...),
		"one-point": lines(true, good[0]), "one-dot": dots(true, good[0]),
		"same": lines(true, report.Point{X: 3, Y: 3}), "nothing": lines(true), "no-dots": dots(true),
		"not-a-number": dots(true, report.Point{X: math.NaN()}, good[0]),
	}
	s := report.Section{Name: "plots", Title: "Plots", Text: "Text."}
	for name, p := range plots {
		p.File = name
		s.Plots = append(s.Plots, p)
	}
	dir := t.TempDir()
	r := report.Run{Machine: report.ThisMachine(), Began: time.Now(), Command: "test", Scale: "small", Sections: []report.Section{
		{Name: "broken", Title: "Broken", Failed: errors.New("it broke")}, s,
	}}
	require.NoError(t, r.Write(dir, nil))
	for name := range plots {
		svg, err := os.ReadFile(filepath.Join(dir, "benchmarks", name+".svg"))
		require.NoError(t, err)
		require.Contains(t, string(svg), "<svg")
		require.NotContains(t, string(svg), "NaN")
		require.Contains(t, string(svg), "Arial")
	}
	document, err := os.ReadFile(filepath.Join(dir, "benchmarks.md"))
	require.NoError(t, err)
	require.Contains(t, string(document), "it broke")
	require.True(t, strings.HasSuffix(string(document), "`\n"))
}

func TestThisMachine(t *testing.T) {
	m := report.ThisMachine()
	require.Positive(t, m.Cores)
	require.NotEmpty(t, m.Processor)
	require.Contains(t, m.Go, "go")
}
