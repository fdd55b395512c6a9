package experiment

import (
	"maps"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/relink-go/relink/bench/internal/helper"
	"github.com/relink-go/relink/bench/internal/report"
	"github.com/relink-go/relink/bench/internal/subject"
)

func TestMain(m *testing.M) {
	if helper.Main() {
		return
	}
	os.Exit(m.Run())
}

// Every experiment works with every subject, and each goal refers to a figure that
// some experiment measures.
func TestEveryGoalIsMeasured(t *testing.T) {
	t.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true")
	c, err := subject.NewCredentials()
	require.NoError(t, err)
	scale := Tiny()
	e := &Env{Scale: scale, Credentials: c, Progress: func(what string) { t.Log(what) }}
	all := make(report.Figures)
	for _, x := range All() {
		t.Run(x.Name, func(t *testing.T) {
			s, err := x.Run(t.Context(), e)
			require.NoError(t, err)
			require.NotEmpty(t, s.Tables)
			for _, table := range s.Tables {
				require.NotEmpty(t, table.Rows)
				for _, row := range table.Rows {
					require.Len(t, row, len(table.Columns), table.Caption)
				}
			}
			maps.Copy(all, s.Figures)
		})
	}
	for _, g := range goals(scale) {
		require.NotEqual(t, report.NotMeasured, g.Judge(all), "%s: there is no figure %q", g.Work, g.Figure)
		if g.Limit != "" {
			require.Contains(t, all, g.Limit, g.Work)
			require.NotEmpty(t, g.LimitIs)
		}
	}
}

// What a complete run measures is what the goals speak of.
func TestCompleteRunCoversTheGoals(t *testing.T) {
	s := Complete()
	require.Contains(t, s.CrowdSessions, 100_000)
	require.Equal(t, 1000, s.CrowdSessions[0])
	require.Equal(t, 1000, s.TCPSessions)
	require.Contains(t, s.GameSessions, 4000)
	require.Equal(t, []int{64, 1 << 10, 16 << 10, 64 << 10}, s.Sizes)
	require.Equal(t, 16, s.ManyConns)
	require.Contains(t, s.EchoSizes, echoDuelSize)
	require.Equal(t, 2000, s.StormSessions)
	require.Equal(t, 5000, s.ResidentSessions)
	require.NotEmpty(t, Goals())
}

func TestShare(t *testing.T) {
	for _, n := range []int{0, 1, 5, 16, 17} {
		sum := 0
		for i := range 4 {
			sum += share(n, 4, i)
		}
		require.Equal(t, n, sum)
	}
}
